// The keyboard: arrows walk layers along edges, letters and signs do what the buttons do; and the sheet that says so.

import { html } from "./dom.js";

const SHEET = [
  ["↓  ↑", "to what reads this layer, to what it reads"],
  ["←  →", "to the layers beside it"],
  ["Tab", "to the next layer or frame in the order of the network"],
  ["Enter", "details of a layer; opens or closes a frame"],
  ["Space", "details of a layer or a frame"],
  ["c  e", "close the frame around it; open the frame"],
  ["Shift C  Shift E", "close all frames; open all"],
  ["/", "search; ↓ and ↑ choose from the list, Enter goes there, or to the next hit, Shift Enter to the one before"],
  ["+  −  0", "closer, farther, all of it"],
  ["t", "light or dark"],
  ["Esc", "close what is open: search, details, this sheet"],
  ["?", "this sheet"],
];

/** The sheet of keys, a dialog; `legend` says what the numbers in the picture are. */
export function sheet(legend) {
  const rows = SHEET.map(([keys, does]) => html("tr", {}, html("th", { scope: "row" }, keys.split("  ").map((key) => html("kbd", {}, key))), html("td", {}, does)));
  const dialog = html("dialog", { class: "keys", "aria-label": "Keys" }, html("h2", {}, "Keys"), html("table", {}, html("tbody", {}, rows)));
  dialog.append(html("p", {}, "Drag to move, wheel or pinch to zoom, click a layer for its details and its lines of YAML, click a frame to open it."), html("p", {}, legend));
  dialog.append(html("form", { method: "dialog" }, html("button", { autofocus: true }, "Close")));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

/**
 * Listens on an element until `signal` ends it. `act` has `chosen()`, `walk(direction)`, `enter()`, `details()`, `collapse()`, `expand()`, `all(open)`,
 * `search()`, `zoom(factor)`, `fit()`, `theme()`, `escape()`, `help()` and `pan(dx, dy)`.
 */
export function listen(element, view, signal, act) {
  const walks = { ArrowDown: "down", ArrowUp: "up", ArrowLeft: "left", ArrowRight: "right" };
  const pans = { ArrowDown: [0, -80], ArrowUp: [0, 80], ArrowLeft: [80, 0], ArrowRight: [-80, 0] };
  const signs = {
    "/": () => act.search(), "+": () => act.zoom(1.3), "=": () => act.zoom(1.3), "-": () => act.zoom(1 / 1.3), 0: () => act.fit(),
    "?": () => act.help(), t: () => act.theme(), c: () => act.collapse(), e: () => act.expand(), C: () => act.all(false), E: () => act.all(true), Escape: () => act.escape(),
  };
  element.addEventListener("keydown", (event) => {
    const { key, target } = event, inView = view.contains(target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select, dialog[open]")) return;
    if (inView && Object.hasOwn(walks, key)) {
      if (!act.walk(walks[key]) && target === view) act.pan(...pans[key]);
    } else if (inView && target !== view && key === "Enter") act.enter();
    else if (inView && target !== view && key === " ") act.details();
    else if (Object.hasOwn(signs, key)) signs[key]();
    else return;
    event.preventDefault();
  }, { signal });
}

/** Where an arrow leads from a box: along the straightest edge up or down, or to the nearest box at either side. */
export function neighbour(edges, boxes, here, direction) {
  const from = boxes.get(here);
  if (!from) return null;
  const middle = from.x + from.width / 2, height = from.y + from.height / 2;
  if (direction === "down" || direction === "up") {
    const ends = edges.filter((edge) => (direction === "down" ? edge.from : edge.to) === here).map((edge) => (direction === "down" ? edge.to : edge.from));
    const far = (id) => Math.abs(boxes.get(id).x + boxes.get(id).width / 2 - middle) + Math.abs(boxes.get(id).y - from.y) / 1000;
    return ends.filter((id) => boxes.has(id)).sort((a, b) => far(a) - far(b))[0] ?? null;
  }
  let best = null, least = Infinity;
  for (const [id, box] of boxes) {
    const across = box.x + box.width / 2 - middle, along = Math.abs(box.y + box.height / 2 - height);
    if (id === here || (direction === "left" ? across > -1 : across < 1) || along > Math.abs(across)) continue;
    const far = Math.abs(across) + 2.5 * along;
    if (far < least) [best, least] = [id, far];
  }
  return best;
}
