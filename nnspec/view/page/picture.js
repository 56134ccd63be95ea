// The interactive picture of a network. A page embeds it with
//
//   import { picture } from "./picture.js";
//   const shown = picture(element, data, { badges: { "stage_1/conv2d_1": { lines: ["mean 0.1"], bars: [1, 4, 2], tone: "warn" } }, onSelect });
//
// where `data` is what nnspec.view.html.data gives as JSON. Options, all of them optional:
//   badges    by path of a layer or a frame: up to three `lines` of text, `bars` (numbers from 0 up), `tone`: good, warn, bad or info
//   onSelect  called with `{kind, path}` of the layer or frame that was chosen, or null
//   panel     false: without the panel of details            hash   true: the page is the picture's: frames and choice are kept in
//             location.hash, and keys are heard wherever the focus is
//   wheel     "ctrl": the wheel zooms only with Ctrl held    theme  "light" or "dark" instead of the system's
// What is given back has `select(path)`, `setBadges(badges)`, `all(open)`, `fit()`, `setTheme(name)`, `relayout()`, `destroy()`.

import { Details } from "./details.js";
import { plain } from "./dom.js";
import { spoken } from "./draw.js";
import { furnish } from "./furniture.js";
import { listen, neighbour, sheet } from "./keys.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { fromHash, toHash } from "./state.js";
import { Tip } from "./tip.js";
import { Uses } from "./uses.js";

export function picture(element, data, options = {}) {
  return new Picture(element, data, options);
}

class Picture {
  constructor(element, data, options) {
    Object.assign(this, { data, options, chosen: null });
    const colour = (name) => getComputedStyle(this.root).getPropertyValue(name).trim() || "#888888";
    this.stage = new Stage(data, { badges: options.badges, wheel: options.wheel, colour, onMove: () => this.tip?.hide() });
    this.search = new Search(data, { onHits: (hits) => this.stage.mark(hits), onJump: (hit) => this.jump(hit), onLeave: (hit) => this.leaveSearch(hit) });
    this.details = new Details(data, { go: (kind, index) => this.jump({ kind, index }), toggle: (frame) => this.toggle(frame), isOpen: (frame) => this.stage.open.has(frame), onClose: () => this.escape() });
    this.tip = new Tip(this.stage.view);
    this.uses = new Uses(data);
    this.sheet = sheet(data.legend);
    Object.assign(this, furnish(this));
    element.replaceChildren(this.root);
    const linked = options.hash ? fromHash(data, location.hash) : { open: null, chosen: null };
    this.stage.begin(linked.open);
    if (linked.chosen) this.choose(linked.chosen);
    this.watch();
  }

