// Where everything stands in a state of open and closed frames: every open frame by itself, innermost first. The twin of layout.py;
// rows, their order and the segments between them come from Python, since no size changes them.

import { bundled } from "./bundles.js";
import { fold, GUTTER } from "./columns.js";
import { mainWay, place } from "./place.js";
import { bend, cornerPath, moved } from "./strokes.js";

export const HEADER = 28; // height of the line with a frame's label
const PADDING = 14, ROW_GAP = 24, PORT_GAP = 12, LANE = 14, SHORTEST_COLUMN = 900;

/** The containers of the data with their vertices as objects; made once, read by every layout. */
export function tree(data) {
  let id = 0;
  const containers = data.containers.map((given, index) => {
    const vertices = given.vertices.map(([kind, ref]) => ({ id: id++, kind, ref, home: index - 1 }));
    const rows = given.rows.map((row) => row.map((at) => vertices[at]));
    const segments = given.segments.map(([u, v, value, slot]) => ({ upper: vertices[u], lower: vertices[v], value, slot }));
    return { rows, segments, vertices };
  });
  const nodes = [], frames = [], entries = new Map(), exits = new Map();
  for (const { vertices } of containers) {
    for (const vertex of vertices) {
      if (vertex.kind === "node") nodes[vertex.ref] = vertex;
      if (vertex.kind === "frame") frames[vertex.ref] = vertex;
      if (vertex.kind === "out") exits.set(`${vertex.home} ${vertex.ref}`, vertex);
      if (vertex.kind === "in") entries.set(vertex.home, [...(entries.get(vertex.home) ?? []), vertex.ref]);
    }
  }
  return { data, containers, nodes, frames, entries, exits };
}

/**
 * Boxes of what is shown and the ways of the edges between.
 *
 * `open` holds the numbers of open frames; `card(kind, index, groups)` gives `{width, height, beside, below, ports: Map value -> x}` of a layer or a
 * closed frame, with a port for the first value of each group, and `label(index)` the width of an open frame's label. `page` is `{tallest, aspect, header}`. Returns `{width, height, nodes, frames,
 * closed, routes, gates}`: Maps from number to box (of closed frames with their `card`), and routes `{values, from, to, slot, strokes}` between vertices.
 */
export function layout(tree, open, card, label, page) {
  const work = new Layout(tree, open, card, label, page);
  return work.picture();
}

class Layout {
  constructor(tree, open, card, label, page) {
    Object.assign(this, { tree, open, card, label, page });
    this.laid = new Map();
    this.items = new Map();
    this.drawn = new Map(); // of a container what of it is drawn
    this.tallest = page.tallest ?? this.columnHeight();
    this.lay(-1);
  }

  columnHeight() {
    let area = 0;
    for (const home of this.shown(-1)) {
      for (const vertex of this.tree.containers[home + 1].vertices) {
        const item = vertex.kind === "node" || vertex.kind === "frame" ? this.item(vertex) : null;
        if (item) area += (item.width + 2 * item.beside + 40) * (item.height + item.below + ROW_GAP + 10);
      }
    }
    return Math.max(this.page.least ?? SHORTEST_COLUMN, Math.sqrt(area));
  }

  *shown(home) {
    yield home;
    for (const vertex of this.tree.containers[home + 1].vertices) if (this.isOpen(vertex)) yield* this.shown(vertex.ref);
  }

  isOpen(vertex) {
    return vertex.kind === "frame" && this.open.has(vertex.ref);
  }

  /** The card of a layer or a closed frame; null for everything else. */
  item(vertex) {
    if ((vertex.kind !== "node" && vertex.kind !== "frame") || this.isOpen(vertex)) return null;
    if (!this.items.has(vertex)) this.items.set(vertex, this.card(vertex.kind, vertex.ref, this.container(vertex.home).groups.get(vertex) ?? []));
    return this.items.get(vertex);
  }

  container(home) {
    if (!this.drawn.has(home)) this.drawn.set(home, bundled(this.tree.containers[home + 1], (vertex) => this.isOpen(vertex)));
    return this.drawn.get(home);
  }

  width = (vertex) => {
    const item = this.item(vertex);
    return item ? item.width + 2 * item.beside : vertex.kind === "frame" ? this.laid.get(vertex.ref).width : 0;
  };

  height = (vertex) => {
    const item = this.item(vertex);
    return item ? item.height + item.below : vertex.kind === "frame" ? this.laid.get(vertex.ref).height : 0;
  };

  apart = (left, right) => {
    const boxes = [left, right].filter((vertex) => vertex.kind === "node" || vertex.kind === "frame").length;
    return [14, 18, 24][boxes];
  };

  out(segment) {
    const { upper, value } = segment, item = this.item(upper);
    if (item) return item.beside + (item.ports.get(value) ?? item.width / 2);
    return upper.kind === "frame" ? this.laid.get(upper.ref).leaves.get(value) : 0;
  }

