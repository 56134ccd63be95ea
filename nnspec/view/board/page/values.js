// One input, target or answer as a person looks at it: a picture, numbers with names, a class with its probability.

import { el } from "./dom.js";
import { pixels } from "./part.js";
import { number } from "./text.js";

const ROWS = 8; // of numbers that are written out

const box = (hue) => el("i", { class: "box-of", style: { background: hue } });

/** `wrong`: the likeliest class is not the right one. */
export function value(shown, size = 96) {
  if (!shown) return el("span", { class: "none" }, "–");
  if (shown.kind === "image" || shown.kind === "matrix") return pixels(shown.picture, `${number(shown.low, 3)} (black) to ${number(shown.high, 3)} (white)`, size);
  if (shown.kind === "map") return el("span", { class: "map" }, pixels(shown.picture, "classes", size), shown.classes.slice(0, 6).map((name, i) => el("small", {}, box(shown.colours[i]), name, shown.values ? ` ${number(100 * shown.values[i], 2)}%` : "")));
  if (shown.kind === "class" && shown.classes) return likely(shown);
  if (shown.kind === "class") return el("b", { class: "class" }, shown.class);
  if (shown.kind === "units") return scale(shown.names, shown.values, shown.of);
  return figures(shown);
}

/** Classes by their probability, the likeliest first. */
function likely(shown) {
  return scale(shown.classes.slice(0, 4), shown.values.slice(0, 4), shown.of);
}

function scale(names, values, of) {
  return el("span", { class: "scale" }, names.slice(0, ROWS).map((name, i) => el("span", { class: "rung" },
    el("span", { class: "word", title: name }, name), el("span", { class: "way" }, el("i", { style: { width: `${100 * Math.max(0, Math.min(1, values[i] || 0))}%` } })), el("b", {}, percent(values[i])))));
}

const percent = (v) => (v === null || v === undefined ? "–" : v > 0 && v < 0.001 ? "<0.1%" : `${Number((100 * v).toFixed(1))}%`);

function figures(shown) {
  const rest = shown.of - Math.min(shown.names.length, ROWS);
  return el("span", { class: "figures" }, shown.names.slice(0, ROWS).map((name, i) => el("span", {}, el("em", { title: name }, name), el("b", {}, number(shown.values[i], 4)))), rest > 0 ? el("small", {}, `and ${rest} more`) : null);
}
