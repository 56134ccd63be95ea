"""Inputs of a sum, a product or a concatenation that do not meet: what to write, and the edit where nothing else can be meant."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nnspec.network.fault import NONE, Fault, Lengths, Proposal, axes_called, listed, numbers
from nnspec.network.graph import Leaf
from nnspec.network.last import resized
from nnspec.network.shortcut import projected
from nnspec.spec import edits

GATES = ("sigmoid", "softmax", "tanh", "hard_sigmoid")  # what ends in one of these, and is multiplied, weighs channels
LITTLE = 4  # what differs by at most a quarter is off; what differs by more was never to be equal


def _odd(fault: Fault) -> tuple[int, int] | None:
    """The two inputs that do not meet: the first, and the first that differs from it, on a joined axis apart."""
    shapes = [numbers(p.shape) for p in fault.x]
    if len(shapes) < 2 or any(s is None or not p.batched for s, p in zip(shapes, fault.x, strict=True)):
        return None
    cut = [_cut(fault, s or ()) for s in shapes]
    other = next((n for n, s in enumerate(cut) if s != cut[0]), 0)
    return (0, other) if other else None


def _cut(fault: Fault, shape: Lengths) -> Lengths:
    """A shape without the axis along which it is joined."""
    axis = getattr(fault.entry, "axis", -1)
    if fault.entry.kind != "concat" or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        return shape
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def _gate(fault: Fault) -> Proposal:
    """A weight for each channel of an image, of another number of channels."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    small, large = sorted(pair, key=lambda n: sum(numbers(fault.x[n].shape) or ()))
    a, b = (numbers(fault.x[n].shape) or () for n in (small, large))
    if len(a) > len(b) or not a or a[-1] == b[-1] or set(a[:-1]) - {1} or not set(b[:-1]) - {1}:
        return NONE
    hint, mend = resized(fault.x[small], fault.network, b[-1])
    gate = fault.leaf(small)
    sure = gate is not None and (gate.entry.kind in GATES or getattr(getattr(gate.entry, "activation", None), "kind", "") in GATES)
    return hint and f"{hint}, as many as {fault.name(large)} has channels", mend if sure and fault.once else ()


def _ranks(fault: Fault) -> Proposal:
    pair = _odd(fault)
    if pair is None or len(fault.x[pair[0]].shape) == len(fault.x[pair[1]].shape):
        return NONE
    small, large = sorted(pair, key=lambda n: len(fault.x[n].shape))
    pooled = fault.leaf(small)
    if pooled is not None and pooled.entry.kind.startswith("global_") and len(fault.x[small].shape) == 1:
        return f"keep the places of {fault.name(small)}: {pooled.entry.kind}: {{keep: true}}", ()
    axes = len(fault.x[large].shape) - 1
    pool = f", or global_avg_pool{axes}d" if 1 <= axes <= 3 else ""
    return f"bring both to the same number of axes: flatten{pool} behind {fault.name(large)}, or reshape {fault.name(small)}", ()


def _turned(fault: Fault) -> Proposal:
    """The same axes in the other order."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    a, b = (numbers(fault.x[n].shape) or () for n in pair)
    if len(a) != len(b) or not 2 <= len(a) <= 3 or a == b or sorted(a) != sorted(b) or len({*a}) < len(a):
        return NONE
    return f"permute: {[b.index(n) for n in a]} behind {fault.name(pair[1])} brings it to the order of {fault.name(pair[0])}", ()


def _padded(fault: Fault) -> Proposal:
    """``padding: same`` where windows without padding explain the whole difference."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    a, b = (numbers(fault.x[n].shape) or () for n in pair)
    if len(a) != len(b) or len(a) < 2 or (fault.entry.kind != "concat" and a[-1] != b[-1]) or a[:-1] == b[:-1]:
        return NONE
    small, large = pair if a[:-1] < b[:-1] else pair[::-1]
    common = {leaf.path for leaf in fault.above(large)} | {fault.x[large].node}
    chain: list[Leaf] = []
    for leaf in fault.above(small):
        if leaf.path in common:
            break
        chain.append(leaf)
    if not chain or (numbers(fault.x[large].shape) or ())[:-1] != _kept(fault, chain[::-1]):
        return NONE
    guilty = [leaf for leaf in chain if getattr(leaf.entry, "padding", "") == "valid" and set(_reach(leaf)) != {1}]
    lines = sorted({leaf.place.line for leaf in guilty})
    mend = () if _elsewhere(fault, guilty) else tuple(
        {leaf.place: edits.set_key(leaf.place, "padding", "same", leaf.entry.primary or "") for leaf in guilty}.values())  # fmt: skip
    return f"padding: same on line{'s' * (len(lines) > 1)} {listed(lines)} keeps {axes_called(len(a) - 1)}", mend


def _elsewhere(fault: Fault, guilty: list[Leaf]) -> bool:
    """Whether what stands at these places stands for other layers too: in a block, or repeated."""
    count = Counter(str(leaf.place) for leaf in fault.network.leaves)
    return any(count[place] > n for place, n in Counter(str(leaf.place) for leaf in guilty).items())


