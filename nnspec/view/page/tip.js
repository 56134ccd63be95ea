// What stands beside the pointer while it rests on a layer or a frame.

import { exact, short } from "./details.js";
import { html } from "./dom.js";

/** What an edge carries: its shape, dtype and bytes, the layers that make it, those that read it. */
function carried({ name, shape, dtype, bytes, from, to }) {
  const rows = [["dtype", dtype], ["memory", bytes ? `${short(bytes, "B", 1024)} a row` : ""], ...listed("from", from), ...listed("to", to)];
  return [html("b", {}, shape), name ? html("p", {}, name) : null, ...rows.filter(([, said]) => said).map(([key, said]) => html("div", {}, html("i", {}, key), html("span", {}, said)))].filter(Boolean);
}

function listed(title, paths) {
  return paths.map((path, at) => [at ? "" : title, path]);
}

export class Tip {
  constructor(view) {
    this.view = view;
    this.element = html("div", { class: "tip", "aria-hidden": "true", hidden: true });
  }

  show(kind, about, event) {
    if (this.about !== about) {
      this.about = about;
      this.element.replaceChildren(...this.lines(kind, about));
    }
    this.element.hidden = false;
    const box = this.view.getBoundingClientRect(), own = this.element.getBoundingClientRect();
    const x = event.clientX - box.left + 16, y = event.clientY - box.top + 18;
    this.element.style.left = `${Math.max(4, x + own.width > box.width ? x - own.width - 30 : x)}px`;
    this.element.style.top = `${Math.max(4, y + own.height > box.height ? y - own.height - 34 : y)}px`;
  }

  hide() {
    this.element.hidden = true;
  }

  lines(kind, about) {
    if (kind === "value") return carried(about);
    const name = kind === "node" ? about.name : about.label, rows = [];
    const says = kind === "node" ? about.says : `${about.kind || "frame"} · ${about.many}`;
    if (kind === "node" && about.kind !== "output") rows.push(["output", about.shape]);
    if (about.parameters) rows.push(["parameters", exact(about.parameters)]);
    if (about.flops) rows.push(["FLOPs", short(about.flops)]);
    if (about.memory) rows.push(["memory", short(about.memory, "B", 1024)]);
    for (const note of about.notes ?? []) rows.push(["note", note]);
    return [html("b", {}, name), html("p", {}, says), about.path === name ? null : html("small", {}, about.path), ...rows.map(([key, value]) => html("div", {}, html("i", {}, key), html("span", {}, value)))].filter(Boolean);
  }
}
