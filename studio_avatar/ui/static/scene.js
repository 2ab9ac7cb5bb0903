// The head in three.js, read from the very GLB that is offered for download. Ours are the divider, the light that the visitor
// moves, its shadow, and the marks. Lengths in metres, +Y up, +Z out of the face; colours are linear light until the last line
// of the shaders.

const VERTEX_SHADER = `
  attribute vec4 tangent;
  uniform mat4 shadow;
  varying vec3 worldPosition, worldNormal, paint; varying vec4 worldTangent, lit; varying vec2 texel;
  #include <morphtarget_pars_vertex>
  void main() {
    #include <beginnormal_vertex>
    #include <morphnormal_vertex>
    #include <begin_vertex>
    #include <morphtarget_vertex>
    #ifdef USE_COLOR
      paint = color;
    #endif
    vec4 world = modelMatrix * vec4(transformed, 1.0);
    worldPosition = world.xyz; worldNormal = mat3(modelMatrix) * objectNormal; texel = uv;
    worldTangent = vec4(mat3(modelMatrix) * tangent.xyz, tangent.w);
    lit = shadow * vec4(world.xyz + normalize(worldNormal) * 0.002, 1.0);  // off the surface: no shadow acne
    gl_Position = projectionMatrix * viewMatrix * world;
  }`;

const DEPTH_SHADER = "void main() { gl_FragColor = vec4(1.0); }";

const ENCODE = `
  vec3 encode(vec3 c) {  // linear light to sRGB, highlights rolled off
    c = mix(c, 1.0 - 0.3 * exp((0.7 - c) / 0.3), step(0.7, c));
    return mix(12.92 * c, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
  }`;

// Diffuse with a soft, reddish terminator, as skin has; GGX highlight; hemisphere of surrounding light; a shadow map.
const SKIN_SHADER = `
  varying vec3 worldPosition, worldNormal; varying vec4 worldTangent, lit; varying vec2 texel;
  uniform sampler2D studio, phone, seen, relief, gloss; uniform sampler2DShadow shadowMap;
  uniform vec3 eye, toLight, lightColour, sky, ground; uniform float divider, tint; uniform bool flat_;
  uniform int look;  // 0: textures, 1: clay, 2: normals
  float visibility() {
    vec3 p = lit.xyz / lit.w * 0.5 + 0.5;
    float sum = 0.0;
    for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++)
      sum += texture(shadowMap, vec3(p.xy + vec2(x, y) * 1.4 / 1024.0, p.z - 0.003));
    return sum / 9.0;
  }
  ${ENCODE}
  void main() {
    vec3 n = normalize(worldNormal), t = normalize(worldTangent.xyz), v = normalize(eye - worldPosition);
    n = normalize(mat3(t, cross(n, t) * worldTangent.w, n) * (texture(relief, texel).xyz * 2.0 - 1.0));
    if (look == 1) n = normalize(worldNormal);
    if (!gl_FrontFacing) n = -n;
    if (look == 2) { gl_FragColor = vec4(n * 0.5 + 0.5, 1.0); return; }
    float roughness = max(texture(gloss, texel).g, 0.1);
    bool before = gl_FragCoord.x < divider;
    vec3 skin = before ? texture(phone, texel).rgb : texture(studio, texel).rgb;
    if (look == 1) { skin = vec3(0.36, 0.33, 0.30); roughness = 0.6; }
    skin = mix(skin, vec3(0.80, 0.17, 0.02), tint * (1.0 - texture(seen, texel).r));
    if (flat_) { gl_FragColor = vec4(encode(skin), 1.0); return; }
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
    gl_FragColor = vec4(encode(skin * (lightColour * direct + around) + shine + rim), 1.0);
  }`;

// Hair throws the shadow of its strands, not of its cards.
const HAIR_DEPTH_SHADER = `
  varying vec2 texel; uniform sampler2D strands; uniform float cutoff;
  void main() {
    if (texture(strands, texel).a < cutoff) discard;
    gl_FragColor = vec4(1.0);
  }`;

