"""Which lines run beside the rows of a drawing in text, from a layer to those that read it further down, and what they look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nnspec.records import dataclass

_GLYPHS = {  # by whether a line goes on up, down, left, right
    (0, 0, 0, 0): " ", (0, 0, 0, 1): "╶", (0, 0, 1, 0): "╴", (0, 0, 1, 1): "─", (0, 1, 0, 0): "╷", (0, 1, 0, 1): "╭", (0, 1, 1, 0): "╮",
    (0, 1, 1, 1): "┬", (1, 0, 0, 0): "╵", (1, 0, 0, 1): "╰", (1, 0, 1, 0): "╯", (1, 0, 1, 1): "┴", (1, 1, 0, 0): "│", (1, 1, 0, 1): "├",
    (1, 1, 1, 0): "┤", (1, 1, 1, 1): "┼",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rail:
    """A line from row ``first`` down to row ``last`` with a branch at each of ``reads``; lane 0 is nearest to the names."""

    first: int
    last: int
    reads: frozenset[int]
    lane: int


def rails(uses: Mapping[int, Sequence[int]], most: int) -> tuple[list[Rail], dict[int, list[int]]]:
    """The rails of sources by row, short ones inside, in at most ``most`` lanes; and for rows the sources that found none."""
    lanes: list[list[tuple[int, int]]] = []
    found, without = [], dict[int, list[int]]()
    for first, readers in sorted(uses.items(), key=lambda use: (max(use[1]) - use[0], use[0])):
        last = max(readers)
        lane = next((i for i, taken in enumerate(lanes) if all(last < a or b < first for a, b in taken)), len(lanes))
        if lane >= most:
            for reader in readers:
                without.setdefault(reader, []).append(first)
            continue
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((first, last))
        found.append(Rail(first, last, frozenset(readers), lane))
    return found, without


def glyph(up: bool, down: bool, left: bool, right: bool) -> str:
    """The letter whose lines go on in these directions."""
    return _GLYPHS[int(up), int(down), int(left), int(right)]


def beside(row: int, found: Iterable[Rail], lanes: int) -> tuple[str, bool, bool]:
    """What stands left of a row, two letters a lane; whether a line arrives there, and whether one sets out or arrives."""
    here = {rail.lane: rail for rail in found if rail.first <= row <= rail.last}
    touched = {lane for lane, rail in here.items() if row == rail.first or row in rail.reads}
    text = ""
    for lane in reversed(range(lanes)):
        rail = here.get(lane)
        run = any(other > lane for other in touched)  # a line that comes from further left
        if lane in touched and rail is not None:
            text += glyph(row > rail.first, row < rail.last, run, True) + "─"
        else:
            text += ("│" if rail else "─" if run else " ") + ("─" if run else " ")
    return text, any(row in rail.reads for rail in here.values()), bool(touched)
