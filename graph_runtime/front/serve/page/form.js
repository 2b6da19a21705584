// The settings beside the picture, made from what the server says of a workflow's inputs.

const FIRST = ["grow", "feather", "source", "prompt", "example", "method", "variations", "quality", "seed"];
const OWN = ["image", "mask", "invert", "object", "detector", "strokes", "prefix"]; // the stage and the tools give these
const LABELS = {
  source: "Model", example: "Example picture", grow: "Grow (pixels)", feather: "Feather (pixels)",
  negative: "Not this", lora: "LoRA", weight: "Strength of the LoRA", dtype: "Precision", colour: "Colour to fill",
  vae_dtype: "Precision of the VAE", quantize: "Weights in 8 bits", outpaint: "Make the photo wider", pick: "Only variation",
  together: "All variations at once",
};
const KINDS = ["text", "integer", "number", "switch", "choice", "file", "model"];
const SLIDERS = { grow: 64, feather: 64 };

export class Form {
  /** `place` gets the first fields, `more` the others. `changed(name)` is called at each change. */
  constructor({ place, more, changed, addFile, models }) {
    Object.assign(this, { place, more, changed, addFile, models });
    this.fields = new Map();
    this.inputs = [];
  }

  /** Make fields for these inputs: [{name, kind, doc, default, choices, minimum, maximum}]. */
  show(inputs, values = {}) {
    this.place.replaceChildren();
    this.more.replaceChildren();
    this.fields.clear();
    this.inputs = inputs;
    const shown = inputs.filter(({ name, kind }) => !OWN.includes(name) && KINDS.includes(kind));
    const rank = ({ name }) => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
    shown.sort((one, other) => rank(one) - rank(other));
    const plain = shown.some(({ name }) => name === "method") ? FIRST : shown.map(({ name }) => name);
    for (const input of shown) {
      const field = this.#field(input, values[input.name]);
      this.fields.set(input.name, field);
      (plain.includes(input.name) ? this.place : this.more).append(field.row);
    }
  }

  /** The values that were given, by name: nothing that is as it would be anyway. */
  get values() {
    const given = {};
    for (const [name, { input, read }] of this.fields) {
      const value = read();
      if (value !== null && value !== (input.default ?? "") && value !== (input.default ?? null)) given[name] = value;
    }
    return given;
  }

  number(name) {
    const value = Number(this.fields.get(name)?.read() ?? 0);
    return Number.isInteger(value) && value > 0 ? value : 0;
  }

  set(name, value) {
    this.fields.get(name)?.write(value);
  }

  /** Mark the fields that problems are about; returns those problems that are about none. */
  complain(problems) {
    for (const { control, wrong } of this.fields.values()) {
      control.removeAttribute("aria-invalid");
      wrong.textContent = "";
    }
    let first = null;
    for (const problem of problems) {
      const field = this.fields.get((problem.port ?? "").replace(/^--/, ""));
      if (!field) continue;
      field.control.setAttribute("aria-invalid", "true");
      field.wrong.textContent = plain(problem.fix || problem.expected || problem.found);
      const details = field.row.closest("details");
      if (details) details.open = true;
      first ??= field.control;
    }
    return first;
  }

