"""Inputs of a sum, a product or a concatenation that do not meet: what to write, and the edit where nothing else can be meant."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nnspec.network.fault import NONE, Fault, Lengths, Proposal, axes_called, listed, numbers
from nnspec.network.graph import Leaf
from nnspec.spec import edits
from nnspec.spec.source import Mapping, Sequence


def _odd(fault: Fault) -> tuple[int, int] | None:
    """The two inputs that do not meet: the first, and the first that differs from it in more than channels, or in these."""
    shapes = [numbers(p.shape) for p in fault.x]
    if len(shapes) < 2 or any(s is None or not p.batched for s, p in zip(shapes, fault.x, strict=True)):
        return None
    joined = fault.entry.kind == "concat"
    cut = [s[:-1] if joined and s else s for s in shapes]
    other = next((n for n, s in enumerate(cut) if s != cut[0]), 0)
    return (0, other) if other else None


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
    lost = [b - a for a, b in zip(fault.x[small].shape[:-1], fault.x[large].shape[:-1], strict=True)]
    guilty: list[Leaf] = []
    for leaf in fault.above(small):
        if leaf.path in common:
            break
        taken = _taken(leaf, len(lost))
        if taken is None or (any(taken) and getattr(leaf.entry, "padding", "") != "valid"):
            return NONE
        if any(taken):
            guilty.append(leaf)
            lost = [n - t for n, t in zip(lost, taken, strict=True)]
    if not guilty or any(lost):
        return NONE
    lines = sorted({leaf.place.line for leaf in guilty})
    mend = () if _elsewhere(fault, guilty) else tuple(
        {leaf.place: edits.set_key(leaf.place, "padding", "same", leaf.entry.primary or "") for leaf in guilty}.values())  # fmt: skip
    return f"padding: same on line{'s' * (len(lines) > 1)} {listed(lines)} keeps {axes_called(len(a) - 1)}", mend


def _elsewhere(fault: Fault, guilty: list[Leaf]) -> bool:
    """Whether what stands at these places stands for other layers too: in a block, or repeated."""
    count = Counter(str(leaf.place) for leaf in fault.network.leaves)
    return any(count[place] > n for place, n in Counter(str(leaf.place) for leaf in guilty).items())


def _taken(leaf: Leaf, axes: int) -> Lengths | None:
    """How much a layer takes off each axis; None where it changes more than that."""
    entry: Any = leaf.entry
    before, after = numbers(leaf.inputs[0].shape) if leaf.inputs else None, getattr(entry, "kernel", None)
    if after is None:
        changes = entry.kind in ("upsample2d", "resize2d", "reshape", "flatten") or hasattr(entry, "size") or "pool" in entry.kind
        return None if changes or before is None or len(before) != axes + 1 else (0,) * axes
    if len(entry.kernel) != axes or set(entry.stride) != {1} or entry.kind.startswith("conv_transpose"):
        return None
    return (0,) * axes if entry.padding == "same" else tuple(d * (k - 1) for k, d in zip(entry.kernel, entry.dilation, strict=True))


def _shortcut(fault: Fault) -> Proposal:
    """A convolution of one place on the shortcut, with the filters and the stride of what it is added to."""
    pair = _odd(fault)
    if pair is None:
        return NONE
    residual = fault.written.kind == "residual"
    a, b = (numbers(fault.x[n].shape) or () for n in pair)
    if len(a) != len(b) or not a:
        return NONE
    body, skip = pair if residual or a[:-1] < b[:-1] or (a[:-1] == b[:-1] and fault.line(pair[0]) >= fault.line(pair[1])) else pair[::-1]
    y, x = (numbers(fault.x[n].shape) or () for n in (body, skip))
    stride = _stride(x[:-1], y[:-1])
    if not stride:
        return NONE
    if len(y) == 1:
        entry, what = f"dense: {y[0]}", f"a dense of {y[0]} units"
    elif len(y) <= 4:
        step = f", stride: {stride}" if stride > 1 else ""
        entry = f"conv{len(y) - 1}d: {{filters: {y[-1]}, kernel: 1{step}}}"
        what = f"a {'x'.join('1' * (len(y) - 1)) if len(y) > 2 else 'kernel 1'} conv{len(y) - 1}d with {y[-1]} filters" + (
            f" and stride {stride}" if stride > 1 else "")  # fmt: skip
    else:
        return NONE
    if residual:
        return _on_residual(fault, entry, what)
    if fault.written.kind == "branches":
        return f"give the path of {fault.name(skip)} {what}: {entry}", ()
    named = f"'{fault.x[skip].node}'"
    return f"give the shortcut {what}: '- {entry[:-1] if entry.endswith('}') else entry}" + (
        f", from: {fault.x[skip].node}}}' above, and add that in place of {named}" if entry.endswith("}") else f"' behind {named}"), ()


def _on_residual(fault: Fault, entry: str, what: str) -> Proposal:
    body = fault.written.fields
    line = fault.written.place.line
    if isinstance(body, Mapping) and "shortcut" in body.pairs:
        return f"the shortcut on line {body.keys['shortcut'].line} should end in {what}", ()
    if isinstance(body, Mapping) or (isinstance(body, Sequence) and body.flow):
        mend = (edits.set_key(fault.written.place, "shortcut", f"[{entry}]", "layers"),) if fault.once else ()
        return f"give the shortcut {what}: shortcut: [{entry}] in the residual of line {line}", mend
    return f"give the shortcut {what}: residual: {{layers: […], shortcut: [{entry}]}} on line {line}", ()


def _stride(x: Lengths, y: Lengths) -> int:
    """The stride with which a kernel of 1 makes lengths y of x; 0 where none does."""
    for stride in range(1, 65):
        if all((n - 1) // stride + 1 == m for n, m in zip(x, y, strict=True)):
            return stride
    return 0


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
    if all(d >= 0 for d in more) or all(d <= 0 for d in more):
        large, small = pair if sum(more) > 0 else pair[::-1]
        ends = ", ".join(f"{abs(d) // 2}, {abs(d) - abs(d) // 2}" for d in more)
        return (f"crop {fault.name(large)} with crop{axes}d: [{ends}], or pad {fault.name(small)} with pad{axes}d: [{ends}]", ())
    return f"resize{axes}d: {{size: {list(b[:-1])}}} brings {fault.name(pair[0])} to the size of {fault.name(pair[1])}" if axes < 3 else "", ()


def _channels(fault: Fault) -> Proposal:
    pair = _odd(fault)
    if pair is None:
        return NONE
    return f"give both the same number of channels: {fault.name(pair[0])} and {fault.name(pair[1])}", ()


MERGED = (_ranks, _padded, _shortcut, _off, _channels)
JOINED = (_ranks, _padded, _off, _channels)
