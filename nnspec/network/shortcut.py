"""What stands beside layers whose output is added to their input: a convolution of one place with their filters and stride."""

from __future__ import annotations

from typing import Any

from nnspec.network.fault import NONE, Fault, Lengths, Proposal, numbers
from nnspec.network.graph import Leaf
from nnspec.spec import edits
from nnspec.spec.source import Mapping, Sequence

MOST_STRIDE = 8  # beyond that nobody strides in one step: something else is meant


def projected(fault: Fault, first: int, other: int) -> Proposal:
    """A convolution of one place on the shortcut, with the filters and the stride of what it is added to."""
    residual = fault.written.kind == "residual"
    a, b = (numbers(fault.x[n].shape) or () for n in (first, other))
    if len(a) != len(b) or not a:
        return NONE
    later = a[:-1] < b[:-1] or (a[:-1] == b[:-1] and fault.line(first) >= fault.line(other))
    body, skip = (first, other) if residual or later else (other, first)
    y, x = (numbers(fault.x[n].shape) or () for n in (body, skip))
    stride = _stride(x[:-1], y[:-1])
    if not stride or len(y) > 4:
        return NONE
    if len(y) == 1:
        entry, what = f"dense: {y[0]}", f"a dense of {y[0]} units"
    else:
        step = f", stride: {stride}" if stride > 1 else ""
        entry = f"conv{len(y) - 1}d: {{filters: {y[-1]}, kernel: 1{step}}}"
        what = f"a {'x'.join('1' * (len(y) - 1)) if len(y) > 2 else 'kernel 1'} conv{len(y) - 1}d with {y[-1]} filters" + (
            f" and stride {stride}" if stride > 1 else "")  # fmt: skip
    if residual:
        return _on_residual(fault, entry, what, y)
    if fault.written.kind == "branches":
        return f"give the path of {fault.name(skip)} {what}: {entry}", ()
    named = f"'{fault.x[skip].node}'"
    return f"give the shortcut {what}: '- {entry[:-1] if entry.endswith('}') else entry}" + (
        f", from: {fault.x[skip].node}}}' above, and add that in place of {named}" if entry.endswith("}") else f"' behind {named}"), ()


def _on_residual(fault: Fault, entry: str, what: str, y: Lengths) -> Proposal:
    body, place = fault.written.fields, fault.written.place
    if isinstance(body, Mapping) and "shortcut" in body.pairs:
        hint, mend = _its_own(fault, y)
        return hint or f"the shortcut on line {body.keys['shortcut'].line} should end in {what}", mend
    mend = (edits.set_key(place, "shortcut", f"[{entry}]", "layers"),) if fault.once else ()
    if isinstance(body, Mapping) or (isinstance(body, Sequence) and body.flow):
        return f"give the shortcut {what}: shortcut: [{entry}] in the residual of line {place.line}", mend
    return f"give the shortcut {what}: residual: {{layers: […], shortcut: [{entry}]}} on line {place.line}", mend


def _its_own(fault: Fault, y: Lengths) -> Proposal:
    """Filters and stride of the one convolution, or dense layer, that stands on the shortcut."""
    within = fault.x[1].node.rpartition("/shortcut/")[0]
    found = [leaf for leaf in fault.above(1) if leaf.path.startswith(f"{within}/shortcut/")]
    sized = [leaf for leaf in found if {"units", "filters"} & type(leaf.entry).model_fields.keys()]
    if not within or len(sized) != 1 or any(leaf.inputs[0].shape != fault.x[1].shape for leaf in found if leaf not in _behind(found, sized[0])):
        return NONE
    leaf, entry = sized[0], _any(sized[0])
    wanted: dict[str, int] = {"units" if hasattr(entry, "units") else "filters": y[-1]}
    if hasattr(entry, "kernel"):
        x = numbers(leaf.inputs[0].shape)
        stride = _stride(x[:-1], y[:-1]) if x is not None and len(x) == len(y) and set(entry.kernel) == {1} else 0
        if not stride:
            return NONE
        wanted["stride"] = stride
    changed = {key: n for key, n in wanted.items() if getattr(entry, key) not in (n, (n,) * (len(y) - 1))}
    mend = tuple(edits.set_key(leaf.place, key, str(n), leaf.entry.primary or "") for key, n in changed.items())
    said = ", ".join(f"{key}: {n}" for key, n in changed.items())
    once = fault.once and sum(1 for other in fault.network.leaves if other.place == leaf.place) == 1
    return f"{said} in '{leaf.path}' on line {leaf.place.line}, the shortcut", mend if once else ()


def _behind(found: list[Leaf], leaf: Leaf) -> list[Leaf]:
    """A layer and those before it, of layers of which the nearest to the end stands first."""
    return found[found.index(leaf) :]


def _any(leaf: Leaf) -> Any:
    return leaf.entry


def _stride(x: Lengths, y: Lengths) -> int:
    """The stride with which a kernel of 1 makes lengths y of x; 0 where none does."""
    for stride in range(1, MOST_STRIDE + 1):
        if all((n - 1) // stride + 1 == m for n, m in zip(x, y, strict=True)):
            return stride
    return 0
