"""Transposed convolutions over sequences, images and volumes, channels last: the input gradient of a convolution, forward."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, field_validator

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, Shape
from nnspec.layers.convolution import Kernelled, divided
from nnspec.layers.layer import Mode, Param, Values
from nnspec.layers.windows import Kernel1, Kernel2, Kernel3, wrong
from nnspec.ops.conv import ConvInputGrad
from nnspec.spec.model import Count, Whole, each

Whole1 = Annotated[tuple[Whole], BeforeValidator(each(1))]
Whole2 = Annotated[tuple[Whole, Whole], BeforeValidator(each(2))]
Whole3 = Annotated[tuple[Whole, Whole, Whole], BeforeValidator(each(3))]


class Transposed(Kernelled):
    """Every place of the input is scattered over its window of the output."""

    filters: Count
    output_padding: tuple[int, ...] | None = None
    groups: Count = 1

    @field_validator("output_padding")
    @classmethod
    def below_stride(cls, value: Any, info: ValidationInfo) -> Any:
        stride, padding = info.data.get("stride"), info.data.get("padding")
        if value is not None and stride and any(a >= s for a, s in zip(value, stride, strict=True)):
            raise wrong("'output_padding' does not fit", str(list(value)), f"less than the stride: {list(stride)}",
                        "the stride skips so many places, one of which the output ends on")
        if value is not None and padding == "same":
            raise wrong("'output_padding' does not go with padding: same", str(list(value)), "one of them",
                        "same makes the output stride times the input; a number for padding leaves it open")
        return value

    def output(self, x: Shape) -> Shape:
        """The length of each spatial axis of the output."""
        ends = self.around(self.padding)
        if ends == "same":
            return tuple(n * s for n, s in zip(x, self.stride, strict=True))
        more = self.output_padding or (0,) * self.axes
        out: list[Dim] = []
        for n, k, s, d, (low, high), extra in zip(x, self.kernel, self.stride, self.dilation, ends, more, strict=True):
            reach = (k - 1) * d + 1
            if self.padding == "valid" and self.output_padding is None:
                extra = max(s - reach, 0)
            out.append((n - 1) * s + reach - low - high + extra)
            if isinstance(out[-1], int) and out[-1] < 1:
                raise ShapeError("the padding leaves nothing of the output", f"{low + high} taken off {out[-1] + low + high}", "less padding")
        return tuple(out)

    def params(self, x: Value) -> Iterable[Param]:
        channels = self.channels(x)
        divided(self.groups, channels, self.filters)
        yield Param("kernel", (*self.kernel, self.filters // self.groups, channels), init="glorot_uniform")
        yield from self.after(self.filters)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        op = ConvInputGrad(self.stride, self.around(self.padding), self.dilation, self.groups, self.output(x.shape[-1 - self.axes : -1]))
        return self.over(x, lambda image: self.finish(op.one(image, p.kernel), p, mode))


class ConvTranspose1d(Kernel1, Transposed, kind="conv_transpose1d", primary="filters"):
    """A transposed convolution of a sequence: ``y[i * stride + t * dilation - padding, c] += x[i, j] * kernel[t, c, j]``.

    Input ``(time, in)``, output ``(time', filters)``. ``padding: same``: time' is stride times time; ``valid``: as Keras, time * stride +
    max(reach - stride, 0) with reach = (kernel - 1) * dilation + 1; a number: as PyTorch, (time - 1) * stride - 2 padding + reach +
    output_padding. The kernel ``(k, filters / groups, in)`` starts glorot_uniform.
    """

    output_padding: Whole1 | None = None


class ConvTranspose2d(Kernel2, Transposed, kind="conv_transpose2d", primary="filters"):
    """A transposed convolution of an image: ``y[i * stride + t * dilation - padding, c] += x[i, j] * kernel[t, c, j]``.

    Input ``(height, width, in)``, output ``(height', width', filters)``. ``padding: same``: an axis is stride times the input's;
    ``valid``: as Keras, n * stride + max(reach - stride, 0) with reach = (kernel - 1) * dilation + 1; a number: as PyTorch,
    (n - 1) * stride - 2 padding + reach + output_padding. The kernel ``(kh, kw, filters / groups, in)`` starts glorot_uniform. A
    stack ``(k, height, width, in)`` of images is one of outputs.
    """

    stacks = True
    output_padding: Whole2 | None = None


class ConvTranspose3d(Kernel3, Transposed, kind="conv_transpose3d", primary="filters"):
    """A transposed convolution of a volume: ``y[i * stride + t * dilation - padding, c] += x[i, j] * kernel[t, c, j]``.

    Input ``(depth, height, width, in)``, output ``(depth', height', width', filters)``. ``padding: same``: an axis is stride times the
    input's; ``valid``: as Keras, n * stride + max(reach - stride, 0) with reach = (kernel - 1) * dilation + 1; a number: as PyTorch,
    (n - 1) * stride - 2 padding + reach + output_padding. The kernel ``(kd, kh, kw, filters / groups, in)`` starts glorot_uniform.
    """

    output_padding: Whole3 | None = None
