"""What an output was before its last activation: the logits behind probabilities, wherever their places were moved since."""

from collections.abc import Sequence

from nnspec.ir.graph import Value
from nnspec.ir.op import Op, ShapeError
from nnspec.ops.movement import BroadcastTo, Concat, Movement, Reshape, Slice, Transpose
from nnspec.ops.rounding import Rounded
from nnspec.ops.softmax import LogSoftmax, Softmax

RowWise = (Softmax, LogSoftmax)  # their elements belong together along the last axis


def behind(y: Value, *activations: type[Op]) -> Value | None:
    """What went into the activation that ``y`` comes from, laid out as ``y`` is; None where ``y`` comes from none of these.

    Reshapes, transposes, slices, and several outputs put together, are seen through; those of a softmax where they leave its
    axis last and whole.
    """
    if isinstance(y.op, activations):
        return y.inputs[0]
    if isinstance(y.op, Rounded):  # to 16 bits, on its way to other layers
        return behind(y.inputs[0], *activations)
    if not isinstance(y.op, (Reshape, Transpose, Slice, Concat, BroadcastTo)):
        return None
    inner = [(x, behind(x, *activations)) for x in y.inputs]
    seen = [before for x, before in inner if before is not None and (_elementwise(x) or _keeps_last(y, x))]
    return y.op.one(*seen) if len(seen) == len(inner) else None


def made_by(y: Value, *activations: type[Op]) -> bool:
    """Whether ``y`` is what one of these activations made, but for the places."""
    return behind(y, *activations) is not None


def _elementwise(y: Value) -> bool:
    """Whether no part of what ``y`` was moved from is a softmax's."""
    return not any(isinstance(op, RowWise) for op in _sources(y))


def must_see_behind(y: Value, loss: str, *activations: type[Op]) -> None:
    """Raises ShapeError where ``y`` is in part what these activations made, or their axis was moved: it would be taken for logits."""
    found = [op for op in _sources(y) if isinstance(op, activations)]
    if found and behind(y, *activations) is None:
        name = found[0].name.lower()
        raise ShapeError(f"{loss} cannot see what went into {name}", f"an output that {name} made only in part, or whose axes were moved since",
                         f"{name} as the last layer, or an output without it", "without it the output is taken as logits")


def _sources(y: Value) -> Sequence[Op]:
    """The ops that made what ``y`` holds, places and padding apart."""
    if isinstance(y.op, Movement | Rounded) and y.inputs:
        return [op for x in y.inputs for op in _sources(x)]
    return [] if y.op is None else [y.op]


def _keeps_last(y: Value, x: Value) -> bool:
    """Whether one move leaves the last axis last and whole."""
    match y.op:
        case Reshape():
            return y.shape[-1:] == x.shape[-1:]
        case Transpose():
            return y.op.axes[-1] == x.rank - 1
        case Slice() | BroadcastTo():
            return y.rank > 0 and x.rank > 0 and y.shape[-1] == x.shape[-1]
        case Concat():
            return y.op.axis != y.rank - 1
    return False
