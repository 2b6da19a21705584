// Shows the photo and, above it, the mask: where the photo lies on the screen, and what of it is drawn anew.
import { union } from "./mask.js";

const LARGEST = 40; // screen pixels of one photo pixel
const PAINTED = [226, 32, 92, 150];
const AROUND = [255, 122, 0, 132]; // what growing and feathering add

/** Colours of the overlay: 256 for what is painted, then 256 for what only the weights say. */
const COLOURS = new Uint32Array(512);
for (let value = 1; value < 256; value++) {
  const bytes = new DataView(COLOURS.buffer);
  for (const [start, [red, green, blue, alpha]] of [[0, PAINTED], [256, AROUND]]) {
    bytes.setUint8((start + value) * 4, red);
    bytes.setUint8((start + value) * 4 + 1, green);
    bytes.setUint8((start + value) * 4 + 2, blue);
    bytes.setUint8((start + value) * 4 + 3, Math.max(24, Math.round((alpha * value) / 255)));
  }
}

export class View {
  constructor({ stage, photo, after, overlay, guides }) {
    Object.assign(this, { stage, photo, after, overlay, guides });
    this.pen = overlay.getContext("2d");
    this.scale = 1;
    this.x = this.y = 0; // of the photo's corner on the stage, in CSS pixels
    this.width = this.height = 0;
    this.mask = this.weights = null;
    this.hidden = false; // of the mask
    this.dirty = null;
    this.moved = false;
    this.fitted = true;
    this.onmove = () => {};
    new ResizeObserver(() => this.#resized()).observe(stage);
  }

  /** Show a photo of this size; `mask` and `weights` are read at every drawing. */
  show(width, height, mask, weights) {
    Object.assign(this, { width, height, mask, weights });
    for (const picture of [this.photo, this.after]) {
      picture.style.width = `${width}px`;
      picture.style.height = `${height}px`;
    }
    this.fit();
  }

  fit() {
    const { clientWidth, clientHeight } = this.stage, room = Math.min(24, clientWidth / 20);
    this.scale = this.#limited(Math.min((clientWidth - 2 * room) / this.width, (clientHeight - 2 * room) / this.height));
    this.x = (clientWidth - this.width * this.scale) / 2;
    this.y = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.#move();
  }

  /** Zoom so that what lies at a place of the window stays there; without one, the middle. */
  zoom(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const x = (clientX ?? box.left + box.width / 2) - box.left, y = (clientY ?? box.top + box.height / 2) - box.top;
    const scale = this.#limited(this.scale * factor), by = scale / this.scale;
    this.x = x - (x - this.x) * by;
    this.y = y - (y - this.y) * by;
    this.scale = scale;
    this.fitted = false;
    this.#move();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.#move();
  }

  /** A place of the window in the mask's coordinates: pixel (x, y) has its centre at x, y. */
  toMask(clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    return [(clientX - box.left - this.x) / this.scale - 0.5, (clientY - box.top - this.y) / this.scale - 0.5];
  }

  /** Where a place of the mask lies on the stage, in CSS pixels. */
  toStage(x, y) {
    return [(x + 0.5) * this.scale + this.x, (y + 0.5) * this.scale + this.y];
  }

  /** Move so that a place of the mask is seen. */
  reveal(x, y) {
    const [left, top] = this.toStage(x, y), { clientWidth, clientHeight } = this.stage, room = 24;
    const dx = Math.max(0, room - left) - Math.max(0, left - clientWidth + room);
    const dy = Math.max(0, room - top) - Math.max(0, top - clientHeight + room);
    if (dx || dy) this.pan(dx, dy);
  }

  /** A part of the mask changed; it is drawn with the next frame. */
  changed(rect) {
    if (!this.dirty && !this.moved) requestAnimationFrame(() => this.#draw());
    this.dirty = union(this.dirty, rect);
  }

  redraw() {
    this.#move();
  }

  #limited(scale) {
    const { clientWidth, clientHeight } = this.stage;
    const whole = Math.min(1, clientWidth / this.width, clientHeight / this.height);
    return Math.max(whole / 4, Math.min(LARGEST, scale));
  }

  #resized() {
    this.ratio = devicePixelRatio;
    this.overlay.width = Math.round(this.stage.clientWidth * this.ratio);
    this.overlay.height = Math.round(this.stage.clientHeight * this.ratio);
    this.buffer = new ArrayBuffer(this.overlay.width * this.overlay.height * 4); // for every drawing: no garbage
    this.columns = new Int32Array(this.overlay.width);
    if (!this.width) return;
    if (this.fitted) this.fit();
    else this.#move();
  }

  #move() {
    if (!this.dirty && !this.moved) requestAnimationFrame(() => this.#draw());
    this.moved = true;
  }

  #draw() {
    const { moved, dirty } = this;
    this.moved = false;
    this.dirty = null;
    if (!this.width) return;
    if (moved) {
      const place = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
      for (const picture of [this.photo, this.after]) {
        picture.style.transform = place;
        picture.style.imageRendering = this.scale >= 2 ? "pixelated" : "auto";
      }
      this.guides.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.scale})`);
      this.pen.clearRect(0, 0, this.overlay.width, this.overlay.height);
      this.onmove();
    }
    if (!this.hidden) this.#paint(moved ? { left: 0, top: 0, right: this.width, bottom: this.height } : dirty);
  }

  /** Draw a part of the mask: each screen pixel shows the mask pixel under its centre. */
  #paint(rect) {
    const scale = this.scale * this.ratio, x = this.x * this.ratio, y = this.y * this.ratio;
    const left = Math.max(0, Math.floor(rect.left * scale + x)), top = Math.max(0, Math.floor(rect.top * scale + y));
    const right = Math.min(this.overlay.width, Math.ceil(rect.right * scale + x));
    const bottom = Math.min(this.overlay.height, Math.ceil(rect.bottom * scale + y));
    if (left >= right || top >= bottom) return;
    const wide = right - left, size = wide * (bottom - top), { width, height, mask, weights } = this;
    const out = new Uint32Array(this.buffer, 0, size).fill(0), columns = this.columns;
    for (let at = 0; at < wide; at++) columns[at] = Math.floor((at + left + 0.5 - x) / scale);
    for (let line = top, at = 0; line < bottom; line++) {
      const row = Math.floor((line + 0.5 - y) / scale);
      if (row < 0 || row >= height) {
        at += wide;
        continue;
      }
      const start = row * width;
      for (let column = 0; column < wide; column++, at++) {
        const from = columns[column];
        if (from < 0 || from >= width) continue;
        out[at] = mask.data[start + from] ? COLOURS[255] : COLOURS[256 + weights[start + from]];
      }
    }
    this.pen.putImageData(new ImageData(new Uint8ClampedArray(this.buffer, 0, size * 4), wide), left, top);
  }
}
