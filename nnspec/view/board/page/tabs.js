// What stands behind the tabs and is no curve: the network, tables of classes, the spec, what runs differ in, where they ran.

import { ask } from "./api.js";
import { el, put } from "./dom.js";
import { number } from "./text.js";

/** One tab of one run: asks for its part, and draws when it has changed. */
class Part {
  constructor(id) {
    this.id = id;
    this.node = el("div", { class: "part" }, el("p", { class: "empty" }, "Reading …"));
    this.told = null;
  }

  path() { return `run/${this.id}`; }

  async look() {
    let told;
    try {
      told = await ask(this.path());
    } catch (error) {
      if (error.status !== 422 && error.status !== 500) throw error;
      told = error.message;
    }
    if (told === this.told) return;
    this.told = told;
    if (typeof told === "string") put(this.node, el("pre", { class: "banner warn" }, told));
    else this.draw(told);
  }
}

export class Spec extends Part {
  draw(told) {
    if (told.spec === null) put(this.node, el("p", { class: "empty" }, "There is no spec in the run's folder."));
    else put(this.node, el("pre", { class: "code", tabindex: 0 }, told.spec.split("\n").map((line, n, all) => (n === all.length - 1 && !line ? null : el("span", { class: "line" }, marked(line), "\n")))));
  }
}

