// All panels: which curves belong together, their colours, the axis that they share, and what part of it is shown.

import { ask } from "./api.js";
import { Chart } from "./chart.js";
import { colour } from "./colours.js";
import { choice, el, put } from "./dom.js";
import { trial } from "./listing.js";

const DASHES = new Map([["validation", [7, 4]], ["test", [2, 3]]]);
const SPLITS = ["train", "validation", "test"];
const LAST = ["rate", "pace", "speed", "took", "memory"]; // panels that come after what is measured
const held = { by: "step", log: false, smooth: 0, within: true };

export class Curves {
  constructor(ids, runs) {
    this.ids = ids;
    this.runs = runs; // id -> {label, colour, shown}
    this.told = new Map(); // id -> what the server said
    this.charts = new Map();
    this.zoom = null;
    this.grid = el("div", { class: "panels" });
    const smooth = el("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: held.smooth, "aria-label": "smoothing", on: { input: (e) => { held.smooth = Number(e.target.value); say.textContent = held.smooth.toFixed(2); this.draw(); } } });
    const say = el("output", {}, held.smooth.toFixed(2));
    this.reset = el("button", { type: "button", class: "quiet", hidden: true, on: { click: () => this.zoomed(null) } }, "Show all");
    this.tools = el("div", { class: "controls" },
      choice("axis", [["step", "Steps"], ["epoch", "Epochs"], ["seconds", "Time"]], held.by, (by) => { held.by = by; this.zoom = null; this.again(); }),
      el("label", { class: "check" }, el("input", { type: "checkbox", checked: held.log, on: { change: (e) => { held.log = e.target.checked; this.draw(); } } }), "Log scale"),
      el("label", { class: "check" }, el("input", { type: "checkbox", checked: held.within, on: { change: (e) => { held.within = e.target.checked; this.draw(); } } }), "Within epochs"),
      el("label", { class: "slide" }, "Smoothing", smooth, say),
      this.reset,
      el("span", { class: "hint" }, "drag to zoom, double click shows all"));
    this.node = el("div", {}, this.tools, this.grid);
  }

  leave() {
    for (const chart of this.charts.values()) chart.leave();
    this.charts.clear();
  }

  again() {
    this.told.clear();
    this.look().catch(() => {});
  }

  zoomed(range) {
    this.zoom = range;
    this.reset.hidden = !range;
    this.draw();
    this.again();
  }

  /** Asks for what has changed. True where more is there already. */
  async look() {
    if (this.asking) return false;
    this.asking = true;
    const [by, zoom] = [held.by, this.zoom];
    try {
      const points = Math.max(200, Math.min(2400, Math.round((this.grid.clientWidth || 1200) * Math.min(devicePixelRatio || 1, 2) * (this.ids.length > 8 ? 0.5 : 1))));
      const answer = await ask("curves", {
        runs: this.ids.join(","), seen: this.ids.map((id) => (this.told.get(id) || {}).version || "-").join(","), by, points: Math.round(points / 100) * 100,
        from: zoom ? zoom[0] : undefined, to: zoom ? zoom[1] : undefined,
      });
      if (by !== held.by || zoom !== this.zoom) return true;
      let [changed, more] = [false, false];
      for (const [id, told] of Object.entries(answer.runs)) {
        more ||= told.more;
        this.summaries.set(id, told.run);
        this.runs.get(id).label = trial(told.run) || told.run.label;
        if (told.epochs) {
          this.told.set(id, told);
          changed = true;
        }
      }
      const labels = [...this.runs.values()].map((r) => r.label);
      for (const [id, run] of this.runs) if (labels.filter((l) => l === run.label).length > 1) run.label = this.summaries.get(id).path;
      if (changed) this.draw();
      return more;
    } finally {
      this.asking = false;
    }
  }

  summaries = new Map();

  /** Panels by metric, each with its curves. */
  panels() {
    const panels = new Map();
    const into = (metric, series) => {
      if (!panels.has(metric)) panels.set(metric, []);
      panels.get(metric).push(series);
    };
    const several = this.ids.length > 1;
    for (const id of this.ids) {
      const told = this.told.get(id);
      const run = this.runs.get(id);
      if (!told || !run.shown) continue;
      for (const [name, [x, y]] of Object.entries(told.epochs)) {
        if (LAST.includes(name)) continue;
        const dot = name.indexOf(".");
        const [split, metric] = dot < 0 ? ["", name] : [name.slice(0, dot), name.slice(dot + 1)];
        const hue = several ? run.colour : colour(Math.max(0, SPLITS.indexOf(split)));
        into(metric, { key: id + name, label: several ? `${run.label}  ${split}` : split || metric, legend: split, neutral: several, colour: hue, dash: x.length < 500 ? DASHES.get(split) : undefined, x, y });
      }
      for (const [name, [x, y]] of Object.entries(told.steps)) {
        if (LAST.includes(name)) continue;
        const metric = name.slice(name.indexOf(".") + 1);
        const whole = Object.hasOwn(told.epochs, name) ? told.epochs[name] : null;
        const alone = !whole;
        if (whole && (!held.within || x.length <= whole[0].length)) continue; // epochs that are shorter than a look say it all
        into(metric, { key: id + name + " steps", label: `${several ? run.label + "  " : ""}train, within the epoch`, legend: "within epochs", neutral: several, colour: several ? run.colour : colour(0), faint: !alone, x, y });
      }
      for (const name of LAST) {
        const [a, b] = name === "speed" ? [speed(told.epochs.pace, this.summaries.get(id)), speed(told.steps.pace, this.summaries.get(id))] : [told.epochs[name], told.steps[name]];
        const best = a && b ? (b[0].length > a[0].length ? b : a) : a || b;
        if (best) into(name, { key: id + name, label: several ? run.label : "", colour: several ? run.colour : colour(4), x: best[0], y: best[1] });
      }
    }
    const order = (m) => (m === "loss" ? -1 : LAST.includes(m) ? 100 + LAST.indexOf(m) : m.endsWith(".loss") ? 0 : 1);
    return [...panels].sort((a, b) => order(a[0]) - order(b[0])).slice(0, 40);
  }

  draw() {
    const panels = this.panels();
    const wanted = new Set(panels.map(([m]) => m));
    for (const [metric, chart] of this.charts) {
      if (wanted.has(metric)) continue;
      chart.leave();
      chart.node.remove();
      this.charts.delete(metric);
    }
    if (!panels.length) {
      const live = [...this.summaries.values()].some((r) => r.live);
      const what = this.ids.every((id) => !this.runs.get(id).shown) ? "No run is shown: choose one in the legend." : live ? "Nothing is measured yet; the first curve appears here by itself." : "Nothing was measured.";
      put(this.grid, el("p", { class: "empty" }, what));
      return;
    }
    if (!this.charts.size) put(this.grid);
    panels.forEach(([metric, series], i) => {
      let chart = this.charts.get(metric);
      if (!chart) {
        chart = new Chart(metric, (range) => this.zoomed(range));
        this.charts.set(metric, chart);
      }
      if (this.grid.children[i] !== chart.node) this.grid.insertBefore(chart.node, this.grid.children[i] || null);
      const measured = !LAST.includes(metric);
      chart.show(series, { by: held.by, log: held.log && (measured || metric === "rate"), smooth: measured ? held.smooth : 0, zoom: this.zoom || this.span(panels) });
    });
  }

  /** The part of the axis that all panels share. */
  span(panels) {
    let [low, high] = [Infinity, -Infinity];
    for (const [, series] of panels) {
      for (const { x } of series) {
        if (!x.length) continue;
        low = Math.min(low, x[0]);
        high = Math.max(high, x[x.length - 1]);
      }
    }
    return low <= high ? [low, high] : null;
  }
}

/** Rows a second, from the time of a step; nothing where the run does not say how many rows a step has. */
export function speed(pace, run) {
  if (!pace || !run || !run.batch) return undefined;
  return [pace[0], pace[1].map((p) => (p > 0 ? Number((run.batch / p).toPrecision(4)) : null))];
}
