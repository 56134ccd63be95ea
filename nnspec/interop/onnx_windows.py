"""Convolutions, pools and normalisations as ONNX nodes, most with channels first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.interop.onnx_elements import Rule
from nnspec.interop.onnx_writer import Writer, channels_first
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import Symbol
from nnspec.ops import conv, normalization, pool, resample


def _windows(padding: conv.Padding, x: Value, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> dict[str, Any]:
    spatial = x.shape[1:-1]
    if padding == "same" and any(isinstance(d, Symbol) for d in spatial):
        return {"auto_pad": "SAME_UPPER", "strides": stride}
    around = conv.pads(padding, spatial, size, stride, dilation)
    return {"pads": [low for low, _ in around] + [high for _, high in around], "strides": stride}


def convolution(w: Writer, call: Call) -> None:
    op, (x, kernel) = call.op, call.inputs
    assert isinstance(op, conv.Conv)
    size = tuple(int(d) for d in kernel.shape[:-2])  # type: ignore[arg-type]  # bound
    n = len(size)
    first = channels_first(x.rank)
    y = w.node("Conv", w.get(x, first), w.get(kernel, (n + 1, n, *range(n))), kernel_shape=size, dilations=op.dilation, group=op.groups,
               **_windows(op.padding, x, size, op.stride, op.dilation))
    w.put(call.outputs[0], y, first)


def convolution_back(w: Writer, call: Call) -> None:
    op, (g, kernel), y = call.op, call.inputs, call.outputs[0]
    assert isinstance(op, conv.ConvInputGrad)
    size = tuple(int(d) for d in kernel.shape[:-2])  # type: ignore[arg-type]  # bound
    if op.padding == "same" and any(isinstance(d, Symbol) for d in op.spatial):
        raise w.refuse(call, "a length that is not known")
    around = conv.pads(op.padding, op.spatial, size, op.stride, op.dilation)
    rest = [d - ((n - 1) * s + (k - 1) * dil + 1 - a - b)
            for d, n, s, k, dil, (a, b) in zip(op.spatial, g.shape[1:-1], op.stride, size, op.dilation, around, strict=True)]
    if any(isinstance(r, Symbol) for r in rest):
        raise w.refuse(call, "a length that is not known")
    n, first = len(size), channels_first(g.rank)
    pads = [low for low, _ in around] + [high for _, high in around]
    made = w.node("ConvTranspose", w.get(g, first), w.get(kernel, (n + 1, n, *range(n))), kernel_shape=size, dilations=op.dilation, group=op.groups,
                  strides=op.stride, pads=pads, output_padding=rest)
    w.put(y, made, first)


def pooled(kind: str, **more: int) -> Rule:
    def rule(w: Writer, call: Call) -> None:
        op, x = call.op, call.inputs[0]
        assert isinstance(op, pool.Pool)
        if any(w.uses[v] for v in call.outputs[1:]):
            raise w.refuse(call, "the places of the largest")
        first = channels_first(x.rank)
        made = w.node(kind, w.get(x, first), kernel_shape=op.size, **more, **_windows(op.padding, x, op.size, op.stride, (1,) * len(op.size)))
        w.put(call.outputs[0], made, first)

    return rule


def repeated(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, resample.Repeat)
    perm = max(w.perms(x), default=channels_first(x.rank))
    scales = w.array(np.array([(1, *op.factors, 1)[a] for a in perm], np.float32))
    y = w.node("Resize", w.get(x, perm), "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    w.put(call.outputs[0], y, perm)


# Normalisation


def layer_norm(w: Writer, call: Call) -> None:
    w.put(call.outputs[0], w.node("LayerNormalization", *map(w.get, call.inputs), axis=-1, epsilon=float(call.op.epsilon)))  # type: ignore[attr-defined]


def group_norm(w: Writer, call: Call) -> None:
    op, (x, gamma, beta) = call.op, call.inputs
    assert isinstance(op, normalization.GroupNorm)
    first = channels_first(x.rank)
    made = w.node("GroupNormalization", w.get(x, first), w.get(gamma), w.get(beta), num_groups=op.groups, epsilon=float(op.epsilon))
    w.put(call.outputs[0], made, first)


def local_response(w: Writer, call: Call) -> None:
    op, first = call.op, channels_first(4)
    assert isinstance(op, normalization.LocalResponseNorm)
    made = w.node("LRN", w.get(call.inputs[0], first), size=op.size, alpha=float(op.alpha), beta=float(op.beta), bias=float(op.k))
    w.put(call.outputs[0], made, first)


RULES: Mapping[type[Op], Rule] = {
    conv.Conv: convolution, conv.ConvInputGrad: convolution_back,
    pool.MaxPool: pooled("MaxPool"), pool.WindowMax: pooled("MaxPool"), pool.AvgPool: pooled("AveragePool", count_include_pad=0),
    resample.Repeat: repeated,
    normalization.LayerNorm: layer_norm, normalization.GroupNorm: group_norm, normalization.LocalResponseNorm: local_response,
}  # fmt: skip
