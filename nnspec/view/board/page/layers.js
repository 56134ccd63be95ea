// What every layer, weight and gradient is like at one step, and how it came there: from the taps of the run, else from its last checkpoint.

import { ask } from "./api.js";
import { Chart } from "./chart.js";
import { colour } from "./colours.js";
import { choice, el, put, svg } from "./dom.js";
import { Inside, sentence } from "./part.js";
import { number } from "./text.js";

const SHOWN = 400; // rows of a table
const held = { what: "layers" };

/** What is wrong with a layer, if anything: most of it stands still, or nothing comes back through it. */
export function judge(layer) {
  const [a, g] = [layer.activation, layer.gradient];
  if (a && a.dead && a.units && a.dead / a.units >= 0.5) return { tone: "bad", why: `${a.dead} of ${a.units} units are 0 on every row` };
  if (a && a.saturated > 0.6) return { tone: "warn", why: `${Math.round(100 * a.saturated)}% are at an end of their range` };
  if (a && a.dead && a.units && a.dead / a.units >= 0.1) return { tone: "warn", why: `${a.dead} of ${a.units} units are 0 on every row` };
  if (g && g.norm !== null && g.norm < 1e-7) return { tone: "warn", why: "next to no gradient comes here" };
  if (a && (a.mean === null || a.max === null)) return { tone: "bad", why: "some of it is no finite number" };
  return { tone: "", why: "" };
}

export const TAPS = ["taps", "As it trained", "what the run saw while it went on"];

/** What a part knows of the inside at one step: what the run saw itself (--taps), else what is computed now from its weights. */
export async function looked(part, query = {}) {
  const taps = await ask(`run/${part.id}/taps`, query);
  if (taps.one && !part.context.which) return { one: taps.one, taps, from: "taps" };
  return { one: await ask(`run/${part.id}/statistics`, { which: part.which }), taps, from: "weights" };
}

/** A histogram as bars. */
export function bars(h, hue, width = 96, height = 26) {
  if (!h) return el("span", { class: "none" }, "–");
  const most = Math.max(1, ...h.counts);
  const step = width / h.counts.length;
  const ends = h.scale === "log10" ? [`1e${h.low}`, `1e${h.high}`] : [number(h.low, 3), number(h.high, 3)];
  const shape = h.counts.map((n, i) => (n ? `M${(i * step).toFixed(2)} ${height}v${(-Math.max(1, (n / most) * height)).toFixed(2)}h${(step * 0.86).toFixed(2)}V${height}z` : "")).join("");
  return svg("svg", { class: "bars", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `values from ${ends[0]} to ${ends[1]}` }, svg("title", {}, `${ends[0]} to ${ends[1]}, of ${h.of} values${h.zeros ? `, ${h.zeros} zeros apart` : ""}`), svg("path", { d: shape, fill: hue }));
}

export class Layers extends Inside {
  constructor(id, context) {
    super(id, context);
    this.step = null; // as the slider says; null: the newest
    this.open = null;
    this.charts = [];
  }

  asks() { return { ...super.asks(), from: this.context.which, step: this.step === null ? "" : this.step, open: this.open || "", what: held.what }; }

  due() {
    const now = JSON.stringify(this.asks());
    const run = this.context.run(this.id);
    if (!run) return false;
    if (now !== this.asked) { this.asked = now; return true; }
    return (run.live || !this.told) && performance.now() >= this.next;
  }

  async fetch() {
    const { one, taps, from } = await looked(this, { step: this.step === null ? "" : this.step, history: 1 });
    this.tapped = taps.steps.length > 0;
    return this.same(from === "taps" ? { one, steps: taps.steps, history: taps.history } : { one, steps: [], history: null });
  }

  /** The same object where nothing has changed, so that it is not drawn again. */
  same(found) {
    const now = JSON.stringify([found.one.step, found.steps, this.tapped, this.kept() !== null, this.asks()]);
    if (now === this.mark) return this.told;
    this.mark = now;
    return found;
  }

  leave() { this.charts.splice(0).forEach((c) => c.leave()); }

  draw({ one, steps, history }) {
    this.leave();
    if (this.absent(one)) return;
    const at = steps.indexOf(one.step);
    const slide = steps.length > 1 ? el("label", { class: "slide" }, "Step ", el("input", { type: "range", min: 0, max: steps.length - 1, value: at < 0 ? steps.length - 1 : at, "aria-label": "step that is looked at", "data-key": "step", on: { change: (e) => { const n = Number(e.target.value); this.step = n === steps.length - 1 ? null : steps[n]; this.again(); } } }), el("output", {}, number(one.step))) : null;
    const note = steps.length ? `${steps.length} looks${one.every ? `, one each ${number(one.every)} steps` : ""}` : `computed now from the ${this.which ? "best" : "last"} weights, step ${number(one.step)}${this.tapped ? "" : "; nnspec run … --taps 1epoch looks while it trains"}`;
    const rows = held.what === "layers" ? this.layers(one) : this.weights(one);
    put(this.node,
      el("div", { class: "controls" }, choice("what", [["layers", "Layers"], ["parameters", "Weights"]], held.what, (what) => { held.what = what; this.open = null; this.again(); }), this.kept(this.tapped ? TAPS : null), slide,
        el("span", { class: "hint" }, `${one.rows} rows of ${one.split}${one.loss !== null ? `, loss ${number(one.loss)}` : ""}; ${note}`)),
      el("div", { class: "sheet flat" }, el("div", { class: "scroll", tabindex: 0 }, rows)),
      this.open && history ? this.history(history, one) : null);
  }

