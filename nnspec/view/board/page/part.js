// What stands behind a tab: it asks for its part of a run, as often as that can have changed, and draws what has.

import { ask } from "./api.js";
import { choice, el, put } from "./dom.js";

export const GIVEN = "given"; // rows of a person's own

/** What rows are called. */
export const called = (split) => (split === GIVEN ? "your own" : split);

export class Part {
  constructor(id, context) {
    this.id = id;
    this.context = context; // what tabs know of each other: the row that was chosen, the run's summary
    this.node = el("div", { class: "part" }, el("p", { class: "empty" }, "Reading …"));
    this.told = null;
    this.next = 0;
  }

  path() { return `run/${this.id}`; }
  asks() { return {}; }

  /** Whether it is time to ask again; what takes long is asked less often. */
  due() { return performance.now() >= this.next; }

  /** Asks at the next look. */
  again() {
    this.next = 0;
    return this.look().catch(() => {});
  }

  async look() {
    if (this.asking || !this.due()) return;
    this.asking = true;
    const began = performance.now();
    const query = JSON.stringify(this.asks());
    let told;
    try {
      told = await this.fetch();
    } catch (error) {
      if (![400, 422, 500].includes(error.status)) throw error;
      told = error.message;
    } finally {
      this.asking = false;
      this.next = performance.now() + Math.max(600, 4 * (performance.now() - began));
    }
    if (query !== JSON.stringify(this.asks())) { // something else was chosen meanwhile
      this.next = 0;
      return this.look();
    }
    if (told === this.told) return;
    this.told = told;
    const focus = this.node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    if (typeof told === "string") put(this.node, el("pre", { class: "banner warn" }, told));
    else this.draw(told);
    if (focus) for (const node of this.node.querySelectorAll("[data-key]")) if (node.dataset.key === focus) node.focus({ preventScroll: true });
  }

  fetch() { return ask(this.path(), this.asks()); }
}

/** A part that looks into the network with the run's weights: asked again when the run has saved others. */
export class Inside extends Part {
  /** Which weights are looked at: the best ones where somebody wants them and the run has kept them, else the last. */
  get which() { return this.context.which === "best" && (this.context.run(this.id) || {}).best_weights ? "best" : ""; }

  asks() { return { which: this.which }; }

  /** What changes when there are other weights, or other rows. */
  stamp() {
    const run = this.context.run(this.id);
    return `${run ? (this.which ? run.best_weights : run.weights) : ""} ${this.context.own} ${JSON.stringify(this.asks())}`;
  }

  /** Buttons that choose the weights; none where the run has kept no best ones. `first`: what else there is to choose. */
  kept(first = null) {
    const run = this.context.run(this.id);
    const all = [...(first ? [first] : []), ["last", "Last weights", "as the run saved them last"], ...(run && run.best_weights ? [["best", "Best weights", "those that were best on the rows that validate"]] : [])];
    if (all.length < 2) return null;
    const now = first && !this.context.which ? first[0] : this.which || "last";
    return choice("weights", all, now, (which) => { this.context.which = first && which === first[0] ? "" : which; this.again(); });
  }

  due() {
    const weights = this.stamp();
    if (!this.context.run(this.id)) return false; // what it has kept is not known yet
    if (weights === this.seen || !super.due()) return false;
    this.wanted = weights;
    return true;
  }

  fetch() {
    this.seen = this.wanted;
    return super.fetch();
  }

  /** Says why there is nothing to see; true where there is not. */
  absent(told, node = this.node) {
    if (!told.absent) return false;
    put(node, el("p", { class: "empty" }, sentence(told.absent)));
    return true;
  }
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** A PNG that the server made, with sharp points. */
export function pixels(picture, title, size) {
  const scale = size ? size / Math.max(picture.width, picture.height) : 1;
  return el("img", { class: "pixels", alt: title || "", title, src: "data:image/png;base64," + picture.png, width: Math.round(picture.width * scale), height: Math.round(picture.height * scale), loading: "lazy", decoding: "async" });
}
