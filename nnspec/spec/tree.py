"""A spec's text as a tree of spans: where each scalar, list and mapping begins and ends, to the character."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nnspec.errors import Place
from nnspec.records import dataclass, field
from nnspec.spec.nodes import MOST_LEVELS, MOST_NODES
from nnspec.spec.reader import Mark, marks

PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)*")


@dataclass(slots=True, eq=False)
class Span:
    """One node. ``start`` is behind its anchor, ``end`` behind its last character; that of a list without brackets is its last item's."""

    kind: str  # Scalar, Alias, Sequence or Mapping
    start: int
    end: int
    style: str = ""  # a quote, | or >; flow for what stands in brackets
    value: str = ""
    parent: Span | None = None
    parts: list[Span] = field(default_factory=list)  # items; keys and values in turns

    @property
    def flow(self) -> bool:
        return self.style == "flow"

    @property
    def pairs(self) -> list[tuple[Span, Span]]:
        return list(zip(self.parts[::2], self.parts[1::2], strict=True)) if self.kind == "Mapping" else []

    def get(self, key: str) -> Span | None:
        return next((value for k, value in self.pairs if k.value == key), None)

    def last(self) -> Span:
        """The node whose last character this one's is."""
        return self.parts[-1].last() if self.parts and not self.flow else self

    def walk(self) -> Iterator[Span]:
        yield self
        for part in self.parts:
            yield from part.walk()


class Tree:
    """The spans of a text; raises ValueError where it is not YAML."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.root = self._read(marks(text))
        self.scalars: dict[int, Span] = {}
        for span in self.root.walk() if self.root else ():
            if span.kind == "Scalar" and (span.end > span.start or span.style):
                self.scalars[span.start] = span

    def _read(self, found: Iterator[Mark]) -> Span | None:
        root: Span | None = None
        stack: list[Span] = []
        for count, mark in enumerate(found):
            if count > MOST_NODES or len(stack) > MOST_LEVELS:
                raise ValueError("too many values, or too deep")
            if mark.kind.endswith("End") and stack and mark.kind[:3] in ("Seq", "Map"):
                done = stack.pop()
                done.end = mark.end if done.flow else done.parts[-1].end if done.parts else done.start
            elif mark.kind in ("Scalar", "Alias", "SequenceStart", "MappingStart"):
                span = self._span(mark, stack[-1] if stack else None)
                root = root or span
                if mark.kind.endswith("Start"):
                    stack.append(span)
        return root

    def _span(self, mark: Mark, parent: Span | None) -> Span:
        start = mark.start
        if mark.anchor and (match := PROPERTIES.match(self.text, start, max(mark.end, start))):
            start = match.end()
        span = Span(mark.kind.removesuffix("Start"), start, mark.end, mark.style, mark.value, parent)
        if parent is not None:
            parent.parts.append(span)
        return span

    def offset(self, place: Place) -> int:
        """The offset of a place; -1 where it is not in the text."""
        if not 0 < place.line <= len(self.starts):
            return -1
        return self.starts[place.line - 1] + place.column - 1

    def column(self, offset: int) -> int:
        """How many characters stand before an offset on its line."""
        return offset - self.line_start(offset)

    def line_start(self, offset: int) -> int:
        return max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1

    def line_end(self, offset: int) -> int:
        """Where the line ends in which an offset is, before its line break."""
        match = re.compile("[\r\n]").search(self.text, offset)
        return match.start() if match else len(self.text)

    def comments(self) -> list[str]:
        """Every comment, in order."""
        spans = sorted((s.start, s.end) for s in self.root.walk() if s.kind in ("Scalar", "Alias")) if self.root else []
        found, at = [], 0
        for start, end in [*spans, (len(self.text), len(self.text))]:
            found += re.findall(r"(?:^|(?<=[\s,\[\]{}]))#[^\r\n]*", self.text[at:start]) if start > at else []
            at = max(at, end)
        return found
