// The picture of a layout as SVG: frames, edges, boxes, shapes; what a person can act on carries `data-node` or `data-frame`.

import { LINES, shorten, wide } from "./cards.js";
import { html, svg } from "./dom.js";
import { HEADER } from "./layout.js";
import { joined, pathData } from "./strokes.js";

/** Fills a group with the picture; returns Maps from numbers to elements, and the edges with theirs. */
export function draw(world, picture, data) {
  const frames = new Map(), boxes = new Map(), closed = new Map(), edges = [];
  const [floor, wires, top] = ["floor", "wires", "top"].map((name) => svg("g", { class: name }));
  for (const [index, box] of picture.frames) {
    const depth = depthOf(data, index);
    floor.append(svg("rect", { class: `frame-box shade${depth % 2}`, "data-of-frame": index, x: box.x, y: box.y, width: box.width, height: box.height, rx: 11 }));
  }
  for (const route of picture.routes) {
    const element = edge(route);
    wires.append(element);
    edges.push({ ...route, element });
  }
  for (const what of inOrder(picture, data)) {
    if (what.kind === "open") frames.set(what.index, top.appendChild(header(data.frames[what.index], what.index, what.box, picture.gates.get(what.index))));
    else if (what.kind === "frame") closed.set(what.index, top.appendChild(stack(what.box.card, data.frames[what.index], what.box)));
    else boxes.set(what.index, top.appendChild(layer(what.box.card, data.nodes[what.index], what.box)));
  }
  world.replaceChildren(floor, wires, top);
  return { frames, boxes, closed, edges };
}

function depthOf(data, frame) {
  let depth = 0;
  for (let at = data.frames[frame].frame; at >= 0; at = data.frames[at].frame) depth++;
  return depth;
}

/** What is shown in the order in which a reader goes: each frame where its first layer stands in the network. */
function inOrder(picture, data) {
  const order = [], seen = new Set();
  data.nodes.forEach((node, index) => {
    const around = [];
    for (let at = node.frame; at >= 0; at = data.frames[at].frame) around.unshift(at);
    for (const frame of around) {
      if (seen.has(frame)) continue;
      seen.add(frame);
      if (picture.frames.has(frame)) order.push({ kind: "open", index: frame, box: picture.frames.get(frame) });
      if (picture.closed.has(frame)) order.push({ kind: "frame", index: frame, box: picture.closed.get(frame) });
    }
    if (picture.nodes.has(index)) order.push({ kind: "node", index, box: picture.nodes.get(index) });
  });
  return order;
}

function edge(route) {
  const strokes = joined(route.strokes), [x, y] = strokes[strokes.length - 1].at(-1).map((n) => Math.round(n * 10) / 10);
  const group = svg("g", { class: "edge", "data-value": route.values[0], "data-from": named(route.from), "data-to": named(route.to) });
  const d = pathData(strokes);
  group.append(svg("path", { class: "near", d }), svg("path", { class: "wire", d }), svg("path", { class: "tip", d: `M${x} ${y}l-3.8 -7.6 3.8 1.9 3.8 -1.9z` }));
  return group;
}

function named(vertex) {
  return `${vertex.kind} ${vertex.ref}`;
}

function layer(card, node, box) {
  const group = svg("g", { class: `box layer of-${node.family}${node.notes.includes("frozen") ? " is-frozen" : ""}`, "data-node": card.index, tabindex: 0, role: "button", transform: at(box) });
  group.setAttribute("aria-label", spoken(node));
  group.append(svg("rect", { class: "card", width: box.width, height: box.height, rx: 8 }));
  group.append(svg("rect", { class: "stripe", x: 6, y: 8, width: 3.5, height: box.height - 16, rx: 1.75 }));
  marks(group, card);
  write(group, card);
  shapes(group, card, box);
  return group;
}

function marks(group, card) {
  let right = card.width - 7;
  for (const mark of card.marks) {
    const width = wide(mark, "mark") + 10;
    right -= width;
    group.append(svg("rect", { class: `pill ${mark}`, x: right, y: 8, width, height: 14, rx: 7 }), svg("text", { class: `mark ${mark}`, x: right + 5, y: 18.6 }, mark));
    right -= 5;
  }
}

function stack(card, frame, box) {
  const group = svg("g", { class: "box closed", "data-frame": card.index, tabindex: 0, role: "button", "aria-expanded": "false", transform: at(box) });
  group.setAttribute("aria-label", `${frame.label}, closed frame, ${[...card.lines.slice(1).map((line) => line.text), ...card.marks].join(", ")}`);
  group.append(svg("rect", { class: "under", x: 5, y: 4, width: box.width - 10, height: box.height, rx: 8 }));
  group.append(svg("rect", { class: "card", width: box.width, height: box.height, rx: 8 }));
  group.append(toggle(8, 9, true));
  marks(group, card);
  write(group, card);
  shapes(group, card, box);
  return group;
}

