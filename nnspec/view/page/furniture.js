// What stands around the picture: the bar with name, search and tools, the legend, the buttons for zooming.

import { html, sign } from "./dom.js";
import { legend } from "./draw.js";

const SIGNS = {
  close: ["M4 7h12M4 13h12M10 1v4M8 3.6l2 1.8 2-1.8M10 19v-4M8 16.4l2-1.8 2 1.8"],
  open: ["M4 7h12M4 13h12M10 5.4V1M8 2.6L10 .8l2 1.8M10 14.6V19M8 17.4l2 1.8 2-1.8"],
  theme: ["M10 3.5a6.5 6.5 0 1 0 0 13z", "M10 3.5a6.5 6.5 0 1 1 0 13"],
  print: ["M6 7V3h8v4M6 14H3.5V7h13v7H14M6 11.5h8V17H6z"],
  keys: ["M7.4 7.2a2.7 2.7 0 1 1 3.8 2.6c-.9.4-1.2 1-1.2 2M10 14.8v.4"],
  closer: ["M10 4v12M4 10h12"],
  farther: ["M4 10h12"],
  whole: ["M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4"],
};

/** The root of a picture with everything in it, and the place where what happens is said to a screen reader. */
export function furnish(shown) {
  const { data, stage, options } = shown;
  const button = (label, key, name, act) => html("button", { type: "button", class: name, "aria-label": label, title: key ? `${label} (${key})` : label, onclick: act }, sign(...SIGNS[name]));
  const frames = data.frames.length ? [button("Close all frames", "Shift C", "close", () => shown.all(false)), button("Open all frames", "Shift E", "open", () => shown.all(true))] : [];
  const about = html("div", { class: "about" }, html("h1", {}, data.name), html("p", { title: data.legend }, data.heading));
  const zoom = (factor) => stage.camera.zoom(factor, undefined, undefined, true);
  const tools = [...frames, button("Light or dark", "t", "theme", () => shown.turn()), button("Print", "", "print", () => window.print()), button("Keys", "?", "keys", () => shown.sheet.showModal())];
  const zooms = [button("Closer", "+", "closer", () => zoom(1.35)), button("Farther", "−", "farther", () => zoom(1 / 1.35)), button("All of it", "0", "whole", () => shown.fit())];
  const middle = html("div", { class: "stage" }, stage.view, stage.minimap.element, html("div", { class: "zooms" }, zooms), shown.tip.element);
  const said = html("p", { class: "said", role: "status", "aria-live": "polite" });
  const root = html("div", { class: "nnspec-picture", "data-theme": options.theme ?? null },
    html("header", { class: "bar" }, about, shown.search.element, html("div", { class: "tools" }, tools)),
    html("ul", { class: "legend", "aria-label": "Colours" }, legend(data)),
    html("div", { class: "middle" }, middle, options.panel === false ? null : shown.details.element), said, shown.sheet);
  return { root, said };
}
