// The search: layers and frames by name, kind, path, fields, shapes or parameters; lists what was found, and walks from one to the next.

import { html, sign } from "./dom.js";

const LISTED = 200; // hits in the list

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
    nodes: numbers(data.nodes, (node) => [node.path, node.name, node.kind, node.says, node.shape, node.cost, ...node.notes, ...node.fields.map(([key, value]) => `${key} ${value}`), ...node.weights.map(([name, shape]) => `${name} ${shape}`)]),
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
    Object.assign(this, { data, onHits, onJump, onLeave, hits: [], at: -1, aimed: false });
    this.list = html("ul", { class: "hits", role: "listbox", id: `nnspec-hits-${++lists}`, "aria-label": "What was found", hidden: true });
    this.input = html("input", {
      type: "search", placeholder: "Search layers, kinds, shapes", "aria-label": "Search layers by name, kind, path, shape or parameters", autocomplete: "off", spellcheck: "false", enterkeyhint: "search",
      role: "combobox", "aria-controls": this.list.id, "aria-autocomplete": "list",
    });
    this.count = html("output", { class: "count", "aria-live": "polite" });
    const step = (by, label, way) => html("button", { type: "button", "aria-label": label, title: label, onclick: () => this.step(by) }, sign(way));
    this.steps = [step(-1, "Previous hit", "M5 12l5-5 5 5"), step(1, "Next hit", "M5 8l5 5 5-5")];
    this.element = html("search", { class: "search" }, sign("M9 3.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M13 13l4 4"), this.input, this.count, this.steps, this.list);
    this.input.addEventListener("input", () => this.ask());
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the letters stay in the box
    this.list.addEventListener("click", (event) => this.picked(event.target.closest("[role=option]")));
    this.element.addEventListener("focusout", (event) => this.element.contains(event.relatedTarget) || this.show(false));
    this.say();
  }

  pressed(event) {
    const { key } = event, acts = {
      Enter: () => (this.aimed && !event.shiftKey ? this.go(this.at) : this.step(event.shiftKey ? -1 : 1)),
      ArrowDown: () => this.aim(1), ArrowUp: () => this.aim(-1), Escape: () => this.left(),
    };
    if (!Object.hasOwn(acts, key) || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    acts[key]();
  }

  left() {
    const found = this.hits[this.at];
    this.clear();
    this.onLeave(found);
  }

  ask() {
    const { nodes, frames } = find(this.data, this.input.value);
    this.hits = [...frames.map((index) => ({ kind: "frame", index })), ...nodes.map((index) => ({ kind: "node", index }))];
    Object.assign(this, { at: -1, aimed: false });
    this.onHits(this.hits);
    this.fill();
    this.show(this.hits.length > 0);
    this.say();
  }

  fill() {
    const rows = this.hits.slice(0, LISTED).map(({ kind, index }, at) => {
      const about = kind === "node" ? this.data.nodes[index] : this.data.frames[index], name = kind === "node" ? about.name : about.label;
      const says = kind === "node" ? [about.says, about.kind === "output" || about.kind === "input" ? "" : about.shape] : [about.kind || "frame", about.many];
      return html("li", { role: "option", id: `${this.list.id}-${at}`, "data-at": at, "aria-selected": "false" },
        html("b", {}, name), html("span", {}, says.filter(Boolean).join(" · ")), about.path === name ? null : html("small", {}, about.path));
    });
    const more = this.hits.length - LISTED;
    this.list.replaceChildren(...rows, ...(more > 0 ? [html("li", { class: "more", role: "presentation" }, `and ${more} more: another word narrows them`)] : []));
  }

  show(open) {
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
  }

  /** Marks the next line of the list; Enter goes there. */
  aim(by) {
    const many = Math.min(this.hits.length, LISTED);
    if (!many) return;
    this.at = this.at < 0 || this.at >= many ? (by > 0 ? 0 : many - 1) : (this.at + by + many) % many;
    this.aimed = true;
    this.show(true);
    this.say();
  }

  step(by) {
    const many = this.hits.length;
    if (many) this.go(this.at < 0 ? (by > 0 ? 0 : many - 1) : (this.at + by + many) % many);
  }

  go(at) {
    Object.assign(this, { at, aimed: false });
    this.show(false);
    this.say();
    this.onJump(this.hits[at]);
  }

  picked(row) {
    if (row) this.go(Number(row.dataset.at));
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
    for (const row of this.list.querySelectorAll("[aria-selected=true]")) row.setAttribute("aria-selected", "false");
    const row = this.at >= 0 ? this.list.querySelector(`[data-at="${this.at}"]`) : null;
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "nearest" });
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
  }
}

let lists = 0;
