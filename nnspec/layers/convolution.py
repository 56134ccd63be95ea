"""Convolutions over sequences, images and volumes, channels last."""

from collections.abc import Iterable

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.layers.activations import Activated
from nnspec.layers.layer import Mode, Param, Values, fixed
from nnspec.layers.windows import Kernel, Kernel1, Kernel2, Kernel3
from nnspec.ops import conv as ops
from nnspec.ops.movement import reshape
from nnspec.spec.model import Count


class Kernelled(Activated, Kernel):
    """A kernel, then a bias, unless ``bias: false``, and the activation."""

    bias: bool = True

    def channels(self, x: Value) -> int:
        """The channels of an input that fits."""
        self.check(x)
        return fixed(x.shape[-1], "the number of channels")

    def after(self, filters: int) -> Iterable[Param]:
        """What is learned behind the kernel."""
        if self.bias:
            yield Param("bias", (filters,))
        yield from self.activation.slopes(filters)

    def finish(self, y: Value, p: Values, mode: Mode) -> Value:
        return self.activate(y + p.bias if self.bias else y, p, mode)

    def convolve(self, x: Value, kernel: Value, groups: int) -> Value:
        op = ops.Conv(self.stride, self.around(self.padding), self.dilation, groups)
        return op.one(x, kernel)

    def by_channel(self, x: Value, kernel: Value, multiplier: int) -> Value:
        """Each channel by itself with ``(*kernel, in, multiplier)``: output channel ``i * multiplier + m``."""
        channels = fixed(x.shape[-1], "the number of channels")
        return self.convolve(x, reshape(kernel, (*self.kernel, 1, channels * multiplier)), channels)


def divided(groups: int, channels: int, filters: int) -> None:
    """Refuses groups that do not divide the channels."""
    if channels % groups or filters % groups:
        raise ShapeError("groups must divide the channels", f"{channels} channels in, {filters} filters, {groups} groups",
                         "channels and filters that groups divides")


