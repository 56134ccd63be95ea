// What the network takes for what: a matrix of classes, counts of yes and no by unit, or what it says against what is so.

import { ask } from "./api.js";
import { colour } from "./colours.js";
import { el, put, svg } from "./dom.js";
import { GIVEN, Inside } from "./part.js";
import { number } from "./text.js";

export class Mistakes extends Inside {
  asks() { return { ...super.asks(), split: this.split || "", output: this.output || "" }; }

  async fetch() {
    this.seen = this.wanted;
    const run = `run/${this.id}`;
    const about = await ask(`${run}/about`, super.asks());
    this.context.splitsOf(this.id, about.splits);
    const counts = await ask(`${run}/confusion`, this.asks());
    return { about, counts, scatter: counts.absent ? await ask(`${run}/scatter`, this.asks()) : null };
  }

  draw({ about, counts, scatter }) {
    const shown = counts.absent ? scatter : counts;
    if (shown.absent) {
      this.absent({ absent: counts.absent });
      return;
    }
    const pick = (label, names, chosen, take) => (names.length > 1 ? el("label", { class: "picker" }, label, el("select", { "data-key": label, on: { change: (e) => { take(e.target.value); this.again(); } } }, names.map((n) => el("option", { value: n, selected: n === chosen }, n)))) : null);
    const part = shown.rows < shown.of_rows ? `the first ${number(shown.rows)} of ${number(shown.of_rows)} rows` : `${number(shown.rows)} rows`;
    put(this.node, el("div", { class: "controls" }, pick("Rows of ", Object.keys(about.splits).filter((s) => s !== GIVEN), shown.split, (v) => { this.split = v; }), pick("Output ", about.outputs, shown.output, (v) => { this.output = v; }), this.kept(),
      el("span", { class: "hint" }, `${part} of ${shown.split}, ${this.which ? "best weights, " : "weights "}of step ${number(about.step)}`)),
    counts.absent ? this.scatter(scatter) : counts.units.length ? this.units(counts) : this.classes(counts));
  }

  classes(told) {
    const right = told.total ? `${number((100 * told.right) / told.total, 4)}% right: ${number(told.right)} of ${number(told.total)}` : "";
    return el("div", { class: "sheets" }, el("section", { class: "sheet fits" }, el("h2", {}, right, told.of > told.classes.length ? el("small", {}, `the ${told.classes.length} classes with the most mistakes, of ${told.of}`) : null), matrix(told.counts, told.classes)),
      told.pairs.length ? el("section", { class: "sheet" }, el("h2", {}, "Taken for each other"), el("ol", { class: "pairs-of" }, told.pairs.map(([a, b, n]) => el("li", {}, el("b", {}, a), " taken for ", el("b", {}, b), el("span", {}, number(n)))))) : null);
  }

  units(told) {
    const rate = (a, b) => (a + b ? `${number((100 * a) / (a + b), 3)}%` : "–");
    return el("section", { class: "sheet" }, el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, ["unit", "hits", "false alarms", "misses", "rightly not", "precision", "recall"].map((h, i) => el("th", { class: i ? "num" : "" }, h)))),
      el("tbody", {}, told.units.map(([name, hit, alarm, miss, not]) => el("tr", {}, el("th", { scope: "row" }, name), [hit, alarm, miss, not].map((n) => el("td", { class: "num" }, number(n))), el("td", { class: "num" }, rate(hit, alarm)), el("td", { class: "num" }, rate(hit, miss))))))));
  }

  scatter(told) {
    return el("div", { class: "sheets" }, told.columns.map((c) => el("section", { class: "sheet" }, el("h2", {}, c.name, el("small", {}, `mae ${number(c.mae)}, rmse ${number(c.rmse)}${c.r2 !== null ? `, r² ${number(c.r2)}` : ""}`)), plane(c))));
  }
}

/** Points of (target, predicted); on the line it is right. */
function plane(c) {
  const points = c.target.map((t, i) => [t, c.predicted[i]]).filter(([a, b]) => a !== null && b !== null);
  const all = points.flat();
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (!(high > low)) [low, high] = [(low || 0) - 1, (low || 0) + 1];
  const [room, size] = [(high - low) * 0.04, 300];
  const at = (v) => (size * (v - low + room)) / (high - low + 2 * room);
  return svg("svg", { class: "plane", viewBox: "-46 -8 356 348", role: "img", "aria-label": `${points.length} rows: predicted against right` },
    svg("rect", { x: 0, y: 0, width: size, height: size, class: "ground" }), svg("path", { d: `M0 ${size}L${size} 0`, class: "even" }),
    points.map(([t, p]) => svg("circle", { cx: at(t), cy: size - at(p), r: 2.6, fill: colour(0), "fill-opacity": 0.45 }, svg("title", {}, `right ${number(t)}, predicted ${number(p)}`))),
    [low, (low + high) / 2, high].flatMap((v) => [svg("text", { x: at(v), y: size + 16, "text-anchor": "middle" }, number(v, 3)), svg("text", { x: -6, y: size - at(v) + 4, "text-anchor": "end" }, number(v, 3))]),
    svg("text", { x: size / 2, y: size + 31, "text-anchor": "middle", class: "axis" }, "right"), svg("text", { x: 6, y: 16, class: "axis" }, "predicted"));
}

/** Rows are what was right, columns what was said; a cell's colour is its share of its row. */
export function matrix(table, names) {
  const sums = table.map((row) => row.reduce((a, b) => a + b, 0));
  const few = table.length <= 30;
  const cell = (v, r, c) => {
    const share = sums[r] ? v / sums[r] : 0;
    const title = `${names[r]} taken for ${names[c]}: ${number(v)} of ${number(sums[r])} (${number(100 * share, 3)}%)`;
    return el("td", { title, class: (r === c ? "right" : "wrong") + (share > 0.45 ? " strong" : ""), style: { "--share": String(Math.round(1000 * Math.sqrt(share)) / 1000) } }, few && v ? number(v) : "");
  };
  return el("div", { class: "scroll", tabindex: 0 }, el("table", { class: few ? "matrix" : "matrix small" },
    el("caption", {}, "rows: what is right; columns: what the network says"),
    el("thead", {}, el("tr", {}, el("td", {}), names.map((n) => el("th", { scope: "col" }, el("span", {}, n))), el("th", { scope: "col" }, el("span", {}, "right")))),
    el("tbody", {}, table.map((row, r) => el("tr", {}, el("th", { scope: "row" }, names[r]), row.map((v, c) => cell(v, r, c)),
      el("td", { class: "share" }, sums[r] ? `${number((100 * row[r]) / sums[r], 3)}%` : "–"))))));
}
