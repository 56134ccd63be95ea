"""An ONNX model as a draft: its inputs, a layer for each node, its outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.onnx_import import Seen, Watch, literal
from nnspec.interop.onnx_read import wrong
from nnspec.interop.raising.draft import Draft, Entry, Step
from nnspec.interop.raising.nodes import NODES
from nnspec.interop.raising.ops import raise_calls
from nnspec.interop.raising.raiser import DTYPES, Raiser
from nnspec.ir.graph import Value
from nnspec.ir.op import Input
from nnspec.spec.words import NAME

if TYPE_CHECKING:
    from onnx import ModelProto

ROWS = 7  # of the graph that is raised, where any number goes


def draft(model: ModelProto, name: str, channels_last: bool = False) -> Draft:
    """The model's layers. Raises DataError, naming the node, for what has none."""
    r = Raiser()
    inputs: dict[str, Entry] = {}

    def known(v: Value) -> None:
        if isinstance(v.op, Input) and v not in r.rows:
            entry = inputs[v.op.label]
            perm = (0, *range(2, v.rank), 1) if channels_last and 3 <= v.rank <= 5 and v.dtype.is_float else tuple(range(v.rank))
            entry.shape = tuple(sizes(v)[a] for a in perm[1:])
            entry.fields = {"dtype": DTYPES.get(v.dtype, "")}
            r.put(v, entry.main, perm)

    def step(s: Seen) -> None:
        r.where, r.called = s.where, s.called if NAME.match(s.called) else ""
        for v in s.node.inputs:
            known(v)
        outputs = tuple(v for v in s.outputs if v is not None)
        if not outputs or all(r.known(v) is not None for v in outputs):
            return
        if s.node.kind in NODES and NODES[s.node.kind](r, Step(s.where, s.node, outputs)) is not False:
            return
        raise_calls(r, outputs)

    for label, feed in feeds(model, name).items():
        inputs[label] = Entry("", {}, [], name=readable(label, {e.name for e in inputs.values()}), shape=feed.shape[1:])
    graph = literal(model, feeds(model, name), name, Watch(step, NODES))
    outputs = {}
    r.where = r.called = ""
    for label, v in graph.outputs.items():
        known(v)
        try:
            if r.known(v) is not None:
                raise NotImportedError("it follows from constants alone")
            if r.rows[v]:
                raise NotImportedError("its rows are not the first axis")
            outputs[label] = r.get(v)
            if outputs[label].output or not outputs[label].entry.kind or outputs[label] in list(outputs.values())[:-1]:
                outputs[label] = r.emit("identity", outputs[label], made=tuple(sizes(v)[1:]))
        except NotImportedError as e:
            raise wrong(name, f"the output '{label[:100]}' cannot be a spec's: {e}") from None
    return Draft(list(inputs.values()), r.entries, outputs)


def feeds(model: ModelProto, name: str) -> dict[str, Any]:
    """Arrays in the shapes of the inputs, without content; any number of rows."""
    from onnx import helper

    held = {t.name for t in model.graph.initializer}
    found: dict[str, Any] = {}
    for i in model.graph.input:
        if i.name in held:
            continue
        t = i.type.tensor_type
        if not i.type.HasField("tensor_type") or not t.HasField("shape") or not t.shape.dim:
            raise wrong(name, f"the input '{i.name[:100]}' says no shape, or has no rows", wanted="a tensor whose first axis counts rows")
        shape = [d.dim_value if d.HasField("dim_value") else 0 for d in t.shape.dim]
        opened = [d.dim_param or "?" for d, n in zip(t.shape.dim[1:], shape[1:], strict=True) if n <= 0]
        if opened or any(n > 10_000_000 for n in shape):
            raise wrong(name, f"the input '{i.name[:100]}' has an axis of no known length", ", ".join(opened) or str(shape),
                        "lengths for all but the first axis")
        shape[0] = shape[0] if shape[0] > 0 else ROWS
        try:
            dtype = helper.tensor_dtype_to_np_dtype(t.elem_type)
        except KeyError:
            raise wrong(name, f"the input '{i.name[:100]}' has a type that is not in this version", str(t.elem_type)) from None
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

