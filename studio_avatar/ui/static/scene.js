// The head in WebGL 2: one moving key light with shadows over even surroundings. Lengths in metres, +Y up, +Z out of the
// face; colours are linear light until the last line of the shader.

const VERTEX_SHADER = `#version 300 es
  layout(location=0) in vec3 position; layout(location=1) in vec3 normal; layout(location=2) in vec2 uv;
  layout(location=3) in vec4 tangent;
  uniform mat4 camera, model, shadow;
  out vec3 worldPosition, worldNormal; out vec4 worldTangent, lit, paint; out vec2 texel;
  void main() {
    paint = tangent;
    vec4 world = model * vec4(position, 1.0);
    worldPosition = world.xyz; worldNormal = mat3(model) * normal; texel = uv;
    worldTangent = vec4(mat3(model) * tangent.xyz, tangent.w);
    lit = shadow * vec4(world.xyz + normalize(worldNormal) * 0.002, 1.0);  // off the surface: no shadow acne
    gl_Position = camera * world;
  }`;

const DEPTH_SHADER = `#version 300 es
  precision mediump float;
  void main() {}`;

// Diffuse with a soft, reddish terminator, as skin has; GGX highlight; hemisphere of surrounding light; a shadow map.
const SKIN_SHADER = `#version 300 es
  precision highp float;
  precision highp sampler2DShadow;
  in vec3 worldPosition, worldNormal; in vec4 worldTangent, lit; in vec2 texel;
  uniform sampler2D studio, phone, seen, relief, gloss; uniform sampler2DShadow shadowMap;
  uniform vec3 eye, toLight, lightColour, sky, ground; uniform float divider, tint; uniform bool flat_;
  uniform int look;  // 0: textures, 1: clay, 2: normals
  out vec4 colour;
  float visibility() {
    vec3 p = lit.xyz / lit.w * 0.5 + 0.5;
    float sum = 0.0;
    for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++)
      sum += texture(shadowMap, vec3(p.xy + vec2(x, y) * 1.4 / 1024.0, p.z - 0.003));
    return sum / 9.0;
  }
  vec3 encode(vec3 c) {  // linear light to sRGB, highlights rolled off
    c = mix(c, 1.0 - 0.3 * exp((0.7 - c) / 0.3), step(0.7, c));
    return mix(12.92 * c, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
  }
  void main() {
    vec3 n = normalize(worldNormal), t = normalize(worldTangent.xyz), v = normalize(eye - worldPosition);
    n = normalize(mat3(t, cross(n, t) * worldTangent.w, n) * (texture(relief, texel).xyz * 2.0 - 1.0));
    if (look == 1) n = normalize(worldNormal);
    if (!gl_FrontFacing) n = -n;
    if (look == 2) { colour = vec4(n * 0.5 + 0.5, 1.0); return; }
    float roughness = max(texture(gloss, texel).g, 0.1);
    bool before = gl_FragCoord.x < divider;
    vec3 skin = before ? texture(phone, texel).rgb : texture(studio, texel).rgb;
    if (look == 1) { skin = vec3(0.36, 0.33, 0.30); roughness = 0.6; }
    skin = mix(skin, vec3(0.80, 0.17, 0.02), tint * (1.0 - texture(seen, texel).r));
    if (flat_) { colour = vec4(encode(skin), 1.0); return; }
    float facing = dot(n, toLight), open = visibility();
    vec3 wrap = vec3(0.22, 0.10, 0.07);
    vec3 direct = clamp((facing + wrap) / (1.0 + wrap), 0.0, 1.0) * mix(vec3(0.16, 0.05, 0.03), vec3(1.0), open);
    vec3 around = mix(ground, sky, 0.5 + 0.5 * n.y);
    vec3 h = normalize(v + toLight);
    float a2 = pow(roughness, 4.0), nh = max(dot(n, h), 0.0), nv = max(dot(n, v), 0.05), nl = max(facing, 0.0);
    float distribution = a2 / (3.14159 * pow(nh * nh * (a2 - 1.0) + 1.0, 2.0));
    float k = pow(roughness + 1.0, 2.0) / 8.0;
    float shape = 1.0 / (4.0 * (nv * (1.0 - k) + k) * (max(nl, 0.05) * (1.0 - k) + k));
    float fresnel = 0.028 + 0.972 * pow(1.0 - max(dot(h, v), 0.0), 5.0);
    vec3 shine = lightColour * nl * open * distribution * shape * fresnel;
    vec3 rim = around * 0.05 * pow(1.0 - nv, 4.0);
    colour = vec4(encode(skin * (lightColour * direct + around) + shine + rim), 1.0);
  }`;

