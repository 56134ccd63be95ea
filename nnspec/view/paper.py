"""What a still picture is made of, whoever draws it: rectangles, lines of text, edges with their arrows, and groups of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from nnspec.records import dataclass
from nnspec.view.strokes import Point, Stroke


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle with round corners; without ``line`` it has no outline."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    fill: str
    line: str = ""
    thick: float = 1.2
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text from ``x`` on, its baseline at ``y``, exactly as wide as ``text.width`` says."""

    x: float
    y: float
    text: str
    size: float
    ink: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """The ways of a value, each stretch once, and the ``tips`` where an arrow points down into a reader."""

    strokes: tuple[Stroke, ...]
    tips: tuple[Point, ...]
    ink: str
    thick: float = 1.5


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that belong together: a ``layer``, a ``frame``, an ``edge``, or (no kind) a canvas moved by ``shift``."""

    kind: str
    title: str
    parts: Sequence[Part]
    shift: Point = (0.0, 0.0)


Part: TypeAlias = "Rectangle | Words | Wire | Group"


@dataclass(frozen=True, slots=True)
class Paper:
    """A light sheet with everything on it."""

    title: str
    width: float
    height: float
    parts: tuple[Part, ...]
