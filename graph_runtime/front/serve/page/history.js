// What was run before: open its results, or remove it.
import { element } from "./form.js";
import { OBJECTS } from "./objects.js";
import { get, remove } from "./server.js";

const PAGE = 20;

export class History {
  /** `open(run)` shows a run; `failed(error)` shows what went wrong. */
  constructor({ open, failed }) {
    this.dialog = document.querySelector("#history");
    this.list = document.querySelector("#runs");
    this.older = document.querySelector("#older");
    this.open = open;
    this.failed = failed;
    this.next = null;
    document.querySelector("#history-button").addEventListener("click", () => this.show());
    this.older.addEventListener("click", () => this.#more());
  }

  async show() {
    this.list.replaceChildren();
    this.next = null;
    this.dialog.showModal();
    await this.#more();
  }

  async #more() {
    let runs;
    try {
      ({ runs, next: this.next } = await get(`runs?limit=${PAGE}${this.next === null ? "" : `&before=${this.next}`}`));
    } catch (error) {
      this.dialog.close();
      return this.failed(error);
    }
    for (const run of runs.filter(({ client }) => client !== OBJECTS)) this.list.append(this.#row(run));
    this.older.hidden = this.next === null;
    if (!this.list.children.length) this.list.append(element("li", { textContent: "Nothing yet." }));
    return undefined;
  }

  #row(run) {
    const row = element("li"), words = element("div"), buttons = element("div"), [first] = run.results;
    const picture = element("img", { alt: "", loading: "lazy" });
    if (first?.thumbnail) picture.src = first.thumbnail;
    const when = new Date(run.created * 1000).toLocaleString();
    const count = run.results.length > 1 ? `, ${run.results.length} pictures` : "";
    const title = first?.name ?? run.title;
    words.append(element("strong", { textContent: title }), element("span", { textContent: `${run.state}${count}` }));
    words.append(element("br"), element("span", { className: "doc", textContent: when }));
    const open = element("button", { type: "button", textContent: "Open", disabled: run.state === "cancelled" });
    open.setAttribute("aria-label", `Open ${title}, ${when}`);
    open.addEventListener("click", () => {
      this.dialog.close();
      this.open(run);
    });
    const drop = element("button", { type: "button", textContent: "Remove", disabled: run.state === "running" });
    drop.setAttribute("aria-label", `Remove ${title}, ${when}`);
    drop.addEventListener("click", async () => {
      try {
        await remove(`runs/${run.id}`);
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        (next?.querySelector("button:not(:disabled)") ?? this.dialog.querySelector("button")).focus();
      } catch (error) {
        this.dialog.close();
        this.failed(error);
      }
    });
    buttons.append(open, drop);
    row.append(picture, words, buttons);
    return row;
  }
}
