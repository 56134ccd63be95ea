"""A layer that does not fit its input: what to write instead, and the edit where nothing else can be meant."""

from __future__ import annotations

from itertools import permutations
from math import prod
from typing import Any

from nnspec.layers.layer import Entry
from nnspec.network.fault import NONE, Fault, Proposal, listed, numbers
from nnspec.network.graph import Leaf
from nnspec.spec import edits


def window(fault: Fault) -> Proposal:
    """A window larger than its input: a smaller one, or less that shrinks above."""
    entry: Any = fault.entry
    size = getattr(entry, "kernel", None) or getattr(entry, "size", None)
    shape = numbers(fault.x[0].shape) if fault.x else None
    if shape is None or not isinstance(size, tuple):
        return NONE
    key = "kernel" if hasattr(entry, "kernel") else "size"
    least = min(shape[: len(size)])
    shrunk = [leaf for leaf in fault.above(0) if _shrinks(leaf)]
    lines = sorted({leaf.place.line for leaf in shrunk})
    from_ = next((p for leaf in fault.above(0)[-1:] for p in leaf.inputs), None)
    start = numbers(from_.shape) if from_ is not None and from_.type is not None else None
    why = f"; line{'s' * (len(lines) > 1)} {listed(lines)} made {least} of {min(start[:-1])}" if lines and start and len(start) == len(shape) else ""
    if key == "size" and least == 1:
        return f"leave it out: nothing is left to pool{why}", ()
    smaller = f"{key}: {least} or less"
    return f"{smaller}, or padding: same{why}", ()


def _shrinks(leaf: Leaf) -> bool:
    entry: Any = leaf.entry
    stride = getattr(entry, "stride", None) or getattr(entry, "size", None)
    return isinstance(stride, tuple) and max((n for n in stride if isinstance(n, int)), default=1) > 1 and "pool" in entry.kind or (
        isinstance(stride, tuple) and hasattr(entry, "kernel") and not entry.kind.startswith("conv_transpose") and max(entry.stride) > 1)


def axes_of_kind(fault: Fault) -> Proposal:
    """A layer over one, two or three axes on an input of other axes."""
    axes = getattr(fault.entry, "axes", None)
    shape = fault.x[0].shape if fault.x else ()
    if not isinstance(axes, int) or not shape:
        return NONE
    kind, have = fault.entry.kind, len(shape)
    behind = next((leaf for leaf in fault.above(0)[:8] if leaf.entry.kind == "flatten" or leaf.entry.kind.startswith("global_")), None)
    if have == 1 and behind is not None:
        return f"put it before '{behind.entry.kind}' of line {behind.place.line}, which leaves no places", ()
    other = f"{kind.removesuffix(f'{axes}d')}{have - 1}d"
    fits = kind.endswith(f"{axes}d") and other in Entry.registry
    lengths = ", ".join(map(str, shape))
    if have == axes:  # no axis of channels, it seems
        add = f"reshape: [{lengths}, 1]"
        alone = not fits and fault.once
        return f"'- {add}' before it adds channels" + (f"; {other} goes over {have - 1} axis" if fits else ""), (
            (edits.insert_before(fault.written.place, add),) if alone and "from" not in fault.written.common else ())  # fmt: skip
    if fits and have > axes:
        return f"{other} goes over {have - 1} axes", (edits.word(fault.written.place, kind, other),)
    return NONE


def matmul(fault: Fault) -> Proposal:
    if len(fault.x) != 2 or fault.entry.kind != "matmul" or getattr(fault.entry, "transpose", True):
        return NONE
    a, b = (p.shape for p in fault.x)
    if len(a) < 2 or len(b) < 2:
        return NONE
    if a[-1] == b[-1]:
        return "transpose: true swaps the last two axes of the second", fault.set("transpose", "true")
    if a[-2] == b[-2]:
        return f"permute the first: its last axis is {a[-1]}, and {a[-2]} is the one that both have", ()
    return f"{fault.name(0)} ends in {a[-1]}, {fault.name(1)} has {b[-2]} rows: a dense: {b[-2]} behind the first makes them meet", ()


def einsum(fault: Fault) -> Proposal:
    """The letters of one input in another order, where that is the only way in which all lengths fit."""
    equation = str(getattr(fault.entry, "equation", ""))
    parts = equation.partition("->")[0].split(",")
    shapes = [numbers(p.shape) for p in fault.x]
    if len(parts) != len(shapes) or any(s is None or len(s) != len(letters) or len(s) > 5 for s, letters in zip(shapes, parts, strict=True)):
        return NONE
    found = set()
    for n, letters in enumerate(parts):
        for order in permutations(letters):
            tried = [*parts[:n], "".join(order), *parts[n + 1 :]]
            known: dict[str, int] = {}
            if all(known.setdefault(c, d) == d for word, s in zip(tried, shapes, strict=True) for c, d in zip(word, s or (), strict=True)):
                found.add(",".join(tried) + "->" + equation.partition("->")[2])
    if len(found) == 1:
        new = found.pop()
        return f"write '{new}'", fault.set("equation", f'"{new}"')
    return (f"'{'permute' if len(found) > 1 else 'matmul'}' first, or one of {', '.join(sorted(found)[:3])}" if found else ""), ()


def reshape(fault: Fault) -> Proposal:
    shape = tuple(getattr(fault.entry, "shape", ()))
    have = numbers(fault.x[0].shape) if fault.x else None
    if have is None or not shape or -1 in shape:
        return NONE
    total = prod(have)
    ways = [[*shape[:n], total * d // prod(shape), *shape[n + 1 :]] for n, d in enumerate(shape) if total * d % prod(shape) == 0]
    if not ways:
        return f"{total} elements are {' x '.join(map(str, have))}: no one length of {list(shape)} can be changed to hold them", ()
    mend = fault.set("shape", str(ways[0])) if len(ways) == 1 else ()
    return f"shape: {' or '.join(map(str, ways[:3]))} holds {total}", mend


def counted(fault: Fault) -> Proposal:
    """Axes counted from 1, or with the batch, as Keras and PyTorch do."""
    entry: Any = fault.entry
    rank = len(fault.x[0].shape) if fault.x else 0
    if entry.kind == "permute" and sorted(entry.axes) == list(range(1, rank + 1)):
        new = str([n - 1 for n in entry.axes])
        return f"axes count from 0 without the batch: {new}", fault.set("axes", new)
    if getattr(entry, "axis", None) == rank:
        return f"axes count from 0 without the batch: axis: {rank - 1}", fault.set("axis", str(rank - 1))
    return NONE
