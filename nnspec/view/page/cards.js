// What is written in the box of a layer or of a closed frame, and how large that makes it.

const WIDEST = 232, NARROWEST = 96, LEFT = 16, RIGHT = 13, LINE = { name: 17, says: 15, cost: 15, badge: 15 };
const FAMILY = "Helvetica, Arial, 'Liberation Sans', Arimo, sans-serif";
const FONTS = { name: `700 13px ${FAMILY}`, says: `11px ${FAMILY}`, cost: `11px ${FAMILY}`, badge: `11px ${FAMILY}`, shape: `11px ${FAMILY}`, mark: `700 10px ${FAMILY}`, label: `700 11.5px ${FAMILY}` };
const context = typeof document === "undefined" ? null : document.createElement("canvas").getContext("2d");
const known = new Map();

/** The width of a text in one of the fonts. */
export function wide(text, font) {
  if (!context) return text.length * 6.5;
  const key = `${font} ${text}`;
  if (!known.has(key)) {
    context.font = FONTS[font];
    known.set(key, context.measureText(text).width);
  }
  return known.get(key);
}

/** The text, or as much of its two ends as `limit` holds. */
export function shorten(text, limit, font) {
  if (wide(text, font) <= limit) return text;
  const letters = [...text];
  let low = 0, high = Math.min(letters.length, 200);
  const cut = (n) => letters.slice(0, Math.ceil(n / 2)).join("") + "…" + letters.slice(letters.length - Math.floor(n / 2)).join("");
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (wide(cut(middle), font) <= limit) low = middle;
    else high = middle - 1;
  }
  return cut(low);
}

/** Cards of layers and closed frames, made when first asked for; `badges` is a Map from path to `{lines, bars, tone}`. */
export class Cards {
  constructor(data, badges) {
    this.data = data;
    this.badges = badges;
    this.known = new Map();
    this.outputs = { node: data.nodes.map(() => []), frame: data.frames.map(() => []) };
    data.values.forEach(([node], value) => this.outputs.node[node].push(value));
    data.containers.slice(1).forEach(({ vertices, rows }, frame) => {
      for (const at of rows[rows.length - 1] ?? []) if (vertices[at][0] === "out") this.outputs.frame[frame].push(vertices[at][1]);
    });
    this.lent = new Set(data.nodes.flatMap((node) => node.notes.filter((note) => note.startsWith("shares ")).map((note) => note.slice(7))));
  }

  /** Of a closed frame `groups` are the values of each of its outputs; of a layer each has its own. */
  of = (kind, index, groups) => {
    const outputs = kind === "frame" && groups ? groups : this.outputs[kind][index].map((value) => [value]), key = `${kind} ${index} ${outputs.join(" ")}`;
    if (!this.known.has(key)) this.known.set(key, this.made(kind, index, outputs));
    return this.known.get(key);
  };

  /** The width that the label of an open frame and its button take. */
  label = (index) => 26 + wide(shorten(this.data.frames[index].label, 170, "label"), "label");

  made(kind, index, outputs) {
    const about = kind === "node" ? this.data.nodes[index] : this.data.frames[index];
    const lines = kind === "node" ? this.written(about) : this.total(about);
    const marks = kind === "node" ? this.marks(about) : about.parameters && !about.trainable ? ["frozen"] : [], badge = this.badges.get(about.path) ?? null;
    for (const text of badge?.lines ?? []) lines.push({ text: String(text), font: "badge" });
    const left = LEFT + (kind === "frame" ? 20 : 0);
    const first = (line) => marks.reduce((sum, mark) => sum + wide(mark, "mark") + 15, 0) * (line === lines[0]);
    const values = outputs.map(([value]) => value), labels = outputs.map((all) => (all.length > 1 ? `${all.length} values` : this.data.values[all[0]][2]));
    const shapes = labels.map((label) => shorten(label, WIDEST / 2, "shape"));
    const shape = Math.max(0, ...shapes.map((label) => wide(label, "shape"))) + 10, row = values.length > 1 ? (shape + 8) * values.length : 0;
    const most = Math.max(WIDEST, row - left - RIGHT);
    for (const line of lines) line.text = shorten(line.text, line.font === "badge" ? WIDEST - 30 : most, line.font);
    const text = Math.max(...lines.filter((line) => line.font !== "badge").map((line) => wide(line.text, line.font) + first(line)));
    const least = Math.max(text + left + RIGHT, NARROWEST, badge ? Math.max(...lines.map((line) => wide(line.text, line.font))) + left + RIGHT : 0);
    const width = Math.ceil(Math.max(least, row));
    const ports = new Map(values.map((value, at) => [value, (width * (at + 0.5)) / values.length]));
    const height = 14 + lines.reduce((sum, line) => sum + LINE[line.font], 0) + (badge?.bars?.length ? 24 : 0);
    const beside = values.length ? Math.max(0, shape - width / (2 * values.length)) : 0;
    return { width, height, beside, below: (values.length ? 18 : 2) + (kind === "frame" ? 4 : 0), ports, lines, marks, shapes, badge, left, kind, index };
  }

  written(node) {
    const notes = node.notes.filter((note) => note !== "frozen").join(" · ");
    const lines = [{ text: node.name, font: "name" }, { text: node.says, font: "says" }, { text: node.cost, font: "cost" }, { text: notes, font: "cost" }];
    return lines.filter((line) => line.text);
  }

  marks(node) {
    const shared = this.lent.has(node.path) || node.notes.some((note) => note.startsWith("shares "));
    return [...(shared ? ["shared"] : []), ...(node.notes.includes("frozen") ? ["frozen"] : [])];
  }

  total(frame) {
    const lines = [{ text: frame.label, font: "name" }, { text: frame.kind ? `${frame.kind} · ${frame.many}` : frame.many, font: "says" }, { text: frame.cost, font: "cost" }];
    return lines.filter((line) => line.text);
  }
}

export const LINES = LINE;
