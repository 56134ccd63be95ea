"""An ONNX model as a draft: its inputs, a layer for each node, its outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.onnx_import import Seen, Watch, literal
from nnspec.interop.onnx_read import wrong
from nnspec.interop.onnx_scope import refuse_what_has_no_layer
from nnspec.interop.raising.draft import Draft, Entry, Step
from nnspec.interop.raising.nodes import NODES
from nnspec.interop.raising.ops import raise_calls
from nnspec.interop.raising.raiser import DTYPES, Raiser
from nnspec.ir.graph import Value
from nnspec.ir.op import Input
from nnspec.spec.words import NAME

if TYPE_CHECKING:
    from onnx import ModelProto

LONGEST = 10_000_000
MOST_AXES = 32
TYPES = ("float32", "float64", "int32", "int64")  # of inputs
ROWS = 7  # of the graph that is raised, where any number goes


def draft(model: ModelProto, name: str, channels_last: bool = False, lengths: Mapping[str, int] = MappingProxyType({})) -> Draft:
    """The model's layers, with these lengths of axes that have a name instead. Raises DataError, naming the node, for what has none."""
    r = Raiser()
    inputs: dict[str, Entry] = {}
    refuse_what_has_no_layer(model, name)
    given, axes = feeds(model, name, lengths), named_axes(model)

    def known(v: Value) -> None:
        if isinstance(v.op, Input) and v not in r.rows:
            entry = inputs[v.op.label]
            perm = (0, *range(2, v.rank), 1) if channels_last and 3 <= v.rank <= 5 and v.dtype.is_float else tuple(range(v.rank))
            entry.shape = tuple(sizes(v)[a] for a in perm[1:])
            entry.fields = {"dtype": DTYPES.get(v.dtype, ""), "axes": tuple(axes[v.op.label][a] for a in perm[1:])}
            r.put(v, entry.main, perm)

    def step(s: Seen) -> None:
        r.where, r.called = s.where, s.called if NAME.match(s.called) else ""
        for v in s.node.inputs:
            known(v)
        outputs = tuple(v for v in s.outputs if v is not None)
        if not outputs or all(r.known(v) is not None for v in outputs):
            return
        apart = any(v in r.folded or v in r.behind for v in s.node.inputs)
        if s.node.kind in NODES and not apart and NODES[s.node.kind](r, Step(s.where, s.node, outputs)) is not False:
            return
        raise_calls(r, outputs)

    for label, feed in given.items():
        inputs[label] = Entry("", {"axes": axes[label][1:]}, [], name=readable(label, {e.name for e in inputs.values()}), shape=feed.shape[1:])
    graph = literal(model, given, name, Watch(step, NODES))
    outputs = {}
    r.where = r.called = ""
    for label, v in graph.outputs.items():
        known(v)
        try:
            if r.known(v) is not None:
                raise NotImportedError("it follows from constants alone")
            if v in r.folded or v in r.behind:
                raise NotImportedError("rows and places are one axis of it")
            if r.rows[v]:
                raise NotImportedError("its rows are not the first axis")
            outputs[label] = r.get(v)
            if outputs[label].output or not outputs[label].entry.kind or outputs[label] in list(outputs.values())[:-1]:
                outputs[label] = r.emit("identity", outputs[label], made=tuple(sizes(v)[1:]))
            if NAME.match(label) and len(graph.outputs) > 1:
                outputs[label].entry.name = label
        except NotImportedError as e:
            raise wrong(name, f"the output '{label[:100]}' cannot be a spec's: {e}") from None
    return Draft(list(inputs.values()), r.entries, outputs)


def stated(model: ModelProto) -> Iterator[Any]:
    """The inputs that are no stored tensors."""
    held = {t.name for t in model.graph.initializer}
    yield from (i for i in model.graph.input if i.name not in held)


def named_axes(model: ModelProto) -> dict[str, tuple[str, ...]]:
    """Of every input the names of its axes, nothing for those that have a length; the rows are the first."""
    found: dict[str, tuple[str, ...]] = {}
    for i in stated(model):
        names: list[str] = []
        for n, d in enumerate(i.type.tensor_type.shape.dim):
            named = readable(d.dim_param, set()) if d.dim_param else f"{readable(i.name, set())}_axis_{n}"
            names.append("" if d.HasField("dim_value") and d.dim_value > 0 else f"{named}_" if named == "batch" else named)
        found[i.name] = tuple(names)
    return found


def open_axes(model: ModelProto) -> list[str]:
    """The names of axes without a length, but for the rows."""
    return list(dict.fromkeys(name for names in named_axes(model).values() for name in names[1:] if name))


def feeds(model: ModelProto, name: str, lengths: Mapping[str, int]) -> dict[str, Any]:
    """Arrays in the shapes of the inputs, without content; any number of rows."""
    from onnx import helper

    found: dict[str, Any] = {}
    axes = named_axes(model)
    for i in stated(model):
        t = i.type.tensor_type
        if not i.type.HasField("tensor_type") or not t.HasField("shape") or not t.shape.dim:
            raise wrong(name, f"the input '{i.name[:100]}' says no shape, or has no rows", wanted="a tensor whose first axis counts rows")
        shape = [d.dim_value if not axis else lengths.get(axis, 0) for d, axis in zip(t.shape.dim, axes[i.name], strict=True)]
        if any(not 0 < n <= LONGEST for n in shape[1:]) or not 0 <= shape[0] <= LONGEST:
            raise wrong(name, f"the input '{i.name[:100]}' has an axis of no length that could be", str(shape), f"1 to {LONGEST:,}")
        if len(shape) > MOST_AXES:  # NumPy's arrays have at most 64, and steps on the way add some
            raise wrong(name, f"the input '{i.name[:100]}' has too many axes", f"{len(shape)}", f"at most {MOST_AXES}")
        shape[0] = shape[0] or ROWS
        try:
            dtype = helper.tensor_dtype_to_np_dtype(t.elem_type)
        except KeyError:
            raise wrong(name, f"the input '{i.name[:100]}' has a type that is not in this version", str(t.elem_type)) from None
        if dtype.name not in TYPES:
            raise wrong(name, f"the input '{i.name[:100]}' has a type that inputs of a spec do not have", dtype.name, ", ".join(TYPES))
        found[i.name] = np.broadcast_to(np.zeros((), dtype), shape)
    return found


def readable(label: str, taken: set[str]) -> str:
    """A name that a spec may have, as near as can be."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", label.rsplit("/", 1)[-1] or "x").strip("_")[:60] or "x"
    text = text if NAME.match(text) else f"x_{text}"
    wanted, n = text, 1
    while wanted in taken:
        n += 1
        wanted = f"{text}_{n}"
    return wanted

