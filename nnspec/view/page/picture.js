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
// What is given back has `select(path)`, `setBadges(badges)`, `open(true | false)`, `fit()`, `setTheme(name)`, `relayout()`, `destroy()`.

import { Camera } from "./camera.js";
import { Cards } from "./cards.js";
import { Details } from "./details.js";
import { html, plain, sign, svg } from "./dom.js";
import { draw, legend, spoken } from "./draw.js";
import { listen, neighbour, sheet } from "./keys.js";
import { layout, tree } from "./layout.js";
import { Minimap } from "./minimap.js";
import { Search } from "./search.js";
import { fromHash, sensible, toHash } from "./state.js";
import { Tip } from "./tip.js";

const SMALLEST = 0.85; // of the scale at which a picture opens that is too large to be seen whole

export function picture(element, data, options = {}) {
  return new Picture(element, data, options);
}

class Picture {
  constructor(element, data, options) {
    Object.assign(this, { data, options, chosen: null, hits: [] });
    this.tree = tree(data);
    this.cards = new Cards(data, new Map(Object.entries(options.badges ?? {})));
    this.furnish(element);
    this.page = this.pageOf();
    const linked = options.hash ? fromHash(data, location.hash) : { open: null, chosen: null };
    this.open = linked.open ?? sensible(data, (open) => this.scaleOf(open));
    this.render();
    this.first();
    if (linked.chosen) this.choose(linked.chosen.kind, linked.chosen.index);
    this.watch();
  }

  // The furniture.

  furnish(element) {
    const { data } = this, button = (label, key, ways, act) => html("button", { type: "button", "aria-label": label, title: key ? `${label} (${key})` : label, onclick: act }, sign(...ways));
    this.world = svg("g", { class: "world" });
    this.view = svg("svg", { class: "view", tabindex: 0, role: "group", "aria-roledescription": "network picture", "aria-label": `Picture of ${data.name}. Arrow keys walk along edges, ? lists the keys.` }, this.world);
    this.search = new Search(data, { onHits: (hits) => this.mark(hits), onJump: (hit) => this.jump(hit), onLeave: (hit) => this.leaveSearch(hit) });
    this.details = new Details(data, { go: (kind, index) => this.jump({ kind, index }), toggle: (frame) => this.toggle(frame), isOpen: (frame) => this.open.has(frame), onClose: () => this.escape() });
    this.camera = new Camera(this.view, this.world, { onTaken: () => (this.fitted = false), onMove: () => this.moved(), bounds: () => this.shown ?? { width: 1, height: 1 }, wheel: this.options.wheel });
    this.minimap = new Minimap(this.camera, (name) => getComputedStyle(this.root).getPropertyValue(name).trim() || "#888");
    this.sheet = sheet();
    this.tip = new Tip(this.view);
    this.said = html("p", { class: "said", role: "status", "aria-live": "polite" });
    const about = html("div", { class: "about" }, html("h1", {}, data.name), html("p", {}, data.heading));
    const frames = data.frames.length ? [button("Close all frames", "Shift C", ["M4 7h12M4 13h12M10 1v4M8 3.6l2 1.8 2-1.8M10 19v-4M8 16.4l2-1.8 2 1.8"], () => this.all(false)), button("Open all frames", "Shift E", ["M4 7h12M4 13h12M10 5.4V1M8 2.6L10 .8l2 1.8M10 14.6V19M8 17.4l2 1.8 2-1.8"], () => this.all(true))] : [];
    const tools = html("div", { class: "tools" }, ...frames, button("Light or dark", "t", ["M10 3.5a6.5 6.5 0 1 0 0 13z", "M10 3.5a6.5 6.5 0 1 1 0 13"], () => this.turn()), button("Print", "", ["M6 7V3h8v4M6 14H3.5V7h13v7H14M6 11.5h8V17H6z"], () => window.print()), button("Keys", "?", ["M7.4 7.2a2.7 2.7 0 1 1 3.8 2.6c-.9.4-1.2 1-1.2 2M10 14.8v.4"], () => this.sheet.showModal()));
    const zooms = html("div", { class: "zooms" }, button("Closer", "+", ["M10 4v12M4 10h12"], () => this.camera.zoom(1.35, undefined, undefined, true)), button("Farther", "−", ["M4 10h12"], () => this.camera.zoom(1 / 1.35, undefined, undefined, true)), button("All of it", "0", ["M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4"], () => this.fit()));
    const stage = html("div", { class: "stage" }, this.view, this.minimap.element, zooms, this.tip.element);
    const bar = html("header", { class: "bar" }, about, this.search.element, tools);
    const kinds = html("ul", { class: "legend", "aria-label": "Colours" }, legend(data));
    this.root = html("div", { class: "nnspec-picture" }, bar, kinds, html("div", { class: "middle" }, stage, this.options.panel === false ? null : this.details.element), this.said, this.sheet);
    if (this.options.theme) this.root.dataset.theme = this.options.theme;
    element.replaceChildren(this.root);
  }

