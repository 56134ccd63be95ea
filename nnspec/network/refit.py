"""A layer that does not fit its input: what to write instead, and the edit where nothing else can be meant."""

from __future__ import annotations

from math import isqrt, prod
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
    apart = max(getattr(entry, "dilation", (1,)))
    smaller = f"{key}: {(least - 1) // apart + 1} or less{f' at a dilation of {apart}' if apart > 1 else ''}"
    if len(shape) == 3 and len(size) == 2 and shape[0] in (1, 3, 4) and min(shape[1:]) > shape[0] and fault.leaf(0) is None:
        return f"channels stand last: shape: {[*shape[1:], shape[0]]} for {fault.name(0)}; or {smaller}", ()
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
    goes = f"{other} goes over {have - 1} {'axis' if have == 2 else 'axes'}"
    if fits and (have > axes + 1 or any(getattr(leaf.entry, "axes", 0) == have - 1 for leaf in fault.above(0))):  # it is in such a network
        return goes, (edits.word(fault.written.place, kind, other),)
    if have == axes:  # no axis of channels, it seems
        add = f"reshape: [{', '.join(map(str, shape))}, 1]"
        alone = not fits and fault.once
        return f"'- {add}' before it adds channels" + (f"; {goes}" if fits else ""), (
            (edits.insert_before(fault.written.place, add),) if alone and "from" not in fault.written.common else ())  # fmt: skip
    length = numbers(shape)
    if have == 1 and axes == 2 and length:
        return f"'- reshape: {_square(length[0])}' before it makes an image of {length[0]} numbers", ()
    return f"'- reshape: […]' before it, {axes + 1} lengths, channels last: {prod(length)} numbers are there" if length else "", ()


def _square(n: int) -> str:
    """An image of so many numbers, gray or of colours."""
    for channels in (1, 3, 4):
        side = isqrt(n // channels)
        if side > 1 and side * side * channels == n:
            return str([side, side, channels])
    return "[height, width, channels]"


def matmul(fault: Fault) -> Proposal:
    if len(fault.x) != 2 or fault.entry.kind != "matmul":
        return NONE
    turned = bool(getattr(fault.entry, "transpose", False))
    a, b = (p.shape for p in fault.x)
    if len(a) < 2 or len(b) < 2:
        return NONE
    own, other = (b[-1], b[-2]) if turned else (b[-2], b[-1])  # what a[-1] must be, and what it would have to be else
    if a[-1] == own:
        return f"the axes before the last two must be equal, or 1: {list(a[:-2])} and {list(b[:-2])}", ()
    if a[-1] == other and turned:
        key = fault.written.keys.get("transpose")
        return "without transpose they fit", (edits.remove_key(key, "transpose"),) if fault.once and key is not None else ()
    if a[-1] == other:
        return "transpose: true swaps the last two axes of the second", fault.set("transpose", "true")
    if a[-2] == own:
        return f"permute the first: its last axis is {a[-1]}, and {a[-2]} is the one that both have", ()
    has = f"{own} {'columns' if turned else 'rows'}"
    return f"{fault.name(0)} ends in {a[-1]}, {fault.name(1)} has {has}: a dense: {own} behind the first makes them meet", ()


def whole(fault: Fault) -> Proposal:
    """An input of the network that holds numbers of something, and was not declared so."""
    n = next((i for i in reversed(range(len(fault.x))) if (t := fault.x[i].type) is not None and t.dtype.is_float), None)
    if n is None or (fault.entry.kind == "gather" and n == 0):
        return NONE
    node = fault.network.nodes.get(fault.x[n].node, {})
    if node.get("leaf") is not None or node.get("place") is None:
        return "'- cast: int64' before it, where its floats are whole", ()
    return f"dtype: int64 for {fault.name(n)}", (edits.set_key(node["place"], "dtype", "int64"),)


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


def filled(fault: Fault) -> Proposal:
    """A length that is to be worked out, and cannot."""
    shape = [*getattr(fault.entry, "shape", ())]
    have = numbers(fault.x[0].shape) if fault.x else None
    if have is None or shape.count(-1) > 1 or min(shape, default=0) < -1 or 0 in shape:
        return "one -1 at most, and numbers for the others", ()
    total, ways = prod(have), []
    for n, d in enumerate(shape):
        rest = prod(e for i, e in enumerate(shape) if i != n and e != -1)
        near = [m for m in range(1, min(total, 4096) + 1) if total % (rest * m) == 0]
        if d != -1 and near:
            ways.append([*shape[:n], min(near, key=lambda m: (abs(m - d), m)), *shape[n + 1 :]])  # used at once
    return f"shape: {' or '.join(map(str, ways[:3]))} holds {total}" if ways else f"{total} elements are {' x '.join(map(str, have))}", ()


def counted(fault: Fault) -> Proposal:
    """Axes counted from 1, or with the batch, as Keras and PyTorch do."""
    entry: Any = fault.entry
    rank = len(fault.x[0].shape) if fault.x else 0
    from_zero = "axes count from 0 without the batch"
    if entry.kind == "permute":
        axes = [a % (rank + 1) for a in entry.axes]
        less = [a - 1 for a in axes if a or len(axes) == rank]
        if sorted(axes) in ([*range(1, rank + 1)], [*range(rank + 1)]) and (len(axes) == rank or not axes[0]):
            return f"{from_zero}: {less}", fault.set("axes", str(less))
        return f"{rank} numbers, one for each of {' x '.join(map(str, fault.x[0].shape))}", ()
    if getattr(entry, "axis", None) == rank:
        return f"{from_zero}: axis: {rank - 1}", fault.set("axis", str(rank - 1))
    several = getattr(entry, "axes", None)
    if not isinstance(several, tuple) or rank not in several or min(several) < 1 or max(several) > rank:
        return NONE
    less = [a - 1 for a in several]
    sure = several == (rank,) or len(several) == rank  # of some of an image's axes channels may have been counted first, too
    return f"{from_zero}: axes: {less}", fault.set("axes", str(less if len(less) > 1 else less[0])) if sure else ()
