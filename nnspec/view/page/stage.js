// The picture itself, without what stands around it: which frames are open, where everything is, what of it stands out, where one looks.

import { Camera, NARROW } from "./camera.js";
import { Cards } from "./cards.js";
import { svg } from "./dom.js";
import { draw } from "./draw.js";
import { layout, tree } from "./layout.js";
import { Minimap } from "./minimap.js";
import { Signs } from "./signs.js";
import { sensible } from "./state.js";

const WHOLE = 0.9, SMALLEST = 0.95; // a picture that would be smaller than the first is shown from its beginning, at the second

export class Stage {
  /** `badges` as `picture` takes them; `colour(name)` reads a colour of the style sheet; `onMove` hears of pans and zooms. */
  constructor(data, { badges, wheel, colour, onMove }) {
    this.data = data;
    this.tree = tree(data);
    this.setCards(badges);
    this.world = svg("g", { class: "world" });
    this.view = svg("svg", { class: "view", tabindex: 0, role: "group", "aria-roledescription": "network picture", "aria-label": `Picture of ${data.name}. Arrow keys walk along edges, ? lists the keys.` }, this.world);
    this.camera = new Camera(this.view, this.world, {
      wheel, onMove: () => this.moved(onMove), onTaken: () => (this.fitted = false), bounds: () => this.shown ?? { width: 1, height: 1 },
    });
    this.signs = new Signs(data, this.view, this.camera);
    this.minimap = new Minimap(this.camera, colour);
  }

  setCards(badges) {
    this.cards = new Cards(this.data, new Map(Object.entries(badges ?? {})));
  }

  /** Opens these frames, or as many as can be read at once, and looks at all of it or at its beginning. */
  begin(open) {
    this.page = this.pageOf();
    this.open = open ?? sensible(this.data, (frames) => this.scaleOf(frames));
    this.render();
    this.first();
  }

  pageOf() {
    const { width, height } = this.camera.size;
    return width < NARROW ? { aspect: null, tallest: Infinity } : { aspect: width / height, least: Math.max(560, 1.2 * height) };
  }

  laid(open) {
    return layout(this.tree, open, this.cards.of, this.cards.label, this.page);
  }

  scaleOf(open) {
    return this.camera.whole(Infinity, undefined, this.laid(open))[2];
  }

  /** Lays out and draws what is open now; what has the keyboard keeps it. */
  render() {
    const active = this.view.contains(document.activeElement) ? this.known(document.activeElement) : null;
    this.shown = this.laid(this.open);
    this.drawn = draw(this.world, this.shown, this.data);
    this.spots = new Map();
    for (const [index, box] of this.shown.nodes) this.spots.set(this.tree.nodes[index], box);
    for (const boxes of [this.shown.closed, this.shown.frames]) for (const [index, box] of boxes) this.spots.set(this.tree.frames[index], box);
    this.map();
    this.emphasise(this.chosen);
    this.mark(this.hits ?? []);
    if (active) this.elementOf(active.kind, active.index)?.focus({ preventScroll: true });
  }

  map() {
    this.minimap.draw(this.shown, (index) => this.data.nodes[index].family);
  }

  /** Other badges: where boxes grow and all of the picture was in view, it still is. */
  badge(badges) {
    const { width, height } = this.shown;
    this.setCards(badges);
    this.render();
    if (this.fitted && (width !== this.shown.width || height !== this.shown.height)) this.first();
  }

  // What is where: things are `{kind: "node" | "frame", index}`, vertices those of the tree.

  home(thing) {
    return thing ? (thing.kind === "node" ? this.data.nodes : this.data.frames)[thing.index].frame : -1;
  }

  within(thing, frame) {
    for (let at = this.home(thing); at >= 0; at = this.data.frames[at].frame) if (at === frame) return true;
    return false;
  }

  vertexOf(kind, index) {
    return (kind === "node" ? this.tree.nodes : this.tree.frames)[index];
  }

  elementOf(kind, index) {
    return kind === "node" ? this.drawn.boxes.get(index) : this.drawn.closed.get(index) ?? this.drawn.frames.get(index);
  }

  /** The thing that an element is, or is part of. */
  known(element) {
    const found = element?.closest?.("[data-node], [data-frame]");
    if (!found || !this.view.contains(found)) return null;
    return found.dataset.node !== undefined ? { kind: "node", index: Number(found.dataset.node) } : { kind: "frame", index: Number(found.dataset.frame) };
  }

  /** The vertex by which a layer or a frame is shown: itself, or the outermost closed frame around it. */
  shownAs(thing) {
    let shown = this.vertexOf(thing.kind, thing.index);
    for (let at = this.home(thing); at >= 0; at = this.data.frames[at].frame) if (!this.open.has(at)) shown = this.tree.frames[at];
    return shown;
  }

  // Frames.