  wires(column) {
    const position = new Map(), arriving = new Map();
    for (const row of column.rows) row.forEach((vertex, index) => position.set(vertex, index));
    for (const segment of column.segments) {
      if (!arriving.has(segment.lower)) arriving.set(segment.lower, []);
      arriving.get(segment.lower).push(segment);
    }
    const wires = [];
    for (const [lower, segments] of arriving) {
      segments.sort((a, b) => position.get(a.upper) - position.get(b.upper) || this.out(a) - this.out(b) || a.slot - b.slot);
      segments.forEach((segment, index) => wires.push({ segment, out: this.out(segment), into: this.into(lower, segment, index, segments) }));
    }
    return wires;
  }

  into(lower, segment, index, segments) {
    const item = this.item(lower);
    if (!item) return lower.kind === "frame" ? this.laid.get(lower.ref).enters.get(segment.value) : 0;
    const last = segments.length - 1, main = mainWay(segments.map((s) => s.upper)), middle = main ?? last / 2;
    const step = Math.min(20, (item.width / 2 - 12) / Math.max(middle, last - middle, 1));
    return item.width / 2 + item.beside + (index - middle) * step;
  }

  lay(home) {
    const { rows, segments } = this.container(home);
    for (const vertex of this.tree.containers[home + 1].vertices) if (this.isOpen(vertex)) this.lay(vertex.ref);
    const framed = home >= 0;
    const sizes = rows.map((row) => [
      row.reduce((sum, vertex) => sum + this.width(vertex) + 24, 0),
      row.reduce((most, vertex) => Math.max(most, this.height(vertex)), 0) + 34,
    ]);
    const columns = fold(rows, segments, sizes, (segment) => this.out(segment), this.tallest, framed ? null : this.page.aspect);
    const lanes = columns.slice(0, -1).reduce((most, column) => Math.max(most, column.leaves.length), 0);
    const header = framed ? (this.page.header ?? HEADER) : 0, top = lanes ? header + (lanes + 1) * LANE : header, side = framed ? PADDING : 0;
    const laid = { width: 0, height: 0, at: new Map(), enters: new Map(), leaves: new Map(), ways: new Map() };
    const ends = [];
    let x = side;
    columns.forEach((column, index) => {
      const wires = this.wires(column), places = place(column.rows, wires, this.width, this.apart);
      if (!index && framed) x = this.roomForLabel(home, column, places, x);
      let right = 0;
      for (const [vertex, at] of places) {
        places.set(vertex, at + x);
        right = Math.max(right, at + x + this.width(vertex));
      }
      ends.push({ column, places, bottom: this.draw(laid, column, wires, places, top), right });
      x = right + 2 * GUTTER + Math.max(lanes - 1, 0) * LANE;
    });
    const last = ends[ends.length - 1];
    const foot = Math.max(...ends.map((end) => end.bottom + (end === last ? 0 : (end.column.leaves.length + 1) * LANE)));
    laid.height = foot + (framed ? PADDING : 0);
    laid.width = Math.max(...ends.map((end) => end.right + side), framed ? this.label(home) + 18 : 0);
    this.carry(laid, ends, top);
    for (const vertex of last.column.rows[last.column.rows.length - 1]) {
      if (vertex.kind !== "out") continue;
      const across = laid.at.get(vertex)[0];
      laid.leaves.set(vertex.ref, across);
      laid.ways.get(way(vertex, vertex.ref, -1)).strokes.push([[across, last.bottom], [across, laid.height]]);
    }
    this.laid.set(home, laid);
  }

  /** How far right a frame's content begins so that its label fits beside the edges in the header. */
  roomForLabel(home, column, places, x) {
    const label = this.label(home) + 18, gates = column.rows[0].filter((vertex) => vertex.kind === "in").map((vertex) => places.get(vertex));
    const right = Math.max(...[...places].map(([vertex, at]) => at + this.width(vertex)));
    if (!gates.length || x + Math.min(...gates) >= label || right - Math.max(...gates) + PADDING >= label) return x;
    return label - Math.min(...gates);
  }

  /** Gives the rows of a column their heights, and its segments their ways; returns where the column ends. */
  draw(laid, column, wires, places, top) {
    const rowOf = new Map(), sideways = column.rows.map(() => 0), spans = [];
    column.rows.forEach((row, index) => row.forEach((vertex) => rowOf.set(vertex, index)));
    for (const { segment, out, into } of wires) {
      const row = rowOf.get(segment.upper), shift = places.get(segment.upper) + out - places.get(segment.lower) - into;
      sideways[row] = Math.max(sideways[row], Math.abs(shift));
    }
    const tallness = column.rows.map((row) => row.reduce((most, vertex) => Math.max(most, this.height(vertex)), 0));
    let y = top;
    column.rows.forEach((row, index) => {
      const tall = tallness[index], more = index + 1 < column.rows.length;
      spans.push([y, y + tall]);
      for (const vertex of row) {
        laid.at.set(vertex, [places.get(vertex), y + (vertex.kind === "pass" ? tall : (tall - this.height(vertex)) / 2)]);
        if (vertex.kind === "in") {
          laid.at.set(vertex, [places.get(vertex), 0]);
          laid.enters.set(vertex.ref, places.get(vertex));
        }
      }
      const port = !tall || (more && !tallness[index + 1]);
      y += tall + (more ? (port ? PORT_GAP : ROW_GAP) + Math.min(90, 0.16 * sideways[index]) : 0);
    });
    for (const { segment, out, into } of wires) {
      const { upper, lower, value, slot } = segment;
      const start = [places.get(upper) + out, this.bottom(laid, upper)], end = [places.get(lower) + into, laid.at.get(lower)[1]];
      const strokes = bend(start, spans[rowOf.get(upper)][1], end, spans[rowOf.get(lower)][0]);
      laid.ways.set(way(lower, value, slot), { from: upper, strokes });
    }
    return y;
  }

