// The panel of the chosen layer or frame: what it is and costs, where it was written, what it reads and what reads it.

import { html, plain, sign } from "./dom.js";
import { excerpt, toMarked } from "./source.js";

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** 12,345,678 as a person reads it exactly. */
export function exact(number) {
  return typeof number === "number" ? number.toLocaleString("en-US") : String(number);
}

/** 1.23 M; 12 KiB with a base of 1024. */
export function short(number, unit = "", base = 1000) {
  if (typeof number !== "number") return String(number);
  let level = 0;
  for (; level + 1 < PREFIXES.length && Math.abs(number) >= base; level++) number /= base;
  const digits = level ? number.toPrecision(3).replace(/\.?0+$/, (zeros) => (zeros.startsWith(".") ? "" : zeros)) : String(number);
  const prefix = base === 1024 && level ? `${PREFIXES[level].toUpperCase()}i` : PREFIXES[level];
  return `${digits} ${prefix}${unit}`.trim();
}

export class Details {
  /** `go(kind, index)` chooses something else, `toggle(frame)` opens or closes a frame, `isOpen(frame)` says whether it is. */
  constructor(data, { go, toggle, isOpen, onClose }) {
    Object.assign(this, { data, go, toggle, isOpen });
    this.body = html("div", { class: "body" });
    this.title = html("h2", { tabindex: -1 });
    this.kind = html("p", { class: "kind" });
    const close = html("button", { type: "button", class: "close", "aria-label": "Close details", title: "Close (Esc)", onclick: onClose }, sign("M5 5l10 10M15 5L5 15"));
    this.element = html("aside", { class: "details", "aria-label": "Details", hidden: true }, html("header", {}, html("div", {}, this.title, this.kind), close), this.body);
    this.uses = { in: data.nodes.map(() => []), out: data.nodes.map(() => []) };
    for (const [value, target, slot] of data.edges) {
      this.uses.in[target].push([data.values[value][0], value, slot]);
      this.uses.out[data.values[value][0]].push([target, value, slot]);
    }
  }

  hide() {
    this.element.hidden = true;
  }

  show(kind, index) {
    const about = kind === "node" ? this.data.nodes[index] : this.data.frames[index];
    this.title.textContent = kind === "node" ? about.name : about.label;
    this.kind.textContent = kind === "node" ? about.says : `${about.kind || "frame"} · ${about.many}`;
    this.element.className = `details of-${kind === "node" ? about.family : "frame"}`;
    const parts = [this.trail(about.frame), kind === "frame" ? this.frameButton(index) : null, this.facts(about, kind), this.written(about)];
    if (kind === "node") parts.push(this.wires(index), this.fields(about), this.weights(about));
    else parts.push(this.contents(index));
    this.body.replaceChildren(...parts.filter(Boolean));
    this.element.hidden = false;
    this.body.scrollTop = 0;
    for (const yaml of this.body.querySelectorAll("pre.yaml")) toMarked(yaml);
  }

  link(kind, index, text) {
    return html("button", { type: "button", class: "link", onclick: () => this.go(kind, index) }, text);
  }

  trail(frame) {
    const chain = [];
    for (let at = frame; at >= 0; at = this.data.frames[at].frame) chain.unshift(at);
    if (!chain.length) return null;
    return html("nav", { class: "trail", "aria-label": "Frames around it" }, chain.map((at) => this.link("frame", at, this.data.frames[at].label)));
  }

  frameButton(index) {
    const open = this.isOpen(index);
    return html("button", { type: "button", class: "wide", onclick: () => this.toggle(index) }, sign(open ? "M5 10h10" : "M5 10h10M10 5v10"), open ? "Collapse this frame" : "Expand this frame");
  }

