// One run, or several over each other: how they stand, their curves, and everything else behind tabs.

import { colour } from "./colours.js";
import { Curves } from "./curves.js";
import { el, put, say } from "./dom.js";
import { bar, chief, chip } from "./listing.js";
import { swatch } from "./chart.js";
import { bytes, clock, number, span } from "./text.js";
import { Boundary } from "./boundary.js";
import { Layers } from "./layers.js";
import { Maps } from "./maps.js";
import { Mistakes } from "./mistakes.js";
import { Network } from "./network.js";
import { Samples } from "./samples.js";
import { About, Differences, Spec } from "./tabs.js";

const TABS = [
  ["curves", "Curves"], ["differences", "Differences", Differences], ["network", "Network", Network], ["layers", "Layers", Layers], ["samples", "Samples", Samples],
  ["mistakes", "Mistakes", Mistakes], ["maps", "Maps", Maps], ["boundary", "Boundary", Boundary], ["spec", "Spec", Spec], ["about", "About", About],
];

export class Board {
  constructor(main, crumbs, ids, tab) {
    this.ids = [...new Set(ids)].slice(0, 64);
    this.runs = new Map(this.ids.map((id, n) => [id, { n, label: id, colour: colour(n), shown: true }]));
    this.current = this.ids[0];
    this.curves = new Curves(this.ids, this.runs);
    this.crumbs = crumbs;
    this.banner = el("div", { class: "banners", role: "status" });
    this.head = el("section", { class: "summary" });
    this.tabs = el("div", { class: "tabbar", role: "tablist" });
    this.body = el("div", { class: "body", role: "tabpanel" });
    this.parts = new Map();
    main.append(el("section", { class: "page" }, this.head, this.banner, this.tabs, this.body));
    put(crumbs, el("span", {}, "›"), el("span", { class: "here" }, this.ids.length === 1 ? "…" : `${this.ids.length} runs`));
    this.names = TABS.filter(([key]) => key !== "differences" || this.ids.length > 1);
    this.buttons = new Map(this.names.map(([key, text]) => [key, el("button", { type: "button", role: "tab", id: "tab-" + key, on: { click: () => this.choose(key), keydown: (e) => this.walk(e, key) } }, text)]));
    put(this.tabs, [...this.buttons.values()]);
    this.choose(this.buttons.has(tab) ? tab : "curves", false);
  }

  leave() {
    this.curves.leave();
    for (const part of this.parts.values()) if (part.leave) part.leave();
  }

  repaint() {
    this.ids.forEach((id, n) => { this.runs.get(id).colour = colour(n); });
    this.drawn = "";
    this.summary();
    this.curves.draw();
  }

  walk(event, key) {
    const keys = [...this.buttons.keys()];
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = keys[(keys.indexOf(key) + step + keys.length) % keys.length];
    this.choose(next);
    this.buttons.get(next).focus();
  }

  choose(key, write = true) {
    this.tab = key;
    for (const [k, button] of this.buttons) {
      button.setAttribute("aria-selected", String(k === key));
      button.tabIndex = k === key ? 0 : -1;
    }
    const chosen = this.buttons.get(key); // on a narrow page the bar is scrolled to it
    this.tabs.scrollLeft = chosen.offsetLeft - this.tabs.offsetLeft - (this.tabs.clientWidth - chosen.offsetWidth) / 2;
    if (write) history.replaceState(null, "", `#/runs/${this.ids.join(",")}${key === "curves" ? "" : "/" + key}`);
    this.show();
  }

  show() {
    if (this.tab === "curves") {
      put(this.body, this.curves.node);
      return;
    }
    const part = this.part();
    put(this.body, this.ids.length > 1 && this.tab !== "differences" ? this.picker() : null, part.node);
    this.follow(part);
  }

