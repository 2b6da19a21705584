// The results of a run side by side; one of them is compared with the photo, downloaded, or gone on from.
import { element } from "./form.js";

export class Results {
  /** `host` has: compare(result or null), goOn(result, run), say(text). */
  constructor(host) {
    this.host = host;
    this.place = document.querySelector("#results");
    this.cards = document.querySelector("#cards");
    this.download = document.querySelector("#download");
    this.run = this.picked = null;
    document.querySelector("#go-on").addEventListener("click", () => host.goOn(this.picked, this.run));
  }

  /** Show the pictures of a run; sheets of them come last. */
  show(run) {
    this.run = run;
    const sheets = run.results.filter(isSheet);
    const single = run.results.filter((result) => result.kind === "image" && !isSheet(result));
    const pictures = [...single, ...sheets];
    this.cards.replaceChildren(
      ...pictures.map((result, number) => {
        const words = isSheet(result) ? "All on a sheet" : single.length > 1 ? `Variation ${number + 1}` : "Result";
        const card = element("button", { type: "button", title: result.name });
        card.setAttribute("aria-pressed", "false");
        card.dataset.number = result.number;
        card.append(element("img", { src: result.thumbnail, alt: "" }), words);
        card.addEventListener("click", () => this.pick(result, words));
        return card;
      }),
    );
    this.place.hidden = !pictures.length;
    const [first] = this.cards.children;
    if (first) first.click();
    document.querySelector("#work").scrollIntoView({ block: "nearest" });
  }

  pick(result, words) {
    this.picked = result;
    for (const card of this.cards.children) {
      card.setAttribute("aria-pressed", String(card.dataset.number === String(result.number)));
    }
    this.download.href = result.url;
    this.download.download = result.name;
    this.download.setAttribute("aria-label", `Download ${result.name}`);
    document.querySelector("#go-on").disabled = isSheet(result);
    this.host.compare(isSheet(result) ? null : result);
    this.host.say(`${words} is shown. Slide between before and after below the picture.`);
  }

  clear() {
    this.run = this.picked = null;
    this.place.hidden = true;
    this.cards.replaceChildren();
    this.host.compare(null);
  }
}

function isSheet({ output }) {
  return output === "sheet";
}