  facts(about, kind) {
    const rows = [["path", about.path]];
    if (kind === "node") {
      rows.push(["output", about.dtype && !about.shape.includes(about.dtype) ? `${about.shape} ${about.dtype}` : about.shape]);
      for (const note of about.notes) rows.push(["note", note]);
    }
    const trains = about.parameters === about.trainable ? "" : ` (${about.trainable ? exact(about.trainable) : "none"} trained)`;
    if (about.parameters) rows.push(["parameters", exact(about.parameters) + trains]);
    if (about.flops) rows.push(["FLOPs", `${short(about.flops)} a row forward`]);
    if (about.memory) rows.push(["memory", `${short(about.memory, "B", 1024)} a row of its output${kind === "frame" ? "s" : ""}`]);
    return html("section", {}, table(rows));
  }

  fields(node) {
    return node.fields.length ? html("section", {}, html("h3", {}, "Fields"), table(node.fields, "fields")) : null;
  }

  weights(node) {
    if (!node.weights.length) return null;
    const rows = node.weights.map(([name, shape, dtype, , trains]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, shape), html("td", {}, trains ? dtype : `${dtype}, not trained`)));
    return html("section", {}, html("h3", {}, "Parameters"), html("table", {}, html("tbody", {}, rows)));
  }

  wires(index) {
    const list = (title, name, uses) => {
      if (!uses.length) return null;
      const items = uses.slice(0, 40).map(([other, value]) => html("li", {}, this.link("node", other, this.seenFrom(index, other)), html("small", {}, this.data.values[value][2])));
      const more = uses.length > 40 ? html("li", {}, `and ${uses.length - 40} more`) : null;
      return html("section", { class: name }, html("h3", {}, title), html("ul", {}, items, more));
    };
    const box = html("div", { class: "wires" });
    box.append(...[list("Reads", "reads", this.uses.in[index]), list("Read by", "read-by", this.uses.out[index])].filter(Boolean));
    return box.childElementCount ? box : null;
  }

  /** A layer's path without the frames that it shares with another. */
  seenFrom(index, other) {
    const { nodes, frames } = this.data, path = nodes[other].path;
    for (let at = nodes[index].frame; at >= 0; at = frames[at].frame) if (path.startsWith(`${frames[at].path}/`)) return path.slice(frames[at].path.length + 1);
    return path;
  }

  contents(index) {
    const inside = [];
    this.data.frames.forEach((frame, at) => frame.frame === index && inside.push(["frame", at, frame.label, frame.many]));
    this.data.nodes.forEach((node, at) => node.frame === index && inside.push(["node", at, node.name, node.says]));
    const items = inside.slice(0, 60).map(([kind, at, name, says]) => html("li", {}, this.link(kind, at, name), html("small", {}, says)));
    return html("div", { class: "wires" }, html("section", {}, html("h3", {}, "Inside"), html("ul", {}, items, inside.length > 60 ? html("li", {}, `and ${inside.length - 60} more`) : null)));
  }

  /** The entry's own lines, and those of the calls around it, innermost first. */
  written(about) {
    const places = [];
    if (about.source) places.push([about.name ?? about.label, about.source]);
    for (let at = about.frame; at >= 0; at = this.data.frames[at].frame) {
      if (this.data.frames[at].source) places.push([this.data.frames[at].label, this.data.frames[at].source]);
    }
    if (!places.length) return null;
    const holder = html("div"), tabs = [];
    const choose = (number) => {
      const [file, first, last] = places[number][1];
      tabs.forEach((tab, at) => tab.setAttribute("aria-selected", String(at === number)));
      const shown = excerpt(this.data.files[file], first, last);
      holder.replaceChildren(html("p", { class: "place" }, `${plain(this.data.files[file].name)}:${first}${last > first ? `–${last}` : ""}`), shown);
      toMarked(shown);
    };
    places.forEach(([name], number) => tabs.push(html("button", { type: "button", role: "tab", onclick: () => choose(number) }, name)));
    const row = places.length > 1 ? html("div", { class: "tabs", role: "tablist", "aria-label": "The entry, and the calls around it" }, tabs) : null;
    choose(0);
    return html("section", { class: "written" }, html("h3", {}, "Written as"), row, holder);
  }
}

function table(rows, name = "facts") {
  return html("table", { class: name }, html("tbody", {}, rows.map(([key, value]) => html("tr", {}, html("th", { scope: "row" }, key), html("td", {}, value)))));
}
