"""What to write where shapes do not meet: which line, which key, which value; and the edit, where only one thing can be meant.

An edit with a length in it is offered for what stands once: in a block, or repeated, it would change every other copy as well.
"""

from __future__ import annotations

from collections.abc import Callable

from nnspec.network import counts, equation, meet, refit
from nnspec.network.fault import NONE, Fault, Proposal


def propose(fault: Fault) -> Proposal:
    """A hint that names the edit, and the edit where nothing else can be meant; nothing where none is known."""
    if any(p.type is None for p in fault.x):
        return NONE
    for what, ways in WAYS.items():
        if what in fault.error.message:
            return next((found for way in ways if (found := way(fault))[0]), NONE)
    return NONE


def _by_kind(fault: Fault) -> Proposal:
    """A product of matrices, or of elements."""
    return refit.matmul(fault) if fault.entry.kind == "matmul" else next((found for way in meet.MERGED if (found := way(fault))[0]), NONE)


WAYS: dict[str, tuple[Callable[[Fault], Proposal], ...]] = {
    **dict.fromkeys(("cannot be added", "cannot be averaged", "cannot be compared", "cannot be subtracted"), meet.MERGED),
    "has two lengths": (equation.ordered, equation.lengths), "the equation does not fit": (equation.terms,),
    "cannot be multiplied": (_by_kind,), "do not broadcast": (refit.matmul,), "cannot be joined": meet.JOINED, "asks for equal shapes": meet.STACKED,
    "has no such axis": (refit.counted,), "permute names each axis": (refit.counted,), "asks for whole numbers": (refit.whole,),
    "larger than its input": (refit.window,), "does not fit the input": (counts.stop, refit.axes_of_kind), "leaves nothing": (counts.cropped,),
    "reshape changes the number": (refit.reshape,), "reshape cannot": (refit.filled,),
    "groups must divide": (counts.grouped,), "groups do not divide": (counts.normalized,), "do not fill the cells": (counts.shuffled,),
    "do not fill the image": (counts.unshuffled,), "not of one size": (counts.parted,), "sizes do not fill": (counts.sized,),
}  # fmt: skip
