// <studio-head glb="…" phone="…" seen="…">: the head under a light that the visitor moves, phone texture left of a divider
// and studio texture right of it. `glb` is the very file that is offered for download.

// Light colours are linear; azimuth in degrees from the camera, positive to the right; height likewise upwards.
const LIGHTS = {
  "Window": { key: [0.92, 0.90, 0.88], sky: [0.30, 0.32, 0.35], ground: [0.15, 0.14, 0.13], height: 25 },
  "Bare lamp": { key: [1.55, 1.30, 1.02], sky: [0.07, 0.065, 0.06], ground: [0.05, 0.045, 0.04], height: 35 },
  "Evening sun": { key: [1.50, 0.95, 0.52], sky: [0.16, 0.22, 0.34], ground: [0.14, 0.10, 0.08], height: 10 },
  "Neon": { key: [1.25, 0.34, 0.90], sky: [0.10, 0.34, 0.44], ground: [0.05, 0.12, 0.22], height: 15 },
  "None: texture only": { flat: true, key: [0, 0, 0], sky: [1, 1, 1], ground: [1, 1, 1], height: 0 },
};
const both = (name, weight) => ({ [name + "Left"]: weight, [name + "Right"]: weight });
const EXPRESSIONS = {
  "Resting": {},
  "Smile": { ...both("mouthSmile", 0.8), ...both("cheekSquint", 0.5), ...both("eyeSquint", 0.2) },
  "Surprise": { jawOpen: 0.4, browInnerUp: 0.9, ...both("browOuterUp", 0.8), ...both("eyeWide", 0.7) },
  "Doubt": { browDownLeft: 0.8, browOuterUpRight: 0.9, mouthLeft: 0.4, ...both("mouthFrown", 0.4) },
  "Eyes shut": both("eyeBlink", 1.0),
};
const YOURS = "As filmed";  // the capture's own expressions, one key frame after the other
const SWAY_DEGREES = 24, SWAY_SECONDS = 9, TURN_SECONDS = 12, FRAME_SECONDS = 0.6, CLIP_SECONDS = 4;

const options = (names) => names.map((name) => `<option>${name}</option>`).join("");
const CONTROLS = `
  <div class="stage">
    <canvas tabindex="0" role="img" aria-label="Your head in three dimensions, left of the divider with the phone's
      texture, right of it with the studio texture. Arrow keys turn it, plus and minus zoom."></canvas>
    <span class="tag before" aria-hidden="true">Phone</span><span class="tag after" aria-hidden="true">Studio</span>
    <input class="divider" type="range" min="0" max="1000" value="500" aria-label="Divider of phone and studio texture">
    <p class="notice" role="status">Loading the head …</p>
  </div>
  <div class="controls">
    <label>Light <select class="light">${options(Object.keys(LIGHTS))}</select></label>
    <label class="wide">Light from <input class="azimuth" type="range" min="-180" max="180" value="-35"></label>
    <label><input class="turning" type="checkbox"> Turn the light</label>
    <label>Face <select class="face">${options(Object.keys(EXPRESSIONS))}</select></label>
    <label><input class="completed" type="checkbox"> Mark what was completed</label>
    <button class="clip" type="button">Save a turning clip</button>
  </div>`;

class StudioHead extends HTMLElement {
  async connectedCallback() {
    this.innerHTML = CONTROLS;
    this.find = (name) => this.querySelector(name);
    this.state = { yaw: 0, pitch: 4, zoom: 1, light: LIGHTS["Window"], azimuth: -35, divider: 0.5, tint: 0 };
    this.resting = matchMedia("(prefers-reduced-motion: reduce)").matches;  // until touched, the head sways
    this.find(".turning").checked = !this.resting;
    try {
      await this.load();
      this.find(".notice").remove();
      this.listen();
      this.start();
    } catch (error) {
      if (this.find(".notice")) this.find(".notice").textContent = error.message;
    }
  }

  disconnectedCallback() {
    cancelAnimationFrame(this.frame);
    if (this.sizes) this.sizes.disconnect();
    if (this.scene) this.scene.gl.getExtension("WEBGL_lose_context")?.loseContext();  // browsers keep only a few
  }

  async load() {
    const glb = await readGlb(this.getAttribute("glb"));
    const scene = new Scene(this.find("canvas"), readMesh(glb));
    for (const part of scene.parts) {
      const { pbrMetallicRoughness: surface, normalTexture } = part.part.material;
      part.studio = scene.texture(await imageOf(glb, surface.baseColorTexture));
      part.gloss = scene.texture(await imageOf(glb, surface.metallicRoughnessTexture), scene.gl.RGBA8);
      part.relief = scene.texture(await imageOf(glb, normalTexture), scene.gl.RGBA8);
    }
    if (scene.hair) {
      const { baseColorTexture } = scene.hair.part.material.pbrMetallicRoughness;
      scene.hair.strands = scene.texture(await imageOf(glb, baseColorTexture));
    }
    scene.phone = scene.texture(await pictureAt(this.getAttribute("phone")));
    scene.seen = scene.texture(await pictureAt(this.getAttribute("seen")), scene.gl.RGBA8);
    this.scene = scene;
    if (scene.mesh.filmed.length > 1) this.find(".face").insertAdjacentHTML("beforeend", options([YOURS]));
  }