def _kept(fault: Fault, chain: list[Leaf]) -> Lengths:
    """The lengths behind layers, if each of their windows without padding were padded: same; nothing where that cannot be told."""
    lengths = (numbers(chain[0].inputs[0].shape) or ())[:-1] if chain[0].inputs else ()
    for leaf in chain:
        entry: Any = leaf.entry
        before, after = numbers(leaf.inputs[0].shape), numbers(fault.network.nodes[leaf.path]["shape"])
        if before is None or after is None or len(before) != len(after) or len(before) != len(lengths) + 1:
            return ()
        reach = _reach(leaf)
        if not reach and before[:-1] != after[:-1]:
            return ()
        if reach and entry.padding in ("valid", "same"):
            lengths = tuple(-(-n // s) for n, s in zip(lengths, entry.stride or entry.size, strict=True))
        elif reach:
            lengths = tuple((n + sum(p) - r) // s + 1 for n, p, r, s in zip(lengths, entry.padding, reach, entry.stride or entry.size, strict=True))
    return lengths


def _reach(leaf: Leaf) -> Lengths:
    """How far a window reaches on each axis; nothing where a layer has none, or goes the other way."""
    entry: Any = leaf.entry
    size = getattr(entry, "kernel", None) or getattr(entry, "size", None)
    if not isinstance(size, tuple) or not hasattr(entry, "padding") or not hasattr(entry, "stride") or entry.kind.startswith("conv_transpose"):
        return ()
    return tuple(d * (k - 1) + 1 for k, d in zip(size, getattr(entry, "dilation", (1,) * len(size)), strict=True))


def _shortcut(fault: Fault) -> Proposal:
    pair = _odd(fault)
    return projected(fault, *pair) if pair else NONE


def _scaled(fault: Fault) -> Proposal:
    """Lengths of which one is a multiple of the other."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    a, b = (numbers(fault.x[n].shape) or () for n in pair)
    if len(a) != len(b) or not 2 <= len(a) <= 3:
        return NONE
    small, large = pair if sum(a[:-1]) < sum(b[:-1]) else pair[::-1]
    much, less = (a, b) if large == pair[0] else (b, a)
    ratios = {n // m if n % m == 0 else 0 for n, m in zip(much[:-1], less[:-1], strict=True)}
    if len(ratios) > 1 or min(ratios) < 2 or min(ratios) > 16:
        return NONE
    axes, by = len(a) - 1, ratios.pop()
    if fault.written.kind == "residual" and large == 0 and small == 1:
        return f"give the shortcut upsample{axes}d: {by}: shortcut: [upsample{axes}d: {by}] in the residual of line {fault.written.place.line}", ()
    return f"upsample{axes}d: {by} behind {fault.name(small)}, or max_pool{axes}d: {by} behind {fault.name(large)}", ()


def _off(fault: Fault) -> Proposal:
    """Lengths that differ a little, as behind a transposed convolution: crop, or pad."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    a, b = (numbers(fault.x[n].shape) or () for n in pair)
    if len(a) != len(b) or not 2 <= len(a) <= 4 or a[:-1] == b[:-1]:
        return NONE
    more = [n - m for n, m in zip(a[:-1], b[:-1], strict=True)]
    axes = len(more)
    little = all(LITTLE * abs(d) <= max(n, LITTLE) for d, n in zip(more, a[:-1], strict=True))
    if little and (all(d >= 0 for d in more) or all(d <= 0 for d in more)):
        large, small = pair if sum(more) > 0 else pair[::-1]
        ends = ", ".join(f"{abs(d) // 2}, {abs(d) - abs(d) // 2}" for d in more)
        return (f"crop {fault.name(large)} with crop{axes}d: [{ends}], or pad {fault.name(small)} with pad{axes}d: [{ends}]", ())
    return f"resize{axes}d: {{size: {list(b[:-1])}}} brings {fault.name(pair[0])} to the size of {fault.name(pair[1])}" if axes < 3 else "", ()


def _channels(fault: Fault) -> Proposal:
    pair = _odd(fault)
    if pair is None:
        return NONE
    shapes = [numbers(fault.x[n].shape) or (0,) for n in pair]
    ways = [resized(fault.x[n], fault.network, s[-1])[0] for n, s in zip(pair, shapes[::-1], strict=True)] if shapes[0][:-1] == shapes[1][:-1] else []
    said = f": {' or '.join(filter(None, ways))}" if any(ways) else ""
    return f"give both the same number of channels{said or f': {fault.name(pair[0])} and {fault.name(pair[1])}'}", ()


def _fixed(fault: Fault) -> Proposal:
    """A parameter or constant, which has no rows, beside an output."""
    held = next((n for n, p in enumerate(fault.x) if not p.batched), None)
    rows = next((n for n, p in enumerate(fault.x) if p.batched), None)
    leaf = fault.leaf(held) if held is not None else None
    shape = numbers(fault.x[rows].shape) if rows is not None else None
    if leaf is None or not shape or leaf.entry.kind != "parameter":
        return NONE
    return f"shape: {list(shape)}{f' or {list(shape[-1:])}' if len(shape) > 1 else ''} in {fault.name(held or 0)}", ()


MERGED = (_fixed, _gate, _ranks, _turned, _padded, _shortcut, _scaled, _off, _channels)
JOINED = (_ranks, _padded, _scaled, _off, _channels)
STACKED = (_ranks, _padded, _scaled, _off, _channels)
