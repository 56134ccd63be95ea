"""Spatial layers as PyTorch computes them, from a layer's kind and fields; padding by hand where PyTorch has no word for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional
Twin = Callable[..., Any]


def axes_of(kind: str) -> int:
    return int(kind[-2])


def each(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


def channels_first(f: Twin) -> Twin:
    """A PyTorch function of channels first, for ours with channels last."""
    return lambda x, **p: f(x.movedim(-1, 1).contiguous(), **p).movedim(1, -1)


def ends(padding: Any, spatial: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    """What is added before and after each axis, worked out by hand."""
    if padding == "valid":
        return [(0, 0)] * len(spatial)
    if padding == "same":
        found = []
        for n, k, s, d in zip(spatial, size, stride, dilation, strict=True):
            windows = -(-n // s)
            total = max(0, (windows - 1) * s + (k - 1) * d + 1 - n)
            found.append((total // 2, total - total // 2))
        return found
    flat = each(padding, 2 * len(spatial))
    return list(zip(flat[::2], flat[1::2], strict=True))


def padded(x: Any, around: list[tuple[int, int]], value: float = 0.0) -> Any:
    """The axes behind the channels, with a border."""
    return F.pad(x, [n for pair in reversed(around) for n in pair], value=value)


def front(kernel: Any) -> Any:
    """``(*kernel, a, b)`` as PyTorch's ``(b, a, *kernel)``."""
    return kernel.movedim(-1, 0).movedim(-1, 1).contiguous()


class Fields:
    """A layer's fields with their defaults, for each axis."""

    def __init__(self, kind: str, fields: dict[str, Any]) -> None:
        self.axes = axes_of(kind)
        self.kernel = each(fields.get("kernel", fields.get("size", 3)), self.axes)
        self.stride = each(fields.get("stride", self.kernel if "pool" in kind else 1), self.axes)
        self.dilation = each(fields.get("dilation", 1), self.axes)
        self.padding, self.groups = fields.get("padding", "valid"), fields.get("groups", 1)

    def around(self, x: Any) -> list[tuple[int, int]]:
        return ends(self.padding, tuple(x.shape[2:]), self.kernel, self.stride, self.dilation)


def conv(kind: str, **fields: Any) -> Twin:
    at = Fields(kind, fields)
    f = getattr(F, f"conv{at.axes}d")
    return channels_first(lambda x, kernel, bias=None: f(padded(x, at.around(x)), front(kernel), bias, at.stride, 0, at.dilation, at.groups))


def depthwise(kind: str, **fields: Any) -> Twin:
    at = Fields(kind, fields)
    f = getattr(F, f"conv{at.axes}d")

    def g(x: Any, kernel: Any, bias: Any = None) -> Any:
        w = kernel.movedim(-2, 0).movedim(-1, 1).reshape(-1, 1, *at.kernel)
        return f(padded(x, at.around(x)), w, bias, at.stride, 0, at.dilation, x.shape[1])

    return channels_first(g)


def separable(kind: str, **fields: Any) -> Twin:
    f = getattr(F, f"conv{axes_of(kind)}d")
    spread = depthwise(kind, **fields)

    def g(x: Any, depthwise_kernel: Any, pointwise_kernel: Any, bias: Any = None) -> Any:
        return channels_first(lambda a: f(a, front(pointwise_kernel), bias))(spread(x, kernel=depthwise_kernel))

    return g


def transposed(kind: str, **fields: Any) -> Twin:
    """With a number as padding PyTorch's own; else the whole of it, cut and extended by hand."""
    at = Fields(kind, fields)
    f = getattr(F, f"conv_transpose{at.axes}d")
    extra = each(fields.get("output_padding") or 0, at.axes)
    reach = [(k - 1) * d + 1 for k, d in zip(at.kernel, at.dilation, strict=True)]

    def whole(x: Any, kernel: Any) -> Any:
        return f(x, front(kernel), None, at.stride, 0, 0, at.groups, at.dilation)

    def g(x: Any, kernel: Any, bias: Any = None) -> Any:
        if isinstance(at.padding, int):
            return f(x, front(kernel), bias, at.stride, at.padding, extra, at.groups, at.dilation)
        y = whole(x, kernel)
        for i, (n, s, r) in enumerate(zip(x.shape[2:], at.stride, reach, strict=True)):
            low, high = 0, 0
            length = (n - 1) * s + r + extra[i]
            if at.padding == "same":
                low, length = max(r - s, 0) // 2, n * s
            elif at.padding == "valid" and fields.get("output_padding") is None:
                length = n * s + max(r - s, 0)
            elif at.padding != "valid":
                low, high = at.padding[2 * i], at.padding[2 * i + 1]
                length -= low + high
            missing = max(0, low + length - y.shape[2 + i])
            y = torch.cat([y, y.new_zeros([missing if j == 2 + i else m for j, m in enumerate(y.shape)])], 2 + i).narrow(2 + i, low, length)
        return y if bias is None else y + bias.reshape(-1, *(1,) * at.axes)

    return channels_first(g)


