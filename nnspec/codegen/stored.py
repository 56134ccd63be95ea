"""Programs kept on disk: what passes and plan made of a graph is read back instead of made again, as JSON that is checked on its way in.

The key is all that decides a program: its graph before any pass, op by op, which is what the resolved spec, its data and its shapes come to;
how it is made (``math: strict``, a budget, a tune file); the backend's processor and libraries; and the sources of nnspec. What is read is
data: ops are made by their names and have to infer the types that their arrays have, arrays lie within their arenas, names are names, and
the rules by which a plan is made hold for every step. Anything else is made anew.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from keyword import iskeyword
from math import prod
from typing import Any

import numpy as np

from nnspec.codegen.drafts import Kept, Rules
from nnspec.codegen.emit import literal
from nnspec.codegen.views import Layout
from nnspec.ir.graph import Call, Graph, Origin, Value, abstract, call
from nnspec.ir.op import REGISTRY, Input, Op, ShapeError
from nnspec.ir.program import KEPT, STATE, Array, Copy, Program, Step
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.fused import Followed, Fused

OPS: dict[str, type[Op]] = {"Copy": Copy, "Fused": Fused, "Followed": Followed}  # those that no graph of a network holds
KEEPS = True  # whether programs are kept at all: not where tests change how they are made
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TEXT = re.compile(r"[\w $./:,>+*-]*")  # what the attributes of ops are spelled with: nothing that is code
WRONG = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError, RecursionError, NotImplementedError, ShapeError)


class Refused(ValueError):
    """An entry that does not say a program."""


# What a program depends on


def key_of(graph: Graph, *how: object) -> bytes:
    """The digest of a graph and of how it is made into a program; 0 bytes where the sources cannot be told apart."""
    sources = fingerprint()
    if not sources:
        return b""
    text = json.dumps([sources, [repr(h) for h in how], _graph(graph)], separators=(",", ":"))
    return sha256(text.encode()).digest()


@cache
def fingerprint() -> str:
    """What the sources of nnspec and its backends are: name, size and time of each file, as Python itself tells whether it has compiled them."""
    found = []
    try:
        for package in ("nnspec", *sorted(name for name in sys.modules if name.startswith("nnspec_") and "." not in name)):
            file = sys.modules[package].__file__
            assert file is not None
            found += sorted(_files(os.path.dirname(file), package))
    except (OSError, AssertionError):
        return ""
    return sha256("\n".join([_version("nnspec"), _version("llvmlite"), np.__version__, *found]).encode()).hexdigest()


def _files(folder: str, name: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.name.endswith(".py"):
            status = entry.stat()
            yield f"{name}/{entry.name} {status.st_size} {status.st_mtime_ns}"
        elif entry.is_dir() and entry.name.isidentifier() and not entry.name.startswith("_"):
            yield from _files(entry.path, f"{name}/{entry.name}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


# Writing


def written(program: Program) -> bytes:
    """A program as JSON."""
    arrays: dict[Array, int] = {}

    def number(a: Array | None) -> int:
        if a is None:
            return -1
        if a not in arrays:
            number(a.base)
            arrays[a] = len(arrays)
        return arrays[a]

    listed = [number(a) for a in program.arrays]
    steps = [[_op(s.call.op), *([number(a) for a in side] for side in (s.inputs, s.outputs, s.workspace)), number(s.guard), *s.call.origin]
             for s in program.steps]  # fmt: skip
    named = [{name: number(a) for name, a in side.items()} for side in (program.inputs, program.state, program.outputs)]
    rows = [[a.name, _type(a.type), a.arena, a.offset, list(a.strides), a.layer, number(a.base), None if a.data is None else _value(a.data)]
            for a in arrays]  # fmt: skip
    content = {"title": program.title, "arenas": dict(program.arenas), "arrays": rows, "listed": listed, "named": named, "steps": steps}
    return json.dumps(content, separators=(",", ":")).encode()


def spelled(graph: Graph) -> bytes:
    """How a graph is made, op by op: equal for equal graphs alone."""
    return json.dumps(_graph(graph), separators=(",", ":")).encode()


def _graph(graph: Graph) -> list[Any]:
    """All calls in their order, and the outputs by name; values are counted."""
    numbers: dict[Value, int] = {}
    calls = []
    for c in graph.calls:
        calls.append([_op(c.op), [numbers[v] for v in c.inputs], *c.origin])
        for v in c.outputs:
            numbers[v] = len(numbers)
    return [calls, {name: numbers[v] for name, v in graph.outputs.items()}]


def _op(op: Op) -> list[Any]:
    return [type(op).__name__, *(_value(v) for v in op.__dict__.values())]


def _value(v: Any) -> Any:
    match v:
        case DType():
            return {"dtype": v.value}
        case None | bool() | int() | float() | str():
            return v
        case tuple():
            return [_value(x) for x in v]
        case TensorType():
            return {"type": _type(v)}
        case np.ndarray():
            return {"array": [v.dtype.name, list(v.shape), base64.b64encode(np.ascontiguousarray(v).tobytes()).decode()]}
        case Graph():
            return {"graph": _graph(v)}
        case Op():
            return {"op": _op(v)}
    return {"text": [type(v).__name__, str(v)]}  # an axis without a length: part of a key, never of a program


def _type(t: TensorType) -> list[Any]:
    return [t.dtype.value, *(d if isinstance(d, int) else str(d) for d in t.shape)]


# Reading


def read(content: bytes, key: bytes, rules: Rules, reserved: Iterable[str]) -> Program | None:
    """The program that was written; None where it is not one that these rules could have made."""
    try:
        return _Reader(json.loads(content), rules, frozenset(reserved)).program(key)
    except WRONG:
        return None


class _Reader:
    def __init__(self, content: Any, rules: Rules, reserved: frozenset[str]) -> None:
        self.content, self.rules = content, rules
        self.arenas = {str(name): _whole(size) for name, size in content["arenas"].items()}
        self.types: dict[tuple[Any, ...], tuple[TensorType, Value]] = {}
        self.names = set(reserved)
        self.arrays: list[Array] = []
        for row in content["arrays"]:
            self.arrays.append(self.array(*row))

    def program(self, key: bytes) -> Program:
        steps = tuple(self.step(*row) for row in self.content["steps"])
        inputs, state, outputs = ({name: self.at(n) for name, n in side.items()} for side in self.content["named"])
        listed = tuple(self.at(n) for n in self.content["listed"])
        _hold(all(a.arena == f"{STATE}{name}" for name, a in state.items()) and all(a.arena for a in inputs.values()))
        return Program(str(self.content["title"]), inputs, state, outputs, steps, listed, self.arenas, key)

    def at(self, n: int) -> Array:
        return self.arrays[_whole(n)]

    def array(self, name: str, kind: list[Any], arena: str, offset: int, strides: list[int], layer: str, base: int, held: Any) -> Array:
        t, _ = self.type(kind)
        shape, size = known(t.shape), t.dtype.size
        data = None if held is None else _read_value(held)
        _hold(data is None or data.dtype == t.dtype.numpy and data.shape == shape)
        if not arena:
            _hold(data is not None and name == literal(data))
            return Array(name, t, "", 0, (0,) * t.rank, data=data)
        _hold(len(strides) == len(shape) and all(type(s) is int for s in strides) and _whole(offset) % size == 0)
        if prod(shape):
            ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
            low, high = (sum(e for e in ends if (e < 0) is below) * size for below in (True, False))
            _hold(offset + low >= 0 and offset + high + size <= self.arenas[arena])
        _hold(NAME.fullmatch(name) is not None and not iskeyword(name) and name not in self.names)
        self.names.add(name)
        return Array(name, t, arena, offset, tuple(strides), str(layer), None if base == -1 else self.at(base), data)

    def type(self, kind: list[Any]) -> tuple[TensorType, Value]:
        """A type, and a value of it."""
        dtype, *shape = kind
        key = (dtype, *shape)
        if key not in self.types:
            t = TensorType(tuple(map(_whole, shape)), DType(dtype))
            self.types[key] = t, abstract(t)
        return self.types[key]

    def step(self, op: list[Any], inputs: list[int], outputs: list[int], workspace: list[int], guard: int, layer: str, stage: str) -> Step:
        made = _read_op(op)
        x, y, w = ([self.at(n) for n in side] for side in (inputs, outputs, workspace))
        values = tuple(self.types[(a.type.dtype.value, *a.type.shape)][1] for a in x)
        types = made.types(*(v.type for v in values))
        _hold(types == tuple(a.type for a in y) and all(a.arena for a in y))
        self.follow(made, x, y, w)
        return Step(Call(made, values, types, Origin(str(layer), str(stage))), tuple(x), tuple(y), tuple(w), None if guard == -1 else self.at(guard))

    def follow(self, op: Op, x: list[Array], y: list[Array], w: list[Array]) -> None:
        """The backend's rules for a step: what it reads and writes as it lies, and what it works on."""
        rules = self.rules
        if not isinstance(op, Copy):
            rules.check(op)
        for i, a in enumerate(x):
            _hold(rules.literal(op, i) if a.literal else rules.reads(op, i, _layout(a)))
        _hold(all(rules.writes(op, i, _layout(a)) for i, a in enumerate(y)))
        layouts = [None if a.literal else _layout(a) for a in (*x, *y)]
        asked = rules.workspace(op, [a.type for a in x], [a.type for a in y], layouts)
        _hold(len(asked) == len(w))
        for wanted, a in zip(asked, w, strict=True):
            if isinstance(wanted, np.ndarray):
                _hold(a.data is not None and a.data.dtype == wanted.dtype and np.array_equal(a.data, wanted))
            elif isinstance(wanted, Kept):
                _hold(a.arena.startswith(KEPT) and a.type == wanted.type)
            else:
                _hold(a.type == wanted and a.data is None)
            _hold(a.contiguous)