// Hair throws the shadow of its strands, not of its cards.
const HAIR_DEPTH_SHADER = `#version 300 es
  precision mediump float;
  in vec2 texel; uniform sampler2D strands; uniform float cutoff;
  void main() { if (texture(strands, texel).a < cutoff) discard; }`;

// Lit as a whole: both sides alike, by normals that bend with the head; a broad highlight across the strands.
const HAIR_SHADER = `#version 300 es
  precision highp float;
  precision highp sampler2DShadow;
  in vec3 worldPosition, worldNormal; in vec4 lit, paint; in vec2 texel;
  uniform sampler2D strands; uniform sampler2DShadow shadowMap;
  uniform vec3 eye, toLight, lightColour, sky, ground; uniform float cutoff; uniform bool flat_;
  out vec4 colour;
  vec3 encode(vec3 c) {
    c = mix(c, 1.0 - 0.3 * exp((0.7 - c) / 0.3), step(0.7, c));
    return mix(12.92 * c, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
  }
  void main() {
    vec4 strand = texture(strands, texel);
    if (strand.a < cutoff) discard;
    vec3 hair = strand.rgb * paint.rgb, n = normalize(worldNormal), v = normalize(eye - worldPosition);
    if (flat_) { colour = vec4(encode(hair), 1.0); return; }
    float open = mix(0.45, 1.0, texture(shadowMap, vec3(lit.xy / lit.w * 0.5 + 0.5, lit.z / lit.w * 0.5 + 0.47)));
    float facing = clamp((dot(n, toLight) + 0.3) / 1.3, 0.0, 1.0);
    float shine = 0.04 * pow(max(dot(n, normalize(v + toLight)), 0.0), 24.0) * strand.r;
    vec3 around = mix(ground, sky, 0.5 + 0.5 * n.y);
    colour = vec4(encode(hair * (lightColour * facing * open + around) + lightColour * shine * open), 1.0);
  }`;

const DISTANCE = 0.85, FIELD = 0.40, SHADOW_SIZE = 1024, REACH = 0.22, CENTRE = -0.015;

// ---- 4x4 matrices, by columns

