// <studio-compare before="…" after="…" completed="…" kept="…" light="…" repair="…">: two pictures of one texture behind a
// divider, and a choice of what stands right of it: the studio texture, or what relighting did. The divider is a range input,
// so that keyboards and screen readers have it too.

const picture = (name, address, text) => `<img class="${name}" src="${address}" alt="${text}" draggable="false">`;
// attribute → what the choice is called, and what is to be seen
const VIEWS = {
  after: ["Studio texture", "The unwrapped face, complete and evenly lit."],
  completed: ["What was completed", "Orange: never seen by the phone, filled in by the model."],
  kept: ["What was kept", "Plain: your own capture, relit. Orange: replaced: unseen, a highlight, a strand, glasses."],
  light: ["Light that was taken off", "How bright, and in what color, the light of the capture was on each part of the skin."],
  repair: ["What stands where nothing was kept", "The model's own idea of this face, seen only where the capture was not kept."],
};

class StudioCompare extends PageElement {
  static observedAttributes = ["before", ...Object.keys(VIEWS)];

  connectedCallback() {
    const address = (name) => encodeURI(this.getAttribute(name));
    const views = Object.keys(VIEWS).filter((name) => this.hasAttribute(name));
    this.innerHTML = `
      <div class="stage">
        ${picture("after", address("after"), "Studio texture: the unwrapped face, complete and evenly lit")}
        ${picture("before", address("before"), "Phone texture: the same face as the phone saw it")}
        <span class="tag before" aria-hidden="true">Phone</span><span class="tag after" aria-hidden="true">Studio</span>
        <input class="divider" type="range" min="0" max="1000" value="500"
          aria-label="Divider of phone and studio texture">
      </div>
      <div class="controls"><label>Show <select class="view">${views.map((name) =>
        `<option value="${name}">${VIEWS[name][0]}</option>`).join("")}</select></label></div>
      <p class="said">${VIEWS.after[1]}</p>`;
    this.querySelector(".divider").addEventListener("input", (event) =>
      this.style.setProperty("--divider", `${event.target.value / 10}%`));
    this.querySelector(".view").addEventListener("change", (event) => {
      const [name, said] = VIEWS[event.target.value], after = this.querySelector("img.after");
      Object.assign(after, { src: address(event.target.value), alt: `${name}: ${said}` });
      this.querySelector(".tag.after").textContent = event.target.value === "after" ? "Studio" : name;
      this.querySelector(".said").textContent = said;
    });
  }
}

customElements.define("studio-compare", StudioCompare);