  /** What tabs know of each other. */
  context = {
    chosen: { split: "", row: 0 },
    known: new Map(),
    which: "", // the weights that are looked at: "last", "best", or as the tab has it
    own: 0, // how often rows of one's own were chosen here
    run: (id) => this.curves.summaries.get(id),
    splits: (id) => this.context.known.get(id),
    splitsOf: (id, splits) => this.context.known.set(id, splits),
    look: (split, row) => {
      Object.assign(this.context.chosen, { split, row });
      const kept = this.parts.get("maps " + this.current);
      if (kept && kept.about) kept.draw(kept.about);
      this.choose("maps");
    },
  };

  /** What the tab shows of the current run; made when it is first asked for. */
  part() {
    const of = this.tab === "differences" ? this.ids.join(",") : this.current;
    const key = `${this.tab} ${of}`;
    if (!this.parts.has(key)) {
      const Kind = TABS.find(([k]) => k === this.tab)[2];
      this.parts.set(key, new Kind(of, this.tab === "differences" ? this.runs : this.context));
    }
    return this.parts.get(key);
  }

  /** A part asks by itself: what takes long there stops nothing else. */
  follow(part) {
    part.look().catch((error) => { if (error.status === undefined) throw error; });
  }

  picker() {
    return el("label", { class: "picker" }, "Run ", el("select", { on: { change: (e) => { this.current = e.target.value; this.show(); } } },
      this.ids.map((id) => el("option", { value: id, selected: id === this.current }, this.runs.get(id).label))));
  }

  refused(error) {
    put(this.banner, el("p", { class: "banner bad" }, error.message));
    this.failed = true;
  }

  async look() {
    if (!this.ids.length) throw Object.assign(new Error("The address names no run."), { status: 404 });
    const more = await this.curves.look();
    if (this.failed) { put(this.banner); this.failed = false; this.banners = ""; }
    this.summary();
    if (this.tab !== "curves") this.follow(this.part());
    const live = [...this.curves.summaries.values()].some((r) => r.live);
    return more ? 0 : live ? 700 : 2500;
  }

  summary() {
    const runs = this.ids.map((id) => this.curves.summaries.get(id)).filter(Boolean);
    if (!runs.length) return;
    const now = JSON.stringify([runs, [...this.runs.values()]]);
    if (now === this.drawn) return;
    this.drawn = now;
    if (runs.length === 1) {
      say(this.crumbs.lastChild, runs[0].label);
      document.title = `${runs[0].name} · nnspec view`;
      put(this.head, this.one(runs[0]));
    } else put(this.head, this.many(runs));
    this.say(runs);
  }

  one(run) {
    const tile = (title, value, more) => el("div", { class: "tile" }, el("span", {}, title), el("b", {}, value), more ? el("small", {}, more) : null);
    const curves = this.curves.told.get(run.id);
    const paces = curves && [curves.epochs.pace, curves.steps.pace].filter(Boolean).sort((a, b) => b[0].length - a[0].length);
    const pace = paces && paces.length ? last(paces[0][1]) : undefined; // as the panel has it
    const memory = run.memory ?? (curves && curves.steps.memory ? last(curves.steps.memory[1]) : null);
    const took = curves && last((curves.epochs.took || [[], []])[1]);
    const best = run.best ? `best epoch ${run.best.epoch}` : "";
    return [
      el("div", { class: "title" }, el("h1", {}, run.name), chip(run.state), el("span", { class: "path", title: run.path }, run.path)),
      el("div", { class: "stand" }, bar(run), el("span", {}, run.epochs ? `${number(Math.floor(run.epoch))} of ${number(run.epochs)} epochs` : `${number(Math.floor(run.epoch))} epochs`,
        `, step ${number(run.step)}`, run.steps ? ` of ${number(run.steps)}` : "", run.eta !== null ? `, ${clock(run.eta)} left` : "", best && run.state === "finished" ? `, ${best}` : "")),
      el("div", { class: "tiles" },
        chief(run.metrics, 4).map((name) => tile(name.replace(".", " "), number(run.metrics[name]))),
        run.rate !== null ? tile("learning rate", number(run.rate, 3)) : null,
        pace !== undefined ? tile("time a step", span(pace)) : null,
        pace > 0 && run.batch ? tile("rows a second", number(Number((run.batch / pace).toPrecision(3)))) : null,
        took !== undefined && took !== null ? tile("time an epoch", span(took)) : null,
        memory !== null && memory !== undefined ? tile("memory", bytes(memory)) : null),
    ];
  }