// Lit as a whole: both sides alike, by normals that bend with the head; a broad highlight across the strands. Its soft edge
// is the share of a pixel's samples that are covered (alpha to coverage), which needs no order of drawing.
const HAIR_SHADER = `
  varying vec3 worldPosition, worldNormal, paint; varying vec4 lit; varying vec2 texel;
  uniform sampler2D strands; uniform sampler2DShadow shadowMap;
  uniform vec3 eye, toLight, lightColour, sky, ground; uniform float cutoff; uniform bool flat_;
  ${ENCODE}
  void main() {
    vec4 strand = texture(strands, texel);
    float covered = clamp((strand.a - cutoff) / max(fwidth(strand.a), 0.001) + 0.5, 0.0, 1.0);
    if (covered <= 0.0) discard;
    vec3 hair = strand.rgb * paint, n = normalize(worldNormal), v = normalize(eye - worldPosition);
    if (flat_) { gl_FragColor = vec4(encode(hair), covered); return; }
    float open = mix(0.45, 1.0, texture(shadowMap, vec3(lit.xy / lit.w * 0.5 + 0.5, lit.z / lit.w * 0.5 + 0.47)));
    float facing = clamp((dot(n, toLight) + 0.3) / 1.3, 0.0, 1.0);
    float shine = 0.04 * pow(max(dot(n, normalize(v + toLight)), 0.0), 24.0) * strand.r;
    vec3 around = mix(ground, sky, 0.5 + 0.5 * n.y);
    gl_FragColor = vec4(encode(hair * (lightColour * facing * open + around) + lightColour * shine * open), covered);
  }`;
// three's numbers: the color is written as it is, and alpha added up, so that the page does not show through hair on skin.
const WRITE_COLOR_ADD_ALPHA = { blending: 5, blendSrc: 201, blendDst: 200, blendSrcAlpha: 201, blendDstAlpha: 201 };

const DISTANCE = 0.85, FIELD = 0.40, SHADOW_SIZE = 1024, REACH = 0.22, CENTRE = -0.015;
const SHARPNESS = 4;  // anisotropy of the textures
const GONE = "The files of this avatar are gone: they are deleted after an hour. Make it again.";
const NO_WEBGL = "This browser shows no WebGL 2: download the head and open it in any 3D program.";
const radians = (degrees) => degrees * Math.PI / 180;

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(GONE);
  return answer;
}

class Scene {
  // addresses: `glb`, and the pictures `phone` and `seen` in the same texture layout.
  static async load(canvas, addresses) {
    const three = await import(new URL("three.js", document.baseURI));  // not before a head is shown
    const file = async (address) => new three.GLTFLoader().parseAsync(await (await fetched(address)).arrayBuffer(), "");
    const picture = async (address) => {
      const url = URL.createObjectURL(await (await fetched(address)).blob());
      const texture = await new three.TextureLoader().loadAsync(url);
      URL.revokeObjectURL(url);
      return Object.assign(texture, { flipY: false, anisotropy: SHARPNESS });
    };
    const [gltf, phone, seen] = await Promise.all(
      [file(addresses.glb), picture(addresses.phone), picture(addresses.seen)]);
    phone.colorSpace = three.SRGBColorSpace;  // decoded by the sampler, so that filtering is right; masks are plain numbers
    const scene = new Scene(three, canvas);  // when all is there: of its contexts a browser keeps only a few
    scene.wear(gltf, phone, seen);
    return scene;
  }

  constructor(three, canvas) {
    Object.assign(this, { three, canvas, root: new three.Scene(), head: new three.Group() });
    try {
      this.renderer = new three.WebGLRenderer({ canvas, antialias: true, alpha: true, premultipliedAlpha: false });
    } catch { throw new Error(NO_WEBGL); }
    this.renderer.setClearColor(0, 0);
    this.root.add(this.head);
    this.camera = new three.PerspectiveCamera(0, 1, 0.05, 5);
    this.lamp = new three.OrthographicCamera(-REACH, REACH, REACH, -REACH, 0.5 * REACH, 3.5 * REACH);
    this.makeShadowMap();
    const empty = { shadow: new three.Matrix4(), eye: new three.Vector3(), toLight: new three.Vector3(),
      lightColour: new three.Vector3(), sky: new three.Vector3(), ground: new three.Vector3(), divider: 0, tint: 0,
      flat_: false, look: 0 };
    this.uniforms = Object.fromEntries(Object.entries(empty).map(([name, value]) => [name, { value }]));  // of all materials
    this.uniforms.shadowMap = { value: this.shadowFrame.depthTexture };
  }

  makeShadowMap() {
    const { three } = this, depthTexture = new three.DepthTexture(SHADOW_SIZE, SHADOW_SIZE);
    depthTexture.compareFunction = three.LessEqualCompare;
    depthTexture.magFilter = depthTexture.minFilter = three.LinearFilter;
    this.shadowFrame = new three.WebGLRenderTarget(SHADOW_SIZE, SHADOW_SIZE, { depthTexture });
  }

  // The file's meshes in materials of ours.
  wear(gltf, phone, seen) {
    const { three } = this, extras = gltf.parser.json.meshes[0].extras || {};
    this.names = extras.targetNames || [];
    this.filmed = extras.captureExpressions || [];
    gltf.scene.updateMatrixWorld();
    gltf.scene.traverse((part) => {
      if (!part.isMesh) return;
      const hair = part.material.alphaTest > 0, mesh = new three.Mesh(part.geometry);
      const own = hair ? this.hairMaterials(part.material) : this.skinMaterials(part.material, phone, seen);
      Object.assign(mesh, own, { frustumCulled: false, morphTargetDictionary: part.morphTargetDictionary });
      if (!part.isSkinnedMesh) mesh.applyMatrix4(part.matrixWorld);  // bones stand as they were bound
      this.head.add(mesh);
    });
  }