  bottom(laid, vertex) {
    const item = this.item(vertex), y = laid.at.get(vertex)[1];
    return item ? y + item.height : y + this.height(vertex);
  }

  /** Leads values from the foot of each column through the gutter to the head of the next, without crossings. */
  carry(laid, ends, top) {
    for (let i = 0; i + 1 < ends.length; i++) {
      const { column, places, bottom, right } = ends[i], onward = ends[i + 1], count = column.leaves.length;
      column.leaves.forEach((value, index) => {
        const leaving = column.rows[column.rows.length - 1][index], entering = onward.column.rows[0][index];
        const lane = (count - 1 - index) * LANE, gutter = right + GUTTER + lane, x = places.get(leaving), to = onward.places.get(entering);
        const low = bottom + LANE + lane, high = top - LANE * (index + 1);
        const strokes = cornerPath([[x, bottom], [x, low], [gutter, low], [gutter, high], [to, high], [to, top]]);
        laid.ways.set(way(entering, value, -1), { from: leaving, strokes });
      });
    }
  }

  picture() {
    const corner = new Map([[-1, [0, 0]]]), nodes = new Map(), frames = new Map(), closed = new Map(), gates = new Map();
    for (const home of this.shown(-1)) {
      const laid = this.laid.get(home), [x, y] = corner.get(home);
      gates.set(home, [...laid.enters.values()].map((at) => x + at).sort((a, b) => a - b));
      if (home >= 0) frames.set(home, { x, y, width: laid.width, height: laid.height });
      for (const [vertex, [dx, dy]] of laid.at) {
        const item = this.item(vertex);
        if (item) (vertex.kind === "node" ? nodes : closed).set(vertex.ref, { x: x + dx + item.beside, y: y + dy, width: item.width, height: item.height, card: item });
        else if (vertex.kind === "frame") corner.set(vertex.ref, [x + dx, y + dy]);
      }
    }
    const { width, height } = this.laid.get(-1);
    return { width, height, nodes, frames, closed, gates, routes: this.routes(corner) };
  }

  /** Every use of a value between things that are shown; uses within a closed frame are left out. */
  routes(corner) {
    const { data, nodes } = this.tree, routes = new Map();
    for (const [given, target, slot] of data.edges) {
      const from = this.shownAs(nodes[data.values[given][0]]), to = this.shownAs(nodes[target]);
      if (from === to) continue;
      const values = from.home === to.home && this.container(from.home).groups.get(from)?.find((group) => group.includes(given)) || [given];
      const [value] = values, position = to.kind === "node" ? slot : -1, key = way(to, value, position);
      if (!routes.has(key)) routes.set(key, { values, from, to, slot: position, strokes: this.route(from, to, value, position, corner) });
    }
    return [...routes.values()];
  }

  /** The vertex itself, or the outermost closed frame around it. */
  shownAs(vertex) {
    let shown = vertex;
    for (let home = vertex.home; home >= 0; home = this.tree.frames[home].home) {
      if (!this.open.has(home)) shown = this.tree.frames[home];
    }
    return shown;
  }

  /** Follows a use back from its reader, out of frames by their entries and into frames by their exits. */
  route(from, to, value, slot, corner) {
    const pieces = [];
    let vertex = to, home = to.home;
    while (vertex !== from) {
      const found = this.laid.get(home).ways.get(way(vertex, value, vertex === to ? slot : -1));
      if (found) {
        const [dx, dy] = corner.get(home);
        for (let i = found.strokes.length - 1; i >= 0; i--) pieces.push(moved(found.strokes[i], dx, dy));
        vertex = found.from;
      } else if (vertex.kind === "in") {
        vertex = this.tree.frames[home];
        home = vertex.home;
      } else {
        home = vertex.ref;
        vertex = this.tree.exits.get(`${home} ${value}`);
      }
    }
    return pieces.reverse();
  }
}

function way(vertex, value, slot) {
  return `${vertex.id ?? (vertex.id = `${vertex.kind}${serial++}`)} ${value} ${slot}`;
}

let serial = 0;
