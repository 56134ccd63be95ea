// Which frames are open, and how a link says so.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LEGIBLE = 0.92; // a picture at first sight is no smaller than this, or it is closed one depth further

/** How many frames are around each frame. */
export function depths(data) {
  return data.frames.map((frame) => {
    let depth = 0;
    for (let at = frame.frame; at >= 0; at = data.frames[at].frame) depth++;
    return depth;
  });
}

/** The frames to open at first: as deep as the whole can still be read, of several networks each; `scale(open)` is how large it would be shown. */
export function sensible(data, scale) {
  const deep = depths(data), deepest = Math.max(-1, ...deep);
  const several = data.nodes.every((node) => node.frame >= 0) && data.frames.every((frame) => frame.frame >= 0 || frame.kind === "network");
  let best = new Set(several ? [...data.frames.keys()].filter((at) => !deep[at]) : []);
  for (let depth = several ? 2 : 1; depth <= deepest + 1; depth++) {
    const open = new Set([...data.frames.keys()].filter((at) => deep[at] < depth));
    if (scale(open) < LEGIBLE) break;
    best = open;
  }
  return best;
}

/** `open=…&layer=…` for the hash: a bit a frame, six to a letter, and the path of what is chosen. */
export function toHash(data, open, chosen) {
  let bits = "";
  for (let at = 0; at < data.frames.length; at += 6) {
    let six = 0;
    for (let i = 0; i < 6; i++) if (open.has(at + i)) six |= 1 << i;
    bits += LETTERS[six];
  }
  const parts = data.frames.length ? [`open=${bits.replace(/A+$/, "") || "A"}`] : [];
  if (chosen) parts.push(`${chosen.kind === "node" ? "layer" : "frame"}=${encodeURIComponent(pathOf(data, chosen))}`);
  return parts.join("&");
}

/** What a hash says, as `{open, chosen}`; each null where it says nothing or no such thing is there. */
export function fromHash(data, hash) {
  const said = new Map(hash.replace(/^#/, "").split("&").map((part) => [part.split("=")[0], part.slice(part.indexOf("=") + 1)]));
  const found = { open: null, chosen: null }, bits = said.get("open");
  if (bits !== undefined && /^[\w-]*$/.test(bits)) {
    found.open = new Set();
    [...bits].forEach((letter, at) => {
      const six = LETTERS.indexOf(letter);
      for (let i = 0; i < 6; i++) if (six & (1 << i) && at * 6 + i < data.frames.length) found.open.add(at * 6 + i);
    });
  }
  for (const [key, kind, all] of [["layer", "node", data.nodes], ["frame", "frame", data.frames]]) {
    if (!said.has(key)) continue;
    const path = decoded(said.get(key)), index = all.findIndex((one) => one.path === path);
    if (index >= 0) found.chosen = { kind, index };
  }
  return found;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function pathOf(data, { kind, index }) {
  return (kind === "node" ? data.nodes : data.frames)[index].path;
}
