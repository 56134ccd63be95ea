// The search: layers and frames by name, kind, path, fields or shape; counts, walks from one to the next, and says what was found.

import { html, sign } from "./dom.js";

/** What of a network fits every word of a question: `{nodes, frames}` as arrays of numbers, in the order of the network. */
export function find(data, question) {
  const words = folded(question).split(/\s+/).filter(Boolean);
  if (!words.length) return { nodes: [], frames: [] };
  const fits = (texts) => {
    const text = folded(texts.join(" \n "));
    return words.every((word) => text.includes(word));
  };
  const numbers = (all, texts) => all.map((one, index) => (fits(texts(one)) ? index : -1)).filter((index) => index >= 0);
  return {
    nodes: numbers(data.nodes, (node) => [node.path, node.name, node.kind, node.says, node.shape, node.cost, ...node.notes]),
    frames: numbers(data.frames, (frame) => [frame.label, frame.kind]),
  };
}

/** Small letters, and sizes without spaces: `3 x 3` and `3x3` are one. */
function folded(text) {
  return text.toLowerCase().replace(/×/g, "x").replace(/(\w) x (?=\w)/g, "$1x").replace(/(\w) x (?=\w)/g, "$1x");
}

/** The search's box. `onHits(hits)` hears of new hits, `onJump(hit)` of the one to look at: `{kind, index}`. */
export class Search {
  constructor(data, { onHits, onJump, onLeave }) {
    Object.assign(this, { data, onHits, onJump, hits: [], at: -1 });
    this.input = html("input", { type: "search", placeholder: "Search layers, kinds, shapes", "aria-label": "Search layers by name, kind, path or shape", autocomplete: "off", spellcheck: "false", enterkeyhint: "search" });
    this.count = html("output", { class: "count", "aria-live": "polite" });
    const step = (by, label, way) => html("button", { type: "button", "aria-label": label, title: label, onclick: () => this.step(by) }, sign(way));
    this.steps = [step(-1, "Previous hit", "M5 12l5-5 5 5"), step(1, "Next hit", "M5 8l5 5 5-5")];
    this.element = html("search", { class: "search" }, sign("M9 3.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M13 13l4 4"), this.input, this.count, this.steps);
    this.input.addEventListener("input", () => this.ask());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.step(event.key === "ArrowUp" || event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        const found = this.hits[this.at];
        this.clear();
        onLeave(found);
      }
    });
    this.say();
  }

  ask() {
    const { nodes, frames } = find(this.data, this.input.value);
    this.hits = [...frames.map((index) => ({ kind: "frame", index })), ...nodes.map((index) => ({ kind: "node", index }))];
    this.at = -1;
    this.onHits(this.hits);
    this.say();
  }

  step(by) {
    if (!this.hits.length) return;
    this.at = this.at < 0 ? (by > 0 ? 0 : this.hits.length - 1) : (this.at + by + this.hits.length) % this.hits.length;
    this.say();
    this.onJump(this.hits[this.at]);
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  clear() {
    this.input.value = "";
    this.ask();
  }

  say() {
    const many = this.hits.length, asked = this.input.value.trim();
    this.count.textContent = !asked ? "" : !many ? "none" : this.at < 0 ? `${many} found` : `${this.at + 1} of ${many}`;
    for (const button of this.steps) button.hidden = !many;
    this.element.classList.toggle("without", Boolean(asked) && !many);
  }
}
