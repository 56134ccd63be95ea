"""Losses and metrics of the spec's own: a block over the output and the target, whose result is averaged to a number a row."""

from collections.abc import Callable
from typing import Any, ClassVar

from nnspec.ir.graph import Value
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import cast
from nnspec.records import dataclass
from nnspec.spec.nodes import Node
from nnspec.training.losses import Loss
from nnspec.training.metrics import Reading, RowMean

Body = Callable[[Value, Value], Value]


@dataclass(frozen=True)
class Called:
    """A block's name and its arguments as they are written."""

    name: str
    fields: Node | None


class OwnLoss(Loss):
    """A block of two inputs, the output as it is and the target; the mean over a row's elements is the row's loss."""

    called: Any  # a Called
    body: Any = None  # a Body, once the block is built over the output's type

    def fits(self, y: Value, t: TensorType) -> None:
        return None  # the block's own layers say what does not fit

    def elements(self, y: Value, t: Value) -> Value:
        body: Body = self.body
        return body(y, t)


class OwnValue(OwnLoss):
    """A block of one input, the output: its result is added to the loss, and nothing is a target."""

    targeted: ClassVar[bool] = False


class OwnMetric(RowMean):
    """A block of two inputs, the output and the target, as a measure; less of it is taken to be better, as of a loss."""

    better: ClassVar[str] = "less"
    called: Any  # a Called
    body: Any = None

    def check(self, r: Reading) -> None:
        return None

    def places(self, r: Reading) -> Value:
        body: Body = self.body
        return cast(body(r.y, r.t), DType.float64)


class OwnMeasure(OwnMetric):
    """A block of one input, the output, as a measure: nothing is a target."""

    targeted: ClassVar[bool] = False