const times = (a, b) => Float32Array.from({ length: 16 }, (_, i) => {
  let sum = 0;
  for (let k = 0; k < 4; k++) sum += a[k * 4 + (i % 4)] * b[(i >> 2) * 4 + k];
  return sum;
});
const perspective = (field, aspect, near, far) => {
  const f = 1 / Math.tan(field / 2);
  return new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0,
    (2 * far * near) / (near - far), 0]);
};
const unit = (a) => { const l = Math.hypot(...a); return a.map((x) => x / l); };
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const lookAt = (eye, centre) => {
  const z = unit(eye.map((x, i) => x - centre[i])), x = unit(cross([0, 1, 0], z)), y = cross(z, x);
  return new Float32Array([x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0,
    -dot(x, eye), -dot(y, eye), -dot(z, eye), 1]);
};
// The surrounding of the head as the light sees it, in [-1, 1]³.
const lightBox = (direction) => {
  const centre = [0, CENTRE, 0], from = direction.map((x, i) => centre[i] + x * 2 * REACH);
  const scale = new Float32Array([1 / REACH, 0, 0, 0, 0, 1 / REACH, 0, 0, 0, 0, -1 / (1.5 * REACH), 0, 0, 0, -4 / 3, 1]);
  return times(scale, lookAt(from, centre));
};
const turned = (yaw, pitch) => {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return new Float32Array([cy, sp * sy, -cp * sy, 0, 0, cp, sp, 0, sy, -sp * cy, cp * cy, 0, 0, 0, 0, 1]);
};
// By a rotation vector [radians].
const rotated = (vector) => {
  const angle = Math.hypot(...vector), [x, y, z] = angle ? vector.map((part) => part / angle) : [0, 0, 1];
  const [c, s] = [Math.cos(angle), Math.sin(angle)], r = 1 - c;
  return new Float32Array([c + r * x * x, r * x * y + s * z, r * x * z - s * y, 0, r * x * y - s * z, c + r * y * y,
    r * y * z + s * x, 0, r * x * z + s * y, r * y * z - s * x, c + r * z * z, 0, 0, 0, 0, 1]);
};
const radians = (degrees) => degrees * Math.PI / 180;

// ---- drawing

