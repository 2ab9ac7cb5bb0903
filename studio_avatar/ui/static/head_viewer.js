// <studio-head glb="…" phone="…" seen="…">: the head under a light that the visitor moves, phone texture left of a divider
// and studio texture right of it. `glb` is the very file that is offered for download. With the attribute `ask` it asks for the
// camera as soon as it is there, see mirror.js.

// Light colors are linear; azimuth in degrees from the camera, positive to the right; height likewise upwards.
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
const NO_CLIP = "This browser cannot film the head: take the turning film under More files.";
const LOOKS = ["Textures", "Clay", "Normals"];
const LEAST_ZOOM = 0.7, MOST_ZOOM = 4, FARTHEST = 0.15;  // pan [m]
const SWAY_DEGREES = 24, SWAY_SECONDS = 9, TURN_SECONDS = 12, FRAME_SECONDS = 0.6;

const options = (names) => names.map((name) => `<option>${name}</option>`).join("");
const CONTROLS = `
  <div class="stage">
    <canvas tabindex="0" role="img" aria-label="Your head in three dimensions, left of the divider with the phone's
      texture, right of it with the studio texture. Arrow keys turn it, with Shift they move it, plus and minus zoom, 0
      puts it back."></canvas>
    <span class="tag before" aria-hidden="true">Phone</span><span class="tag after" aria-hidden="true">Studio</span>
    <input class="divider" type="range" min="0" max="1000" value="500" aria-label="Divider of phone and studio texture">
    <p class="notice" role="status">Loading the head …</p>
    <div class="corner"><button class="mirror" type="button" title="Move the head with your face">Mirror</button>
      <button class="reset" type="button" title="Put the head back">Reset</button>
      <button class="whole" type="button" title="The head on the whole screen">Full screen</button></div>
  </div>
  <div class="controls">
    <label>Light <select class="light">${options(Object.keys(LIGHTS))}</select></label>
    <label class="wide">Light from <input class="azimuth" type="range" min="-180" max="180" value="-35"></label>
    <label><input class="turning" type="checkbox"> Turn the light</label>
    <label>Face <select class="face">${options(Object.keys(EXPRESSIONS))}</select></label>
    <label>Show <select class="look">${options(LOOKS)}</select></label>
    <label><input class="completed" type="checkbox"> Mark what was completed</label>
    <button class="clip" type="button">Save a turning clip</button>
    <label><input class="split" type="checkbox"> with the divider</label>
  </div>
  <details class="sliders"><summary>All expressions</summary><div></div></details>`;
const RESTING = { yaw: 0, pitch: 4, zoom: 1, pan: [0, 0] }, AHEAD = [0, 0, 0];
const between = (low, high, value) => Math.max(low, Math.min(high, value));

class StudioHead extends PageElement {
  static observedAttributes = ["glb", "phone", "seen"];

  async connectedCallback() {
    this.innerHTML = CONTROLS;
    this.find = (name) => this.querySelector(name);
    this.state = { ...RESTING, turn: AHEAD, light: LIGHTS["Window"], azimuth: -35, divider: 0.5, tint: 0, look: 0 };
    this.resting = matchMedia("(prefers-reduced-motion: reduce)").matches;  // until touched, the head sways
    this.find(".turning").checked = !this.resting;
    try {
      await this.load();
      if (!this.isConnected) return this.scene.end();  // replaced meanwhile
      this.find(".notice").remove();
      this.listen();
      this.mirror = new Mirror(this);
      this.start();
      if (this.hasAttribute("ask")) this.mirror.ask();
    } catch (error) {
      // Without the head its controls would do nothing.
      this.querySelectorAll(".controls, .sliders, .corner, .divider, .tag, canvas").forEach((part) => part.remove());
      this.classList.add("without-head");
      if (error.message === NO_WEBGL && this.closest("#head")) document.getElementById("still")?.click();
      if (this.find(".notice")) this.find(".notice").textContent = error.message;
    }
  }

  disconnectedCallback() {
    cancelAnimationFrame(this.frame);
    if (this.sizes) this.sizes.disconnect();
    if (this.mirror) this.mirror.end();
    if (this.scene) this.scene.end();
  }