class Convolution(Kernelled):
    """Cross-correlation with ``filters`` kernels."""

    filters: Count
    groups: Count = 1

    def params(self, x: Value) -> Iterable[Param]:
        channels = self.channels(x)
        divided(self.groups, channels, self.filters)
        yield Param("kernel", (*self.kernel, channels // self.groups, self.filters), init="glorot_uniform")
        yield from self.after(self.filters)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return self.over(x, lambda image: self.finish(self.convolve(image, p.kernel, self.groups), p, mode))


class Conv1d(Kernel1, Convolution, kind="conv1d", primary="filters"):
    """Cross-correlation of a sequence with ``filters`` kernels.

    ``y[o, c] = activation(sum over taps t, channels i of x[o * stride + t * dilation - padding, i] * kernel[t, i, c] + bias[c])``.
    Input ``(time, in)``, output ``(time', filters)``. ``padding: same`` puts the odd step behind, a number pads both ends, ``[n, 0]``
    pads the past alone. The kernel ``(k, in / groups, filters)`` starts glorot_uniform.
    """


class Conv2d(Kernel2, Convolution, kind="conv2d", primary="filters"):
    """Cross-correlation of an image with ``filters`` kernels.

    ``y[o, c] = activation(sum over taps t, channels i of x[o * stride + t * dilation - padding, i] * kernel[t, i, c] + bias[c])``.
    Input ``(height, width, in)``, output ``(height', width', filters)``. ``padding: same`` puts the odd row below and right, a
    number pads all sides. The kernel ``(kh, kw, in / groups, filters)`` starts glorot_uniform. A stack ``(k, height, width, in)`` of
    images, as ``roi_align`` gives, is one of outputs.
    """

    stacks = True


class Conv3d(Kernel3, Convolution, kind="conv3d", primary="filters"):
    """Cross-correlation of a volume with ``filters`` kernels.

    ``y[o, c] = activation(sum over taps t, channels i of x[o * stride + t * dilation - padding, i] * kernel[t, i, c] + bias[c])``.
    Input ``(depth, height, width, in)``, output ``(depth', height', width', filters)``. ``padding: same`` puts the odd plane behind,
    below and right, a number pads all sides. The kernel ``(kd, kh, kw, in / groups, filters)`` starts glorot_uniform.
    """


class Depthwise(Kernelled):
    """A convolution of each channel by itself, with ``multiplier`` kernels a channel."""

    multiplier: Count = 1

    def params(self, x: Value) -> Iterable[Param]:
        channels = self.channels(x)
        yield Param("kernel", (*self.kernel, channels, self.multiplier), init="glorot_uniform")
        yield from self.after(channels * self.multiplier)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return self.finish(self.by_channel(x, p.kernel, self.multiplier), p, mode)


class DepthwiseConv1d(Kernel1, Depthwise, kind="depthwise_conv1d", primary="kernel"):
    """A convolution of each channel of a sequence by itself, with ``multiplier`` kernels a channel.

    Input ``(time, in)``, output ``(time', in * multiplier)``: channel ``i * multiplier + m``. The kernel ``(k, in, multiplier)``
    starts glorot_uniform.
    """


class DepthwiseConv2d(Kernel2, Depthwise, kind="depthwise_conv2d", primary="kernel"):
    """A convolution of each channel by itself, with ``multiplier`` kernels a channel.

    Input ``(height, width, in)``, output ``(height', width', in * multiplier)``: channel ``i * multiplier + m``. The kernel
    ``(kh, kw, in, multiplier)`` starts glorot_uniform.
    """


class DepthwiseConv3d(Kernel3, Depthwise, kind="depthwise_conv3d", primary="kernel"):
    """A convolution of each channel of a volume by itself, with ``multiplier`` kernels a channel.

    Input ``(depth, height, width, in)``, output ``(depth', height', width', in * multiplier)``: channel ``i * multiplier + m``. The
    kernel ``(kd, kh, kw, in, multiplier)`` starts glorot_uniform.
    """


class Separable(Kernelled):
    """A depthwise convolution, then ``filters`` weighted sums of its channels at each place."""

    filters: Count
    multiplier: Count = 1

    def params(self, x: Value) -> Iterable[Param]:
        channels = self.channels(x)
        yield Param("depthwise_kernel", (*self.kernel, channels, self.multiplier), init="glorot_uniform")
        yield Param("pointwise_kernel", (*(1,) * self.axes, channels * self.multiplier, self.filters), init="glorot_uniform")
        yield from self.after(self.filters)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        ones = (1,) * self.axes
        y = self.by_channel(x, p.depthwise_kernel, self.multiplier)
        return self.finish(ops.Conv(ones, ((0, 0),) * self.axes, ones).one(y, p.pointwise_kernel), p, mode)


class SeparableConv1d(Kernel1, Separable, kind="separable_conv1d", primary="filters"):
    """A convolution of each channel of a sequence by itself, then ``filters`` weighted sums of the channels at each step.

    Input ``(time, in)``, output ``(time', filters)``. ``depthwise_kernel (k, in, multiplier)`` and ``pointwise_kernel (1, in * multiplier,
    filters)`` start glorot_uniform; stride, padding and dilation are the first's; bias and activation stand behind the second.
    """


class SeparableConv2d(Kernel2, Separable, kind="separable_conv2d", primary="filters"):
    """A convolution of each channel by itself, then ``filters`` weighted sums of the channels at each place.

    Input ``(height, width, in)``, output ``(height', width', filters)``. ``depthwise_kernel (kh, kw, in, multiplier)`` and
    ``pointwise_kernel (1, 1, in * multiplier, filters)`` start glorot_uniform; stride, padding and dilation are the first's; bias and
    activation stand behind the second. Source: Chollet, "Xception", 2017.
    """
