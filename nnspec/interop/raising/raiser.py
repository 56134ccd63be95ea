"""A graph of ONNX's while layers are found for it: every value in the order of axes in which a layer makes it.

ONNX has channels first, layers have them last. A value is known here by the entry that makes it, in one or more orders of axes:
``held[value][perm]`` is the entry whose output is the value transposed by ``perm``. A Transpose is no layer at all but another order; ``permute``
is written where a value is asked for in an order in which no entry makes it. What follows from weights and constants alone is computed.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Entry, Source
from nnspec.interop.raising.regroup import merged_in_order, regrouped
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Array, Constant
from nnspec.ir.types import DType
from nnspec.ops.movement import reshape, transpose
from nnspec.records import dataclass

Perm: TypeAlias = tuple[int, ...]
DTYPES = {DType.float32: "float32", DType.float64: "float32", DType.int32: "int32", DType.int64: "int64", DType.bool: "bool"}
UNMADE = "it reads what no layer makes in this version"
WRITTEN_OUT = 64  # numbers that stand in the spec itself; more are a parameter


@dataclass(frozen=True)
class Flat:
    """A row of elements whose entry has not been written: those of ``source``, which is a value of ``shape`` in an order of axes."""

    source: Source
    shape: tuple[int, ...]
    perm: Perm


class Rows(dict[Value, int]):
    """Which axis of a value counts rows, of those that a layer makes."""

    def __missing__(self, v: Value) -> int:
        raise NotImportedError(UNMADE)


class Raiser:
    """What of a graph has been raised so far."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.held: dict[Value, dict[Perm, Source]] = {}
        self.rows = Rows()
        self.flat: dict[Value, Flat] = {}
        self.inner: set[Value] = set()  # of ``folded`` those whose rows count fastest
        self.behind: dict[Value, tuple[Value, int]] = {}  # as ``folded``, but that the one axis stands at a place behind others
        self.folded: dict[Value, Value] = {}  # rows and places as one axis: the value that has them apart
        self.arrays: dict[Value, Array] = {}
        self.where = self.called = ""
        self._written: dict[tuple[Source, str], Source] = {}

    # What is known

    def known(self, v: Value) -> Array | None:
        """The numbers of a value that follows from constants alone."""
        return v.op.data if isinstance(v.op, Constant) else self.arrays.get(v)

    def array(self, v: Value, what: str) -> Array:
        """The numbers of a value that a layer keeps."""
        found = self.known(v)
        if found is None:
            raise NotImportedError(f"{what} that another layer makes has no layer in this version")
        return found

    def settle(self, call: Call) -> bool:
        """Whether a call follows from constants alone; it is then computed."""
        if isinstance(call.op, Constant):
            return True
        given = [a for v in call.inputs if (a := self.known(v)) is not None]
        if not call.inputs or len(given) < len(call.inputs):
            return False
        made = call.op.reference(*given)
        for v, a in zip(call.outputs, made if isinstance(made, tuple) else (made,), strict=True):
            self.arrays[v] = np.asarray(a, v.dtype.numpy)
        return True

    # Entries

    def emit(self, kind: str, *inputs: Source, weights: dict[str, Array] | None = None, made: tuple[int, ...] = (), **fields: Any) -> Source:
        """A new entry's output; fields that are None are left out."""
        kept = {k: v for k, v in fields.items() if v is not None}
        entry = Entry(kind, kept, list(inputs), weights or {}, self.called, self.where, made)
        self.entries.append(entry)
        return entry.main

    def put(self, v: Value, source: Source, perm: Perm | None = None, rows: int = 0) -> None:
        """An entry makes the value, in an order of axes that begins with the rows."""
        perm = tuple(range(v.rank)) if perm is None else perm
        self.rows[v] = rows
        if not perm or perm[0] != rows:
            raise NotImportedError("rows that are not the first axis")
        self.held.setdefault(v, {})[perm] = source
        if not source.entry.shape and not source.output:
            source.entry.shape = tuple(sizes(v)[a] for a in perm[1:])

    def alias(self, y: Value, x: Value, axes: Perm | None = None) -> None:
        """``y`` is ``x``, its axes in another order."""
        if (a := self.known(x)) is not None:
            self.arrays[y] = a if axes is None else a.transpose(axes)
            return
        if x in self.flat and axes is None:
            self.flat[y] = self.flat[x]
        if x in self.folded and axes is None:
            self.folded[y] = self.folded[x]
            return
        axes = tuple(range(x.rank)) if axes is None else axes
        self.rows[y] = axes.index(self.rows[x])
        for perm, source in self.held.get(x, {}).items():
            self.held.setdefault(y, {})[tuple(axes.index(p) for p in perm)] = source

    def plain(self, v: Value) -> Perm:
        """The value's own order of axes, the rows before all others."""
        rows = self.rows[v]
        return rows, *(a for a in range(v.rank) if a != rows)

    def channels_last(self, v: Value, axis: int = 1) -> Perm:
        """``(0, 2, 3, 1)`` of an image: the rows first, ``axis`` last, the others as they are."""
        rows = self.rows[v]
        if rows == axis:
            raise NotImportedError("channels among the rows")
        return rows, *(a for a in range(v.rank) if a not in (rows, axis)), axis

    def perms(self, v: Value) -> list[Perm]:
        """The orders in which the value is at hand."""
        return list(self.held.get(v, ()))

    def get(self, v: Value, perm: Perm | None = None) -> Source:
        """What makes the value in an order of axes, its own by default; a permute where nothing does."""
        perm = self.plain(v) if perm is None else perm
        held = self.held.setdefault(v, {})
        if perm in held:
            return held[perm]
        if v in self.flat and not held:
            flat = self.flat[v]
            held[perm] = self.once(self.ordered(flat.source, flat.shape, flat.perm, (0, *range(1, len(flat.shape)))), "flatten")
            held[perm].entry.shape = (prod(flat.shape[1:]),)
            return held[perm]
        if not held:
            raise NotImportedError("it is given constants where a layer reads what another makes" if self.known(v) is not None else UNMADE)
        have = next((p for p in held if _same(p, perm, sizes(v), perm[0])), next(iter(held)))
        held[perm] = self.ordered(held[have], sizes(v), have, perm)
        return held[perm]

    def ordered(self, source: Source, shape: tuple[int, ...], have: Perm, perm: Perm) -> Source:
        """What an entry makes of a value of ``shape``, in another order of axes."""
        if have == perm:
            return source
        new = tuple(shape[a] for a in perm[1:])
        if _same(have, perm, shape, perm[0]):
            return self.once(source, "reshape", shape=list(new), made=new)
        return self.once(source, "permute", axes=[have.index(a) - 1 for a in perm[1:]], made=new)

    def once(self, source: Source, kind: str, made: tuple[int, ...] = (), **fields: Any) -> Source:
        """An entry without weights, one for whoever asks for it."""
        key = source, f"{kind} {fields}"
        if key not in self._written:
            called, self.called = self.called, ""
            self._written[key] = self.emit(kind, source, made=made, **fields)
            self.called = called
        return self._written[key]

    # Values together

    def agreed(self, values: list[Value], rank: int) -> Perm:
        """The order of axes for which the fewest values are permuted; of equals one with channels last."""
        moving = [v for v in values if self.known(v) is None]
        if any(v.rank != rank for v in moving):
            raise NotImportedError("values of several ranks: rows would stand beside other axes")
        rows = self.rows[moving[0]]
        if any(self.rows[v] != rows for v in moving):
            raise NotImportedError("rows beside another axis")
        orders = {p for v in moving for p in self.perms(v)} or {self.plain(moving[0])}
        plain = self.plain(moving[0])
        return min(sorted(orders, reverse=True), key=lambda p: (sum(p not in self.held.get(v, ()) for v in moving), p == plain))

    def part(self, a: Array, rank: int, perm: Perm, keep: bool = False) -> Array:
        """Constants beside values of ``rank`` axes in an order: without the rows, and unless they are kept without leading axes of length 1."""
        if a.ndim > rank:
            raise NotImportedError("a constant of more axes than what it meets")
        full = a.reshape((1,) * (rank - a.ndim) + a.shape).transpose(perm)
        if full.shape[0] > 1:
            if (full != full[:1]).any():
                raise NotImportedError("a constant that differs from row to row")
            full = full[:1]
        full = full[0]
        while not keep and full.ndim and full.shape[0] == 1:
            full = full[0]
        return np.array(full, order="C")

    def constant(self, a: Array) -> Source:
        """Numbers as an entry: a parameter for many fractions, else a constant."""
        if a.dtype.kind == "f" and np.isnan(a).any():
            raise NotImportedError("a constant with NaN")
        endless = a.dtype.kind == "f" and not np.isfinite(a).all()
        if a.dtype.kind == "f" and a.ndim and a.size > (WRITTEN_OUT if endless else 1):
            return self.without_end(a) if endless else self.emit("parameter", weights={"value": a}, made=a.shape, shape=list(a.shape))
        if a.size > (1_000_000 if a.dtype.kind != "f" else WRITTEN_OUT):
            raise NotImportedError(f"a constant of {a.size:,} numbers")
        dtype = {"i": "int64" if a.dtype.itemsize == 8 else "int32", "b": "bool"}.get(a.dtype.kind)
        return self.emit("constant", value=numbers(a), dtype=dtype)

    def without_end(self, a: Array) -> Source:
        """Many numbers with infinity among them, which no file of weights holds: the largest number stands for it there, and is divided by 0."""
        largest: Any = np.finfo(np.float32).max
        if (np.abs(a[np.isfinite(a)]) >= 3.4e38).any():
            raise NotImportedError("a constant with infinity and the largest number")
        held = np.clip(a, -largest, largest)
        source = self.emit("parameter", weights={"value": held}, made=a.shape, shape=list(a.shape), trainable=False)
        return self.emit("math", source, made=a.shape, formula="{0} / (abs({0}) < 3.4e38)")

    def operands(self, values: list[Value], rank: int, perm: Perm) -> list[Source | float]:
        """Each value in an order of axes; of a constant its numbers, alone where it is one."""
        found: list[Source | float] = []
        for v in values:
            a = self.known(v)
            if a is None:
                found.append(self.get(v, perm))
            else:
                part = self.part(a, rank, perm)
                alone = part.size == 1 and part.dtype.kind != "b" and bool(np.isfinite(part).all())
                found.append(numbers(part.reshape(())) if alone else self.constant(part))
        return found

    # Shapes

    def merges(self, y: Value, x: Value) -> bool:
        """Whether ``y`` has the rows and axes behind them as one axis: what works on the last axis alone takes ``x`` in its place."""
        old, new = sizes(x), sizes(y)
        for k in range(2, len(old)):
            if not self.rows[x] and new[0] != old[0] and old[k:] == new[1:] and prod(old[:k]) == new[0]:
                self.folded[y] = x
                return True
        return False

    def reshape_around(self, y: Value, x: Value) -> None:
        """The same elements under another shape where rows stand behind other axes: what is before them and what is behind keep apart.

        The rows alone, or with the first of what is behind them as one axis, which then has to come before all others.
        """
        old, new, at = sizes(x), sizes(y), self.rows[x]
        first = transpose(x, (at, *(a for a in range(x.rank) if a != at)))
        self.alias(first, x, (at, *(a for a in range(x.rank) if a != at)))
        place = next((p for p in range(len(new)) if prod(new[:p]) == prod(old[:at]) and new[p] % old[at] == 0 and new[p]), None)
        if place is None and new[0] == prod(old[: at + 1]):
            whole = reshape(first, (old[at], *old[:at], *new[1:]))
            self.reshape(whole, first)
            self.folded[y] = whole
            self.inner.add(y)
            return
        if place is None:
            raise NotImportedError(f"a reshape of {old} to {new} mixes rows")
        before, many, behind = new[:place], new[place] // old[at], new[place + 1 :]
        if many == 1:
            made = reshape(first, (old[at], *before, *behind))
            self.reshape(made, first)
            self.alias(y, made, (*range(1, place + 1), 0, *range(place + 1, y.rank)))
            return
        whole = reshape(first, (old[at], *before, many, *behind))
        self.reshape(whole, first)
        axes = (0, place + 1, *range(1, place + 1), *range(place + 2, whole.rank))
        turned = transpose(whole, axes)
        self.alias(turned, whole, axes)
        self.behind[y] = turned, place

    def reshape(self, y: Value, x: Value) -> None:
        """The same elements under another shape, in the order that costs the fewest permutes."""
        if (a := self.known(x)) is not None:
            self.arrays[y] = a.reshape(sizes(y))
            return
        old, new = sizes(x), sizes(y)
        if old == new:
            return self.alias(y, x)
        if self.merges(y, x):
            return
        if not self.rows[x] and old and new and new[0] > old[0] > 0 and new[0] % old[0] == 0:  # the first axes of each row beside the rows
            apart = reshape(x, (old[0], new[0] // old[0], *new[1:]))
            self.reshape(apart, x)
            self.folded[y] = apart
            return
        if self.rows[x] and new:
            return self.reshape_around(y, x)
        if self.rows[x] or not new or old[0] != new[0]:
            raise NotImportedError(f"a reshape of {old} to {new} mixes rows")
        self.rows[y] = 0
        if x in self.flat and not self.held.get(x):
            flat = self.flat[x]
            if len(new) == 2:
                self.flat[y] = flat
                return
        if len(new) == 2 and len(old) > 2:
            perm = self.perms(x)[0]
            self.flat[y] = Flat(self.get(x, perm), old, perm)
            return
        if not self.perms(x):
            self.get(x)
        groups = regrouped(old[1:], new[1:])
        best = min((merged_in_order(p, old, groups) for p in self.perms(x)), key=lambda p: p not in self.held[x])
        walked: list[int] = []
        for axis in best[1:]:
            for xs, ys in groups:
                if xs[0] + 1 == axis:
                    walked += [i + 1 for i in ys]
        perm = (0, *(i for i in range(1, len(new)) if i not in walked), *walked)
        source = self.get(x, best)
        shape = tuple(new[i] for i in perm[1:])
        self.put(y, self.once(source, "reshape", shape=list(shape), made=shape) if shape != tuple(old[i] for i in best[1:]) else source, perm)


def numbers(a: Array) -> Any:
    """Numbers as a spec writes them: single precision in as few digits as it has."""
    if a.dtype == np.float32:
        return np.array([float(str(v)) for v in a.reshape(-1)], np.float64).reshape(a.shape).tolist()
    return a.tolist()


def _same(have: Perm, want: Perm, shape: tuple[int, ...], rows: int) -> bool:
    """Whether two orders differ in axes of length 1 alone, so that the elements lie alike."""
    return [a for a in have if shape[a] != 1 or a == rows] == [a for a in want if shape[a] != 1 or a == rows]
