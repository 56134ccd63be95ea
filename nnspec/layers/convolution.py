"""Convolutions over images, channels last."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.layers.activations import Activated
from nnspec.layers.layer import Mode, Param, Values, fixed, rank
from nnspec.ops import conv as ops
from nnspec.ops.movement import reshape
from nnspec.spec.model import LARGEST, Count, Pair


def parse_padding(value: Any) -> Any:
    """``valid``, ``same``, a number for every side, or ``[top, bottom, left, right]``, as the op wants it."""
    if value == "valid":
        return ((0, 0), (0, 0))
    if value == "same":
        return "same"
    whole = [v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, int) and not isinstance(v, bool)]
    if all(0 <= v <= LARGEST for v in whole):
        if isinstance(value, int) and len(whole) == 1:
            return ((value, value), (value, value))
        if isinstance(value, tuple) and len(value) == len(whole) == 4:
            return ((whole[0], whole[1]), (whole[2], whole[3]))
        if isinstance(value, tuple) and value and all(isinstance(v, tuple) for v in value):
            return value
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'padding' does not fit", "found": str(value)[:60], "wanted": "valid, same, a whole number, or [top, bottom, left, right]",
        "hint": "the number pads all four sides"})


PaddingField = Annotated[ops.Padding, BeforeValidator(parse_padding)]
VALID: ops.Padding = ((0, 0), (0, 0))


class Conv2d(Activated, kind="conv2d", primary="filters"):
    """Cross-correlation of an image with ``filters`` kernels.

    ``y[o, c] = activation(sum over taps t, channels i of x[o * stride + t * dilation - padding, i] * kernel[t, i, c] + bias[c])``.
    Input ``(height, width, in)``, output ``(height', width', filters)``. ``padding: same`` puts the odd row below and right, a
    number pads all sides. The kernel ``(kh, kw, in / groups, filters)`` starts glorot_uniform.
    """

    filters: Count
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: PaddingField = VALID
    dilation: Pair = (1, 1)
    groups: Count = 1
    bias: bool = True

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 3, "conv2d", 3)
        channels = fixed(x.shape[-1], "the number of channels")
        if channels % self.groups or self.filters % self.groups:
            raise ShapeError("groups must divide the channels", f"{channels} channels in, {self.filters} filters, {self.groups} groups",
                             "channels and filters that groups divides")
        yield Param("kernel", (*self.kernel, channels // self.groups, self.filters), init="glorot_uniform")
        if self.bias:
            yield Param("bias", (self.filters,))
        yield from self.activation.slopes(self.filters)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        y = ops.Conv(self.stride, self.padding, self.dilation, self.groups)(x, p.kernel)
        return self.activate(y + p.bias if self.bias else y, p, mode)


class DepthwiseConv2d(Activated, kind="depthwise_conv2d", primary="kernel"):
    """A convolution of each channel by itself, with ``multiplier`` kernels a channel.

    Input ``(height, width, in)``, output ``(height', width', in * multiplier)``: channel ``i * multiplier + m``. The kernel
    ``(kh, kw, in, multiplier)`` starts glorot_uniform.
    """

    kernel: Pair = (3, 3)
    multiplier: Count = 1
    stride: Pair = (1, 1)
    padding: PaddingField = VALID
    dilation: Pair = (1, 1)
    bias: bool = True

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 3, "depthwise_conv2d", 3)
        channels = fixed(x.shape[-1], "the number of channels")
        yield Param("kernel", (*self.kernel, channels, self.multiplier), init="glorot_uniform")
        if self.bias:
            yield Param("bias", (channels * self.multiplier,))
        yield from self.activation.slopes(channels * self.multiplier)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        channels = fixed(x.shape[-1], "the number of channels")
        kernel = reshape(p.kernel, (*self.kernel, 1, channels * self.multiplier))
        y = ops.Conv(self.stride, self.padding, self.dilation, channels)(x, kernel)
        return self.activate(y + p.bias if self.bias else y, p, mode)