/** A line of YAML with its comment and its key in their colours. */
function marked(line) {
  const found = /^(\s*(?:- )?)([A-Za-z_][\w.-]*)(:)(?=\s|$)/.exec(line);
  const comment = line.search(/(^|\s)#/);
  const end = comment < 0 ? line.length : comment;
  const parts = found && found[0].length <= end ? [found[1], el("b", {}, found[2]), line.slice(found[1].length + found[2].length, end)] : [line.slice(0, end)];
  return comment < 0 ? parts : [...parts, el("i", {}, line.slice(end))];
}

export class About extends Part {
  draw(told) {
    const rows = (title, content) => (content && Object.keys(content).length
      ? el("section", { class: "card" }, el("h2", {}, title), el("dl", { class: "pairs" }, Object.entries(content).map(([k, v]) => el("div", {}, el("dt", {}, k.replaceAll("_", " ")), el("dd", {}, plain(v))))))
      : null);
    const { command, ...rest } = told.environment;
    put(this.node, el("div", { class: "cards" },
      rows("Environment", rest),
      rows("Result", told.result && { ...told.result.metrics, ...(told.result.stop ? { stop: told.result.stop } : {}), ...(told.result.best ? { "best epoch": told.result.best.epoch } : {}) }),
      rows("Data", told.data && { source: told.data.source, rows: told.data.rows, targets: told.data.targets, split: told.data.split }),
      command ? el("section", { class: "card wide" }, el("h2", {}, "Command"), el("pre", { class: "code" }, plain(command))) : null));
  }
}

function plain(value) {
  if (typeof value === "number") return number(value, 7);
  if (Array.isArray(value)) return value.map(plain).join(value.some((v) => typeof v === "object") ? "; " : " ");
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k}: ${plain(v)}`).join(", ");
  return value === null ? "–" : String(value);
}

export class Tables extends Part {
  draw(told) {
    const names = Object.keys(told.tables).filter((n) => Array.isArray(told.tables[n]) && told.tables[n].every(Array.isArray));
    if (!names.length) {
      put(this.node, el("div", { class: "empty" }, el("p", {}, "This run has no confusion matrix yet."), el("p", {}, "A spec with ", el("code", {}, "metrics: [accuracy, confusion]"), " has one when it is at its end.")));
      return;
    }
    put(this.node, el("div", { class: "cards" }, names.map((name) => el("section", { class: "card wide" }, el("h2", {}, name.replace(".", " ")), matrix(told.tables[name], classes(told, told.tables[name].length))))));
  }
}

/** The classes of the target that has as many. */
function classes(told, many) {
  const columns = (told.data && told.data.columns) || [];
  const targets = (told.data && told.data.targets) || [];
  const fits = columns.filter((c) => Array.isArray(c.classes) && c.classes.length === many);
  const found = fits.find((c) => targets.includes(c.name)) || fits[0];
  return found ? found.classes.map(String) : Array.from({ length: many }, (_, n) => String(n));
}

/** Rows are what was right, columns what was said; a cell's colour is its share of its row. */
export function matrix(table, names) {
  const sums = table.map((row) => row.reduce((a, b) => a + b, 0));
  const few = table.length <= 30;
  const cell = (v, r, c) => {
    const share = sums[r] ? v / sums[r] : 0;
    const title = `${names[r]} taken for ${names[c]}: ${number(v)} of ${number(sums[r])} (${number(100 * share, 3)}%)`;
    return el("td", { title, class: (r === c ? "right" : "wrong") + (share > 0.55 ? " strong" : ""), style: { "--share": String(Math.round(1000 * Math.sqrt(share)) / 1000) } }, few ? (v ? number(v) : "") : "");
  };
  return el("div", { class: "scroll", tabindex: 0 }, el("table", { class: few ? "matrix" : "matrix small" },
    el("caption", {}, "rows: what was right, columns: what the network said"),
    el("thead", {}, el("tr", {}, el("td", {}), names.map((n) => el("th", { scope: "col" }, el("span", {}, n))), el("th", { scope: "col" }, el("span", {}, "right")))),
    el("tbody", {}, table.map((row, r) => el("tr", {}, el("th", { scope: "row" }, names[r]), row.map((v, c) => cell(v, r, c)),
      el("td", { class: "share" }, sums[r] ? `${number((100 * row[r]) / sums[r], 3)}%` : "–"))))));
}

export class Network extends Part {
  path() { return `run/${this.id}/network`; }
  draw(told) {
    const image = el("img", { class: "network", alt: "the network: layers, shapes and parameters", src: "data:image/svg+xml;charset=utf-8," + encodeURIComponent(told.svg) });
    put(this.node, el("div", { class: "paper", tabindex: 0 }, image));
  }
}

export class Differences extends Part {
  constructor(ids, runs) {
    super(ids.join(","));
    this.ids = ids;
    this.runs = runs;
  }

  async look() {
    let told;
    try {
      told = await ask("compare", { runs: this.id });
    } catch (error) {
      if (error.status !== 422 && error.status !== 500) throw error;
      told = error.message;
    }
    if (told === this.told) return;
    this.told = told;
    if (typeof told === "string") put(this.node, el("pre", { class: "banner warn" }, told));
    else this.draw(told);
  }

  draw(told) {
    const head = this.ids.map((id) => el("th", { class: "num" }, this.runs.get(id).label));
    const table = (title, rows, cell) => (Object.keys(rows).length
      ? el("section", { class: "card wide" }, el("h2", {}, title), el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, el("th", {}), head)),
        el("tbody", {}, Object.entries(rows).map(([key, row]) => el("tr", {}, el("th", { scope: "row" }, key), row.map((v) => el("td", { class: "num" }, v === null || v === undefined ? "–" : cell(v)))))))))
      : null);
    const metric = (v) => [number(v.last, 6), v.best !== null && v.best !== v.last ? el("small", {}, ` best ${number(v.best, 6)} at ${v.epoch}`) : null];
    const parts = [table("Metrics", told.metrics, metric), table("Spec", told.spec, plain), table("Parameters", told.parameters, (v) => (v.length ? v.join(" × ") : "scalar")),
      table("Environment", told.environment, plain), table("Rows (digests)", told.data, (v) => String(v).slice(0, 8))].filter(Boolean);
    put(this.node, el("div", { class: "cards" }, parts.length ? parts : el("p", { class: "empty" }, "These runs differ in nothing.")));
  }
}
