// The mask: one byte for each pixel of the photo, 255 where it is repainted and 0 where it is kept.
// Pixel (x, y) has its centre at x, y. Undo keeps copies of the tiles that a step touched.

const TILE = 256;
const MOST_KEPT = 256 * 1024 * 1024; // bytes of undo steps

export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
    this.columns = Math.ceil(width / TILE);
    this.kept = new Uint8Array(this.columns * Math.ceil(height / TILE));
    this.done = [];
    this.undone = [];
    this.step = null;
    this.changed = () => {}; // called with each rectangle {left, top, right, bottom} that changed
  }

  get empty() {
    return !this.data.includes(255);
  }

  /** Begin a step; what is drawn until `end` is undone together. */
  begin() {
    this.step = { tiles: new Map(), rect: null };
  }

  /** End the step; false if it changed nothing. */
  end() {
    const step = this.step;
    this.step = null;
    this.kept.fill(0);
    if (!step || !step.rect) return false;
    this.done.push(step);
    this.undone = [];
    let bytes = 0;
    for (let number = this.done.length - 1; number > 0; number--) {
      bytes += this.done[number].tiles.size * TILE * TILE;
      if (bytes > MOST_KEPT) {
        this.done.splice(0, number);
        break;
      }
    }
    return true;
  }

  /** Drop the step that has begun, as if it had never been. */
  abandon() {
    if (this.end()) {
      this.#swap(this.done.pop());
    }
  }

  undo() {
    return this.#move(this.done, this.undone);
  }

  redo() {
    return this.#move(this.undone, this.done);
  }

  /** Everything within `radius` of the line from (x0, y0) to (x1, y1). */
  line(x0, y0, x1, y1, radius, value) {
    const { width, height } = this;
    const first = Math.max(0, Math.ceil(Math.min(y0, y1) - radius));
    const last = Math.min(height - 1, Math.floor(Math.max(y0, y1) + radius));
    const dx = x1 - x0, dy = y1 - y0, length = Math.hypot(dx, dy);
    let left = width, right = 0;
    for (let y = first; y <= last; y++) {
      let low = Infinity, high = -Infinity;
      for (const [x, centre] of [[x0, y0], [x1, y1]]) {
        const half = radius * radius - (y - centre) * (y - centre);
        if (half >= 0) {
          low = Math.min(low, x - Math.sqrt(half));
          high = Math.max(high, x + Math.sqrt(half));
        }
      }
      if (length > 0) {
        const strip = between(y, x0, y0, dx / length, dy / length, length, radius);
        if (strip) {
          low = Math.min(low, strip[0]);
          high = Math.max(high, strip[1]);
        }
      }
      const start = Math.max(0, Math.ceil(low)), stop = Math.min(width, Math.floor(high) + 1);
      if (start < stop) {
        this.#span(y, start, stop, value);
        left = Math.min(left, start);
        right = Math.max(right, stop);
      }
    }
    if (left < right) this.#touched(left, first, right, last + 1);
  }

  /** Whole pixels from (left, top) up to, without, (right, bottom). */
  rectangle(left, top, right, bottom, value) {
    [left, right] = [Math.max(0, left), Math.min(this.width, right)];
    [top, bottom] = [Math.max(0, top), Math.min(this.height, bottom)];
    if (left >= right || top >= bottom) return;
    for (let y = top; y < bottom; y++) this.#span(y, left, right, value);
    this.#touched(left, top, right, bottom);
  }

  /** What a closed line goes around, counted by its turns; `points` are [x, y]. */
  polygon(points, value) {
    const heights = points.map((point) => point[1]);
    const first = Math.max(0, Math.ceil(Math.min(...heights)));
    const last = Math.min(this.height - 1, Math.floor(Math.max(...heights)));
    let left = this.width, right = 0;
    for (let y = first; y <= last; y++) {
      let turns = 0, start = 0;
      for (const [x, turn] of crossings(points, y)) {
        if (turns === 0) start = x;
        turns += turn;
        if (turns !== 0) continue;
        const from = Math.max(0, Math.ceil(start)), to = Math.min(this.width, Math.ceil(x));
        if (from >= to) continue;
        this.#span(y, from, to, value);
        left = Math.min(left, from);
        right = Math.max(right, to);
      }
    }
    if (left < right) this.#touched(left, first, right, last + 1);
  }

  /** Another mask of this size in place of this one, as a step. */
  replace(data) {
    this.begin();
    for (let y = 0; y < this.height; y++) {
      this.#keep(y, 0, this.width);
    }
    this.data.set(data);
    this.#touched(0, 0, this.width, this.height);
    return this.end();
  }

  invert() {
    this.replace(this.data.map((value) => 255 - value));
  }

  clear() {
    this.begin();
    this.rectangle(0, 0, this.width, this.height, 0);
    this.end();
  }

  /** A copy of the bytes of a rectangle. */
  part({ left, top, right, bottom }) {
    const wide = right - left, bytes = new Uint8Array(wide * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const row = y * this.width;
      bytes.set(this.data.subarray(row + left, row + right), (y - top) * wide);
    }
    return bytes;
  }

  #span(y, start, stop, value) {
    this.#keep(y, start, stop);
    this.data.fill(value, y * this.width + start, y * this.width + stop);
  }

  #keep(y, start, stop) {
    const row = (y >> 8) * this.columns;
    for (let tile = row + (start >> 8); tile <= row + ((stop - 1) >> 8); tile++) {
      if (this.kept[tile]) continue;
      this.kept[tile] = 1;
      this.step.tiles.set(tile, this.part(this.#place(tile)));
    }
  }

  #place(tile) {
    const left = (tile % this.columns) * TILE, top = Math.floor(tile / this.columns) * TILE;
    return { left, top, right: Math.min(this.width, left + TILE), bottom: Math.min(this.height, top + TILE) };
  }

  #touched(left, top, right, bottom) {
    const rect = { left, top, right, bottom };
    this.step.rect = union(this.step.rect, rect);
    this.changed(rect);
  }

  #move(from, to) {
    const step = from.pop();
    if (!step) return false;
    this.#swap(step);
    to.push(step);
    return true;
  }

  #swap(step) {
    for (const [tile, bytes] of step.tiles) {
      const place = this.#place(tile), now = this.part(place), wide = place.right - place.left;
      for (let y = place.top; y < place.bottom; y++) {
        const from = (y - place.top) * wide;
        this.data.set(bytes.subarray(from, from + wide), y * this.width + place.left);
      }
      step.tiles.set(tile, now);
    }
    this.changed(step.rect);
  }
}

