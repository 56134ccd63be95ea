// Elements of HTML and SVG: attributes and text only, so that no name of a layer is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `on…` attributes are listeners, children are elements or text. */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/** A drawn sign for a button: the `d` of paths in a square of 20. */
export function sign(...ways) {
  const strokes = ways.map((d) => svg("path", { d }));
  return svg("svg", { viewBox: "0 0 20 20", class: "sign", "aria-hidden": "true" }, strokes);
}

/** Text whose characters that turn or hide what follows are seen: a stranger's file is shown as it is. */
export function plain(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "\ufffd");
}
