// What each layer makes of one row, channel by channel, and what its kernels look like: layer after layer, as one scrolls to it.

import { ask, give } from "./api.js";
import { choice, el, put } from "./dom.js";
import { GIVEN, Inside, called, pixels, sentence } from "./part.js";
import { number } from "./text.js";
import { value } from "./values.js";

const held = { what: "features" };

export class Maps extends Inside {
  constructor(id, context) {
    super(id, context);
    this.strips = new Map();
    this.seenBy = new IntersectionObserver((entries) => entries.forEach((e) => { if (e.isIntersecting) this.fillIn(e.target.dataset.layer); }), { rootMargin: "300px" });
    this.queue = Promise.resolve();
  }

  path() { return `run/${this.id}/about`; }
  leave() { this.seenBy.disconnect(); }

  get chosen() { return this.context.chosen; }

  draw(told) {
    this.about = told;
    this.context.splitsOf(this.id, told.splits);
    const names = Object.keys(told.splits);
    if (!names.includes(this.chosen.split)) Object.assign(this.chosen, { split: [GIVEN, "validation", "test"].find((s) => names.includes(s)) || names[0] || "", row: 0 });
    const pick = el("select", { "aria-label": "rows", "data-key": "rows", on: { change: (e) => { this.chosen.split = e.target.value; this.chosen.row = 0; this.draw(told); } } }, names.map((s) => el("option", { value: s, selected: s === this.chosen.split }, `${called(s)} (${number(told.splits[s])})`)));
    this.sample = el("div", { class: "row-of" });
    this.list = el("div", { class: "strips" });
    put(this.node,
      el("div", { class: "controls" }, choice("what", [["features", "What layers make of it"], ["kernels", "Kernels"]], held.what, (what) => { held.what = what; this.strip(); }),
        names.length ? el("span", { class: "stepper" }, pick, el("button", { type: "button", "aria-label": "row before", "data-key": "before", on: { click: () => this.choose(this.chosen.row - 1) } }, "‹"), this.rows(told), el("button", { type: "button", "aria-label": "next row", "data-key": "next", on: { click: () => this.choose(this.chosen.row + 1) } }, "›")) : null,
        told.pictures ? this.picker() : null, this.kept(), el("span", { class: "hint" }, `${this.which ? "best weights, " : "weights "}of step ${number(told.step)}`)),
      el("div", { class: "banners notes" }, told.notes.concat(told.refused).map((n) => el("p", { class: "banner warn" }, n))), this.said = el("div", { class: "banners notes", role: "status" }), el("div", { class: "inside" }, this.sample, this.list));
    this.strip();
  }

  /** Which row: a number, or a name of one's own. */
  rows(told) {
    const take = { on: { change: (e) => this.choose(Number(e.target.value)) }, "aria-label": "row", "data-key": "row" };
    if (this.chosen.split === GIVEN) this.row = el("select", { class: "names", ...take }, told.given.map((name, n) => el("option", { value: n, selected: n === this.chosen.row }, name)));
    else this.row = el("input", { type: "number", min: 0, max: Math.max(0, (told.splits[this.chosen.split] || 1) - 1), value: this.chosen.row, ...take });
    return this.row;
  }

  /** A button that takes an image of one's own; it stays in the memory of nnspec view. */
  picker() {
    const file = el("input", { type: "file", accept: "image/png,image/jpeg,image/gif,image/bmp,image/webp", hidden: true, on: { change: () => { if (file.files.length) this.take(file.files[0]); } } });
    return el("span", {}, file, el("button", { type: "button", "data-key": "own", title: "it stays on this machine, in the memory of nnspec view", on: { click: () => file.click() } }, "Image of your own …"));
  }

  async take(file) {
    try {
      await give(file);
      Object.assign(this.chosen, { split: GIVEN, row: 0 });
      this.context.own += 1;
      this.again();
    } catch (error) {
      put(this.said, el("p", { class: "banner bad" }, error.message));
    }
  }

  choose(row) {
    const many = this.about.splits[this.chosen.split] || 1;
    this.chosen.row = Math.max(0, Math.min(many - 1, Math.round(row) || 0));
    if (this.row.localName === "input") this.row.max = many - 1;
    this.row.value = this.chosen.row;
    this.strip();
  }