  async load() {
    const [glb, phone, seen] = ["glb", "phone", "seen"].map((name) => this.getAttribute(name));
    this.scene = await Scene.load(this.find("canvas"), { glb, phone, seen });
    this.makeSliders(this.scene.names);
    if (this.scene.filmed.length > 1) this.find(".face").insertAdjacentHTML("beforeend", options([YOURS]));
  }

  // One slider an expression; the faces to choose from set them, too.
  makeSliders(names) {
    this.find(".sliders div").innerHTML = names.map((name) =>
      `<label>${name} <input type="range" min="0" max="1" step="0.01" value="0" data-name="${name}"></label>`).join("");
    this.find(".sliders").addEventListener("input", () => {
      this.filmedAt = null;
      this.pose(Object.fromEntries([...this.querySelectorAll(".sliders input")].map((one) =>
        [one.dataset.name, Number(one.value)])));
    });
  }

  listen() {
    const { state } = this, canvas = this.find("canvas");
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(canvas);
    this.listenToPointers(canvas);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-0.0015 * event.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key in moves) {
        const [right, down] = moves[event.key];
        if (event.shiftKey) this.shift(0.01 * right, -0.01 * down);
        else this.turn(5 * right, 5 * down);
      } else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.1 : 1 / 1.1);
      else if (event.key === "0") this.reset();
      else return;
      event.preventDefault();
    });
    this.find(".reset").addEventListener("click", () => this.reset());
    this.find(".whole").addEventListener("click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else if (this.requestFullscreen) this.requestFullscreen();
      else this.classList.toggle("whole-window");  // an iPhone has full screen for films alone
      this.sayWhole();
    });
    this.addEventListener("fullscreenchange", () => this.sayWhole());
    this.find(".look").addEventListener("change", (event) => { state.look = LOOKS.indexOf(event.target.value); });
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

  sayWhole() {
    const whole = document.fullscreenElement === this || this.classList.contains("whole-window");
    this.find(".whole").textContent = whole ? "Leave full screen" : "Full screen";
  }

  turn(yaw, pitch) {
    this.resting = true;
    this.state.yaw += yaw;
    this.state.pitch = between(-50, 50, this.state.pitch + pitch);
  }

  zoom(factor) {
    this.resting = true;
    this.state.zoom = between(LEAST_ZOOM, MOST_ZOOM, this.state.zoom * factor);
  }

  shift(right, up) {
    this.resting = true;
    this.state.pan = [right, up].map((metres, axis) => between(-FARTHEST, FARTHEST, this.state.pan[axis] + metres));
  }

  reset() {
    this.resting = true;
    Object.assign(this.state, RESTING);
  }

  // One finger or the mouse turns the head; two fingers move and zoom it, and so does the mouse with Shift or its right button.
  listenToPointers(canvas) {
    const held = new Map();  // pointer → where it was
    const spread = (points) => Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
    canvas.addEventListener("pointerdown", (event) => {
      this.resting = true;
      held.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const was = held.get(event.pointerId);
      if (!was) return;
      const before = [...held.values()], moved = [event.clientX - was[0], event.clientY - was[1]];
      held.set(event.pointerId, [event.clientX, event.clientY]);
      const metres = 0.35 / canvas.clientHeight / this.state.zoom;  // a pixel in the plane of the head
      if (before.length > 1) {
        this.zoom(spread([...held.values()]) / Math.max(spread(before), 1));
        this.shift(0.5 * metres * moved[0], -0.5 * metres * moved[1]);  // each of two fingers brings half
      } else if (event.shiftKey || event.buttons & 2) this.shift(metres * moved[0], -metres * moved[1]);
      else this.turn(0.4 * moved[0], 0.3 * moved[1]);
    });
    const release = (event) => held.delete(event.pointerId);
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, release);
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    // Two fingers are the head's; one that moves up or down scrolls the page, as `touch-action` says.
    const two = (event) => { if (event.touches.length > 1) event.preventDefault(); };
    canvas.addEventListener("touchmove", two, { passive: false });
  }

  // One full turn of the head as it is now lit and split; the clip is made on this machine too.
  async saveClip() {
    const button = this.find(".clip"), canvas = this.find("canvas"), before = { ...this.state }, label = button.textContent;
    const scale = CLIP_PIXELS / Math.min(canvas.clientWidth, canvas.clientHeight);
    const sides = [canvas.clientWidth, canvas.clientHeight].map((side) => 2 * Math.round(side * scale / 2));  // even: H.264
    button.disabled = this.resting = this.filming = true;
    if (!this.find(".split").checked) this.state.divider = 0;
    this.scene.resize(...sides);
    let turned = 0;
    const draw = (share) => {
      if (!this.isConnected) throw new Error("the head went away");
      this.advance(Math.max(share - turned, 0) * CLIP_SECONDS);  // less than none: a second try
      turned = share;
      this.state.yaw = before.yaw + 360 * share;
      this.scene.draw(this.state);
    };
    try {
      const tell = (share) => { button.textContent = `Saving, ${Math.round(100 * share)} %`; };
      this.offer(await encodedClip(canvas, draw, tell) || await recordedClip(canvas, draw));
    } catch { this.mirror.say(NO_CLIP); }
    Object.assign(this.state, { yaw: before.yaw, divider: before.divider });
    button.disabled = this.filming = false;
    button.textContent = label;
    if (this.isConnected) this.resize();
  }

  // A film as a download, named after the head.
  offer(film) {
    const link = document.createElement("a"), name = this.getAttribute("glb").split("/").pop().replace("avatar.glb", "");
    link.href = URL.createObjectURL(film);
    link.download = `${name}turntable.${film.type.includes("mp4") ? "mp4" : "webm"}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  divide(share) {
    this.state.divider = share;
    this.style.setProperty("--divider", `${100 * share}%`);
  }

  pose(weights) {
    this.scene.pose(weights);
    this.drawn = null;
    if (!this.find(".sliders").open) return;
    this.querySelectorAll(".sliders input").forEach((one) => { one.value = weights[one.dataset.name] || 0; });
  }

  // What the mirror shows: weights of expressions, and the head's own turn as a rotation vector [radians].
  move(weights, turn) {
    this.filmedAt = null;
    this.state.turn = turn;
    this.pose(weights);
  }

  resize(least = 0) {
    const canvas = this.find("canvas"), scale = Math.max(Math.min(devicePixelRatio || 1, 2), least);
    this.scene.resize(...[canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * scale))));
    this.drawn = null;
  }

  // Head and light move by themselves for one turn of the light; later a frame is drawn only when something changed. While an
  // avatar is made they stand still: browser and networks may share a machine.
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
      if (!this.resting && !running()) this.state.yaw = SWAY_DEGREES * Math.sin(2 * Math.PI * (now - began) / 1000 / SWAY_SECONDS);
      this.frame = requestAnimationFrame(step);
      if (this.filming) return;  // the clip has a clock of its own
      this.advance(seconds);
      const wanted = JSON.stringify(this.state);
      if (wanted !== this.drawn) this.scene.draw(this.state);
      this.drawn = wanted;
      this.dataset.drawn = "true";
    };
    this.frame = requestAnimationFrame(step);
  }

  // What moves by itself, light and face, that many seconds further.
  advance(seconds) {
    if (this.find(".turning").checked && !running()) this.turnLight(seconds);
    if (this.filmedAt != null) this.playFilmed(seconds);
    this.mirror.glide(seconds);
  }

  turnLight(seconds) {
    const { state } = this;
    state.azimuth = ((state.azimuth + 180 + 360 * seconds / TURN_SECONDS) % 360) - 180;
    this.find(".azimuth").value = state.azimuth;
  }

  playFilmed(seconds) {
    const { filmed, names } = this.scene;
    this.filmedAt = (this.filmedAt + seconds / FRAME_SECONDS) % filmed.length;
    const first = Math.floor(this.filmedAt), share = this.filmedAt - first, next = filmed[(first + 1) % filmed.length];
    this.pose(Object.fromEntries(
      names.map((name, k) => [name, filmed[first][k] * (1 - share) + next[k] * share])));
  }
}

customElements.define("studio-head", StudioHead);
