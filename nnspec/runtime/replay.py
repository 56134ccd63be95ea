"""Which layer went wrong first: a step that was not taken is run again op by op, and watched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.ir.graph import Call, Graph
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array
from nnspec.ops.choices import Where
from nnspec.training.loss_scale import LABEL

PARTS = ("loss", "metrics")  # parts of a step that are no layers


class _Found(Exception):
    def __init__(self, text: str) -> None:
        self.text = text


def blame(graph: Graph, inputs: Mapping[str, Array]) -> str:
    """``layer 'dense_1', backward: Exp gave inf``, for the first call that makes a number that is not finite; nothing where there is none.

    Looked at is what the loss and the new weights need: what only shows that they are finite may not be so itself.
    """
    for name, array in inputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"'{name}' is fed a number that is {_kind(array)}"

    def watch(c: Call, results: tuple[Array, ...]) -> None:
        for array in results:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                part = c.origin.layer
                where = f"the {part}, {c.origin.stage}" if part in PARTS else f"layer '{part}', {c.origin.stage}" if part else f"the {c.origin.stage}"
                raise _Found(f"{where}: {c.op.name} gave {_kind(array)}")

    try:
        interpret(_written(graph), inputs, watch)
    except _Found as e:
        return e.text
    return ""


def _written(graph: Graph) -> Graph:
    """The loss, and of every update what it would write."""
    return Graph({name: v.inputs[1] if isinstance(v.op, Where) else v for name, v in graph.outputs.items()
                  if name == "loss" or (name.startswith("update:") and name != f"update:{LABEL}")})  # fmt: skip


def _kind(array: Array) -> str:
    return "NaN" if np.isnan(array).any() else "infinite"
