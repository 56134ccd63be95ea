"""The loss scale of float16: gradients are made of a larger loss, so that small ones are not 0, and divided again."""

from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import greater_equal, minimum, where
from nnspec.ops.movement import Concat, Unpack, reshape

LABEL = "$loss_scale"  # a state: the scale, and how many steps were good since it changed
TYPE = TensorType((2,), DType.float32)
FIRST, GROWTH, EVERY = 65536.0, 2.0, 2000  # as PyTorch's GradScaler
LARGEST = 2.0**60
LEAST = 1.0  # where gradients do not fit float16 without any scale, smaller steps do not help


def scale(state: Value) -> Value:
    """What the loss is multiplied by: a power of two, so that dividing by it is exact."""
    return Unpack(0, ()).one(state)


def moved(state: Value, finite: Value) -> Value:
    """The state after a step: the scale doubled after 2000 good steps in a row, halved at one that is not finite."""
    now, good = scale(state), Unpack(1, ()).one(state) + 1.0
    full = greater_equal(good, constant(EVERY, good.dtype))
    grown = where(full, minimum(now * GROWTH, constant(LARGEST, now.dtype)), now)
    counted = where(full, constant(0, good.dtype), good)
    parts = where(finite, grown, now * (1 / GROWTH)), where(finite, counted, constant(0, good.dtype))
    return Concat(0).one(*(reshape(p, (1,)) for p in parts))