def max_pool(kind: str, **fields: Any) -> Twin:
    at = Fields(kind, fields)
    f = getattr(F, f"max_pool{at.axes}d")
    return channels_first(lambda x: f(padded(x, at.around(x), -float("inf")), at.kernel, at.stride))


def avg_pool(kind: str, **fields: Any) -> Twin:
    """The mean with borders, by the share of the window that is none."""
    at = Fields(kind, fields)
    f = getattr(F, f"avg_pool{at.axes}d")

    def g(x: Any) -> Any:
        around = at.around(x)
        return f(padded(x, around), at.kernel, at.stride) / f(padded(torch.ones_like(x), around), at.kernel, at.stride)

    return channels_first(g)


def global_pool(kind: str, **fields: Any) -> Twin:
    axes, keep = tuple(range(1, axes_of(kind) + 1)), fields.get("keep", False)
    return lambda x: x.mean(axes, keepdim=keep) if "avg" in kind else x.amax(axes, keepdim=keep)


def adaptive_pool(kind: str, **fields: Any) -> Twin:
    axes = axes_of(kind)
    return channels_first(lambda x: getattr(F, f"adaptive_avg_pool{axes}d")(x, each(fields["size"], axes)))


def pad(kind: str, **fields: Any) -> Twin:
    around = ends(fields["size"], (0,) * axes_of(kind), (), (), ())
    flat = [n for pair in reversed(around) for n in pair]
    mode = {"edge": "replicate"}.get(fields.get("mode", ""), fields.get("mode", "constant"))
    return channels_first(lambda x: F.pad(x, flat, mode=mode))


def crop(kind: str, **fields: Any) -> Twin:
    around = ends(fields["size"], (0,) * axes_of(kind), (), (), ())

    def g(x: Any) -> Any:
        for axis, (low, high) in enumerate(around, 1):
            x = x.narrow(axis, low, x.shape[axis] - low - high)
        return x

    return g


def mode_of(axes: int, method: str) -> str:
    return "nearest" if method == "nearest" else ("linear", "bilinear", "trilinear")[axes - 1]


def upsample(kind: str, **fields: Any) -> Twin:
    axes, method = axes_of(kind), fields.get("method", "nearest")
    aligned = {} if method == "nearest" else {"align_corners": False}
    scale = tuple(float(n) for n in each(fields.get("factor", 2), axes))
    return channels_first(lambda x: F.interpolate(x, scale_factor=scale, mode=mode_of(axes, method), **aligned))


def resize(kind: str, **fields: Any) -> Twin:
    def g(x: Any) -> Any:
        axes = x.ndim - 2
        mode = mode_of(axes, fields.get("method", "linear"))
        aligned = {} if mode == "nearest" else {"align_corners": fields.get("align") == "corners"}
        wide = {k: each(fields[k], axes) * (axes if len(each(fields[k], axes)) == 1 else 1) if fields.get(k) else None for k in ("size", "scale")}
        return F.interpolate(x, size=wide["size"], scale_factor=wide["scale"] and tuple(map(float, wide["scale"])), mode=mode, **aligned)

    return channels_first(g)


def shuffle(kind: str, factor: int) -> Twin:
    return channels_first(lambda x: (F.pixel_shuffle if kind == "pixel_shuffle" else F.pixel_unshuffle)(x, factor))


def grid_sample(kind: str, method: str = "bilinear", padding: str = "zeros", align: str = "centers") -> Twin:
    return lambda image, grid: channels_first(
        lambda x: F.grid_sample(x, grid, mode=method, padding_mode=padding, align_corners=align == "corners"))(image)


TWINS: dict[str, Callable[..., Twin]] = {
    "pad": pad, "crop": crop, "upsample": upsample, "resize": resize, "pixel_shuffle": shuffle, "pixel_unshuffle": shuffle, "grid_sample": grid_sample,
    "conv": conv, "depthwise_conv": depthwise, "separable_conv": separable, "conv_transpose": transposed, "max_pool": max_pool,
    "avg_pool": avg_pool, "global_avg_pool": global_pool, "global_max_pool": global_pool, "adaptive_avg_pool": adaptive_pool,
}  # fmt: skip


def twin(kind: str, **fields: Any) -> Twin:
    """The PyTorch function of a spatial layer."""
    return TWINS[kind[:-2] if kind[-2:] in ("1d", "2d", "3d") else kind](kind, **fields)


