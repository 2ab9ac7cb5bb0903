// What the page does by itself: it brings into view what happens, asks before work is lost, takes Back for "up", and
// notices when the server is gone.

const WATCH_SECONDS = 5, LOST_AFTER = 3, SLEPT_SECONDS = 20, ASKED_SECONDS = 5;
const status = () => document.getElementById("status");
const running = () => document.querySelector("#status .stop");

// ---- into view: the status at the click, later what came of it

const STARTERS = "#create, #cancel, #make-again, #pack, #examples button";
const PLACES = {
  work: "status", failed: "status", gone: "status", check: "check", tone: "ask-tone", result: "head", files: "more",
};

function show(id, behavior = "smooth") {
  const element = document.getElementById(id);
  if (!element || !element.offsetParent) return false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "start", behavior: calm ? "auto" : behavior });
  return true;
}

function inView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}

// Whether it stands where it is looked for: beside the form there is room for the status and what came of it.
function stands(id) {
  const element = document.getElementById(id);
  if (!element?.offsetParent || !inView(status())) return false;
  return id === "status" || innerWidth > 900 && element.getBoundingClientRect().top < innerHeight / 2;
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#status .stop")) document.getElementById("cancel").click();
  if (!event.target.closest(STARTERS)) return;
  if (!inView(status())) show("status", "auto");
  stayHere();
  if (!event.target.closest("#cancel")) sayStarting();
});

// Until the server's first word what the status says is over; where it has nothing new to say, it holds again.
function sayStarting() {
  status().classList.add("asked");
  setTimeout(() => status().classList.remove("asked"), 1000 * ASKED_SECONDS);
}

let shownPhase = "";
new MutationObserver((changes) => {
  tellAddress();
  if (changes.some(({ target }) => target !== status() && status()?.contains(target))) status().classList.remove("asked");
  const said = document.querySelector("#status [data-phase]");
  const phase = said ? `${said.dataset.run} ${said.dataset.phase}` : "";
  if (phase === shownPhase) return;
  shownPhase = phase;
  if (!said) return;
  const place = PLACES[said.dataset.phase];
  const tries = [150, 150, 500, 1500];  // what is to be shown may come a little after the status, and what it replaces go
  const attempt = () => {
    if (stands(place) || show(place, place === "status" ? "auto" : "smooth")) return;
    if (tries.length) setTimeout(attempt, tries.shift());
  };
  if (place === "status") attempt();
  else setTimeout(attempt, tries.shift());
  // gradio changes attributes in place
}).observe(document.body, { childList: true, subtree: true, attributeFilter: ["data-run", "data-phase", "data-result"] });

// ---- nothing is lost by leaving

addEventListener("beforeunload", (event) => { if (running() && !mayLeave) event.preventDefault(); });

// The tab's secret comes back after a reload; the server deletes what it holds some seconds after a goodbye.
addEventListener("pagehide", () => {
  try {
    const secret = sessionStorage.getItem("studio-avatar");
    if (secret) navigator.sendBeacon(new URL("goodbye", document.baseURI), secret);
  } catch { /* a browser that keeps nothing has nothing to say */ }
});

