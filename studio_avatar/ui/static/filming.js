// Filming: a countdown before the camera records, prompts and a clock that run with the recording, and its end by itself.

const COUNTDOWN_SECONDS = 3, FILM_SECONDS = 10;  // page.css shares the ten seconds out among the prompts
const RECORD = '#camera button[aria-label="start recording"]';  // gradio's button keeps its name while it records
let counting = null, recording = null, passing = false;

function showCount(text) {
  const place = document.querySelector("#camera-guide .count");
  if (place) place.textContent = text;
}

function endCount() {
  clearInterval(counting);
  counting = null;
  showCount("");
}

function countDown() {
  let left = COUNTDOWN_SECONDS;
  const tick = () => {
    const button = document.querySelector(RECORD);
    if (left > 0 && button) return showCount(left--);
    endCount();
    passing = true;
    button?.click();
    passing = false;
  };
  counting = setInterval(tick, 1000);
  tick();
}

// Before gradio's own listener: the first click counts down, a second one calls it off; while it records a click ends it.
addEventListener("click", (event) => {
  if (!event.target.closest?.(RECORD) || passing || recording) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (counting) endCount();
  else countDown();
}, true);

function filmWith(recorder) {
  const guide = document.getElementById("camera-guide"), began = performance.now();
  guide?.classList.add("recording");
  recording = setInterval(() => {
    const left = FILM_SECONDS - (performance.now() - began) / 1000;
    showCount(`${Math.max(Math.ceil(left), 0)} s`);
    if (left <= 0 && recorder.state === "recording") document.querySelector(RECORD)?.click();
  }, 200);
  recorder.addEventListener("stop", () => {
    clearInterval(recording);
    recording = null;
    guide?.classList.remove("recording");
    showCount("");
  });
}

if (window.MediaRecorder) {
  const start = MediaRecorder.prototype.start;
  MediaRecorder.prototype.start = function (...wanted) {
    if (passing) filmWith(this);  // others record the turning head
    return start.apply(this, wanted);
  };
}
