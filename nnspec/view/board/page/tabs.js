// The spec of a run, where it ran, and what runs differ in.

import { el, put } from "./dom.js";
import { Part } from "./part.js";
import { number } from "./text.js";

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
      ? el("section", { class: "sheet" }, el("h2", {}, title), el("dl", { class: "pairs" }, Object.entries(content).map(([k, v]) => el("div", {}, el("dt", {}, k.replaceAll("_", " ")), el("dd", {}, plain(v))))))
      : null);
    const { command, ...rest } = told.environment;
    put(this.node, el("div", { class: "sheets" },
      rows("Environment", rest),
      rows("Result", told.result && { ...told.result.metrics, ...(told.result.stop ? { stop: told.result.stop } : {}), ...(told.result.best ? { "best epoch": told.result.best.epoch } : {}) }),
      rows("Data", told.data && { source: told.data.source, rows: told.data.rows, targets: told.data.targets, split: told.data.split }),
      command ? el("section", { class: "sheet whole" }, el("h2", {}, "Command"), el("pre", { class: "code" }, plain(command))) : null));
  }
}

function plain(value) {
  if (typeof value === "number") return number(value, 7);
  if (Array.isArray(value)) return value.map(plain).join(value.some((v) => typeof v === "object") ? "; " : " ");
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k}: ${plain(v)}`).join(", ");
  return value === null ? "–" : String(value);
}

export class Differences extends Part {
  asks() { return { runs: this.id }; }

  path() { return "compare"; }

  draw(told) {
    const head = () => this.id.split(",").map((id) => el("th", { class: "num" }, this.context.get(id).label));
    const table = (title, rows, cell) => (Object.keys(rows).length
      ? el("section", { class: "sheet whole" }, el("h2", {}, title), el("div", { class: "scroll", tabindex: 0 }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, el("th", {}), head())),
        el("tbody", {}, Object.entries(rows).map(([key, row]) => el("tr", {}, el("th", { scope: "row" }, key), row.map((v) => el("td", { class: "num" }, v === null || v === undefined ? "–" : cell(v)))))))))
      : null);
    const metric = (v) => [number(v.last, 6), v.best !== null && v.best !== v.last ? el("small", {}, ` best ${number(v.best, 6)} at ${v.epoch}`) : null];
    const parts = [table("Metrics", told.metrics, metric), table("Spec", told.spec, plain), table("Parameters", told.parameters, (v) => (v.length ? v.join(" × ") : "scalar")),
      table("Environment", told.environment, plain), table("Rows (digests)", told.data, (v) => String(v).slice(0, 8))].filter(Boolean);
    put(this.node, el("div", { class: "sheets" }, parts.length ? parts : el("p", { class: "empty" }, "These runs differ in nothing.")));
  }
}