  many(runs) {
    const names = chief(Object.assign({}, ...runs.map((r) => r.metrics)), 4);
    const best = new Map(names.map((name) => [name, extreme(runs.map((r) => r.metrics[name]), name)]));
    const all = runs.every((r) => this.runs.get(r.id).shown);
    const toggle = (id, on) => { this.runs.get(id).shown = on; this.drawn = ""; this.summary(); this.curves.draw(); };
    return el("div", { class: "runlist", tabindex: 0, role: "region", "aria-label": "runs" }, el("table", {},
      el("thead", {}, el("tr", {},
        el("th", {}, el("input", { type: "checkbox", checked: all, "aria-label": "show all", on: { change: (e) => { for (const r of this.runs.values()) r.shown = e.target.checked; this.drawn = ""; this.summary(); this.curves.draw(); } } })),
        el("th", {}, "run"), el("th", {}, "state"), el("th", { class: "num" }, "epochs"), names.map((n) => el("th", { class: "num" }, n.replace(".", " "))))),
      el("tbody", {}, runs.map((r) => {
        const own = this.runs.get(r.id);
        return el("tr", { class: own.shown ? "" : "off", "data-run": r.id },
          el("td", {}, el("input", { type: "checkbox", checked: own.shown, "aria-label": `show ${own.label}`, on: { change: (e) => toggle(r.id, e.target.checked) } })),
          el("td", {}, swatch({ colour: own.colour }), el("a", { href: "#/runs/" + r.id, title: r.path }, own.label)),
          el("td", {}, chip(r.state)),
          el("td", { class: "num" }, `${number(Math.floor(r.epoch))}${r.epochs ? " / " + number(r.epochs) : ""}`),
          names.map((n) => el("td", { class: "num" + (r.metrics[n] !== undefined && r.metrics[n] === best.get(n) ? " best" : "") }, number(r.metrics[n]))));
      }))));
  }

  /** What a person should not have to find out: why a run stands still. */
  say(runs) {
    const lines = [];
    for (const run of runs) {
      const who = runs.length > 1 ? `${this.runs.get(run.id).label}: ` : "";
      const texts = {
        numbers: `The run stopped on numbers. ${run.message}`,
        failed: `The run failed. ${run.message}`,
        interrupted: `${run.message || "The run was interrupted"}. nnspec run … --resume continues it.`,
        dead: "The process of this run is gone, and it left no word. What it saved last can be resumed.",
        gone: "The folder of this run is not there any more. What was read of it stays here.",
      };
      if (texts[run.state]) lines.push([run.state, who + texts[run.state]]);
    }
    const now = JSON.stringify(lines);
    if (now === this.banners) return;
    this.banners = now;
    put(this.banner, lines.slice(0, 6).map(([state, text]) => el("p", { class: `banner ${["numbers", "failed"].includes(state) ? "bad" : "warn"}` }, text)));
  }
}

function last(values) {
  for (let i = values.length - 1; i >= 0; i -= 1) if (values[i] !== null) return values[i];
  return undefined;
}

/** The best of a row, where it is known what is better. */
function extreme(values, name) {
  const numbers = values.filter((v) => typeof v === "number");
  if (numbers.length < 2) return undefined;
  const less = /(^|[._/])(loss|mse|mae|rmse|error)(_\d+)?$/.test(name);
  const more = /(accuracy|f1|auc|precision|recall|r2|iou|top_k)(_\d+)?$/.test(name);
  return less ? Math.min(...numbers) : more ? Math.max(...numbers) : undefined;
}
