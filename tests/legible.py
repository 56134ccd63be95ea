"""What of a page's text a person can read in a screenshot: its size on the screen, what cuts or covers it, how it stands out from its ground."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

LEAST = 9.0  # pixels of letters on the screen
CONTRAST = 4.5  # of WCAG AA, for letters of this size

TEXTS = """() => {
  const inside = (e) => { for (; e && e !== document.body; e = e.parentElement) if (e.matches(".nnspec-picture")) return true; return false; };
  const stage = document.querySelector(".stage").getBoundingClientRect(), found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const e = node.parentElement, style = getComputedStyle(e);
    if (!node.data.trim() || !inside(e) || e.closest(".said") || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const r = range.getBoundingClientRect(), drawn = e instanceof SVGElement, text = node.data;
    let opacity = 1, cut = false;
    for (let at = e; at; at = at.parentElement) {
      const s = getComputedStyle(at);
      opacity *= +s.opacity;
      if (at === e && drawn || at instanceof SVGElement || s.overflow === "visible") continue;
      const b = at.getBoundingClientRect();
      cut ||= r.left < b.left - 1 || r.right > b.right + 1 || r.top < b.top - 1 || r.bottom > b.bottom + 1 || at.scrollWidth > at.clientWidth + 1 && s.textOverflow === "ellipsis";
    }
    const size = parseFloat(style.fontSize) * (drawn ? e.getScreenCTM().a : 1);
    const gone = r.right <= 0 || r.bottom <= 0 || r.left >= innerWidth || r.top >= innerHeight || drawn && (r.right <= stage.left || r.bottom <= stage.top || r.left >= stage.right || r.top >= stage.bottom);
    if (gone || !r.width) continue;
    const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2), over = drawn && top?.closest(".zooms, .minimap, .tip, .details");
    found.push({ text, size, opacity, cut, drawn, covered: Boolean(over), ink: drawn ? style.fill : style.color, box: [r.left, r.top, r.right, r.bottom] });
  }
  const wires = [...document.querySelectorAll(".edge .wire")].map((wire) => {
    const m = wire.getScreenCTM(), length = wire.getTotalLength(), points = [];
    for (let at = 0; at <= length; at += 4) { const p = wire.getPointAtLength(at); points.push([p.x * m.a + m.e, p.y * m.d + m.f]); }
    return points;
  });
  return { found, wires, stage: [stage.left, stage.top, stage.right, stage.bottom] };
}"""


def faults(page: Any, whole: bool = True) -> list[str]:
    """What a stranger would find against the labels of a page as it stands; those that a view's edge cuts count where all should be in view."""
    seen = page.evaluate(TEXTS)
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    texts, stage = seen["found"], seen["stage"]
    said = [] if texts else ["there is no text"]
    for at, text in enumerate(texts):
        name, inner = repr(text["text"][:40]), _within(text["box"], stage) or not text["drawn"]
        if text["size"] < LEAST:
            said.append(f"{name} is {text['size']:.1f} pixels high")
        if text["cut"] and (whole or inner):
            said.append(f"{name} is cut")
        if text["covered"] and whole:
            said.append(f"{name} is covered")
        if text["covered"] or not inner:
            continue
        said += [f"{name} lies over {other['text'][:40]!r}" for other in texts[:at] if _overlap(text["box"], other["box"]) and not other["covered"]]
        ratio = contrast(pixels, text)
        if ratio < CONTRAST:
            said.append(f"{name} has a contrast of {ratio:.2f}")
    boxes = np.array([_letters(text["box"]) for text in texts if text["drawn"]]).reshape(-1, 4)
    points = np.array([point for wire in seen["wires"] for point in wire]).reshape(-1, 2)
    x, y = points[:, 0][None], points[:, 1][None]
    struck = ((boxes[:, :1] < x) & (x < boxes[:, 2:3]) & (boxes[:, 1:2] < y) & (y < boxes[:, 3:])).any(1)
    drawn = [text["text"] for text in texts if text["drawn"]]
    return said + [f"an edge runs through {drawn[at]!r}" for at in np.flatnonzero(struck)]


def contrast(pixels: np.ndarray[Any, Any], text: dict[str, Any]) -> float:
    """Of the letters' colour with the commonest around them in the screenshot; 0 where no letter is to be seen."""
    left, top, right, bottom = (round(v) for v in text["box"])
    part = pixels[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3)
    code, counts = np.unique(part.astype(int) @ (65536, 256, 1), return_counts=True)
    common = int(code[counts.argmax()])
    ground = np.array((common >> 16, common >> 8 & 255, common & 255), float)
    stated = [float(v) for v in text["ink"][text["ink"].index("(") + 1 : -1].replace("/", ",").split(",")]
    alpha = text["opacity"] * (stated[3] if len(stated) > 3 else 1.0)
    ink = np.array(stated[:3]) * alpha + ground * (1 - alpha)
    far = np.abs(part - ground).sum(1).max()
    if far < 0.3 * np.abs(ink - ground).sum():
        return 0.0
    light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: np.ndarray[Any, Any]) -> float:
    part = colour / 255
    linear = np.where(part <= 0.03928, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _letters(box: list[float]) -> tuple[float, float, float, float]:
    """A line's box from above its capitals to below its tails."""
    left, top, right, bottom = box
    return left + 0.5, top + 0.15 * (bottom - top), right - 0.5, bottom - 0.1 * (bottom - top)


def _overlap(one: list[float], other: list[float]) -> bool:
    a, b = _letters(one), _letters(other)
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(box: list[float], stage: list[float]) -> bool:
    return box[0] >= stage[0] and box[1] >= stage[1] and box[2] <= stage[2] and box[3] <= stage[3]
