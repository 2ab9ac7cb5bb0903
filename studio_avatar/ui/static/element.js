// What our elements on the page have in common. gradio changes attributes in place and takes away the children that its own
// markup does not have: an element that is given another result is therefore replaced by a new one.

class PageElement extends HTMLElement {
  attributeChangedCallback(name, before) {
    if (before === null || this.replaced) return;  // it is being made, or this is its second attribute that changes
    this.replaced = true;
    queueMicrotask(() => this.replaceWith(this.cloneNode(false)));  // after the last of gradio's changes
  }
}
