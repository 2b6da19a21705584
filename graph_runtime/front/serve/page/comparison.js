// Before and after: the result lies above the photo, and a line parts them.

const $ = (selector) => document.querySelector(selector);

export class Comparison {
  constructor({ view, state, host }) {
    Object.assign(this, { view, state, host });
    this.share = $("#split");
    this.share.addEventListener("input", () => this.split());
    $("#back").addEventListener("click", () => {
      this.show(null);
      view.stage.focus();
    });
    const line = $("#line");
    line.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      line.setPointerCapture(event.pointerId);
    });
    line.addEventListener("pointermove", (event) => this.#drag(event));
  }

  /** Compare a result with the photo; null goes back to the mask. */
  show(result) {
    const { view, state, host } = this, { after } = view;
    state.comparing = result;
    after.hidden = $("#line").hidden = $("#compare").hidden = !result;
    $("#overlay").hidden = Boolean(result);
    view.stage.classList.toggle("hand", Boolean(result) || state.tool === "hand");
    view.stage.classList.toggle("comparing", Boolean(result));
    host.ring(null);
    if (!result) return;
    if (after.src !== new URL(result.url, document.baseURI).href) after.src = result.url;
    this.split();
  }

  /** Part the two where the slider says. */
  split() {
    const { view, state } = this;
    if (!state.comparing) return;
    const cut = (Number(this.share.value) / 100) * state.photo.width;
    view.after.style.clipPath = `inset(0 0 0 ${cut}px)`;
    $("#line").style.transform = `translateX(${view.x + cut * view.scale - 1.5}px)`;
  }

  #drag(event) {
    if (!event.target.hasPointerCapture(event.pointerId)) return;
    event.stopPropagation();
    const { view, state } = this, x = (event.clientX - view.stage.getBoundingClientRect().left - view.x) / view.scale;
    this.share.value = Math.max(0, Math.min(100, (100 * x) / state.photo.width));
    this.split();
  }
}
