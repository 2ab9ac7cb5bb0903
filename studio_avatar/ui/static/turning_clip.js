// One full turn of a head as a film, made in the visitor's browser: picture by picture where it can encode, so that it is smooth
// however slow the machine is; else recorded while the head turns.

const CLIP_RATE = 30, CLIP_SECONDS = 4, CLIP_PICTURES = CLIP_RATE * CLIP_SECONDS;
const CLIP_PIXELS = 720;  // a clip is at least that wide and high
const CLIP_BITS = 8e6;  // a second
const CLIP_TYPES = ["video/mp4;codecs=avc1.42E01E", "video/mp4", "video/webm;codecs=vp9", "video/webm"];
const SMALL_BLOCKS = 3600;  // of 16 x 16 pixels, as many as level 3.1 of H.264 has
const MOST_WAITING = 4;  // pictures: they are large
const soon = () => new Promise((resolve) => { setTimeout(resolve); });

// How `VideoEncoder` is asked for baseline H.264, which keeps the pictures in their order; null where there is none.
async function clipCoding(width, height) {
  const level = Math.ceil(width / 16) * Math.ceil(height / 16) <= SMALL_BLOCKS ? "1f" : "33";
  const wanted = { codec: `avc1.42e0${level}`, width, height, bitrate: CLIP_BITS, framerate: CLIP_RATE };
  if (!window.VideoEncoder) return null;  // an old browser, or a page that came by plain http
  try {
    return (await VideoEncoder.isConfigSupported(wanted)).supported ? wanted : null;
  } catch { return null; }
}

// The stage as page.css has it, which the head's own canvas leaves open.
function paintStage(painter, width, height) {
  const x = 0.5 * width, y = 0.35 * height, stage = painter.createRadialGradient(x, y, 0, x, y, Math.hypot(x, height - y));
  stage.addColorStop(0, "#55524d");
  stage.addColorStop(1, "#23211f");
  painter.fillStyle = stage;
  painter.fillRect(0, 0, width, height);
}

// canvas: what `draw(share of the turn)` draws on. tell: called with that share. Returns a Blob, or null where the browser
// cannot encode.
async function encodedClip(canvas, draw, tell) {
  const { width, height } = canvas, coding = await clipCoding(width, height);
  if (!coding) return null;
  const samples = [], film = { width, height, rate: CLIP_RATE, samples };
  let failure = null;
  const output = (chunk, { decoderConfig } = {}) => {
    const data = new Uint8Array(chunk.byteLength);
    chunk.copyTo(data);
    samples.push({ data, key: chunk.type === "key" });
    if (decoderConfig?.description) {
      const { description } = decoderConfig;  // a buffer, or a view into one
      film.description = new Uint8Array(description.buffer || description, description.byteOffset || 0, description.byteLength);
      film.colorSpace = decoderConfig.colorSpace;
    }
  };
  const encoder = new VideoEncoder({ output, error: (error) => { failure = error; } });
  try {
    encoder.configure(coding);
    await encodePictures(encoder, canvas, draw, tell);
  } catch (error) { failure ||= error; }
  if (encoder.state !== "closed") encoder.close();
  return failure || !film.description || samples.length !== CLIP_PICTURES ? null : Mp4.fileOf(film);
}

async function encodePictures(encoder, canvas, draw, tell) {
  const still = new OffscreenCanvas(canvas.width, canvas.height), painter = still.getContext("2d", { alpha: false });
  for (let number = 0; number < CLIP_PICTURES; number++) {
    paintStage(painter, still.width, still.height);
    draw(number / CLIP_PICTURES);
    painter.drawImage(canvas, 0, 0);  // at once: a canvas forgets what was drawn when the browser shows it
    const picture = new VideoFrame(still, { timestamp: Math.round(1e6 * number / CLIP_RATE), duration: 1e6 / CLIP_RATE });
    encoder.encode(picture, { keyFrame: number % CLIP_RATE === 0 });
    picture.close();
    tell(number / CLIP_PICTURES);
    do await soon(); while (encoder.encodeQueueSize > MOST_WAITING);
  }
  await encoder.flush();
}

// As it comes: on a slow machine the turn has few pictures.
async function recordedClip(canvas, draw) {
  const parts = [], type = CLIP_TYPES.find((name) => MediaRecorder.isTypeSupported(name));
  const recorder = new MediaRecorder(canvas.captureStream(CLIP_RATE), { mimeType: type, videoBitsPerSecond: CLIP_BITS });
  recorder.ondataavailable = (event) => parts.push(event.data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  let turned = 0, last = performance.now();
  try {
    while (turned < 1) {
      const now = await new Promise(requestAnimationFrame);
      turned += Math.max(0, Math.min((now - last) / 1000, 0.1)) / CLIP_SECONDS;
      last = now;
      draw(Math.min(turned, 1));
    }
  } finally { recorder.stop(); }
  await stopped;
  return new Blob(parts, { type: recorder.mimeType });
}
