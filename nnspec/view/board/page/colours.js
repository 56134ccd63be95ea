// Colours by number, from the palette that pictures are drawn with; light and dark stand in board.css.

const SERIES = 8;
const held = new Map();

export function css(name) {
  const dark = document.documentElement.dataset.dark || "";
  const key = name + dark;
  if (!held.has(key)) held.set(key, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return held.get(key);
}

/** The colour of the n-th run, or curve; beyond the palette hues by the golden angle. */
export function colour(n) {
  if (n < SERIES) return css(`--series-${n}`);
  const light = document.documentElement.dataset.dark ? 68 : 42;
  return `hsl(${(n * 137.508) % 360} 55% ${light + ((n >> 3) % 2) * 8}%)`;
}

export function faint(colour, alpha) {
  if (colour.startsWith("#")) return colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
  return colour.replace(")", ` / ${alpha})`);
}

/** Light, dark, or as the system has it; kept for the next visit. */
export function theme(button, changed) {
  const wanted = ["auto", "light", "dark"];
  const names = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" };
  const system = matchMedia("(prefers-color-scheme: dark)");
  let at = "auto";
  try { at = wanted.includes(localStorage.getItem("nnspec-theme")) ? localStorage.getItem("nnspec-theme") : "auto"; } catch { /* no storage */ }
  const apply = () => {
    const dark = at === "dark" || (at === "auto" && system.matches);
    if (dark) document.documentElement.dataset.dark = "1";
    else delete document.documentElement.dataset.dark;
    button.textContent = names[at];
    changed();
  };
  button.addEventListener("click", () => {
    at = wanted[(wanted.indexOf(at) + 1) % wanted.length];
    try { localStorage.setItem("nnspec-theme", at); } catch { /* no storage */ }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
