"""What to write instead where shapes do not meet."""

from __future__ import annotations

from nnspec.ir.op import ShapeError
from nnspec.network.graph import Port


def advice(x: tuple[Port, ...], kind: str, error: ShapeError) -> str:
    """A hint that names the edit, for the usual mistakes."""
    if len(x) != 2 or any(p.type is None or not p.batched for p in x):
        return ""
    a, b = (p.shape for p in x)
    if len(a) != len(b):
        return "bring both to the same number of axes, with flatten, reshape or global_avg_pool2d"
    if len(a) == 3 and kind in ("residual", "add"):
        (h, _, c), (other, _, channels) = a, b
        stride = other // h if isinstance(h, int) and isinstance(other, int) and h and other % h == 0 and other > h else 1
        if stride > 1:
            return f"give the shortcut a 1x1 conv2d with {c} filters and stride {stride}"
        if c != channels and h == other:
            return f"give the shortcut a 1x1 conv2d with {c} filters"
        return "padding: same keeps height and width"
    if kind == "concat":
        return "only the joined axis may differ; padding: same keeps height and width"
    return "give both the same number of units" if len(a) == 1 else ""