def _read_op(row: list[Any]) -> Op:
    name, *values = row
    return (OPS.get(name) or REGISTRY[name])(*(_read_value(v) for v in values))


def _read_value(v: Any) -> Any:
    match v:
        case None | bool() | int() | float():
            return v
        case str():
            return _text(v)
        case list():
            return tuple(_read_value(x) for x in v)
        case {"dtype": str(name)}:
            return DType(name)
        case {"type": [str(name), *shape]}:
            return TensorType(tuple(map(_whole, shape)), DType(name))
        case {"array": [str(name), [*shape], str(text)]}:
            return np.frombuffer(base64.b64decode(text, validate=True), DType(name).numpy).reshape(tuple(map(_whole, shape))).copy()
        case {"graph": [[*calls], dict(outputs)]}:
            return _read_graph(calls, outputs)
        case {"op": [*row]}:
            return _read_op(row)
    raise Refused(f"no value: {v!r:.100}")


def _read_graph(calls: list[Any], outputs: Mapping[str, int]) -> Graph:
    values: list[Value] = []
    for op, inputs, _layer, _stage in calls:
        made = _read_op(op)
        values += call(made, tuple(values[_whole(n)] for n in inputs)).outputs
    graph = Graph({_text(name): values[_whole(n)] for name, n in outputs.items()})
    _hold(len(graph.calls) == len(calls) and all(isinstance(c.op, Input) or c.inputs or c.op.name == "Constant" for c in graph.calls))
    return graph


def _layout(a: Array) -> Layout:
    return Layout(0, a.shape, a.strides)


def _hold(condition: bool) -> None:
    if not condition:
        raise Refused("what is written is no program")


def _whole(n: Any) -> int:
    _hold(type(n) is int and n >= 0)
    return int(n)


def _text(text: Any) -> str:
    _hold(type(text) is str and TEXT.fullmatch(text) is not None)
    return str(text)
