"""Where shapes do not meet: which layers and lines, and what to write instead."""

from __future__ import annotations

from nnspec.errors import Problem
from nnspec.ir.types import show
from nnspec.network.fault import Fault
from nnspec.network.graph import Port
from nnspec.network.propose import propose

OF_NUMBERS = ("dtypes", "whole numbers", "floats", "bool")  # in errors that are about what numbers they are


def shape_problem(fault: Fault, path: str) -> Problem:
    """What an op refused, told with the layers and lines that its inputs come from, and with what would mend it."""
    e, x, network = fault.error, fault.x, fault.network

    def source(p: Port) -> str:
        line = network.nodes[p.node]["line"] if p.node in network.nodes else 0
        return f"'{p.node}{'.' + p.output if p.output else ''}'" + (f" (line {line})" if line else "")

    if len(x) > 1 and any(word in e.message for word in OF_NUMBERS):
        found = "  and  ".join(f"{p.type.dtype} {show(p.type.shape)} from {source(p)}" for p in x if p.type)
    elif len(x) > 1 and "number does not fit" not in e.message:
        found = "  and  ".join(f"{show(p.type.shape)} from {source(p)}" for p in x if p.type)
    elif not x or "number does not fit" in e.message:  # it stands in the layer
        found = e.found
    else:
        found = f"{e.found}  from {source(x[0])}" if e.found else f"from {source(x[0])}"
    hint, mend = propose(fault)
    place = fault.written.place
    return Problem(f"layer '{path}': {e.message}", place, found=found, wanted=e.wanted, hint=hint or e.hint, rule="shape", edits=mend)
