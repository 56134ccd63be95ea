"""What to write where shapes do not meet: which line, which key, which value; and the edit, where only one thing can be meant.

An edit with a length in it is offered for what stands once: in a block, or repeated, it would change every other copy as well.
"""

from __future__ import annotations

from collections.abc import Callable

from nnspec.network import meet, refit
from nnspec.network.fault import NONE, Fault, Proposal


def propose(fault: Fault) -> Proposal:
    """A hint that names the edit, and the edit where nothing else can be meant; nothing where none is known."""
    if any(p.type is None for p in fault.x):
        return NONE
    for what, ways in WAYS.items():
        if what in fault.error.message:
            return next((found for way in ways if (found := way(fault))[0]), NONE)
    return NONE


WAYS: dict[str, tuple[Callable[[Fault], Proposal], ...]] = {
    **dict.fromkeys(("cannot be added", "cannot be averaged", "cannot be compared"), meet.MERGED),
    "cannot be multiplied": (refit.matmul, *meet.MERGED), "cannot be joined": meet.JOINED,
    "has no such axis": (refit.counted,), "permute names each axis": (refit.counted,),
    "larger than its input": (refit.window,), "does not fit the input": (refit.axes_of_kind,), "has two lengths": (refit.einsum,),
    "reshape changes the number": (refit.reshape,),
}  # fmt: skip
