"""The fully connected layer."""

from collections.abc import Iterable

from nnspec.ir.graph import Value
from nnspec.layers.activations import Activated
from nnspec.layers.layer import Mode, Param, Values, fixed, rank
from nnspec.ops.matmul import project
from nnspec.spec.model import Count


class Dense(Activated, kind="dense", primary="units"):
    """Fully connected over the last axis: ``activation(x @ kernel + bias)``.

    Input ``(…, in)``, output ``(…, units)``. The kernel ``(in, units)`` starts glorot_uniform, the bias at zero.
    """

    units: Count
    bias: bool = True

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 1, "dense")
        yield Param("kernel", (fixed(x.shape[-1], "the last axis of dense's input"), self.units), init="glorot_uniform")
        if self.bias:
            yield Param("bias", (self.units,))
        yield from self.activation.slopes(self.units)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        y = project(x, p.kernel)
        return self.activate(y + p.bias if self.bias else y, p, mode)
