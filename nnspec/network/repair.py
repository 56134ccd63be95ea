"""Where shapes do not meet: which layers and lines, and what to write instead."""

from __future__ import annotations

from nnspec.errors import Place, Problem
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show
from nnspec.network.graph import Network, Port


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


def shape_problem(e: ShapeError, path: str, x: tuple[Port, ...], kind: str, place: Place, network: Network) -> Problem:
    """What an op refused, told with the layers and lines that its inputs come from."""

    def source(p: Port) -> str:
        line = network.nodes[p.node]["line"] if p.node in network.nodes else 0
        return f"'{p.node}{'.' + p.output if p.output else ''}'" + (f" (line {line})" if line else "")

    if len(x) > 1 and "number does not fit" not in e.message:
        found = "  and  ".join(f"{show(p.type.shape)} from {source(p)}" for p in x if p.type)
    elif not x or "number does not fit" in e.message:  # it stands in the layer
        found = e.found
    else:
        found = f"{e.found}  from {source(x[0])}" if e.found else f"from {source(x[0])}"
    return Problem(f"layer '{path}': {e.message}", place, found=found, wanted=e.wanted, hint=advice(x, kind, e) or e.hint, rule="shape")