// One step of history for work and result, so that Back leads from them up to the form and not away.
function stayHere() {
  if (!history.state?.studio) history.pushState({ ...history.state, studio: true }, "");
}
history.scrollRestoration = "manual";
addEventListener("popstate", () => {
  scrollTo(0, 0);
  if (/^#result=/.test(location.hash) && !history.state?.told) location.reload();  // another address was entered
  else tellAddress();
});

// ---- a result has an address of its own, for this browser alone; what stands after the # is in no request, log or referrer

function tellAddress() {
  const shown = document.querySelector("#address [data-result]");
  if (!shown && !document.querySelector("#status [data-phase=gone]")) return;  // nothing to tell yet
  const hash = shown ? `#result=${shown.dataset.result}` : "";
  if (location.hash === hash && history.state?.told) return;
  history.replaceState({ ...history.state, told: true }, "", location.pathname + location.search + hash);
}
// In a frame, as on a Space, nobody sees the page's address.
if (window.top !== window) document.documentElement.classList.add("framed");

// ---- filming with the phone: its page is opened with the secret of the page on the desktop

const film = /^#film=([0-9a-f]{32})$/.exec(location.hash);
if (film) {
  try { sessionStorage.setItem("studio-avatar", film[1]); } catch { /* then the phone is a visitor of its own */ }
  history.replaceState(history.state, "", location.pathname + location.search);
}
const onDesktop = matchMedia("(pointer: fine)").matches;  // and https, without which the phone's browser gives no camera
if (onDesktop && location.protocol === "https:") document.documentElement.classList.add("may-hand-over");

// ---- finished heads in the place of the first picture, to be turned and moved before anything was made

document.addEventListener("click", (event) => {
  const button = event.target.closest(".gallery button");
  if (!button) return;
  const figure = button.closest("figure"), moves = button.matches(".move"), standing = figure.querySelector("studio-head.shown");
  if (moves && standing) return standing.mirror?.ask();
  const head = (moves ? figure : button).querySelector("template").content.firstElementChild.cloneNode();
  head.className = "shown";
  head.toggleAttribute("ask", moves);
  figure.querySelector(".shown").replaceWith(head);
});

// ---- no camera: browsers give one to this machine and to secure addresses only, and visitors may say no

const REASONS = {
  NotAllowedError: "This page may not use the camera: allow it in the browser's address bar, or use the camera app.",
  NotFoundError: "This device has no camera that the browser can use: bring a video instead.",
  NotReadableError: "Another program is using the camera: close it, or bring a video instead.",
  insecure: "Browsers give the camera to secure addresses (https) alone. The phone's own camera app is as good.",
};
const whyNoCamera = (reason) => REASONS[reason] || REASONS.NotFoundError;
function withoutCamera(reason) {
  const place = document.querySelector("#no-camera");
  if (!place) return setTimeout(() => withoutCamera(reason), 300);  // the page is still being built
  place.querySelector("p").textContent = whyNoCamera(reason);
  place.classList.add("needed");
}
if (!navigator.mediaDevices?.getUserMedia) withoutCamera("insecure");
else {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wanted) => ask(wanted).catch((error) => {
    withoutCamera(error.name);
    throw error;
  });
}
// The Video tab's own input, which on a phone opens the camera app when it is asked with `capture`.
document.addEventListener("click", async (event) => {
  if (!event.target.closest("#no-camera button")) return;
  const input = await inputOfTab("Video");
  input.setAttribute("capture", "user");
  input.click();
  setTimeout(() => input.removeAttribute("capture"), 1000);
});

// ---- a server that is gone, a phone that slept: the page loads itself again and comes back to its run or result

const LOST = `<p id="server-lost" role="alert" style="position: fixed; inset: auto 0 0; margin: 0; padding: .7rem 1rem;
  text-align: center; font: 600 1rem system-ui, sans-serif; color: white; background: #8a2f1c; z-index: 1000">The server does not
  answer. This page comes back to your work as soon as it does.</p>`;
let mayLeave = false, failures = 0, hiddenSince = null;
function again() {
  if (mayLeave) return;  // a slow server has not answered yet
  mayLeave = true;
  location.reload();
}
async function watchServer() {
  try {
    const answer = await fetch(new URL("health", document.baseURI), { cache: "no-store" });
    if (!answer.ok) throw new Error("not well");
    if (failures >= LOST_AFTER) return again();
    failures = 0;
  } catch { failures += 1; }
  if (failures >= LOST_AFTER && !document.getElementById("server-lost")) document.body.insertAdjacentHTML("beforeend", LOST);
}
setInterval(() => { if (!document.hidden) watchServer(); }, 1000 * WATCH_SECONDS);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenSince = performance.now();
  } else if (running() && performance.now() - hiddenSince > 1000 * SLEPT_SECONDS) {
    const before = status().innerHTML;
    setTimeout(() => { if (running() && status().innerHTML === before) again(); }, 1000 * WATCH_SECONDS);
  }
});
