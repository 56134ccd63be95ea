"""Which layer went wrong first: a step that was not taken is run again op by op, and watched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.ir.graph import Call, Graph
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array

PARTS = ("loss", "metrics")  # parts of a step that are no layers


class _Found(Exception):
    def __init__(self, text: str) -> None:
        self.text = text


def blame(graph: Graph, inputs: Mapping[str, Array]) -> str:
    """``layer 'dense_1', backward: Exp gave inf``, for the first call that makes a number that is not finite."""
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
        interpret(graph, inputs, watch)
    except _Found as e:
        return e.text
    return "nothing in the replay: the numbers are at the edge of their range"


def _kind(array: Array) -> str:
    return "NaN" if np.isnan(array).any() else "infinite"