function header(frame, index, box, gates) {
  const group = svg("g", { class: "frame", "data-frame": index, tabindex: 0, role: "button", "aria-expanded": "true", transform: at(box) });
  group.setAttribute("aria-label", `${frame.label}, open frame, ${frame.many}, ${frame.cost}`);
  const label = shorten(frame.label, 170, "label"), stops = [0, ...(gates ?? []).map((x) => x - box.x), box.width];
  const gap = Math.max(0, stops.findIndex((x, at) => stops[at + 1] - x >= 44 + wide(label, "label"))), start = stops[gap], end = start + 28 + wide(label, "label");
  group.append(svg("rect", { class: "ring", width: box.width, height: box.height, rx: 11 }));
  group.append(svg("rect", { class: "grip", x: start + 3, y: 3, width: end - start + 4, height: HEADER - 6, rx: 7 }));
  group.append(toggle(start + 7, 6, false));
  group.append(svg("text", { class: "label", x: start + 28, y: HEADER / 2 + 4.2 }, label));
  const { cost } = frame;
  if (cost && wide(cost, "cost") + 16 < stops[gap + 1] - end - (gap + 2 < stops.length ? 8 : 0)) group.append(svg("text", { class: "cost", x: end + 9, y: HEADER / 2 + 4 }, cost));
  return group;
}

function toggle(x, y, plus) {
  const d = plus ? "M4 8h8M8 4v8" : "M4 8h8";
  const group = svg("g", { class: "toggle", transform: `translate(${x} ${y})` }, svg("rect", { width: 16, height: 16, rx: 5 }), svg("path", { d }));
  group.prepend(svg("rect", { class: "reach", x: -7, y: -7, width: 30, height: 30 }));
  return group;
}

function write(group, card) {
  let y = 7;
  for (const line of card.lines) {
    y += LINES[line.font];
    group.append(svg("text", { class: `${line.font}${line.font === "badge" ? ` tone-${tone(card.badge)}` : ""}`, x: card.left, y: y - 4 }, line.text));
  }
  if (card.badge?.bars?.length) bars(group, card, y + 2);
}

function tone(badge) {
  return ["good", "warn", "bad"].includes(badge?.tone) ? badge.tone : "info";
}

/** A row of bars for the numbers of a badge, the largest as high as there is room. */
function bars(group, card, y) {
  const numbers = [...card.badge.bars].map(Number).map((n) => (Number.isFinite(n) ? Math.max(n, 0) : 0)), most = Math.max(...numbers, 1e-30);
  const step = (card.width - card.left - 13) / numbers.length;
  const d = numbers.map((n, i) => (n ? `M${(card.left + i * step).toFixed(1)} ${y + 20}v${(-20 * n / most).toFixed(1)}h${(step * 0.8).toFixed(1)}V${y + 20}z` : "")).join("");
  group.append(svg("path", { class: `bars tone-${tone(card.badge)}`, d }));
}

function shapes(group, card, box) {
  [...card.ports].forEach(([, x], index) => group.append(svg("text", { class: "shape", x: x + 6, y: box.height + (card.kind === "frame" ? 17 : 13) }, card.shapes[index])));
}

function at(box) {
  return `translate(${Math.round(box.x * 100) / 100} ${Math.round(box.y * 100) / 100})`;
}

/** What a screen reader says of a layer. */
export function spoken(node) {
  const parts = [node.name, node.says, `output ${node.shape.replaceAll(" x ", " by ")}`, node.cost, ...node.notes];
  return parts.filter(Boolean).join(", ");
}

const MARKS = { frozen: "frozen: training leaves it", shared: "shared: weights used in several places" };

/** The colours of the families that are in the network, its marks, and what its numbers are. */
export function legend(data) {
  const families = [...new Set(data.nodes.map((node) => node.family))].filter((family) => family !== "output");
  const notes = data.nodes.flatMap((node) => node.notes), marks = { frozen: notes.includes("frozen"), shared: notes.some((note) => note.startsWith("shares ")) };
  const marked = Object.keys(MARKS).filter((mark) => marks[mark]).map((mark) => html("li", { class: `mark ${mark}` }, html("i"), MARKS[mark]));
  return [...families.map((family) => html("li", { class: `of-${family}` }, html("i"), family)), ...marked, html("li", { class: "numbers" }, data.legend)];
}