  #field(input, value) {
    const id = `set-${input.name}`, row = element("div", { className: `field ${input.kind}` });
    const label = element("label", { htmlFor: id, textContent: LABELS[input.name] ?? capital(input.name) });
    const doc = element("p", { id: `${id}-doc`, className: "doc", textContent: plain(capital(input.doc ?? "")) });
    const wrong = element("p", { id: `${id}-wrong`, className: "wrong" });
    const { control, extra = [], read, write } = this.#control(input, id);
    control.setAttribute("aria-describedby", `${doc.id} ${wrong.id}`);
    row.append(label, control, ...extra, doc, wrong);
    control.addEventListener("input", () => this.changed(input.name));
    if (value !== undefined) write(value);
    return { input, row, control, wrong, read, write };
  }

  #control(input, id) {
    const { name, kind } = input, start = input.default ?? "";
    if (kind === "choice") {
      const control = element("select", { id });
      const choices = input.default === null || input.default === undefined ? ["", ...input.choices] : input.choices;
      control.append(...choices.map((choice) => element("option", { value: choice, textContent: choice || "as usual" })));
      control.value = start;
      return { control, read: () => control.value || null, write: (value) => (control.value = value ?? "") };
    }
    if (kind === "switch") {
      const control = element("input", { id, type: "checkbox", checked: start === true });
      return { control, read: () => control.checked, write: (value) => (control.checked = value === true) };
    }
    if (kind === "file") return this.#file(input, id);
    if (kind === "integer" || kind === "number") return this.#number(input, id);
    if (["prompt", "negative"].includes(name)) {
      const control = element("textarea", { id, rows: 2, value: start });
      return { control, read: () => control.value, write: (value) => (control.value = value ?? "") };
    }
    const control = element("input", { id, type: "text", value: start, autocomplete: "off", spellcheck: false });
    if (kind === "model") control.setAttribute("list", this.models.id);
    if (name === "source") control.placeholder = "none: fill from the photo";
    return { control, read: () => control.value.trim(), write: (value) => (control.value = value ?? "") };
  }

  #number(input, id) {
    const { name, kind, minimum, maximum } = input;
    const control = element("input", { id, type: "number", value: input.default ?? "" });
    control.step = kind === "integer" ? 1 : "any";
    if (minimum !== undefined && minimum !== null) control.min = minimum;
    if (maximum !== undefined && maximum !== null) control.max = maximum;
    const read = () => (control.value === "" ? null : kind === "integer" ? whole(control.value) : Number(control.value));
    const extra = [];
    let slide = () => {};
    if (SLIDERS[name]) {
      const slider = element("input", { type: "range", min: 0, max: SLIDERS[name], value: control.value || 0 });
      slider.setAttribute("aria-label", LABELS[name]);
      slider.addEventListener("input", () => {
        control.value = slider.value;
        this.changed(name);
      });
      slide = () => (slider.value = control.value);
      control.addEventListener("input", slide);
      extra.push(slider);
    }
    if (name === "seed") {
      const again = element("button", { type: "button", textContent: "New seed" });
      again.addEventListener("click", () => {
        control.value = crypto.getRandomValues(new Uint32Array(1))[0];
        this.changed(name);
      });
      extra.push(again);
    }
    return {
      control, extra, read,
      write: (value) => {
        control.value = value ?? "";
        slide();
      },
    };
  }

  #file(input, id) {
    let value = null;
    const control = element("input", { id, type: "file", accept: "image/*" });
    const seen = element("img", { alt: "", hidden: true, className: "chosen" });
    const none = element("button", { type: "button", textContent: "Remove", hidden: true });
    const write = (given) => {
      value = given?.upload || given?.result ? given : null;
      seen.hidden = none.hidden = !value;
      if (!value) control.value = "";
      if (given?.thumbnail) seen.src = given.thumbnail;
    };
    control.addEventListener("change", async () => {
      const [file] = control.files;
      write(file ? await this.addFile(file) : null);
      this.changed(input.name);
    });
    none.addEventListener("click", () => {
      write(null);
      this.changed(input.name);
      control.focus();
    });
    const read = () => value && (value.upload ? { upload: value.upload } : { result: value.result });
    return { control, extra: [seen, none], read, write };
  }
}

export function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

/** Words of the command line as the page's: `--source` is its field Model. */
export function plain(text) {
  return text.replace(/--([a-z_]+)/g, (word, name) => `“${LABELS[name] ?? capital(name)}”`);
}

/** Words with a capital letter, without underscores. */
export function capital(text) {
  const words = text.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Seeds may be larger than a number of JavaScript holds: those travel as text. */
function whole(text) {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}