  skinMaterials({ map, roughnessMap, normalMap }, phone, seen) {
    map.anisotropy = SHARPNESS;
    const textures = { studio: map, gloss: roughnessMap, relief: normalMap, phone, seen };
    return { painted: this.material(SKIN_SHADER, textures), shading: this.material(DEPTH_SHADER) };
  }

  hairMaterials({ map, alphaTest }) {
    map.anisotropy = SHARPNESS;
    const values = { strands: map, cutoff: alphaTest };
    return {
      painted: this.material(HAIR_SHADER, values,
        { vertexColors: true, alphaToCoverage: true, ...WRITE_COLOR_ADD_ALPHA }),
      shading: this.material(HAIR_DEPTH_SHADER, values),
    };
  }

  material(fragmentShader, values = {}, more = {}) {
    const { three } = this, own = Object.entries(values).map(([name, value]) => [name, { value }]);
    return new three.ShaderMaterial({ vertexShader: VERTEX_SHADER, fragmentShader, side: three.DoubleSide,
      uniforms: { ...this.uniforms, ...Object.fromEntries(own) }, ...more });
  }

  // weights: expression name → coefficient.
  pose(weights) {
    for (const { morphTargetDictionary: places, morphTargetInfluences: influences } of this.head.children) {
      for (const [name, place] of Object.entries(places || {})) influences[place] = weights[name] || 0;
    }
  }

  resize(width, height) {
    this.renderer.setSize(width, height, false);
  }

  // state: yaw, pitch [degrees], before them turn (rotation vector [radians]), zoom, pan [metres, right and up], light (one of
  // LIGHTS), azimuth [degrees], divider and tint in [0, 1], look (0: textures, 1: clay, 2: normals).
  draw(state) {
    this.turn(state);
    this.aim(state);
    this.shine(state);
    const { uniforms, canvas } = this;
    uniforms.divider.value = state.divider * canvas.width;
    uniforms.tint.value = 0.6 * state.tint;
    uniforms.look.value = state.look;
    this.show("shading", this.lamp, this.shadowFrame);
    this.show("painted", this.camera, null);
  }

  turn({ yaw, pitch, turn }) {
    const { Quaternion, Vector3 } = this.three, angle = Math.hypot(...turn);
    const about = (axis, value) => new Quaternion().setFromAxisAngle(new Vector3(...axis), value);
    const own = angle ? about(turn.map((part) => part / angle), angle) : new Quaternion();
    this.head.quaternion.copy(about([1, 0, 0], radians(pitch))).multiply(about([0, 1, 0], radians(yaw))).multiply(own);
  }

  aim({ pan: [right, up], zoom }) {
    const { camera, canvas } = this, aspect = canvas.width / canvas.height;
    const field = aspect < 0.8 ? 2 * Math.atan(Math.tan(FIELD / 2) * 0.8 / aspect) : FIELD;
    Object.assign(camera, { aspect, fov: field * 180 / Math.PI });
    camera.position.set(-right, 0.01 - up, DISTANCE / zoom);
    camera.lookAt(-right, CENTRE - up, 0);
    camera.updateProjectionMatrix();
    this.uniforms.eye.value.copy(camera.position);
  }

  // A lamp in the distance, and what surrounds the head.
  shine({ light, azimuth }) {
    const { lamp, uniforms } = this, [around, height] = [radians(azimuth), radians(light.height)];
    const toLight = uniforms.toLight.value;
    toLight.set(Math.sin(around) * Math.cos(height), Math.sin(height), Math.cos(around) * Math.cos(height));
    lamp.position.set(0, CENTRE, 0).addScaledVector(toLight, 2 * REACH);
    lamp.lookAt(0, CENTRE, 0);
    lamp.updateMatrixWorld();
    uniforms.shadow.value.multiplyMatrices(lamp.projectionMatrix, lamp.matrixWorldInverse);
    uniforms.lightColour.value.set(...light.key);
    uniforms.sky.value.set(...light.sky);
    uniforms.ground.value.set(...light.ground);
    uniforms.flat_.value = Boolean(light.flat);
  }

  show(materials, camera, target) {
    for (const mesh of this.head.children) mesh.material = mesh[materials];
    this.renderer.setRenderTarget(target);
    this.renderer.render(this.root, camera);
  }

  end() {
    this.renderer.dispose();
    this.renderer.forceContextLoss();  // browsers keep only a few
  }
}
