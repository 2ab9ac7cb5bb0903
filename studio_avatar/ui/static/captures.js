// What visitors bring: a photo that is dropped where films go is taken as a photo, and the other way round; gradio's players
// neither complain in their own words nor show clips of unknown length as endless.

const isPhoto = (file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name);
const isFilm = (file) => file.type.startsWith("video/");
const PLAYERS = "#camera video, #video video";
const BEYOND = 1e7;  // seconds; a jump to there makes a browser look for the end of a clip

// The file input of a tab, which gradio makes when the tab is opened for the first time, and when its field is emptied.
async function inputOfTab(title) {
  [...document.querySelectorAll("#capture [role=tab]")].find((tab) => tab.textContent.trim() === title).click();
  const field = `#${title.toLowerCase()}`;
  for (let tries = 0; tries < 40; tries++) {
    const input = document.querySelector(`${field} input[type=file]`);
    if (input) return input;
    if (tries === 5) document.querySelector(`${field} button[aria-label=Clear]`)?.click();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return null;
}

async function bringTo(title, files) {
  const input = await inputOfTab(title), carried = new DataTransfer();
  for (const file of input?.multiple === false ? files.slice(0, 1) : files) carried.items.add(file);
  if (!input) return;
  input.files = carried.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// Before gradio's own listeners, which refuse what is of another kind.
function takeElsewhere(event, files) {
  const [at, kind, title] = event.target.closest?.("#video") ? ["#video", isPhoto, "Photos"] : ["#photos", isFilm, "Video"];
  if (!event.target.closest?.(at) || !files.length || !files.every(kind)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  bringTo(title, files);
}
addEventListener("drop", (event) => takeElsewhere(event, [...(event.dataTransfer?.files || [])]), true);
addEventListener("change", (event) => {
  if (event.target.matches?.("input[type=file]")) takeElsewhere(event, [...event.target.files]);
}, true);

// What a browser cannot play may be a film all the same (HEVC), and what is none the check says in a sentence: gradio's "Video
// not playable" would be the second message, or a wrong one.
addEventListener("error", (event) => {
  if (!event.target.matches?.(PLAYERS)) return;
  event.target.dataset.unplayable = "true";  // page.css takes the controls away, with their "NaN:NaN"
  event.stopImmediatePropagation();
}, true);

// Clips that a browser has recorded may not say how long they are: gradio shows "Infinity:NaN" until it is known.
addEventListener("loadedmetadata", (event) => {
  const player = event.target;
  if (!player.matches?.(PLAYERS)) return;
  delete player.dataset.unplayable;
  if (player.duration !== Infinity) return;
  player.addEventListener("durationchange", () => { player.currentTime = 0; }, { once: true });
  player.currentTime = BEYOND;
}, true);
