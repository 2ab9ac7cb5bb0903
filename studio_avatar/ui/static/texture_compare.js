// <studio-compare before="…" after="…" marked="…">: two pictures of one texture behind a divider, and a switch that
// shows `marked` instead of `after`. The divider is a range input, so that keyboards and screen readers have it too.

const picture = (name, address, text) => `<img class="${name}" src="${address}" alt="${text}" draggable="false">`;

class StudioCompare extends HTMLElement {
  connectedCallback() {
    const address = (name) => encodeURI(this.getAttribute(name));
    this.innerHTML = `
      <div class="stage">
        ${picture("after", address("after"), "Studio texture: the unwrapped face, complete and evenly lit")}
        ${picture("before", address("before"), "Phone texture: the same face as the phone saw it")}
        <span class="tag before" aria-hidden="true">Phone</span><span class="tag after" aria-hidden="true">Studio</span>
        <input class="divider" type="range" min="0" max="1000" value="500"
          aria-label="Divider of phone and studio texture">
      </div>
      <div class="controls"><label><input class="completed" type="checkbox"> Mark what was completed</label></div>`;
    this.querySelector(".divider").addEventListener("input", (event) =>
      this.style.setProperty("--divider", `${event.target.value / 10}%`));
    this.querySelector(".completed").addEventListener("change", (event) => {
      this.querySelector("img.after").src = address(event.target.checked ? "marked" : "after");
    });
  }
}

customElements.define("studio-compare", StudioCompare);