  watch() {
    const { view } = this.stage;
    this.ends = new AbortController();
    const { signal } = this.ends, on = (target, name, hear) => target.addEventListener(name, hear, { signal });
    on(view, "click", (event) => this.clicked(event));
    on(view, "dblclick", (event) => this.stage.known(event.target) ?? this.stage.camera.zoom(1.7, ...this.stage.camera.point(event), true));
    on(view, "focusin", (event) => event.target.matches(":focus-visible") && this.focused(event.target));
    on(view, "pointermove", (event) => this.hover(event));
    on(view, "pointerleave", () => this.hover({}));
    on(window, "beforeprint", () => this.printing(true));
    on(window, "afterprint", () => this.printing(false));
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.stage.map());
    if (this.options.hash) on(window, "hashchange", () => this.follow());
    this.resizing = new ResizeObserver(() => this.stage.resized(!this.details.element.hidden));
    this.resizing.observe(view);
    listen(this.options.hash ? document : this.root, view, signal, this.acts());
  }

  acts() {
    const { camera } = this.stage;
    return {
      walk: (direction) => this.walk(direction), enter: () => this.enter(), details: () => this.chosen && this.choose(this.chosen), collapse: () => this.collapse(), expand: () => this.expand(),
      all: (open) => this.all(open), search: () => this.search.focus(), zoom: (factor) => camera.zoom(factor, undefined, undefined, true), fit: () => this.fit(), theme: () => this.turn(),
      escape: () => this.escape(), help: () => this.sheet.showModal(), pan: (dx, dy) => camera.set(camera.x + dx, camera.y + dy, camera.k),
    };
  }

  // Frames.

  toggle(frame) {
    if (this.stage.open.has(frame) && this.stage.within(this.chosen, frame)) this.stage.chosen = this.chosen = { kind: "frame", index: frame };
    const opens = this.stage.toggle(frame);
    this.say(`${this.data.frames[frame].label} ${opens ? "opened" : "closed"}`);
    if (this.chosen && !this.details.element.hidden) this.details.show(this.chosen.kind, this.chosen.index);
    this.keep();
  }

  all(open) {
    const { stage } = this;
    stage.open = new Set(open ? this.data.frames.keys() : []);
    for (let at = stage.home(this.chosen); !open && at >= 0; at = this.data.frames[at].frame) stage.chosen = this.chosen = { kind: "frame", index: at };
    stage.render();
    stage.fit();
    this.say(open ? "all frames opened" : "all frames closed");
    this.keep();
  }

  collapse() {
    const { chosen, stage } = this, frame = chosen?.kind === "frame" && stage.open.has(chosen.index) ? chosen.index : stage.home(chosen);
    if (frame < 0) return;
    this.toggle(frame);
    this.choose({ kind: "frame", index: frame }, { panel: false, focus: true });
  }

  expand() {
    if (this.chosen?.kind === "frame" && !this.stage.open.has(this.chosen.index)) this.toggle(this.chosen.index);
  }

  // Choosing.

  /** Chooses a thing: its edges are told apart, its details shown where there is a panel. */
  choose(thing, { panel = true, focus = false } = {}) {
    const { kind, index } = thing;
    this.chosen = thing;
    this.stage.emphasise(thing);
    if (panel || !this.details.element.hidden) this.details.show(kind, index);
    if (focus) this.stage.elementOf(kind, index)?.focus({ preventScroll: true });
    this.keep();
    this.options.onSelect?.({ kind, path: (kind === "node" ? this.data.nodes : this.data.frames)[index].path });
  }

  /** Chooses a thing wherever it is, and looks at it. */
  jump(thing) {
    this.stage.reveal(thing);
    this.choose(thing, { panel: false });
    this.stage.look(thing, 0.7);
  }

  clicked(event) {
    if (this.stage.camera.moved) return;
    const found = this.stage.known(event.target);
    if (!found) this.drop();
    else if (found.kind === "frame" && (event.target.closest(".toggle") || !this.stage.open.has(found.index))) {
      this.toggle(found.index);
      this.stage.elementOf("frame", found.index)?.focus({ preventScroll: true });
    } else this.choose(found);
  }

  focused(element) {
    const found = this.stage.known(element);
    if (!found) return;
    this.choose(found, { panel: false });
    this.stage.look(found);
  }

  hover(event) {
    if (event.pointerType === "touch" || event.buttons) return;
    const found = this.stage.known(event.target), edge = found ? null : event.target?.closest?.(".edge");
    this.stage.follow(edge);
    if (found) this.tip.show(found.kind, (found.kind === "node" ? this.data.nodes : this.data.frames)[found.index], event);
    else if (edge) this.tip.show("value", this.uses.of(this.stage.carried(edge)), event);
    else this.tip.hide();
  }

  /** Follows an arrow key from what has the keyboard; says whether anything had. From an open frame, down leads into it. */
  walk(direction) {
    const { stage } = this, here = stage.known(document.activeElement);
    if (!here) return false;
    const boxes = new Map([...stage.spots].filter(([vertex]) => vertex.kind === "node" || !stage.open.has(vertex.ref)));
    let next = stage.vertexOf(here.kind, here.index);
    if (boxes.has(next)) next = neighbour(stage.drawn.edges, boxes, next, direction);
    else next = direction === "down" ? [...boxes.keys()].find((vertex) => stage.within({ kind: vertex.kind, index: vertex.ref }, here.index)) : null;
    if (next) this.choose({ kind: next.kind, index: next.ref }, { panel: false, focus: true });
    if (this.chosen) stage.look(this.chosen);
    return true;
  }

  enter() {
    const found = this.stage.known(document.activeElement);
    if (found?.kind === "frame") {
      this.toggle(found.index);
      this.choose(found, { panel: false, focus: true });
      this.stage.look(found);
    } else if (found) {
      this.choose(found);
      this.say(spoken(this.data.nodes[found.index]));
    }
  }

  escape() {
    if (!this.details.element.hidden) {
      this.details.hide();
      if (this.chosen) this.stage.elementOf(this.chosen.kind, this.chosen.index)?.focus({ preventScroll: true });
    } else if (this.search.input.value) this.search.clear();
    else this.drop();
  }

  drop() {
    this.chosen = null;
    this.details.hide();
    this.stage.emphasise(null);
    this.keep();
    this.options.onSelect?.(null);
  }

  leaveSearch(hit) {
    if (hit) this.choose(hit, { panel: false, focus: true });
    else this.stage.view.focus({ preventScroll: true });
  }

  // Theme, link, and what is said aloud.

  turn() {
    const { theme } = this.root.dataset;
    this.setTheme((theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches) ? "light" : "dark");
  }

  /** Paper is light, whatever the screen is. */
  printing(starts) {
    const { dataset } = this.root;
    if (starts) this.theme = dataset.theme;
    if (starts) dataset.theme = "light";
    else if (this.theme) dataset.theme = this.theme;
    else delete dataset.theme;
    this.stage.printing(starts);
  }

  say(text) {
    this.said.textContent = plain(text);
  }

  keep() {
    if (!this.options.hash) return;
    const hash = toHash(this.data, this.stage.open, this.chosen);
    if (hash === location.hash.slice(1)) return;
    try {
      history.replaceState(null, "", `#${hash}`);
    } catch {
      // a page that may not have a history is shown all the same
    }
  }

  follow() {
    const { open, chosen } = fromHash(this.data, location.hash);
    if (open) this.stage.open = open;
    this.stage.render();
    if (chosen) this.jump(chosen);
  }

  // For the page around it.

  select(path) {
    for (const [kind, all] of [["node", this.data.nodes], ["frame", this.data.frames]]) {
      const index = all.findIndex((one) => one.path === path);
      if (index >= 0) return this.jump({ kind, index });
    }
  }

  setBadges(badges) {
    this.stage.badge(badges);
  }

  setTheme(name) {
    this.root.dataset.theme = name;
    this.stage.map();
  }

  fit() {
    this.stage.fit();
  }

  relayout() {
    this.stage.camera.measure();
    this.stage.relayout();
  }

  destroy() {
    this.ends.abort();
    this.resizing.disconnect();
    this.root.remove();
  }
}