  /** A place for every layer; what is in sight is asked for, one after another. */
  strip() {
    this.turn = (this.turn || 0) + 1;
    this.seenBy.disconnect();
    const turn = this.turn;
    const before = new Map(this.strips);
    this.strips.clear();
    const parts = this.about.layers.map((layer) => {
      const kept = before.get(layer.name);
      const body = kept && kept.what === held.what ? kept.body : el("div", { class: "tiles-of" }, el("span", { class: "none" }, "…"));
      const node = el("section", { class: "strip", "data-layer": layer.name }, el("header", {}, el("strong", {}, layer.name), el("span", {}, layer.kind), el("code", {}, layer.shape.join(" × ") || "scalar")), body);
      this.strips.set(layer.name, { body, node, turn, done: false, what: held.what });
      this.seenBy.observe(node);
      return node;
    });
    put(this.list, parts);
    this.sample.hidden = held.what !== "features";
    if (held.what === "features" && this.chosen.split) this.say(turn);
  }

  async say(turn) {
    try {
      const told = await ask(`run/${this.id}/row`, { ...this.asks(), split: this.chosen.split, row: this.chosen.row });
      if (turn !== this.turn) return;
      const part = (title, group) => Object.entries(group).map(([name, shown]) => el("div", {}, el("span", { class: "what-of" }, `${title} ${name}`), value(shown, 180)));
      put(this.sample, part("input", told.inputs), part("right", told.targets), part("said", told.answers), told.loss !== null ? el("div", {}, el("span", { class: "what-of" }, "loss"), el("b", {}, number(told.loss, 4))) : null);
    } catch (error) {
      put(this.sample, el("p", { class: "none" }, error.message));
    }
  }

  fillIn(name) {
    const strip = this.strips.get(name);
    if (!strip || strip.done) return;
    strip.done = true;
    const what = held.what;
    this.queue = this.queue.then(async () => {
      if (strip.turn !== this.turn) return;
      try {
        const query = what === "features" ? { layer: name, split: this.chosen.split, row: this.chosen.row } : { layer: name };
        const told = await ask(`run/${this.id}/${what}`, { ...this.asks(), ...query });
        if (strip.turn === this.turn) this.show(strip, told);
      } catch (error) {
        put(strip.body, el("p", { class: "none" }, error.message));
      }
    });
  }

  show(strip, told) {
    if (told.absent) {
      if (held.what === "kernels") strip.node.hidden = true;
      else put(strip.body, el("p", { class: "none" }, sentence(told.absent)));
      return;
    }
    const small = told.tiles.length && Math.max(told.tiles[0].picture.width, told.tiles[0].picture.height) <= 12;
    const size = told.tiles.length === 1 ? 220 : small ? 52 : 72;
    const tiles = told.tiles.map((t) => el("figure", { class: "tile-of" }, pixels(t.picture, `${t.name}: ${number(t.low, 3)} (black) to ${number(t.high, 3)} (white)`, size)));
    const rest = told.of - told.tiles.length;
    put(strip.body, tiles, told.values && told.values.length ? column(told.values) : null, told.points && told.points.length ? cloud(told.points) : null,
      told.note ? el("small", {}, sentence(told.note)) : null, tiles.length && rest > 0 ? el("small", {}, `and ${number(rest)} more`) : null,
      told.how ? el("small", {}, { input: "each unit's weights, laid out as the picture that it reads", matrix: told.parameter, channels: "a kernel's channels side by side" }[told.how] || "") : null);
  }
}

/** Units without places: a bar each, up or down. */
function column(values) {
  const most = Math.max(...values.map((v) => Math.abs(v || 0))) || 1;
  const shown = values.slice(0, 256);
  return el("div", { class: "units" }, shown.map((v, i) => el("i", { title: `${i}: ${number(v, 4)}`, class: v < 0 ? "down" : "", style: { "--size": String(Math.abs(v || 0) / most) } })), values.length > shown.length ? el("small", {}, `and ${values.length - shown.length} more`) : null);
}

/** Rows of an embedding along their main directions. */
function cloud(points) {
  const known = points.filter((p) => p[1] !== null && p[2] !== null);
  const reach = Math.max(...known.flatMap((p) => [Math.abs(p[1]), Math.abs(p[2])])) || 1;
  return el("div", { class: "cloud" }, known.slice(0, 500).map(([name, x, y]) => el("span", { title: `${name}: ${number(x, 3)}, ${number(y, 3)}`, style: { left: `${50 + (46 * x) / reach}%`, top: `${50 - (46 * y) / reach}%` } }, known.length <= 60 ? name : "·")));
}
