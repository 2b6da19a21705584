// Turns pointers and keys on the stage into strokes, lassos, rectangles and picks of objects.

const STEP = 10; // photo pixels of Shift and an arrow
const LEAST = 3; // points of a lasso

export const TOOLS = {
  brush: "Brush",
  eraser: "Eraser",
  lasso: "Lasso",
  rectangle: "Rectangle",
  object: "Object",
  hand: "Move",
};

/** Makes the stage drawable. `host` has: view, mask (null without a photo), tool, size, say(text), draft(points, closed),
 * ring(x, y, radius), pick(x, y) for the object tool, finished() after each step. */
export class Tools {
  constructor(stage, host) {
    this.stage = stage;
    this.host = host;
    this.pointers = new Map();
    this.stroke = null;
    this.cursor = null; // [x, y] that arrow keys move
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => this.#up(event));
    stage.addEventListener("pointerleave", () => this.pointers.size || host.ring(null));
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("blur", () => host.ring(null));
  }

  #down(event) {
    const { host } = this;
    if (!host.mask) return;
    this.stage.focus({ preventScroll: true });
    if (event.pointerType === "touch" && [...this.pointers.values()].some((one) => one.kind === "pen")) return; // a palm
    try {
      this.stage.setPointerCapture(event.pointerId);
    } catch {
      return; // it is gone already
    }
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, kind: event.pointerType });
    if (this.pointers.size > 1) return this.#cancel(); // two fingers move and zoom
    const erases = event.button === 5 || (event.pointerType !== "touch" && event.button === 2);
    if (event.button === 1 || host.tool === "hand") return;
    this.cursor = null;
    this.#begin(host.view.toMask(event.clientX, event.clientY), erases || event.altKey, this.#pressed(event));
  }

  #move(event) {
    const { host } = this, known = this.pointers.get(event.pointerId);
    if (!host.mask) return;
    if (!known) return this.#hover(event);
    if (this.stroke) {
      const parts = event.getCoalescedEvents?.() ?? [];
      for (const part of parts.length ? parts : [event]) {
        this.#extend(host.view.toMask(part.clientX, part.clientY), this.#pressed(part));
      }
      this.#hover(event);
    } else if (this.pointers.size === 2) {
      this.#pinch(event, known);
    } else if (this.pointers.size === 1) {
      host.view.pan(event.clientX - known.x, event.clientY - known.y);
    }
    Object.assign(known, { x: event.clientX, y: event.clientY });
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.stroke) event.type === "pointerup" ? this.#end() : this.#cancel();
    if (event.pointerType === "touch") this.host.ring(null);
  }

  #hover(event) {
    const [x, y] = this.host.view.toMask(event.clientX, event.clientY);
    this.host.ring(x, y);
  }

  #pinch(event, known) {
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, one]) => one);
    const before = Math.hypot(known.x - other.x, known.y - other.y);
    const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    this.host.view.pan((event.clientX - known.x) / 2, (event.clientY - known.y) / 2);
    if (before > 0 && after > 0) {
      this.host.view.zoom(after / before, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2);
    }
  }

  #wheel(event) {
    if (!this.host.mask) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) this.host.view.pan(-(event.deltaX || event.deltaY) * lines, 0);
    else this.host.view.zoom(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400)), event.clientX, event.clientY);
  }

  /** The brush's radius: a pen draws thinner where it is pressed less. */
  #pressed(event) {
    const share = event.pointerType === "pen" && event.pressure > 0 ? 0.25 + 0.75 * event.pressure : 1;
    return (this.host.size / 2) * share;
  }

  #begin(place, erases, radius = this.host.size / 2) {
    const { host } = this, value = erases !== (host.tool === "eraser") ? 0 : 255;
    if (host.tool === "object") return host.pick(...place, value);
    host.mask.begin();
    this.stroke = { tool: host.tool, value, points: [place] };
    if (this.#brushes) host.mask.line(...place, ...place, radius, value);
    else host.draft(this.stroke.tool, this.stroke.points);
  }

  #extend(place, radius = this.host.size / 2) {
    const { points, value, tool } = this.stroke, last = points.at(-1);
    if (this.#brushes) {
      this.host.mask.line(...last, ...place, radius, value);
      points[0] = place;
    } else if (tool === "lasso") {
      if (Math.hypot(place[0] - last[0], place[1] - last[1]) * this.host.view.scale >= 1) points.push(place);
      this.host.draft(tool, points);
    } else {
      points[1] = place;
      this.host.draft(tool, points);
    }
  }

  #end() {
    const { host } = this, { tool, value, points } = this.stroke;
    this.stroke = null;
    if (tool === "lasso" && points.length >= LEAST) host.mask.polygon(points, value);
    if (tool === "rectangle" && points.length === 2) {
      const [[x0, y0], [x1, y1]] = points; // every pixel that it touches
      const left = Math.floor(Math.min(x0, x1) + 0.5), top = Math.floor(Math.min(y0, y1) + 0.5);
      host.mask.rectangle(left, top, Math.ceil(Math.max(x0, x1) + 0.5), Math.ceil(Math.max(y0, y1) + 0.5), value);
    }
    host.draft(null);
    if (host.mask.end()) host.finished(value ? `${TOOLS[tool]}: painted` : `${TOOLS[tool]}: erased`);
  }

  #cancel() {
    if (!this.stroke) return undefined;
    this.stroke = null;
    this.host.draft(null);
    this.host.mask.abandon();
    return undefined;
  }

  get #brushes() {
    return ["brush", "eraser"].includes(this.stroke.tool);
  }

  #key(event) {
    const { host } = this;
    if (!host.mask || event.ctrlKey || event.metaKey) return;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move && event.altKey) return; // the browser's own
    if (move) this.#arrow(move, event.shiftKey ? STEP : 1);
    else if (event.key === " " || event.key === "Enter") this.#press(event.repeat);
    else if (event.key === "Escape" && this.stroke) {
      this.#cancel();
      host.say("Cancelled");
    } else return;
    event.preventDefault();
  }

  /** Move the cursor of the keyboard; with a stroke begun, draw. Steps are at least one screen pixel wide. */
  #arrow([dx, dy], times) {
    const { host } = this, by = Math.max(1, Math.round(1 / host.view.scale)) * times;
    const [x, y] = this.cursor ?? [host.mask.width >> 1, host.mask.height >> 1];
    const place = [
      Math.max(0, Math.min(host.mask.width - 1, x + dx * by)),
      Math.max(0, Math.min(host.mask.height - 1, y + dy * by)),
    ];
    this.cursor = place;
    if (this.stroke) this.#extend(place);
    host.view.reveal(...place);
    host.ring(...place);
    clearTimeout(this.told);
    this.told = setTimeout(() => host.say(`${place[0]}, ${place[1]}`), 300);
  }

  #press(repeated) {
    const { host } = this;
    if (repeated) return undefined;
    clearTimeout(this.told);
    this.cursor ??= [host.mask.width >> 1, host.mask.height >> 1];
    host.ring(...this.cursor);
    if (this.stroke) return this.#end();
    this.#begin(this.cursor, false);
    if (this.stroke) host.say(`${TOOLS[host.tool]} down; arrow keys draw, Space ends, Escape cancels`);
    return undefined;
  }
}
