// All runs, the newest first; those of a sweep or of folds stand together; some can be chosen and laid over each other.

import { ask } from "./api.js";
import { el, put } from "./dom.js";
import { STATES, ago, clock, number } from "./text.js";

export function chip(state) {
  return el("span", { class: "chip", "data-state": state }, el("i", { "aria-hidden": "true" }), STATES[state] || state);
}

export function bar(run) {
  const share = run.epochs ? Math.min(1, run.epoch / run.epochs) : 0;
  return el("div", { class: "meter", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share), "aria-label": "epochs done", "data-state": run.state },
    el("i", { style: { width: `${100 * share}%` } }));
}

/** What a trial of a sweep sets. */
export const trial = (run) => Object.entries(run.settings).map(([k, v]) => `${k.split(".").pop()} ${v}`).join(", ");

/** The few metrics that say most: of the rows that were held out, where there are any. */
export function chief(metrics, most = 3) {
  const names = Object.keys(metrics);
  const rank = (n) => (n.startsWith("test.") ? 0 : n.startsWith("validation.") ? 1 : 2) + (n.endsWith(".loss") ? 0.5 : 0);
  const seen = new Set();
  return names.sort((a, b) => rank(a) - rank(b)).filter((n) => {
    const what = n.slice(n.indexOf(".") + 1);
    return !seen.has(what) && seen.add(what);
  }).slice(0, most);
}

export class Listing {
  constructor(main, crumbs) {
    this.chosen = new Set();
    this.told = null;
    put(crumbs);
    this.head = el("div", { class: "head" });
    this.list = el("div", { class: "list" });
    this.button = el("button", { type: "button", class: "main", disabled: true, on: { click: () => this.open([...this.chosen]) } }, "Show over each other");
    this.filter = el("input", { type: "search", placeholder: "Search runs", "aria-label": "Search runs", on: { input: () => this.draw() } });
    main.append(el("section", { class: "page" }, el("div", { class: "head" }, el("h1", {}, "Runs"), this.filter, el("span", { class: "grow" }), this.button), this.list));
  }

  leave() {}
  repaint() {}
  open(ids) { if (ids.length) location.hash = "#/runs/" + ids.join(","); }

  async look() {
    const told = await ask("runs");
    if (told !== this.told) {
      this.told = told;
      this.draw();
    }
    return told.runs.some((r) => r.live) ? 1000 : 2000;
  }

  draw() {
    const told = this.told;
    if (!told) return;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (run) => words.every((w) => `${run.name} ${run.label} ${STATES[run.state]}`.toLowerCase().includes(w));
    const runs = told.runs.filter(fits);
    const here = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : null;
    const sections = [];
    const placed = new Map();
    for (const run of runs) {
      const group = told.groups[run.group];
      if (!group) { sections.push(this.row(run)); continue; }
      if (!placed.has(run.group)) {
        const body = el("div", { class: "rows" });
        placed.set(run.group, [body, []]);
        sections.push(this.group(group, body, placed.get(run.group)[1]));
      }
      const [body, ids] = placed.get(run.group);
      ids.push(run.id);
      body.append(this.row(run));
    }
    put(this.list, sections.length ? sections : this.nothing(told));
    if (here) for (const node of this.list.querySelectorAll("[data-key]")) if (node.dataset.key === here) node.focus({ preventScroll: true });
    this.button.disabled = this.chosen.size < 1;
    this.button.textContent = this.chosen.size > 1 ? `Show ${this.chosen.size} over each other` : "Show over each other";
  }

  nothing(told) {
    if (told.runs.length) return el("p", { class: "empty" }, "No run fits the search.");
    return el("div", { class: "empty" }, el("p", {}, "No runs yet in ", told.roots.map((r) => el("code", {}, r)), "."),
      el("p", {}, el("code", {}, "nnspec run SPEC"), " starts one; it appears here by itself."));
  }

  group(group, body, ids) {
    const kind = group.kind === "sweep" ? "sweep" : "folds";
    return el("section", { class: "group" },
      el("header", {}, el("span", { class: "tag" }, kind), el("strong", {}, group.label),
        el("span", { class: "grow" }), el("button", { type: "button", class: "quiet", "data-key": "all " + group.path, on: { click: () => this.open(ids) } }, "Show all over each other")),
      body);
  }

  row(run) {
    const toggle = (event) => {
      if (event.target.checked) this.chosen.add(run.id);
      else this.chosen.delete(run.id);
      this.draw();
    };
    const place = trial(run) || run.label;
    const progress = run.epochs ? `${Math.floor(run.epoch)} of ${run.epochs} epochs` : run.epoch ? `${Math.floor(run.epoch)} epochs` : "";
    return el("div", { class: "run", "data-run": run.id },
      el("label", { class: "pick" }, el("input", { type: "checkbox", checked: this.chosen.has(run.id), "aria-label": `choose ${run.label}`, "data-key": "pick " + run.id, on: { change: toggle } })),
      el("a", { class: "what", href: "#/runs/" + run.id, "data-key": "open " + run.id, title: run.path }, el("strong", {}, run.name), el("span", {}, place)),
      chip(run.state),
      el("div", { class: "progress" }, bar(run), el("span", {}, progress, run.eta ? `, ${clock(run.eta)} left` : "")),
      el("dl", { class: "metrics" }, chief(run.metrics).map((name) => el("div", {}, el("dt", {}, name.replace(".", " ")), el("dd", {}, number(run.metrics[name]))))),
      el("time", { class: "when" }, ago(run.updated)));
  }
}