  row(name, cells, why, tone) {
    const toggle = () => { this.open = this.open === name ? null : name; this.again(); };
    return el("tr", { class: `${this.open === name ? "open" : ""}`, "data-tone": tone || null },
      el("th", { scope: "row" }, el("button", { type: "button", class: "name", "data-key": "row " + name, "aria-expanded": String(this.open === name), title: why || "show how it came to this", on: { click: toggle } }, name), why ? el("small", {}, why) : null), cells);
  }

  layers(one) {
    const head = ["layer", "kind", "shape", "activation", "mean ± deviation", "range", "zeros", "gradient", "norm"];
    const names = Object.keys(one.layers);
    return el("table", { class: "plain stats" }, el("thead", {}, el("tr", {}, head.map((h) => el("th", {}, h)))),
      el("tbody", {}, names.slice(0, SHOWN).map((name) => {
        const layer = one.layers[name];
        const [a, g] = [layer.activation, layer.gradient];
        const why = (key) => (layer.absent && layer.absent[key] ? el("span", { class: "none", title: sentence(layer.absent[key]) }, "–") : "–");
        const { tone, why: wrong } = judge(layer);
        return this.row(name, [
          el("td", {}, layer.kind), el("td", { class: "mono" }, layer.shape.join(" × ") || "scalar"),
          el("td", {}, a ? bars(a.histogram, colour(0)) : why("activation")),
          el("td", { class: "mono" }, a ? `${number(a.mean, 3)} ± ${number(a.std, 3)}` : ""), el("td", { class: "mono" }, a ? `${number(a.min, 3)} … ${number(a.max, 3)}` : ""),
          el("td", { class: "mono" }, a ? share(a.zeros) : ""), el("td", {}, g ? bars(g.histogram, colour(1)) : why("gradient")), el("td", { class: "mono" }, g ? number(g.norm, 3) : ""),
        ], wrong, tone);
      })), names.length > SHOWN ? el("caption", {}, `and ${names.length - SHOWN} more`) : null);
  }

  weights(one) {
    const head = ["parameter", "shape", "weights", "norm", "deviation", "gradient", "norm", "update : weight"];
    const names = Object.keys(one.parameters);
    return el("table", { class: "plain stats" }, el("thead", {}, el("tr", {}, head.map((h) => el("th", {}, h)))),
      el("tbody", {}, names.slice(0, SHOWN).map((name) => {
        const { shape, weight: w, gradient: g, ratio } = one.parameters[name];
        const odd = ratio !== null && ratio !== undefined && (ratio > 0.03 ? "a step changes it by more than 3%" : "");
        return this.row(name, [
          el("td", { class: "mono" }, shape.join(" × ") || "scalar"), el("td", {}, bars(w && w.histogram, colour(2))), el("td", { class: "mono" }, w ? number(w.norm, 3) : "–"), el("td", { class: "mono" }, w ? number(w.std, 3) : ""),
          el("td", {}, bars(g && g.histogram, colour(1))), el("td", { class: "mono" }, g ? number(g.norm, 3) : ""), el("td", {}, gauge(ratio)),
        ], odd, odd ? "warn" : "");
      })), names.length > SHOWN ? el("caption", {}, `and ${names.length - SHOWN} more`) : null);
  }

  /** One layer or parameter over the steps, panel by panel. */
  history(history, one) {
    const series = history[held.what][this.open];
    if (!series) return null;
    const groups = new Map();
    for (const [key, values] of Object.entries(series)) {
      const dot = key.indexOf(".");
      const [of, part] = dot < 0 ? ["update", key] : [key.slice(0, dot), key.slice(dot + 1)];
      const title = ["mean", "std", "min", "max"].includes(part) ? `${of}: range` : `${of}: ${part}`;
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push({ key, label: part, legend: part, x: history.steps, y: values });
    }
    const wide = el("div", { class: "panels" });
    for (const [title, lines] of groups) {
      const chart = new Chart(title, () => {}, true);
      this.charts.push(chart);
      wide.append(chart.node);
      queueMicrotask(() => chart.show(lines.map((s, n) => ({ ...s, colour: colour(n) })), { by: "step", log: false, smooth: 0, zoom: null }));
    }
    return el("section", { class: "over" }, el("h2", {}, this.open), wide);
  }
}

const share = (v) => (v === null || v === undefined ? "–" : `${number(100 * v, 3)}%`);

/** How large an update is beside its weight, between 1e-6 and 1; about 1e-3 is usual. */
function gauge(ratio) {
  if (ratio === null || ratio === undefined) return el("span", { class: "none" }, "–");
  const at = Math.max(0, Math.min(1, (Math.log10(Math.max(ratio, 1e-6)) + 6) / 6));
  return el("span", { class: "gauge", title: "about 0.001 is usual" }, el("i", { style: { left: `${84 * at}px` } }), el("b", {}, number(ratio, 2)));
}
