"""What ``nnspec tune`` has found: for calls of a program the fastest of their ways, timed on one machine, in a file that a run takes as input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from nnspec.codegen.backend import Backend
from nnspec.errors import DataError, Place, Problem, SpecError, nearest, one_of
from nnspec.ir.graph import Graph
from nnspec.ir.program import Program
from nnspec.passes.take_ways import spelled, take_ways
from nnspec.records import dataclass, field
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, read, read_file

VERSION = 1  # of the file
KEYS = ("tune", "nnspec", "spec", "machine", "threads", "calls")
CALL_KEYS = ("call", "way", "milliseconds", "layers")
AGAIN = "nnspec tune times this machine's ways anew"


@dataclass(frozen=True)
class Timed:
    """A call: the way it goes, the milliseconds of each of its ways, that of the cost model first, the layers it is in, where a file says so."""

    call: str
    way: str
    milliseconds: Mapping[str, float]
    layers: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def model(self) -> str:
        """What the cost model chose."""
        return next(iter(self.milliseconds))

    def __str__(self) -> str:
        others = ", ".join(f"{name} {ms:.3g}" for name, ms in self.milliseconds.items() if name != self.way)
        return f"{self.milliseconds[self.way]:.3g} ms ({others})"


@dataclass(frozen=True)
class Tuning:
    """The content of a file. ``machine`` is what the backend says of the one that it was timed on."""

    spec: str
    machine: Mapping[str, str]
    threads: int
    calls: Mapping[str, Timed]
    made_by: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)  # of the machine's words

    @cached_property
    def ways(self) -> dict[str, str]:
        """The way of each call by its spelling."""
        return {text: t.way for text, t in self.calls.items()}

    def text(self) -> str:
        """The file."""
        return "".join(f"{line}\n" for line in _lines(self))

    def applied(self, graph: Graph, backend: Backend) -> Graph:
        """``graph``, which went through the passes, with its calls going the ways of the file; those that it does not know as they would.

        Raises DataError where a call has no such way.
        """
        seen = set()
        for c in graph.calls:
            found = self.calls.get(text) if (text := spelled(c) if c.op.name in self._ops else "") else None
            if found is not None and text not in seen:
                seen.add(text)
                _refuse_unknown(found, backend.ways(c))
        return take_ways(graph, self.ways) if seen else graph

    @cached_property
    def _ops(self) -> frozenset[str]:
        return frozenset(text.partition(" of ")[0].partition("(")[0] for text in self.calls)

    def knows(self, program: Program, backend: Backend) -> tuple[int, int]:
        """Of how many different calls with several ways it says which, and of how many there are."""
        there = {spelled(s.call) for s in program.steps if backend.ways(s.call)}
        return len(there & self.ways.keys()), len(there)

    def differs(self, machine: Mapping[str, str]) -> str:
        """What is other about a machine than about the one it was timed on; nothing where they are alike."""
        other = [f"{name} {machine.get(name, 'none')}, was {self.machine.get(name, 'none')}" for name in dict.fromkeys([*self.machine, *machine])
                 if machine.get(name) != self.machine.get(name)]
        return "; ".join(other)

    def refuse_other(self, machine: Mapping[str, str]) -> None:
        """Raises DataError where it was timed on another machine: what was the fastest there need not be here."""
        if different := self.differs(machine):
            name = next(n for n in dict.fromkeys([*self.machine, *machine]) if machine.get(n) != self.machine.get(n))
            raise DataError(Problem("the ways were timed on another machine", self.places.get(name), found=different, hint=AGAIN, rule="tune"))


def _refuse_unknown(t: Timed, ways: tuple[str, ...]) -> None:
    if t.way not in ways:
        wanted = one_of(ways) if ways else "no choice: this call goes one way here"
        hint = nearest(t.way, ways) or AGAIN
        raise DataError(Problem(f"there is no way '{t.way}' for {t.call}"[:300], t.place, wanted=wanted, hint=hint, rule="tune"))


def _lines(t: Tuning) -> Iterator[str]:
    yield "# Which way calls of a program go: the fastest of those that nnspec tune has timed on this machine."
    yield f"tune: {VERSION}"
    yield f"nnspec: {json.dumps(t.made_by)}"
    yield f"spec: {json.dumps(t.spec)}"
    yield f"machine: {{{', '.join(f'{name}: {json.dumps(word)}' for name, word in t.machine.items())}}}"
    yield f"threads: {t.threads}"
    yield "calls:" if t.calls else "calls: []"
    for c in t.calls.values():
        yield f"- call: {json.dumps(c.call)}"
        yield f"  way: {json.dumps(c.way)}"
        yield f"  milliseconds: {{{', '.join(f'{json.dumps(name)}: {ms:.4g}' for name, ms in c.milliseconds.items())}}}"
        yield f"  layers: {json.dumps(list(c.layers))}"


# Reading


def read_tuning(path: str | Path) -> Tuning:
    """The content of a file that ``nnspec tune`` has written. Raises DataError, with the place of what is wrong."""
    if not Path(path).exists():
        raise DataError(Problem(f"{path}: there is no such file", wanted="a file that nnspec tune has written", rule="tune"))
    try:
        return _tuning(read_file(Path(path)))
    except SpecError as e:
        raise DataError(*map(_here, e.problems)) from None


def parse_tuning(text: str, name: str) -> Tuning:
    """``read_tuning`` of a text. Raises DataError."""
    try:
        return _tuning(read(text, name))
    except SpecError as e:
        raise DataError(*map(_here, e.problems)) from None


def _here(p: Problem) -> Problem:
    """A problem of reading as one of this file: it is no spec."""
    message, wanted = p.message.replace("for a spec", "for a tune file"), "a file that nnspec tune has written"
    hint = AGAIN if "data" in p.hint else p.hint.replace("a spec", "a tune file")
    return Problem(message, p.place, p.found, wanted if "a spec" in p.wanted else p.wanted, hint, "tune")


def _tuning(root: Node) -> Tuning:
    pairs = _pairs(root, KEYS, "this is not a file of nnspec tune")
    if (version := _number(pairs["tune"], "tune")) != VERSION:
        raise _wrong("this version of nnspec reads another form of this file", pairs["tune"], f"{version:g}", str(VERSION))
    machine = _mapping(pairs["machine"], "machine")
    threads = _number(pairs["threads"], "threads")
    if threads != int(threads) or not 1 <= threads <= 1024:
        raise _wrong("'threads' is no number of threads", pairs["threads"], f"{threads:g}", "1 to 1024")
    calls: dict[str, Timed] = {}
    for node in _list(pairs["calls"], "calls"):
        one = _timed(node)
        if one.call in calls:
            raise _wrong("a call stands here twice", node, one.call[:100], "each call once")
        calls[one.call] = one
    words = {name: _text(node, name) for name, node in machine.pairs.items()}
    return Tuning(_text(pairs["spec"], "spec"), words, int(threads), calls, _text(pairs["nnspec"], "nnspec"), machine.keys)


def _timed(node: Node) -> Timed:
    pairs = _pairs(node, CALL_KEYS, "this is no timed call")
    call, way = (_text(pairs[key], key) for key in ("call", "way"))
    times = _mapping(pairs["milliseconds"], "milliseconds")
    found = {name: _number(value, name) for name, value in times.pairs.items()}
    if negative := next((n for n, ms in found.items() if not 0 <= ms < float("inf")), ""):
        raise _wrong(f"'{negative}' takes no such time", times.pairs[negative], f"{found[negative]:g}", "milliseconds")
    if way not in found:
        raise _wrong(f"'{way}' was not timed"[:200], pairs["way"], way[:100], one_of(found))
    layers = tuple(_text(item, "layers") for item in _list(pairs["layers"], "layers"))
    return Timed(call, way, found, layers, pairs["way"].place)


def _wrong(message: str, node: Node, found: str, wanted: str) -> SpecError:
    return SpecError(Problem(message, node.place, found=found, wanted=wanted, hint=AGAIN))


def _pairs(node: Node, wanted: tuple[str, ...], message: str) -> dict[str, Node]:
    if not isinstance(node, MappingNode):
        raise _wrong(message, node, _said(node), f"the keys {', '.join(wanted)}")
    for name, place in node.keys.items():
        if name not in wanted:
            raise SpecError(Problem(f"'{name}' is no key of this file"[:200], place, wanted=", ".join(wanted), hint=nearest(name, wanted) or AGAIN))
    if missing := [name for name in wanted if name not in node.pairs]:
        raise _wrong(f"'{missing[0]}' is missing", node, ", ".join(node.pairs) or "nothing", ", ".join(wanted))
    return node.pairs


def _mapping(node: Node, name: str) -> MappingNode:
    if not isinstance(node, MappingNode) or not node.pairs:
        raise _wrong(f"'{name}' is a mapping", node, _said(node), "{name: value, …}")
    return node


def _list(node: Node, name: str) -> list[Node]:
    if not isinstance(node, Sequence):
        raise _wrong(f"'{name}' is a list", node, _said(node), "[…]")
    return node.items


def _text(node: Node, name: str) -> str:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise _wrong(f"'{name}' is a text", node, _said(node), '"…"')
    return node.value


def _number(node: Node, name: str) -> float:
    if not isinstance(node, Scalar) or not isinstance(node.value, int | float) or isinstance(node.value, bool):
        raise _wrong(f"'{name}' is a number"[:200], node, _said(node), "a number")
    try:
        return float(node.value)
    except OverflowError:
        raise _wrong(f"'{name}' is a number"[:200], node, node.text[:40], "a smaller one") from None


def _said(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text[:100] or "nothing"
    return "a list" if isinstance(node, Sequence) else "a mapping"


