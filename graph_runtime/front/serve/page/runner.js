// Sends photo, mask and settings to the server, follows the run, and shows what comes of it.
import { capital } from "./form.js";
import { maskName } from "./mask_file.js";
import { photoOf } from "./photo.js";
import { writeMask } from "./png.js";
import { ENDS, follow, get, post } from "./server.js";

const $ = (selector) => document.querySelector(selector);

export class Runner {
  constructor(host) {
    Object.assign(this, host);
    this.id = null;
    $("#cancel").addEventListener("click", () => this.cancel());
  }

  /** Ask for a run of what is on the page. */
  async start() {
    if (this.id || this.starting) return;
    this.starting = true;
    this.photo = this.state.photo;
    this.show([]);
    this.#busy("Sending …");
    try {
      const run = await post("runs", await this.#request());
      this.id = run.id;
      this.#note("Waiting");
      this.#follow();
    } catch (error) {
      this.#idle();
      this.failed(error);
    }
    this.starting = false;
  }

  async cancel() {
    if (!this.id) return;
    this.#note("Cancelling …");
    try {
      await post(`runs/${this.id}/cancel`, {});
    } catch (error) {
      this.failed(error);
    }
  }

  /** Show a run of the history; one that still runs is followed. */
  reopen(run) {
    if (["queued", "running"].includes(run.state)) {
      if (this.id) return;
      this.id = run.id;
      this.photo = this.state.photo;
      this.#busy("Waiting");
      this.#follow();
    } else if (run.problems.length) this.show(run.problems);
    else this.results.show(run);
  }

  async #request() {
    const { state, form } = this, values = form.values, settings = {};
    const recipe = state.workflow === "recipe" ? state.recipe : null;
    for (const [name, value] of Object.entries(recipe?.found ?? {})) {
      if (value && !values[name]) values[name] = value;
    }
    if (state.photo && this.#takes("image")) values.image = state.photo.ref;
    if (state.mask && !state.mask.empty && this.#takes("mask")) {
      values.mask = { upload: await this.#mask() };
      if (state.workflow === "inpaint") settings["hole.channel"] = "luminance"; // what was painted, whatever it looks like
    }
    const held = recipe?.upload ? { upload: recipe.upload } : recipe?.workflow;
    const workflow = held ?? state.workflow;
    return { workflow, values, settings, client: "page" };
  }

  #takes(name) {
    return this.form.inputs.some((input) => input.name === name);
  }

  /** The mask as a file on the server; what was sent before is not sent again. */
  async #mask() {
    const { mask } = this.state, blob = await writeMask(mask);
    const { ref } = await photoOf(new File([blob], maskName(this.state.photo), { type: "image/png" }));
    return ref.upload;
  }

  #follow() {
    const stop = follow(this.id, (event) => {
      if (event.run !== this.id) return;
      this.#hear(event);
      if (ENDS.includes(event.kind)) {
        stop();
        this.#ended();
      }
    });
  }

  #hear(event) {
    const meter = $("#meter");
    if (event.kind === "started") this.#note("Starting");
    if (event.kind === "node") this.#note(spoken(event.node));
    if (event.kind === "progress") {
      if (event.total) meter.value = event.step / event.total;
      else meter.removeAttribute("value");
      const far = event.total ? `step ${event.step} of ${event.total}` : `step ${event.step}`;
      this.#note(`${spoken(event.node)}: ${far}${event.note ? `, ${event.note}` : ""}`);
    }
    if (event.kind === "preview") {
      $("#preview").src = event.image;
      $("#preview").hidden = false;
    }
  }

  async #ended() {
    try {
      const run = await get(`runs/${this.id}`);
      this.#idle();
      const notes = (run.warnings ?? []).map(({ message, text }) => message ?? text);
      if (run.state === "done" && this.photo !== this.state.photo) {
        this.show([], ["A run of the photo before this one is done: see History."]);
      } else if (run.state === "done") {
        this.results.show(run);
        this.show([], notes);
        this.say(`Done: ${run.results.length} ${run.results.length === 1 ? "picture" : "pictures"}`);
      } else if (run.state === "cancelled") {
        this.say("Cancelled");
      } else {
        this.show(run.problems ?? []);
      }
    } catch (error) {
      this.#idle();
      this.failed(error);
    }
  }

  #busy(words) {
    $("#progress").hidden = false;
    $("#run").disabled = true;
    $("#meter").removeAttribute("value");
    this.#note(words);
    this.say(words);
  }

  #idle() {
    this.id = null;
    $("#progress").hidden = $("#preview").hidden = true;
    $("#run").disabled = false;
  }

  #note(words) {
    $("#note").textContent = words;
  }
}

/** A node as people call it: `sample_2` is the second variation's. */
function spoken(node) {
  const [, name, number] = /^(.*?)(?:_(\d+))?$/.exec(node);
  return number ? `Variation ${number}, ${name.replaceAll("_", " ")}` : capital(node);
}
