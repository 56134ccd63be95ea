// Makes elements; whatever comes from a run goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const el = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export function put(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

/** Sets text only where it differs, so that selections and screen readers are left alone. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A group of buttons of which one is chosen; arrows walk it. */
export function choice(label, options, chosen, pick) {
  const buttons = options.map(([value, text, title]) =>
    el("button", { type: "button", "aria-pressed": String(value === chosen), title, "data-key": `${label} ${value}`, on: { click: () => take(value) } }, text));
  const take = (value) => {
    options.forEach(([v], i) => buttons[i].setAttribute("aria-pressed", String(v === value)));
    pick(value);
  };
  return el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}
