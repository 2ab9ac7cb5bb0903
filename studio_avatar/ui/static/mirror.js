// The mirror: the visitor's camera moves the head. Small pictures go to this page's server, one at a time; it answers with the
// weights of the expressions and the turn of the head, and keeps nothing.

const LONGER_SIDE = 320, JPEG_QUALITY = 0.7, NOISY_QUALITY = 0.3, MOST_BYTES = 20000;
const GLIDE_SECONDS = 0.05;  // from one answer to the next, of which there are fewer than pictures on the screen
const SAID_SECONDS = 12;
const AGAIN_SECONDS = 0.5;  // after a picture without a face
const CONSENT = "Let your own face move this head? Small pictures from your camera go to the server of this page alone. They are "
  + "not kept.";
const NOBODY = "No face to be seen: look into the camera.";
const MIRROR = `
  <div class="consent" role="dialog" aria-label="Mirror" hidden><p>${CONSENT}</p>
    <button class="agree" type="button">Use my camera</button> <button class="refuse" type="button">Not now</button></div>
  <figure class="reflected" hidden><video muted playsinline aria-label="Your camera"></video><figcaption role="status"></figcaption>
  </figure>
  <p class="refused" role="alert" hidden></p>`;

class Mirror {
  // viewer: the <studio-head> whose stage has a button of the class "mirror"; `move(weights, turn)` is called on it.
  constructor(viewer) {
    this.viewer = viewer;
    this.find = (name) => viewer.querySelector(name);
    this.find(".stage").insertAdjacentHTML("beforeend", MIRROR);
    this.find(".mirror").addEventListener("click", () => this.stream ? this.stop() : this.ask());
    this.find(".agree").addEventListener("click", () => this.start());
    this.find(".refuse").addEventListener("click", () => this.find(".consent").hidden = true);
    document.addEventListener("visibilitychange", this.onHidden = () => { if (document.hidden) this.stop(); });
  }

  ask() {
    this.say("");
    this.find(".consent").hidden = false;
    this.find(".agree").focus();
  }

  async start() {
    this.find(".consent").hidden = true;
    const video = this.find(".reflected video"), size = { width: { ideal: 320 }, height: { ideal: 240 } };
    let stream;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw { name: "insecure" };
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", ...size } });
      // The browser's own question may be answered when nobody looks here any more.
      if (this.stream || document.hidden || !this.viewer.isConnected) return release(stream);
      this.stream = video.srcObject = stream;
      await video.play();
    } catch (error) {
      return this.stop(whyNoCamera(error.name));
    }
    if (this.stream !== stream) return;  // stopped meanwhile
    stream.getTracks().forEach((track) => { track.onended = () => this.stop(); });
    this.find(".reflected figcaption").textContent = "Starting …";  // the first answer takes a second more
    this.find(".reflected").hidden = false;
    this.find(".mirror").textContent = "Stop mirror";
    this.viewer.classList.add("mirrored");
    this.viewer.reset();
    this.shown = { weights: {}, turn: AHEAD };
    this.follow(video, stream);
  }

  // sentence: why, where it was not the visitor who stopped it.
  stop(sentence = "") {
    if (this.stream) release(this.stream);
    this.stream = this.wanted = null;
    this.find(".reflected").hidden = this.find(".consent").hidden = true;
    this.find(".mirror").textContent = "Mirror";
    if (this.viewer.classList.contains("mirrored")) this.viewer.move({}, AHEAD);
    this.viewer.classList.remove("mirrored");
    this.say(sentence);
  }

  end() {
    document.removeEventListener("visibilitychange", this.onHidden);
    this.stop();
  }

  say(sentence) {
    const place = this.find(".refused");
    place.textContent = sentence;
    place.hidden = !sentence;
    clearTimeout(this.said);
    this.said = setTimeout(() => { place.hidden = true; }, 1000 * SAID_SECONDS);
  }

  // Asks the server about one picture after the other until the stream that it began with is not the mirror's any more.
  async follow(video, stream) {
    while (this.stream === stream) {
      try {
        const answer = await this.asked(await pictureOf(video));
        if (this.stream !== stream) return;
        this.find(".reflected figcaption").textContent = answer ? "" : NOBODY;
        if (answer) this.wanted = answer;  // which the head glides to
        else await new Promise((resolve) => setTimeout(resolve, 1000 * AGAIN_SECONDS));
      } catch (error) {
        if (this.stream === stream) this.stop(error.message);
      }
    }
  }

  async asked(picture) {
    let secret = "", answer, said;
    try { secret = sessionStorage.getItem("studio-avatar") || ""; } catch { /* the server says that it needs one */ }
    const sent = { method: "POST", body: picture, headers: { "X-Studio-Avatar": secret }, cache: "no-store" };
    try {
      answer = await fetch(new URL("mirror", document.baseURI), sent);
      said = await answer.json();
    } catch { throw new Error("The server does not answer: the mirror stopped."); }
    if (!answer.ok) throw new Error(said.detail);
    return said;
  }

  glide(seconds) {
    if (!this.wanted) return;
    const share = 1 - Math.exp(-seconds / GLIDE_SECONDS), { weights, turn } = this.wanted;
    const nearer = (from, to) => from + share * (to - from);
    this.shown = {
      weights: Object.fromEntries(Object.entries(weights).map(([name, weight]) =>
        [name, nearer(this.shown.weights[name] || 0, weight)])),
      turn: turn.map((radians, axis) => nearer(this.shown.turn[axis], radians)),
    };
    this.viewer.move(this.shown.weights, this.shown.turn);
  }
}

const release = (stream) => stream.getTracks().forEach((track) => track.stop());
const smallPicture = document.createElement("canvas");
async function pictureOf(video) {
  const scale = LONGER_SIDE / Math.max(video.videoWidth, video.videoHeight);
  smallPicture.width = Math.round(scale * video.videoWidth);
  smallPicture.height = Math.round(scale * video.videoHeight);
  smallPicture.getContext("2d").drawImage(video, 0, 0, smallPicture.width, smallPicture.height);
  const encoded = (quality) => new Promise((resolve) => smallPicture.toBlob(resolve, "image/jpeg", quality));
  const picture = await encoded(JPEG_QUALITY);
  return picture.size <= MOST_BYTES ? picture : encoded(NOISY_QUALITY);
}