class Scene {
  constructor(canvas, mesh) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: false });
    if (!gl) throw new Error("This browser shows no WebGL 2: download the head and open it in any 3D program.");
    Object.assign(this, { canvas, gl, mesh });
    this.skin = this.program(SKIN_SHADER);
    this.depth = this.program(DEPTH_SHADER);
    this.parts = mesh.parts.map((part) => this.upload(part));
    if (mesh.hair) {
      this.hairSkin = this.program(HAIR_SHADER);
      this.hairDepth = this.program(HAIR_DEPTH_SHADER);
      this.hair = this.upload(mesh.hair);
    }
    this.makeShadowMap();
    gl.enable(gl.DEPTH_TEST);
  }

  program(fragment) {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    const places = new Map();
    const place = (name) => {
      if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
      return places.get(name);
    };
    return { program, place };
  }

  upload(part) {
    const { gl } = this, array = gl.createVertexArray(), buffers = {};
    gl.bindVertexArray(array);
    [["position", 3], ["normal", 3], ["uv", 2], ["tangent", 4]].forEach(([name, width], location) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name] = gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, part[name], gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, width, gl.FLOAT, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, part.index, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    const type = part.index instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    return { array, buffers, type, count: part.index.length, part };
  }

  // sRGB pictures are decoded by the sampler, so that filtering and mip levels are right; masks are plain numbers.
  texture(picture, format = this.gl.SRGB8_ALPHA8) {
    const { gl } = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, format, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    const sharp = gl.getExtension("EXT_texture_filter_anisotropic");
    if (sharp) gl.texParameterf(gl.TEXTURE_2D, sharp.TEXTURE_MAX_ANISOTROPY_EXT, 4);
    return texture;
  }

  makeShadowMap() {
    const { gl } = this;
    this.shadowMap = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.shadowMap);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, SHADOW_SIZE, SHADOW_SIZE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    this.shadowFrame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.shadowMap, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  // weights: expression name → coefficient.
  pose(weights) {
    const { gl, mesh } = this;
    for (const { part, buffers } of this.parts) {
      const position = part.position.slice(), normal = part.normal.slice();
      mesh.names.forEach((name, k) => {
        const weight = weights[name], target = part.targets[k];
        if (!weight || !target) return;
        target.rows.forEach((row, i) => {
          for (let c = 0; c < 3; c++) {
            position[3 * row + c] += weight * target.position[3 * i + c];
            normal[3 * row + c] += weight * target.normal[3 * i + c];
          }
        });
      });
      for (const [name, values] of [["position", position], ["normal", normal]]) {
        gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
        gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
      }
    }
  }

  // state: yaw, pitch [degrees], before them turn (rotation vector [radians]), zoom, pan [metres, right and up], light (one of
  // LIGHTS), azimuth [degrees], divider and tint in [0, 1], look (0: textures, 1: clay, 2: normals).
  draw(state) {
    const { gl, canvas } = this, { light } = state;
    const [azimuth, height] = [radians(state.azimuth), radians(light.height)];
    const toLight = [Math.sin(azimuth) * Math.cos(height), Math.sin(height), Math.cos(azimuth) * Math.cos(height)];
    const model = times(turned(radians(state.yaw), radians(state.pitch)), rotated(state.turn)), shadow = lightBox(toLight);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.viewport(0, 0, SHADOW_SIZE, SHADOW_SIZE);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.depth.program);
    gl.uniformMatrix4fv(this.depth.place("camera"), false, shadow);
    gl.uniformMatrix4fv(this.depth.place("model"), false, model);
    this.drawParts();
    if (this.hair) this.drawHair(this.hairDepth, { camera: shadow, model });
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.skin.program);
    const { place } = this.skin, aspect = canvas.width / canvas.height, [right, up] = state.pan;
    const eye = [-right, 0.01 - up, DISTANCE / state.zoom];
    const field = aspect < 0.8 ? 2 * Math.atan(Math.tan(FIELD / 2) * 0.8 / aspect) : FIELD;
    const camera = times(perspective(field, aspect, 0.05, 5), lookAt(eye, [-right, CENTRE - up, 0]));
    gl.uniformMatrix4fv(place("camera"), false, camera);
    gl.uniformMatrix4fv(place("model"), false, model);
    gl.uniformMatrix4fv(place("shadow"), false, shadow);
    gl.uniform3fv(place("eye"), eye);
    gl.uniform3fv(place("toLight"), toLight);
    gl.uniform3fv(place("lightColour"), light.key);
    gl.uniform3fv(place("sky"), light.sky);
    gl.uniform3fv(place("ground"), light.ground);
    gl.uniform1f(place("divider"), state.divider * canvas.width);
    gl.uniform1f(place("tint"), 0.6 * state.tint);
    gl.uniform1i(place("flat_"), light.flat ? 1 : 0);
    gl.uniform1i(place("look"), state.look);
    this.bind(place("shadowMap"), 3, this.shadowMap);
    this.bind(place("phone"), 1, this.phone);
    this.bind(place("seen"), 2, this.seen);
    this.drawParts((part) => ["studio", "relief", "gloss"].forEach((name, number) =>
      this.bind(place(name), 4 + number, part[name])));
    if (!this.hair) return;
    gl.useProgram(this.hairSkin.program);
    const { place: hairPlace } = this.hairSkin;
    gl.uniformMatrix4fv(hairPlace("shadow"), false, shadow);
    const vectors = { eye, toLight, lightColour: light.key, sky: light.sky, ground: light.ground };
    Object.entries(vectors).forEach(([name, value]) => gl.uniform3fv(hairPlace(name), value));
    gl.uniform1i(hairPlace("flat_"), light.flat ? 1 : 0);
    this.bind(hairPlace("shadowMap"), 3, this.shadowMap);
    this.drawHair(this.hairSkin, { camera, model });
  }

  drawHair({ program, place }, { camera, model }) {
    const { gl, hair } = this;
    gl.useProgram(program);
    gl.uniformMatrix4fv(place("camera"), false, camera);
    gl.uniformMatrix4fv(place("model"), false, model);
    gl.uniform1f(place("cutoff"), hair.part.material.alphaCutoff);
    this.bind(place("strands"), 4, hair.strands);
    gl.bindVertexArray(hair.array);
    gl.drawElements(gl.TRIANGLES, hair.count, hair.type, 0);
  }

  bind(place, unitNumber, texture) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unitNumber);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(place, unitNumber);
  }

  drawParts(before = () => {}) {
    const { gl } = this;
    for (const part of this.parts) {
      before(part);
      gl.bindVertexArray(part.array);
      gl.drawElements(gl.TRIANGLES, part.count, part.type, 0);
    }
  }
}