/** The smallest rectangle around two; either may be null. */
export function union(one, other) {
  if (!one || !other) return one || other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

/** Lowest and highest x of row y in the strip beside a segment; (ux, uy) is its direction. */
function between(y, x0, y0, ux, uy, length, radius) {
  let left = -Infinity, right = Infinity;
  for (const [ax, ay, least, most] of [[ux, uy, 0, length], [-uy, ux, -radius, radius]]) {
    const base = (y - y0) * ay - x0 * ax; // the row's points have ax · x + base in [least, most]
    if (ax === 0) {
      if (base < least || base > most) return null;
      continue;
    }
    const near = (least - base) / ax, far = (most - base) / ax;
    left = Math.max(left, Math.min(near, far));
    right = Math.min(right, Math.max(near, far));
  }
  return left <= right ? [left, right] : null;
}

/** Where the edges of a closed line cross row y, from left to right, each with +1 (down) or −1 (up). */
function crossings(points, y) {
  const found = [];
  for (let number = 0; number < points.length; number++) {
    const [x0, y0] = points[number], [x1, y1] = points[(number + 1) % points.length];
    if (y0 <= y !== y1 <= y) found.push([x0 + ((y - y0) * (x1 - x0)) / (y1 - y0), y1 > y0 ? 1 : -1]);
  }
  return found.sort((one, other) => one[0] - other[0]);
}
