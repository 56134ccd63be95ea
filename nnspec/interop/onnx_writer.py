"""An ONNX graph as it is written: nodes, initializers, and every value in the order of axes in which it is at hand.

ONNX's convolutions and pools want channels first, our values have them last. A value is known here by what it is called in one or more
orders of axes: ``names[perm]`` is the value transposed by ``perm``. A convolution makes one with channels first, what computes element by
element keeps the order that it finds, what goes along an axis is told another number of it; a Transpose is written only where a value is
asked for in an order in which nobody has it, once. What follows from weights and constants alone is computed here, and transposed for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Array, Constant, Input
from nnspec.ir.types import Dim, DType, Shape, Symbol, show
from nnspec.ops.movement import Unpack
from nnspec.records import dataclass, field

Perm: TypeAlias = tuple[int, ...]


@dataclass(eq=False)
class Node:
    """One node; its inputs and outputs by name."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    layer: str = ""


def plain(rank: int) -> Perm:
    """The order of axes that values have here."""
    return tuple(range(rank))


def channels_first(rank: int) -> Perm:
    """``(0, 3, 1, 2)`` of an image."""
    return 0, rank - 1, *range(1, rank - 1)


class Writer:
    """What of a graph has been written so far."""

    def __init__(self, graph: Graph, held: Mapping[str, Array], paths: Mapping[tuple[str, int], str]) -> None:
        self.uses: Counter[Value] = graph.uses
        self.nodes: list[Node] = []
        self.initializers: dict[str, Array] = {}
        self.names: dict[Value, dict[Perm, str]] = {}
        self.known: dict[Value, Array] = {}  # what follows from weights and constants alone
        self.made: dict[str, Node] = {}  # by name of an output, the node that makes it
        self.layer = ""
        self._held, self._paths = held, paths
        self._called: dict[Value, str] = {}  # weights by their paths
        self._taken: set[str] = {*graph.outputs, *(label for label in graph.inputs if label not in held)}
        self._numbers: dict[Any, str] = {}
        self._axes: dict[str, tuple[str, int]] = {}  # by symbolic axis, an input that has it, and where

    # Values

    def input(self, value: Value, name: str) -> None:
        """A value that comes from outside, under its own name."""
        self.names[value] = {plain(value.rank): name}
        for i, d in enumerate(value.shape):
            if isinstance(d, Symbol):
                self._axes.setdefault(str(d), (name, i))

    def settle(self, call: Call) -> bool:
        """Whether the call's outputs follow from weights and constants alone; they are then computed."""
        op = call.op
        if isinstance(op, Constant):
            self.known[call.outputs[0]] = op.data
        elif isinstance(op, Input):
            if op.label not in self._held:
                return False
            self.known[call.outputs[0]] = self._held[op.label]
        elif op.random or not call.inputs or any(v not in self.known for v in call.inputs) or any(_open(v.shape) for v in call.outputs):
            return False
        else:
            found = op.reference(*(self.known[v] for v in call.inputs))
            for v, a in zip(call.outputs, found if isinstance(found, tuple) else (found,), strict=True):
                self.known[v] = np.asarray(a, v.dtype.numpy)
            source = call.inputs[0].op
            if isinstance(op, Unpack) and isinstance(source, Input) and (source.label, op.offset) in self._paths:
                self._called[call.outputs[0]] = self._paths[source.label, op.offset]
        return True

    def perms(self, value: Value) -> list[Perm]:
        """The orders in which a value is at hand."""
        return list(self.names.get(value, ()))

    def get(self, value: Value, perm: Perm | None = None) -> str:
        """What the value is called in an order of axes; it is transposed where nobody has it so."""
        perm = plain(value.rank) if perm is None else perm
        names = self.names.setdefault(value, {})
        if perm in names:
            return names[perm]
        if value in self.known:
            names[perm] = self.array(self.known[value].transpose(perm), self._called.get(value, ""))
            return names[perm]
        have, name = next(iter(names.items()))
        if _same_order(have, perm, value.shape):
            names[perm] = self.reshape(name, tuple(value.shape[a] for a in have), tuple(value.shape[a] for a in perm))
        else:
            names[perm] = self.node("Transpose", name, perm=tuple(have.index(a) for a in perm))
        return names[perm]

    def put(self, value: Value, name: str, perm: Perm | None = None) -> None:
        """The value is at hand under a name, in an order of axes."""
        self.names.setdefault(value, {})[plain(value.rank) if perm is None else perm] = name

    def spread(self, value: Value, rank: int, perm: Perm) -> str:
        """The value as one of ``rank`` axes in an order, to be broadcast."""
        if value.rank == rank:
            return self.get(value, perm)
        if value in self.known:
            array = self.known[value]
            full = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(perm)
            while full.ndim and full.shape[0] == 1:  # what stands before the first long axis says nothing
                full = full[0]
            return self.get(value) if full.shape == array.shape and array.ndim < 2 else self.array(full, self._called.get(value, ""))
        if perm == plain(rank) or not value.rank:
            return self.get(value)
        shape = (*(1,) * (rank - value.rank), *value.shape)
        wide = self.reshape(self.get(value), value.shape, shape)
        moved = tuple(shape[a] for a in perm)
        if _same_order(plain(rank), perm, shape):
            return self.reshape(wide, shape, moved)
        return str(self.node("Transpose", wide, perm=perm))

    # Nodes

    def node(self, kind: str, *inputs: str, outputs: int = 0, **attributes: Any) -> Any:
        """A node's output by name; a list of them where several are asked for."""
        names = [self.fresh(f"{self.layer}/{kind}" if self.layer else kind) for _ in range(max(1, outputs))]
        made = Node(kind, list(inputs), names, {k: v for k, v in attributes.items() if v is not None}, self.layer)
        self.nodes.append(made)
        self.made.update(dict.fromkeys(names, made))
        return names if outputs else names[0]

    def array(self, values: Array, name: str = "") -> str:
        """An initializer: equal small ones are one."""
        values = np.ascontiguousarray(values).reshape(values.shape)
        key = (values.dtype.str, values.shape, values.tobytes()) if not name and values.nbytes <= 4096 else None
        if key in self._numbers:
            return self._numbers[key]
        name = self.fresh(name or (f"{self.layer}/constant" if self.layer else "constant"))
        self.initializers[name] = values
        if key is not None:
            self._numbers[key] = name
        return name

    def ints(self, values: Iterable[int]) -> str:
        """A vector of int64."""
        return self.array(np.array(list(values), np.int64))

    def number(self, value: float | bool, dtype: DType) -> str:
        """A scalar."""
        return self.array(np.array(value, dtype.numpy))

    def fresh(self, name: str) -> str:
        """A name like this one that nothing has yet."""
        wanted, n = name, 1
        while wanted in self._taken:
            n += 1
            wanted = f"{name}_{n}"
        self._taken.add(wanted)
        return wanted

    def reshape(self, name: str, old: Shape, new: Shape) -> str:
        """The same elements under another shape."""
        return name if old == new else str(self.node("Reshape", name, self.shape(new, old)))

    def shape(self, shape: Shape, old: Shape | None = None) -> str:
        """A shape as a vector; for a Reshape of ``old`` one open axis is whatever is left."""
        opened = [i for i, d in enumerate(shape) if isinstance(d, Symbol)]
        if not opened:
            return self.ints(d for d in shape if isinstance(d, int))
        if old is not None and len(opened) == 1 and 0 not in shape:
            return self.ints(d if isinstance(d, int) else -1 for d in shape)
        return str(self.node("Concat", *(self.length(d) for d in shape), axis=0))

    def length(self, dim: Dim) -> str:
        """The length of an axis, as a vector of one."""
        if isinstance(dim, int):
            return self.ints([dim])
        if str(dim) in self._axes:
            name, i = self._axes[str(dim)]
            return str(self.node("Shape", name, start=i, end=i + 1))
        total: str | None = None
        for monomial, k in dim.terms:
            product = self.ints([k])
            for atom in monomial:
                if atom.name and atom.name not in self._axes:
                    raise SpecError(Problem(f"no input tells the length of '{atom.name}', which ONNX would have to know", rule="onnx"))
                part = self.length(Symbol((((atom,), 1),))) if atom.name else self.node(
                    "Div", self.length(Symbol(atom.over)), self.ints([atom.divisor]))
                product = self.node("Mul", product, part)
            total = product if total is None else self.node("Add", total, product)
        return total or self.ints([0])

    def refuse(self, call: Call, why: str = "") -> SpecError:
        """The error for a call that ONNX has no words for."""
        where = f" of layer '{call.origin.layer}'" if call.origin.layer else ""
        return SpecError(Problem(f"the op {call.op.name}{where} cannot be written as ONNX", found=why or show(call.outputs[0].shape), rule="onnx"))


def _open(shape: Shape) -> bool:
    return any(isinstance(d, Symbol) for d in shape)


def _same_order(have: Perm, want: Perm, shape: Shape) -> bool:
    """Whether two orders differ in axes of length 1 alone, so that the elements lie alike."""
    return [a for a in have if shape[a] != 1] == [a for a in want if shape[a] != 1]