SEQUENCE, IMAGE, VOLUME = (2, 7, 4), (2, 6, 5, 4), (1, 4, 3, 5, 2)
SMALL = (2, 3, 4, 2)
Rows = list[tuple[dict[str, Any], tuple[int, ...]]]
# fields and an input's shape of every kind, for tests/test_layers.py
SPATIAL: dict[str, Rows] = {
    "conv1d": [({"filters": 3}, SEQUENCE), ({"filters": 4, "kernel": 2, "stride": 2, "padding": [1, 2], "groups": 2, "bias": False}, SEQUENCE),
               ({"filters": 2, "padding": "same", "dilation": 2}, SEQUENCE)],
    "conv3d": [({"filters": 2, "kernel": 2}, VOLUME), ({"filters": 2, "stride": 2, "padding": "same", "groups": 2}, VOLUME),
               ({"filters": 3, "kernel": (1, 2, 3), "padding": [0, 1, 1, 0, 2, 0], "dilation": (1, 2, 1)}, VOLUME)],
    "depthwise_conv1d": [({"multiplier": 2, "padding": "same", "stride": 2}, SEQUENCE)],
    "depthwise_conv3d": [({"kernel": 2, "multiplier": 2}, VOLUME)],
    "separable_conv1d": [({"filters": 3, "multiplier": 2, "dilation": 2}, SEQUENCE)],
    "separable_conv2d": [({"filters": 3, "padding": "same", "stride": 2}, IMAGE), ({"filters": 2, "bias": False}, IMAGE)],
    "conv_transpose1d": [({"filters": 3, "stride": 2}, SEQUENCE), ({"filters": 2, "kernel": 1, "stride": 3}, SEQUENCE),
                         ({"filters": 4, "stride": 3, "padding": 1, "output_padding": 2, "groups": 2}, SEQUENCE)],
    "conv_transpose2d": [({"filters": 3}, SMALL), ({"filters": 2, "stride": 2, "padding": "same"}, SMALL),
                         ({"filters": 2, "kernel": (3, 2), "stride": 2, "padding": [1, 0, 0, 1], "dilation": 2, "bias": False}, SMALL)],
    "conv_transpose3d": [({"filters": 2, "kernel": 2, "stride": 2, "padding": 1, "output_padding": 1}, (1, 2, 3, 2, 2))],
    **{f"{kind}{n}d": [({"size": 2}, shape), ({"size": (2, 3, 2)[:n], "stride": 2, "padding": 1 if n == 3 else "same"}, shape)]
       for kind in ("max_pool", "avg_pool") for n, shape in ((1, SEQUENCE), (3, VOLUME))},
    "pad1d": [({"size": [2, 1]}, SEQUENCE), ({"size": 3, "mode": "reflect"}, SEQUENCE), ({"size": 9, "mode": "edge"}, SEQUENCE)],
    "pad2d": [({"size": 1}, SMALL), ({"size": [1, 2, 0, 3], "mode": "reflect"}, SMALL), ({"size": [0, 4, 1, 0], "mode": "edge"}, SMALL)],
    "pad3d": [({"size": [1, 0, 0, 2, 1, 1], "mode": m}, VOLUME) for m in ("constant", "reflect", "edge")],
    "crop1d": [({"size": [2, 1]}, SEQUENCE)], "crop2d": [({"size": 1}, IMAGE)], "crop3d": [({"size": [1, 0, 0, 2, 1, 1]}, VOLUME)],
    "upsample1d": [({}, SEQUENCE), ({"factor": 3, "method": "linear"}, SEQUENCE)],
    "upsample2d": [({"factor": (2, 3)}, SMALL), ({"method": "bilinear"}, SMALL)],
    "upsample3d": [({"factor": (2, 1, 3)}, VOLUME), ({"method": "trilinear"}, VOLUME)],
    "adaptive_avg_pool1d": [({"size": 3}, SEQUENCE), ({"size": 9}, SEQUENCE)],
    "adaptive_avg_pool2d": [({"size": 3}, IMAGE), ({"size": (4, 5)}, IMAGE), ({"size": (6, 2)}, SMALL)],
    "adaptive_avg_pool3d": [({"size": (2, 2, 7)}, VOLUME)],
    "resize1d": [({"size": 5, "method": "nearest"}, SEQUENCE), ({"scale": 1.5}, SEQUENCE), ({"size": 3, "align": "corners"}, SEQUENCE)],
    "resize2d": [({"size": (4, 9)}, IMAGE), ({"scale": (0.5, 2), "method": "nearest"}, IMAGE), ({"scale": 1.4, "align": "corners"}, SMALL)],
    "resize3d": [({"size": 4}, (1, 2, 3, 2, 2)), ({"scale": 2, "method": "nearest"}, (1, 2, 3, 2, 2))],
    "resize": [({"size": (3,)}, SEQUENCE), ({"scale": (2, 1.5)}, SMALL), ({"size": (2, 5, 3), "method": "nearest"}, VOLUME)],
    "pixel_shuffle": [({"factor": 2}, (2, 2, 3, 8))],
    "pixel_unshuffle": [({"factor": 2}, (2, 4, 6, 2))],
    **{f"{kind}{n}d": [({}, shape), ({"keep": True}, shape)]
       for kind in ("global_avg_pool", "global_max_pool") for n, shape in ((1, SEQUENCE), (3, VOLUME))},
}  # fmt: skip
