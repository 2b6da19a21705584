// Things that a detector finds in the photo, to paint over by a click.
import { element } from "./form.js";
import { ENDS, follow, get, post } from "./server.js";

/** Who asks for these runs: the history leaves them out. */
export const OBJECTS = "page-objects";
const SVG = "http://www.w3.org/2000/svg";

export class Objects {
  /** `host` has: photo() (a value of an input; null without one), paint(box), failed(error), say(text). */
  constructor(host, guides) {
    this.host = host;
    this.guides = guides;
    this.list = document.querySelector("#found-list");
    this.text = document.querySelector("#found-text");
    this.detector = document.querySelector("#detector");
    this.button = document.querySelector("#find");
    this.things = null; // {left, top, right, bottom, label, score}
    this.button.addEventListener("click", () => this.find());
    this.waiting = null; // a click that came before the things were known
  }

  clear() {
    this.things = null;
    this.waiting = null;
    this.list.replaceChildren();
    for (const thing of [...this.guides.querySelectorAll(".thing")]) thing.remove();
  }

  /** Paint over the smallest thing at a place; looks for things first. */
  async pick(x, y, value) {
    if (!this.things) {
      this.waiting = [x, y, value];
      await this.find();
      return;
    }
    const here = this.things.filter((one) => x >= one.left - 0.5 && x < one.right - 0.5 && y >= one.top - 0.5 && y < one.bottom - 0.5);
    here.sort((one, other) => area(one) - area(other));
    if (here.length) this.#paint(here[0], value);
    else this.host.say(this.things.length ? "No object there" : "No object was found");
  }

  async find() {
    const photo = this.host.photo();
    if (!photo || this.button.disabled) return;
    const { waiting } = this;
    this.clear();
    this.waiting = waiting;
    this.button.disabled = true;
    this.text.textContent = "Looking …";
    this.host.say("Looking for objects");
    try {
      const run = await this.#run(photo);
      if (run.state === "done") this.#show(run.values.boxes[0]);
      else this.#none(run.problems);
    } catch (error) {
      this.text.textContent = "";
      this.host.failed(error);
    }
    this.button.disabled = false;
    if (this.waiting && this.things) {
      const place = this.waiting;
      this.waiting = null;
      await this.pick(...place);
    }
  }

  async #run(photo) {
    const run = await post("runs", {
      workflow: {
        format: 1,
        title: "Find objects",
        inputs: { image: "photo.path" },
        nodes: {
          photo: { type: "image.load", params: { path: "photo.jpg" } },
          seen: { type: "image.to_srgb", inputs: { image: "photo.image", profile: "photo.profile" } },
          model: { type: "model.detector", params: { source: this.detector.value.trim() } },
          found: {
            type: "mask.detect",
            params: { pick: "all", score: 0.5, min_area: 0, max_area: 1 },
            inputs: { image: "seen.image", detector: "model.detector" },
          },
        },
        outputs: { boxes: "found.boxes" },
      },
      values: { image: photo },
      client: OBJECTS,
    });
    await new Promise((resolve) => {
      follow(run.id, (event) => ENDS.includes(event.kind) && resolve());
    });
    return get(`runs/${run.id}`);
  }

  #none(problems) {
    this.text.textContent = problems.map(({ found, fix }) => `Found ${found}. ${fix}`).join(" ");
    this.host.say(this.text.textContent);
  }

  #show(boxes) {
    this.things = boxes;
    this.text.textContent = "Click on a thing in the picture, or choose it here. Again to erase it.";
    for (const thing of this.things) {
      const box = document.createElementNS(SVG, "rect");
      box.setAttribute("class", "thing");
      for (const [name, value] of [["x", thing.left], ["y", thing.top], ["width", thing.right - thing.left], ["height", thing.bottom - thing.top]]) {
        box.setAttribute(name, value);
      }
      this.guides.append(box);
      const words = `${thing.label} ${Math.round(thing.score * 100)} %`;
      const button = element("button", { type: "button", textContent: words });
      button.setAttribute("aria-pressed", "false");
      for (const [kind, on] of [["focus", true], ["blur", false], ["pointerenter", true], ["pointerleave", false]]) {
        button.addEventListener(kind, () => box.classList.toggle("here", on));
      }
      thing.button = button;
      button.addEventListener("click", () => this.#paint(thing, button.getAttribute("aria-pressed") === "true" ? 0 : 255));
      const row = element("li");
      row.append(button);
      this.list.append(row);
    }
    this.host.say(`${this.things.length} found: ${this.things.map((one) => one.label).join(", ")}`);
  }

  #paint(thing, value) {
    thing.button.setAttribute("aria-pressed", String(value === 255));
    this.host.paint(thing, value);
    this.host.say(`${thing.label}: ${value ? "painted" : "erased"}`);
  }
}

function area({ left, top, right, bottom }) {
  return (right - left) * (bottom - top);
}