  listen() {
    const { state } = this, canvas = this.find("canvas"), stop = () => { this.resting = true; };
    const turn = (yaw, pitch) => {
      state.yaw += yaw;
      state.pitch = Math.max(-50, Math.min(50, state.pitch + pitch));
    };
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(canvas);
    let held = null;  // where the pointer was
    canvas.addEventListener("pointerdown", (event) => {
      stop();
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held || !event.buttons) return;
      turn(0.4 * (event.clientX - held[0]), 0.3 * (event.clientY - held[1]));
      held = [event.clientX, event.clientY];
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-5, 0, 1], ArrowRight: [5, 0, 1], ArrowUp: [0, -5, 1], ArrowDown: [0, 5, 1],
        "+": [0, 0, 1.1], "-": [0, 0, 1 / 1.1] };
      if (!(event.key in moves)) return;
      const [yaw, pitch, zoom] = moves[event.key];
      stop();
      turn(yaw, pitch);
      state.zoom = Math.max(0.7, Math.min(2.5, state.zoom * zoom));
      event.preventDefault();
    });
    this.find(".divider").addEventListener("input", (event) => this.divide(event.target.value / 1000));
    this.find(".light").addEventListener("change", (event) => { state.light = LIGHTS[event.target.value]; });
    this.find(".azimuth").addEventListener("input", (event) => {
      state.azimuth = Number(event.target.value);
      this.find(".turning").checked = false;
    });
    this.find(".face").addEventListener("change", (event) => {
      this.filmedAt = event.target.value === YOURS ? 0 : null;
      if (this.filmedAt === null) this.pose(EXPRESSIONS[event.target.value]);
    });
    this.find(".completed").addEventListener("change", (event) => { state.tint = event.target.checked ? 1 : 0; });
    this.find(".clip").addEventListener("click", () => this.saveClip());
  }

  // One full turn of the head as it is now lit and split, recorded from the canvas: the clip is made on this machine too.
  async saveClip() {
    const button = this.find(".clip"), recorder = new MediaRecorder(this.find("canvas").captureStream(30)), parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
    button.disabled = this.resting = true;
    recorder.start();
    this.clip = { from: this.state.yaw, turned: 0, done: () => recorder.stop() };
    await stopped;
    button.disabled = false;
    const link = document.createElement("a"), name = this.getAttribute("glb").split("/").pop().replace("avatar.glb", "");
    link.href = URL.createObjectURL(new Blob(parts, { type: recorder.mimeType }));
    link.download = `${name}turntable.${recorder.mimeType.includes("mp4") ? "mp4" : "webm"}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  turnForClip(seconds) {
    this.clip.turned += 360 * seconds / CLIP_SECONDS;
    this.state.yaw = this.clip.from + Math.min(this.clip.turned, 360);
    if (this.clip.turned < 360) return;
    this.clip.done();
    this.clip = null;
  }

  divide(share) {
    this.state.divider = share;
    this.style.setProperty("--divider", `${100 * share}%`);
  }

  pose(weights) {
    this.scene.pose(weights);
    this.drawn = null;
  }

  resize() {
    const canvas = this.find("canvas"), scale = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    this.drawn = null;
  }

  // Head and light move by themselves for one turn of the light; later a frame is drawn only when something changed.
  start() {
    this.resize();
    this.divide(0.5);
    let last = performance.now(), turns = 0;
    const began = last;
    const step = (now) => {
      const seconds = Math.min((now - last) / 1000, 0.1);
      last = now;
      turns += seconds / TURN_SECONDS;
      if (turns > 1 && !this.resting) this.resting = !(this.find(".turning").checked = false);
      if (!this.resting) this.state.yaw = SWAY_DEGREES * Math.sin(2 * Math.PI * (now - began) / 1000 / SWAY_SECONDS);
      if (this.find(".turning").checked) this.turnLight(seconds);
      if (this.filmedAt != null) this.playFilmed(seconds);
      if (this.clip) this.turnForClip(seconds);
      const wanted = JSON.stringify(this.state);
      if (wanted !== this.drawn) this.scene.draw(this.state);
      this.drawn = wanted;
      this.dataset.drawn = "true";
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  turnLight(seconds) {
    const { state } = this;
    state.azimuth = ((state.azimuth + 180 + 360 * seconds / TURN_SECONDS) % 360) - 180;
    this.find(".azimuth").value = state.azimuth;
  }

  playFilmed(seconds) {
    const { filmed, names } = this.scene.mesh;
    this.filmedAt = (this.filmedAt + seconds / FRAME_SECONDS) % filmed.length;
    const first = Math.floor(this.filmedAt), share = this.filmedAt - first, next = filmed[(first + 1) % filmed.length];
    this.pose(Object.fromEntries(
      names.map((name, k) => [name, filmed[first][k] * (1 - share) + next[k] * share])));
  }
}

customElements.define("studio-head", StudioHead);
