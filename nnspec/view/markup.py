"""The pieces of SVG text that pictures share: numbers, lines of writing, the sheet of paper."""

from __future__ import annotations

from collections.abc import Iterable

from nnspec.view.palette import PAPER
from nnspec.view.text import FONT, escape, width


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def writing(x: float, y: float, text: str, size: float, fill: str, bold: bool = False) -> str:
    """A line of text that takes exactly the width it was measured to have, whatever font is there."""
    if not text:
        return ""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{fill}"{weight} '
        f'textLength="{number(width(text, size, bold))}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def rectangle(x: float, y: float, wide: float, high: float, **attributes: object) -> str:
    """A ``rect``; an underscore in an attribute's name stands for a hyphen."""
    stated = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<rect x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}"{stated}/>'


def sheet(title: str, wide: float, tall: float, parts: Iterable[str]) -> str:
    """A whole SVG document: a light sheet of paper, legible on any background, with ``parts`` on it."""
    paper = rectangle(0.5, 0.5, wide - 1, tall - 1, rx=13, fill=PAPER, stroke="#e2e8f0")
    size = f'viewBox="0 0 {number(wide)} {number(tall)}" width="{number(wide)}" height="{number(tall)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    return "\n".join((head, f"<title>{escape(title)}</title>", paper, *filter(None, parts), "</svg>")) + "\n"