  watch() {
    this.ends = new AbortController();
    const { signal } = this.ends, on = (target, name, hear) => target.addEventListener(name, hear, { signal });
    on(this.view, "click", (event) => this.clicked(event));
    on(this.view, "dblclick", (event) => this.doubled(event));
    on(this.view, "focusin", (event) => event.target.matches(":focus-visible") && this.focused(event.target));
    on(this.view, "pointermove", (event) => this.hover(event));
    on(this.view, "pointerleave", () => this.tip.hide());
    on(window, "beforeprint", () => this.printing(true));
    on(window, "afterprint", () => this.printing(false));
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.map());
    if (this.options.hash) on(window, "hashchange", () => this.follow());
    this.resizing = new ResizeObserver(() => this.resized());
    this.resizing.observe(this.view);
    listen(this.options.hash ? document : this.root, this.view, signal, {
      walk: (direction) => this.walk(direction), enter: () => this.enter(), details: () => this.chosen && this.choose(this.chosen.kind, this.chosen.index),
      collapse: () => this.collapse(), expand: () => this.chosen?.kind === "frame" && !this.open.has(this.chosen.index) && this.toggle(this.chosen.index),
      all: (open) => this.all(open), search: () => (this.search.input.focus(), this.search.input.select()), zoom: (factor) => this.camera.zoom(factor, undefined, undefined, true),
      fit: () => this.fit(), theme: () => this.turn(), escape: () => this.escape(), help: () => this.sheet.showModal(), pan: (dx, dy) => this.camera.set(this.camera.x + dx, this.camera.y + dy, this.camera.k),
    });
  }

  // Layout and drawing.

  pageOf() {
    const { width, height } = this.camera.size;
    return width < 600 ? { aspect: null, tallest: Infinity } : { aspect: width / height, least: Math.max(560, 1.2 * height) };
  }

  laid(open) {
    return layout(this.tree, open, this.cards.of, this.cards.label, this.page);
  }

  scaleOf(open) {
    const { width, height } = this.laid(open), view = this.camera.size;
    return Math.min((view.width - 40) / width, (view.height - 40) / height);
  }

  render() {
    const active = this.view.contains(document.activeElement) ? this.known(document.activeElement) : null;
    this.shown = this.laid(this.open);
    this.drawn = draw(this.world, this.shown, this.cards, this.data);
    this.spots = new Map();
    for (const [index, box] of this.shown.nodes) this.spots.set(this.tree.nodes[index], box);
    for (const boxes of [this.shown.closed, this.shown.frames]) for (const [index, box] of boxes) this.spots.set(this.tree.frames[index], box);
    this.map();
    this.emphasise();
    this.mark(this.hits);
    if (active) this.elementOf(active.kind, active.index)?.focus({ preventScroll: true });
  }

  map() {
    this.minimap.draw(this.shown, (kind, index) => this.data.nodes[index].family);
  }

  /** The first sight: all of it, or, where that would be too small to read, its beginning. */
  first() {
    const [x, y, k] = this.camera.whole(1.25);
    this.fitted = k >= (this.page.tallest ? 0.8 : 0.6);
    if (this.fitted) return this.camera.set(x, y, k);
    const start = this.spots.get(this.tree.nodes[0]) ?? { x: 0, y: 0, width: 0 }, { width } = this.camera.size;
    const wide = this.shown.width * SMALLEST <= width ? (width - this.shown.width * SMALLEST) / 2 : Math.min(24, width / 2 - (start.x + start.width / 2) * SMALLEST);
    this.camera.set(wide, 24, SMALLEST);
  }

  moved() {
    this.minimap.follow();
    this.tip.hide();
  }

  resized() {
    const page = this.pageOf(), ratio = (page.aspect ?? 0) / (this.page.aspect ?? 1);
    const other = this.details.element.hidden && (ratio > 1.5 || ratio < 1 / 1.5) && Boolean(page.aspect || this.page.aspect);
    if (other) this.relayout();
    else if (this.fitted) this.camera.set(...this.camera.whole(1.25));
    else this.camera.set(this.camera.x, this.camera.y, this.camera.k);
    if (!this.fitted && this.chosen) this.look(this.chosen.kind, this.chosen.index);
  }

  // Frames.

  /** Opens or closes a frame; its corner stays where it is in the view. */
  toggle(frame) {
    const opens = !this.open.has(frame), vertex = this.tree.frames[frame], before = this.spots.get(vertex);
    this.open[opens ? "add" : "delete"](frame);
    if (this.chosen && !opens && this.within(this.chosen, frame)) this.chosen = { kind: "frame", index: frame };
    this.render();
    const after = this.spots.get(vertex), { camera } = this;
    if (before && after) camera.set(camera.x + (before.x - after.x) * camera.k, camera.y + (before.y - after.y) * camera.k, camera.k);
    this.fitted = false;
    if (after) camera.show(after);
    this.say(`${this.data.frames[frame].label} ${opens ? "opened" : "closed"}`);
    if (this.chosen && !this.details.element.hidden) this.details.show(this.chosen.kind, this.chosen.index);
    this.keep();
  }

  all(open) {
    this.open = new Set(open ? this.data.frames.keys() : []);
    for (let at = this.home(this.chosen); !open && at >= 0; at = this.data.frames[at].frame) this.chosen = { kind: "frame", index: at };
    this.render();
    this.fit();
    this.say(open ? "all frames opened" : "all frames closed");
    this.keep();
  }

  home(chosen) {
    return chosen ? (chosen.kind === "node" ? this.data.nodes : this.data.frames)[chosen.index].frame : -1;
  }

  within(chosen, frame) {
    for (let at = this.home(chosen); at >= 0; at = this.data.frames[at].frame) if (at === frame) return true;
    return false;
  }

  /** Opens what hides it. */
  reveal(kind, index) {
    let hidden = false;
    for (let at = this.home({ kind, index }); at >= 0; at = this.data.frames[at].frame) {
      hidden ||= !this.open.has(at);
      this.open.add(at);
    }
    if (hidden) this.render();
  }

  collapse() {
    const frame = this.chosen?.kind === "frame" && this.open.has(this.chosen.index) ? this.chosen.index : this.home(this.chosen);
    if (frame < 0) return;
    this.toggle(frame);
    this.choose("frame", frame, { panel: false, focus: true });
  }

  // Choosing.

  /** Chooses a layer or frame: its edges are told apart, its details shown where there is a panel. */
  choose(kind, index, { panel = true, focus = false } = {}) {
    this.chosen = { kind, index };
    this.emphasise();
    if (panel || !this.details.element.hidden) this.details.show(kind, index);
    if (focus) this.elementOf(kind, index)?.focus({ preventScroll: true });
    this.keep();
    this.options.onSelect?.({ kind, path: (kind === "node" ? this.data.nodes : this.data.frames)[index].path });
  }

  jump({ kind, index }) {
    this.reveal(kind, index);
    this.choose(kind, index, { panel: !this.details.element.hidden });
    this.look(kind, index, 0.7);
  }

  look(kind, index, least = 0) {
    const box = this.spots.get(this.vertexOf(kind, index));
    if (box) this.camera.show(box, { right: 0, bottom: 0 }, least);
  }

  vertexOf(kind, index) {
    return (kind === "node" ? this.tree.nodes : this.tree.frames)[index];
  }

  elementOf(kind, index) {
    return kind === "node" ? this.drawn.boxes.get(index) : this.drawn.closed.get(index) ?? this.drawn.frames.get(index);
  }

  known(element) {
    const found = element?.closest?.("[data-node], [data-frame]");
    if (!found) return null;
    return found.dataset.node !== undefined ? { kind: "node", index: Number(found.dataset.node) } : { kind: "frame", index: Number(found.dataset.frame) };
  }

  emphasise() {
    for (const element of this.world.querySelectorAll(".is-chosen, .is-near")) element.classList.remove("is-chosen", "is-near");
    const { chosen } = this, own = chosen && this.vertexOf(chosen.kind, chosen.index);
    const inside = (vertex) => vertex === own || (chosen.kind === "frame" && this.within(vertex.kind === "node" ? { kind: "node", index: vertex.ref } : { kind: "frame", index: vertex.ref }, chosen.index));
    for (const edge of this.drawn.edges) {
      const into = own && inside(edge.to) && !inside(edge.from), out = own && inside(edge.from) && !inside(edge.to);
      edge.element.setAttribute("class", `edge${into ? " is-in" : out ? " is-out" : ""}`);
      if (into || out) {
        edge.element.parentNode.append(edge.element);
        const other = into ? edge.from : edge.to;
        this.elementOf(other.kind, other.ref)?.classList.add("is-near");
      }
    }
    this.root.classList.toggle("has-chosen", Boolean(chosen));
    if (chosen) this.elementOf(chosen.kind, chosen.index)?.classList.add("is-chosen");
  }

  // What a person does.

  clicked(event) {
    if (this.camera.moved) return;
    const found = this.known(event.target);
    if (!found) return this.drop();
    if (found.kind === "frame" && (event.target.closest(".toggle") || !this.open.has(found.index))) {
      this.toggle(found.index);
      this.elementOf("frame", found.index)?.focus({ preventScroll: true });
    } else this.choose(found.kind, found.index);
  }

  doubled(event) {
    const found = this.known(event.target), [px, py] = this.camera.point(event);
    if (!found) this.camera.zoom(1.7, px, py, true);
  }

  focused(element) {
    const found = this.known(element);
    if (!found) return;
    this.choose(found.kind, found.index, { panel: false });
    this.look(found.kind, found.index);
  }

  hover(event) {
    if (event.pointerType === "touch" || event.buttons) return;
    const found = this.known(event.target);
    if (found) this.tip.show(found.kind, (found.kind === "node" ? this.data.nodes : this.data.frames)[found.index], event);
    else this.tip.hide();
  }

  walk(direction) {
    const here = this.known(document.activeElement) ?? null;
    const boxes = new Map([...this.spots].filter(([vertex]) => vertex.kind === "node" || !this.open.has(vertex.ref)));
    if (!here) return false;
    let vertex = this.vertexOf(here.kind, here.index);
    if (!boxes.has(vertex)) {
      vertex = this.data.nodes.map((_, index) => this.shownAs(index)).find((other) => other && this.within({ kind: other.kind, index: other.ref }, here.index)) ?? vertex;
      if (direction !== "down") return true;
      this.choose(vertex.kind, vertex.ref, { panel: false, focus: true });
    } else {
      const next = neighbour(this.drawn.edges, boxes, vertex, direction);
      if (next) this.choose(next.kind, next.ref, { panel: false, focus: true });
    }
    if (this.chosen) this.look(this.chosen.kind, this.chosen.index);
    return true;
  }

  /** The vertex by which a layer is shown. */
  shownAs(index) {
    let shown = this.tree.nodes[index];
    for (let at = this.data.nodes[index].frame; at >= 0; at = this.data.frames[at].frame) if (!this.open.has(at)) shown = this.tree.frames[at];
    return shown;
  }

  enter() {
    const found = this.known(document.activeElement);
    if (found?.kind === "frame") {
      this.toggle(found.index);
      this.choose("frame", found.index, { panel: false, focus: true });
      this.look("frame", found.index);
    } else if (found) {
      this.choose(found.kind, found.index);
      this.say(spoken(this.data.nodes[found.index]));
    }
  }

  escape() {
    if (!this.details.element.hidden) {
      const back = this.chosen && this.elementOf(this.chosen.kind, this.chosen.index);
      this.details.hide();
      back?.focus({ preventScroll: true });
    } else if (this.search.input.value) this.search.clear();
    else this.drop();
  }

  drop() {
    this.chosen = null;
    this.details.hide();
    this.emphasise();
    this.keep();
    this.options.onSelect?.(null);
  }

  // Search, theme, printing, the link.

  mark(hits) {
    this.hits = hits;
    for (const element of this.world.querySelectorAll(".is-hit")) element.classList.remove("is-hit");
    for (const { kind, index } of hits) {
      const vertex = kind === "node" ? this.shownAs(index) : this.tree.frames[index];
      this.elementOf(vertex.kind, vertex.ref)?.classList.add("is-hit");
    }
    this.root.classList.toggle("has-hits", hits.length > 0);
  }

  leaveSearch(hit) {
    if (hit) this.choose(hit.kind, hit.index, { panel: false, focus: true });
    else this.view.focus({ preventScroll: true });
  }

  turn() {
    const dark = this.root.dataset.theme ? this.root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    this.setTheme(dark ? "light" : "dark");
  }

  printing(starts) {
    const { view, world, shown } = this;
    if (starts) {
      this.before = [this.camera.x, this.camera.y, this.camera.k];
      view.setAttribute("viewBox", `-10 -10 ${shown.width + 20} ${shown.height + 20}`);
      world.removeAttribute("transform");
    } else if (this.before) {
      view.removeAttribute("viewBox");
      this.camera.set(...this.before);
    }
  }

  say(text) {
    this.said.textContent = plain(text);
  }

  keep() {
    if (!this.options.hash) return;
    const hash = toHash(this.data, this.open, this.chosen);
    if (hash === location.hash.slice(1)) return;
    try {
      history.replaceState(null, "", `#${hash}`);
    } catch {
      // a page that may not have a history is shown all the same
    }
  }

  follow() {
    const { open, chosen } = fromHash(this.data, location.hash);
    if (open) this.open = open;
    this.render();
    if (chosen) this.jump(chosen);
  }

  // For the page around it.

  select(path) {
    const node = this.data.nodes.findIndex((one) => one.path === path), frame = this.data.frames.findIndex((one) => one.path === path);
    if (node >= 0) this.jump({ kind: "node", index: node });
    else if (frame >= 0) this.jump({ kind: "frame", index: frame });
  }

  setBadges(badges) {
    this.cards = new Cards(this.data, new Map(Object.entries(badges)));
    this.render();
  }

  setTheme(name) {
    this.root.dataset.theme = name;
    this.map();
  }

  fit() {
    this.fitted = true;
    this.camera.go(...this.camera.whole());
  }

  relayout() {
    this.page = this.pageOf();
    this.render();
    this.first();
  }

  destroy() {
    this.ends.abort();
    this.resizing.disconnect();
    this.root.remove();
  }
}