  /** Opens or closes a frame; its corner stays where it is in the view. Says whether it is open now. */
  toggle(frame) {
    const opens = !this.open.has(frame), vertex = this.tree.frames[frame], before = this.spots.get(vertex), { camera } = this;
    this.open[opens ? "add" : "delete"](frame);
    this.render();
    const after = this.spots.get(vertex);
    if (before && after) camera.set(camera.x + (before.x - after.x) * camera.k, camera.y + (before.y - after.y) * camera.k, camera.k);
    this.fitted = false;
    if (after) camera.show(after);
    return opens;
  }

  /** Opens what hides a thing. */
  reveal(thing) {
    let hidden = false;
    for (let at = this.home(thing); at >= 0; at = this.data.frames[at].frame) {
      hidden ||= !this.open.has(at);
      this.open.add(at);
    }
    if (hidden) this.render();
  }

  // What stands out.

  /** Tells the chosen thing and the edges into and out of it apart from the others. */
  emphasise(chosen) {
    this.chosen = chosen;
    for (const element of this.world.querySelectorAll(".is-chosen, .is-near")) element.classList.remove("is-chosen", "is-near");
    const own = chosen && this.vertexOf(chosen.kind, chosen.index), whole = chosen?.kind === "frame";
    const inside = (vertex) => vertex === own || (whole && this.within({ kind: vertex.kind, index: vertex.ref }, chosen.index));
    for (const { element, from, to } of this.drawn.edges) {
      const into = own && inside(to) && !inside(from), out = own && inside(from) && !inside(to);
      element.classList.toggle("is-in", Boolean(into));
      element.classList.toggle("is-out", Boolean(out && !into));
      if (!into && !out) continue;
      element.parentNode.append(element);
      const other = into ? from : to;
      this.elementOf(other.kind, other.ref)?.classList.add("is-near");
    }
    this.view.classList.toggle("has-chosen", Boolean(chosen));
    if (chosen) this.elementOf(chosen.kind, chosen.index)?.classList.add("is-chosen");
  }

  /** Tells every way of the value that an edge carries apart, while the pointer rests on it; with none, nothing. */
  follow(edge) {
    const value = edge?.dataset.value;
    if (value === this.followed) return;
    this.followed = value;
    for (const { element } of this.drawn.edges) element.classList.toggle("is-followed", element.dataset.value === value);
  }

  /** The values of an edge's element. */
  carried(element) {
    return this.drawn.edges.find((edge) => edge.element === element)?.values ?? [];
  }

  /** Marks what was found, or what it is hidden in. */
  mark(hits) {
    this.hits = hits;
    for (const element of this.world.querySelectorAll(".is-hit")) element.classList.remove("is-hit");
    for (const hit of hits) {
      const vertex = this.shownAs(hit);
      this.elementOf(vertex.kind, vertex.ref)?.classList.add("is-hit");
    }
    this.view.classList.toggle("has-hits", hits.length > 0);
  }

  // Where one looks.

  /** The first sight: all of it, or, where that would be too small to read, its beginning. */
  first() {
    const { camera, shown } = this, [x, y, k] = camera.whole(1.25), { width } = camera.size;
    this.fitted = k >= WHOLE;
    if (this.fitted) return camera.set(x, y, k);
    const start = this.spots.get(this.shownAs({ kind: "node", index: 0 })) ?? { x: 0, y: 0, width: 0 }, wide = shown.width * SMALLEST;
    camera.set(wide <= width ? (width - wide) / 2 : Math.min(24, width / 2 - (start.x + start.width / 2) * SMALLEST), 24, SMALLEST);
  }

  fit() {
    this.fitted = true;
    this.camera.go(...this.camera.whole());
  }

  look({ kind, index }, least = 0) {
    const box = this.spots.get(this.vertexOf(kind, index));
    if (box) this.camera.show(box, least);
  }

  moved(onMove) {
    this.minimap.follow();
    this.signs.later(this.shown);
    onMove();
  }

  /** Another size of the view: another page where its shape is another, unless `still`. */
  resized(still) {
    const { camera } = this;
    camera.measure();
    if (this.before) return; // a sheet of paper, not a window
    const page = this.pageOf(), ratio = (page.aspect ?? 1) / (this.page.aspect ?? 1), folds = Boolean(page.aspect) !== Boolean(this.page.aspect);
    if (!still && (folds || ratio > 1.5 || ratio < 1 / 1.5)) return this.relayout();
    if (this.fitted) camera.set(...camera.whole(1.25));
    else camera.set(camera.x, camera.y, camera.k);
    if (this.chosen && !this.fitted) this.look(this.chosen);
  }

  relayout() {
    this.page = this.pageOf();
    this.render();
    this.first();
  }

  /** All of it on a sheet of paper, and back. */
  printing(starts) {
    const { view, world, shown, camera } = this;
    if (starts) {
      cancelAnimationFrame(camera.gliding);
      this.before = [camera.x, camera.y, camera.k];
      view.setAttribute("viewBox", `-10 -10 ${shown.width + 20} ${shown.height + 20}`);
      world.removeAttribute("transform");
      this.signs.later(null);
    } else if (this.before) {
      view.removeAttribute("viewBox");
      camera.measure();
      camera.set(...this.before);
      this.before = null;
    }
  }
}
