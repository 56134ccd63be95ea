"""What stands in an SVG picture of ours, read from its text alone: boxes, frames, letters and lines as a stranger's program finds them."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nnspec.records import dataclass, field

Array = np.ndarray[Any, np.dtype[np.float64]]
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass
class Seen:
    """Rectangles as (left, top, right, bottom), texts with the rectangle around their letters, wires as polylines by the value's title."""

    page: tuple[float, float]
    boxes: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    frames: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    texts: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = field(default_factory=list)  # and the layer or frame it belongs to
    wires: list[tuple[str, list[list[tuple[float, float]]]]] = field(default_factory=list)


def read(svg: str) -> Seen:
    root = ElementTree.fromstring(svg)
    _, _, wide, high = map(float, root.attrib["viewBox"].split())
    seen = Seen((wide, high))
    _group(root, (0.0, 0.0), (), seen)
    return seen


def _group(group: ElementTree.Element, at: tuple[float, float], around: tuple[float, ...], seen: Seen) -> None:
    title = group.findtext(f"{_SVG}title") or ""
    for part in group:
        if part.tag == f"{_SVG}g":
            by = [float(n) for n in re.findall(r"-?[\d.]+", part.get("transform", "0 0"))]
            inner, here = around, (at[0] + by[0], at[1] + by[1])
            if part.get("class") in ("layer", "frame"):
                first = next(child for child in part if child.tag == f"{_SVG}rect")
                x, y, w, h = (float(first.attrib[key]) for key in ("x", "y", "width", "height"))
                inner = (x + here[0], y + here[1], x + w + here[0], y + h + here[1])
                (seen.boxes if part.get("class") == "layer" else seen.frames).append((part.findtext(f"{_SVG}title") or "", inner))
            _group(part, here, inner, seen)
        elif part.tag == f"{_SVG}text":
            x, y, size = float(part.attrib["x"]) + at[0], float(part.attrib["y"]) + at[1], float(part.attrib["font-size"])
            seen.texts.append((part.text or "", (x, y - 0.75 * size, x + float(part.attrib["textLength"]), y + 0.22 * size), around))
        elif part.tag == f"{_SVG}path" and part.get("fill") == "none":
            seen.wires.append((title, [[(x + at[0], y + at[1]) for x, y in way] for way in _ways(part.attrib["d"])]))


def _ways(data: str) -> list[list[tuple[float, float]]]:
    ways: list[list[tuple[float, float]]] = []
    for letter, rest in re.findall(r"([MLC])([^MLC]*)", data):
        n = [float(value) for value in re.findall(r"-?[\d.]+", rest)]
        points = list(zip(n[::2], n[1::2], strict=True))
        if letter == "M":
            ways.append(points)
        elif letter == "L":
            ways[-1] += points
        else:
            a, (b, c, d) = ways[-1][-1], points
            for step in range(1, 17):
                t, s = step / 16, 1 - step / 16
                w = (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
                ways[-1].append((sum(p[0] * k for p, k in zip((a, b, c, d), w, strict=True)), sum(p[1] * k for p, k in zip((a, b, c, d), w, strict=True))))
    return ways


def faults(seen: Seen) -> list[str]:
    """All that lies over something else, or leaves what it belongs to."""
    boxes, frames, texts = (_array([entry[1] for entry in part]) for part in (seen.boxes, seen.frames, seen.texts))
    found = [f"{seen.boxes[i][0]} overlaps {seen.boxes[j][0]}" for i, j in np.argwhere(np.triu(_over(boxes, boxes), 1))]
    found += [f"'{seen.texts[i][0]}' overlaps '{seen.texts[j][0]}'" for i, j in np.argwhere(np.triu(_over(texts, texts), 1))]
    found += [f"frames cut: {seen.frames[i][0]}, {seen.frames[j][0]}" for i, j in np.argwhere(_over(frames, frames)) if not (_in(frames[i], frames[j]) or _in(frames[j], frames[i]))]
    found += [f"{seen.frames[i][0]} cuts {seen.boxes[j][0]}" for i, j in np.argwhere(_over(frames, boxes)) if not _in(boxes[j], frames[i])]
    for text, at, around in seen.texts:
        if not _in(at, around or (0, 0, *seen.page)):
            found.append(f"'{text}' leaves its box")
        if around not in (box for _, box in seen.boxes):
            found += [f"'{text}' lies on {seen.boxes[j][0]}" for j in np.flatnonzero(_over(_array([at]), boxes)[0])]
    for title, ways in seen.wires:
        pieces = np.array([(*a, *b) for way in ways for a, b in zip(way, way[1:], strict=False)])
        found += [f"{title} runs through {seen.boxes[j][0]}" for j in range(len(boxes)) if _through(pieces, boxes[j])]
        found += [f"{title} runs through '{seen.texts[j][0]}'" for j in range(len(texts)) if _through(pieces, texts[j])]
    return found


def _array(rectangles: list[tuple[float, ...]]) -> Array:
    return np.array(rectangles, float).reshape(-1, 4)


def _over(one: Array, other: Array, slack: float = 0.15) -> Any:
    """Which rectangles of the first overlap which of the second by more than rounding."""
    a, b = one[:, None, :], other[None, :, :]
    return ((a[..., :2] < b[..., 2:] - slack) & (b[..., :2] < a[..., 2:] - slack)).all(2)


def _in(inner: Any, outer: Any) -> bool:
    return bool(inner[0] >= outer[0] - 0.1 and inner[1] >= outer[1] - 0.1 and inner[2] <= outer[2] + 0.1 and inner[3] <= outer[3] + 0.1)


def _through(pieces: Array, box: Any, edge: float = 0.6) -> bool:
    """Whether a straight piece has a point inside a rectangle."""
    low, high = np.minimum(pieces[:, :2], pieces[:, 2:]), np.maximum(pieces[:, :2], pieces[:, 2:])
    near = pieces[((low < box[2:] - edge) & (high > box[:2] + edge)).all(1)]
    if not len(near):
        return False
    points = near[:, None, :2] + (near[:, None, 2:] - near[:, None, :2]) * np.linspace(0, 1, 33)[None, :, None]
    return bool(((points > box[:2] + edge) & (points < box[2:] - edge)).all(2).any())
