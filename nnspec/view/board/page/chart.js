// One panel: curves over an axis that all panels share, drawn by uPlot, with the values under the cursor beside it.

import { css, faint } from "./colours.js";
import { el, put } from "./dom.js";
import { clock, number, title, unit } from "./text.js";

const HEIGHT = 236;
const ROWS = 14; // in the tip
const sync = uPlot.sync("curves");

/** Means that forget: each value counts more than the one before it; the first ones are not drawn towards zero. */
function smoothed(values, weight) {
  let held = 0;
  let mass = 0;
  return values.map((v) => {
    if (v === null || v === undefined) return v;
    held = held * weight + v * (1 - weight);
    mass = mass * weight + (1 - weight);
    return held / mass;
  });
}

export class Chart {
  /** `zoomed(range or null)` is called when somebody zooms; `metric` names the panel; one that is `alone` shares its axis with none. */
  constructor(metric, zoomed, alone = false) {
    this.alone = alone;
    this.metric = metric;
    this.zoomed = zoomed;
    this.form = unit(metric);
    this.key = el("div", { class: "marks" });
    this.body = el("div", { class: "plot" });
    this.tip = el("div", { class: "reading", hidden: true });
    this.title = title(metric);
    this.node = el("figure", { class: "panel", tabindex: 0, "aria-label": `${this.title}: arrow keys walk along it, plus and minus zoom, escape shows all`, on: { keydown: (e) => this.pressed(e) } },
      el("figcaption", {}, el("strong", {}, this.title), this.key), this.body, this.tip);
    this.plot = null;
    this.shape = "";
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.body);
  }

  leave() {
    this.watch.disconnect();
    if (this.plot) this.plot.destroy();
    this.plot = null;
  }

  /** `series`: [{key, label, colour, dash, faint, x, y}]; `view`: {by, log, smooth, zoom}. */
  show(series, view) {
    this.view = view;
    const tables = [];
    const lines = [];
    for (const s of series) {
      const y = view.log ? s.y.map((v) => (v !== null && v <= 0 ? null : v)) : s.y;
      const raw = view.smooth > 0 && y.length > 2;
      tables.push([s.x, raw ? smoothed(y, view.smooth) : y]);
      lines.push(s);
      if (raw) {
        tables.push([s.x, y]);
        lines.push({ ...s, faint: true, shadow: true, key: s.key + " raw" });
      }
    }
    const data = tables.length ? uPlot.join(tables) : [[]];
    this.lines = lines;
    const shape = JSON.stringify([lines.map((s) => [s.key, s.colour, s.dash, s.faint]), view.by, view.log, document.documentElement.dataset.dark]);
    if (shape !== this.shape || !this.plot) {
      this.shape = shape;
      this.make(lines, view, data);
    } else this.plot.setData(data, false);
    this.scale(view.zoom);
    this.legend(lines);
  }

  make(lines, view, data) {
    if (this.plot) this.plot.destroy();
    const axis = { stroke: css("--muted"), grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", gap: 6 };
    const width = Math.max(200, this.body.clientWidth);
    const places = view.by === "seconds" ? (u, splits) => splits.map((v) => clock(v)) : (u, splits) => splits.map(short);
    this.plot = new uPlot({
      width, height: HEIGHT, padding: [10, 24, 0, 0], legend: { show: false },
      cursor: {
        ...(this.alone ? {} : { sync: { key: sync.key, scales: ["x", null] } }), drag: { x: !this.alone, y: false, setScale: false }, focus: { prox: lines.length > 4 ? 24 : -1 },
        points: { size: 6, fill: (u, i) => lines[i - 1].colour, stroke: () => css("--card"), width: 1.5 },
        dataIdx: (u, i, at) => near(u.data[i], at),
      },
      scales: { x: { time: false, auto: false }, y: { distr: view.log ? 3 : 1, auto: true, range: view.log ? undefined : roomy } },
      axes: [{ ...axis, values: places, size: 30, space: 64 }, { ...axis, values: (u, splits) => splits.map((v) => (v === null ? null : this.form(v))), size: sized, space: 34 }],
      series: [{}, ...lines.map((s) => ({
        stroke: s.faint ? faint(s.colour, s.shadow ? 0.22 : 0.4) : s.colour, width: s.faint ? 1 : 1.8, dash: s.dash, spanGaps: false,
        points: { size: 5, width: 0, fill: s.colour, show: (u, i) => !s.faint && sparse(u, i) },
      }))],
      hooks: {
        setSelect: [(u) => this.selected(u)], setCursor: [(u) => this.point(u)],
        ready: [(u) => { u.over.addEventListener("dblclick", () => this.zoomed(null)); u.over.addEventListener("mouseleave", () => { this.tip.hidden = true; }); }],
      },
    }, data, this.body);
  }

  /** All of it, or the part that was zoomed into. */
  scale(zoom) {
    const x = this.plot.data[0];
    let [low, high] = zoom || [x.length ? x[0] : 0, x.length ? x[x.length - 1] : 1];
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    this.plot.setScale("x", { min: low, max: high });
  }

  resize() {
    const width = this.body.clientWidth;
    if (this.plot && width > 0 && Math.abs(width - this.plot.width) > 1) this.plot.setSize({ width, height: HEIGHT });
  }

  selected(u) {
    const { left, width } = u.select;
    if (width > 4 && u.over.matches(":hover")) this.zoomed([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
    if (width > 0) u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  pressed(event) {
    const u = this.plot;
    if (!u || !u.data[0].length) return;
    const x = u.data[0];
    const { min, max } = u.scales.x;
    const at = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : (min + max) / 2;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      const i = Math.min(x.length - 1, Math.max(0, u.valToIdx(at) + step));
      u.setCursor({ left: u.valToPos(x[i], "x"), top: u.over.clientHeight / 2 });
      this.point(u, true);
    } else if (event.key === "+" || event.key === "=") this.zoomed([at - (at - min) / 2, at + (max - at) / 2]);
    else if (event.key === "-") this.zoomed(this.view.zoom ? [min - (max - min) / 2, max + (max - min) / 2] : null);
    else if (event.key === "Escape" || event.key === "0") this.zoomed(null);
    else return;
    event.preventDefault();
  }

  /** The values at the cursor, of the panel that it is over. */
  point(u, always = false) {
    const over = always || u.over.matches(":hover");
    const at = u.cursor.left;
    if (!over || at === undefined || at < 0 || !u.data[0].length) {
      this.tip.hidden = true;
      return;
    }
    const rows = [];
    this.lines.forEach((s, n) => {
      const i = near(u.data[n + 1], u.posToIdx(at));
      if (!s.shadow && i !== null) rows.push([s, u.data[n + 1][i], u.data[0][i]]);
    });
    if (!rows.length) { this.tip.hidden = true; return; }
    const mean = u.cursor.top >= 0 ? u.posToVal(u.cursor.top, "y") : 0;
    rows.sort((a, b) => b[1] - a[1]);
    const close = rows.reduce((best, r) => (Math.abs(r[1] - mean) < Math.abs(best[1] - mean) ? r : best));
    const shown = rows.length > ROWS ? around(rows, rows.indexOf(close)) : rows;
    const where = u.posToVal(at, "x");
    const name = { step: "step", epoch: "epoch", seconds: "after" }[this.view.by];
    const place = this.view.by === "seconds" ? clock(where) : number(this.view.by === "step" ? Math.round(where) : Number(where.toFixed(2)), 9);
    put(this.tip, el("div", { class: "at" }, `${name} ${place}`),
      shown.map((r) => el("div", { class: r === close && rows.length > 1 ? "row nearest" : "row" }, swatch(r[0]), el("span", {}, r[0].label), el("b", {}, this.form(r[1])))),
      rows.length > shown.length ? el("div", { class: "more" }, `and ${rows.length - shown.length} more`) : null);
    this.tip.hidden = false;
    const left = u.over.offsetLeft + at;
    const wide = this.tip.offsetWidth;
    const room = this.node.clientWidth;
    this.tip.style.left = `${left + 18 + wide < room ? left + 18 : Math.max(4, left - wide - 14)}px`;
    this.tip.style.top = "44px";
  }

  legend(lines) {
    const wanted = lines.filter((s) => s.legend && !s.shadow);
    const seen = new Map(wanted.map((s) => [s.legend, s]));
    const now = JSON.stringify([...seen].map(([k, s]) => [k, s.colour, s.dash]));
    if (now === this.keyed) return;
    this.keyed = now;
    put(this.key, [...seen].map(([text, s]) => el("span", {}, swatch({ ...s, colour: s.neutral ? css("--muted") : s.colour }), text)));
  }
}

export function swatch(s) {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  line.setAttribute("viewBox", "0 0 22 8");
  line.setAttribute("class", "swatch");
  line.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M1 4H21");
  path.setAttribute("stroke", s.faint ? faint(s.colour, 0.45) : s.colour);
  path.setAttribute("stroke-width", s.faint ? "1.6" : "2.6");
  if (s.dash) path.setAttribute("stroke-dasharray", s.dash.join(" "));
  line.append(path);
  return line;
}

const short = (v) => (v >= 1e6 ? `${Number((v / 1e6).toPrecision(4))}M` : v >= 1e5 ? `${Number((v / 1e3).toPrecision(4))}k` : number(v, 6));

/** The nearest place that has a value. */
function near(values, at) {
  if (!values || at === null || at === undefined) return null;
  for (let d = 0; d < values.length; d += 1) {
    if (values[at - d] !== null && values[at - d] !== undefined) return at - d;
    if (values[at + d] !== null && values[at + d] !== undefined) return at + d;
    if (at - d < 0 && at + d >= values.length) return null;
  }
  return null;
}

function around(rows, at) {
  const first = Math.max(0, Math.min(at - (ROWS >> 1), rows.length - ROWS));
  return rows.slice(first, first + ROWS);
}

function roomy(u, low, high) {
  if (low === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.5;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

function sized(u, values) {
  const longest = (values || []).reduce((n, v) => Math.max(n, v ? String(v).length : 0), 2);
  return 14 + 6.6 * longest;
}

/** Points are drawn where few lie far apart. */
function sparse(u, i) {
  let n = 0;
  const values = u.data[i];
  for (let k = 0; k < values.length; k += 1) {
    if (values[k] !== null && values[k] !== undefined) n += 1;
    if (n > 24) return false;
  }
  return n > 0 && u.over.clientWidth / n > 18;
}
