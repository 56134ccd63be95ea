// Answers of a network of two numbers all over their plane, with the rows of its data in it.

import { el, put, svg } from "./dom.js";
import { Inside, pixels } from "./part.js";
import { number } from "./text.js";

const SIZE = 520;

export class Boundary extends Inside {
  constructor(id, context) {
    super(id, context);
    this.hidden = new Set();
  }

  path() { return `run/${this.id}/boundary`; }
  asks() { return { ...super.asks(), output: this.output || "" }; }

  draw(told) {
    if (this.absent(told)) return;
    const [[x0, y0], [x1, y1]] = [told.low, told.high];
    const at = (x, y) => [(SIZE * (x - x0)) / (x1 - x0), SIZE - (SIZE * (y - y0)) / (y1 - y0)];
    const image = pixels(told.picture, "");
    const shapes = { train: "circle", validation: "diamond", test: "square" };
    const hue = (v) => (told.colours.length ? told.colours[Math.round(v)] || "#888" : grey(v, told.least, told.most));
    const mark = (split, x, y, v) => {
      const [cx, cy] = at(x, y);
      const props = { fill: v === null ? "#888" : hue(v), class: "dot-of" };
      const title = svg("title", {}, `${told.axes[0]} ${number(x)}, ${told.axes[1]} ${number(y)}${v === null ? "" : `: ${told.classes.length ? told.classes[Math.round(v)] : number(v)}`} (${split})`);
      if (shapes[split] === "diamond") return svg("path", { ...props, d: `M${cx} ${cy - 5.4}l5.4 5.4-5.4 5.4-5.4-5.4z` }, title);
      if (shapes[split] === "square") return svg("rect", { ...props, x: cx - 3.8, y: cy - 3.8, width: 7.6, height: 7.6 }, title);
      return svg("circle", { ...props, cx, cy, r: 4.2 }, title);
    };
    const ticks = (low, high) => [0, 0.25, 0.5, 0.75, 1].map((f) => low + f * (high - low));
    const [left, line] = innerWidth <= 640 ? [98, 26] : [58, 18]; // on a narrow page letters are larger beside the picture
    const picture = svg("svg", { class: "plane large", viewBox: `${-left} -16 ${SIZE + left + line} ${SIZE + 2 * line + 26}`, role: "img", "aria-label": `answers over ${told.axes[0]} and ${told.axes[1]}` },
      svg("image", { href: image.src, x: 0, y: 0, width: SIZE, height: SIZE, preserveAspectRatio: "none" }), svg("rect", { x: 0, y: 0, width: SIZE, height: SIZE, class: "frame-of" }),
      Object.entries(told.points).filter(([split]) => !this.hidden.has(split)).map(([split, rows]) => rows.filter(([x, y]) => x !== null && y !== null).map(([x, y, v]) => mark(split, x, y, v))),
      ticks(x0, x1).map((v) => svg("text", { x: at(v, y0)[0], y: SIZE + line, "text-anchor": "middle" }, number(v, 3))), ticks(y0, y1).map((v) => svg("text", { x: -8, y: at(x0, v)[1] + 4, "text-anchor": "end" }, number(v, 3))),
      svg("text", { x: SIZE / 2, y: SIZE + 2 * line + 2, "text-anchor": "middle", class: "axis" }, told.axes[0]), svg("text", { x: 0, y: 0, "text-anchor": "middle", class: "axis", transform: `translate(${12 - left} ${SIZE / 2}) rotate(-90)` }, told.axes[1]));
    const toggle = (split) => el("label", { class: "check" }, el("input", { type: "checkbox", checked: !this.hidden.has(split), on: { change: (e) => { if (e.target.checked) this.hidden.delete(split); else this.hidden.add(split); this.draw(told); } } }), `${{ diamond: "◆", square: "■" }[shapes[split]] || "●"} ${split}`);
    const key = told.classes.length ? el("ul", { class: "classes" }, told.classes.map((name, n) => el("li", {}, el("i", { class: "box-of", style: { background: told.colours[n] } }), name))) : el("p", { class: "hint" }, `${number(told.least)} (dark) to ${number(told.most)} (bright)`);
    put(this.node, el("div", { class: "controls" }, Object.keys(told.points).map(toggle), this.kept()), el("section", { class: "sheet fits" }, el("div", { class: "beside" }, picture, el("div", {}, el("h2", {}, told.output), key, el("p", { class: "hint" }, "paler where it is less sure")))));
  }
}

function grey(v, low, high) {
  const share = high > low ? Math.max(0, Math.min(1, (v - low) / (high - low))) : 0.5;
  return `hsl(0 0% ${Math.round(100 * share)}%)`;
}
