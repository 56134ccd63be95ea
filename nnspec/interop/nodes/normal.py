"""ONNX's normalisations. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.interop.nodes.axes import first, flipped, last, taken
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, sizes
from nnspec.ir.graph import Value
from nnspec.ops import elementwise as e
from nnspec.ops import movement, normalization, reduce


def epsilon(n: Node) -> float:
    return float(n.attribute("epsilon", 1e-5))


def columns(v: Value, rank: int) -> Value:
    """A number a channel, beside axes of places."""
    return movement.reshape(v, (*sizes(v), *(1,) * (rank - 2)))


def batch_norm(n: Node) -> Value | tuple[Value, ...]:
    x, rank = n[0], n[0].rank
    if not n.attribute("spatial", 1):
        raise NotImportedError("statistics of every place (spatial: 0)")
    scale, shift = columns(n[1], rank), columns(n[2], rank)
    if not n.attribute("training_mode", 0):
        mean, variance = columns(n[3], rank), columns(n[4], rank)
        return (x - mean) * (scale / e.sqrt(variance + epsilon(n))) + shift
    axes, momentum = (0, *range(2, rank)), float(n.attribute("momentum", 0.9))
    mean = reduce.mean(x, axes, True)
    variance = reduce.mean(e.square(x - mean), axes, True)
    y = (x - mean) * (scale / e.sqrt(variance + epsilon(n))) + shift
    moved = (n[i] * momentum + movement.reshape(v, sizes(n[i])) * (1 - momentum) for i, v in ((3, mean), (4, variance)))
    return (y, *moved)


def layer_norm(n: Node) -> tuple[Value, ...]:
    x, axis = n[0], n.axis(-1)
    axes = tuple(range(axis, x.rank))
    mean = reduce.mean(x, axes, True)
    deviation = e.sqrt(reduce.mean(e.square(x - mean), axes, True) + epsilon(n))
    y = (x - mean) / deviation * n[1]
    return y + n[2] if n.has(2) else y, mean, 1.0 / deviation


def rms_norm(n: Node) -> Value:
    x, axis = n[0], n.axis(-1)
    if axis == x.rank - 1 and n[1].rank == 1:
        return normalization.RmsNorm(epsilon(n)).one(x, n[1])
    return x * (1.0 / e.sqrt(reduce.mean(e.square(x), tuple(range(axis, x.rank)), True) + epsilon(n))) * n[1]


def group_norm(n: Node) -> Value:
    groups, channels = int(n.attribute("num_groups")), sizes(n[0])[1]
    if groups < 1 or channels % groups:
        raise NotImportedError(f"{channels} channels in {groups} groups")
    scale, shift = (taken(v, 0, np.arange(channels) // (channels // groups)) if n.opset < 21 else v for v in (n[1], n[2]))
    return last(normalization.GroupNorm(groups, epsilon(n)).one(first(n[0]), scale, shift))


def instance_norm(n: Node) -> Value:
    return last(normalization.GroupNorm(sizes(n[0])[1], epsilon(n)).one(first(n[0]), n[1], n[2]))


def local_response(n: Node) -> Value:
    """Of an even number of neighbours ONNX takes one more above: channels turned round."""
    size = int(n.attribute("size"))
    alpha, beta, k = (float(n.attribute(name, d)) for name, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    x, op = first(n[0]), normalization.LocalResponseNorm(size, alpha, beta, k)
    axis = x.rank - 1
    return last(op.one(x) if size % 2 else flipped(op.one(flipped(x, axis)), axis))


def lengths(n: Node) -> Value:
    """Divided by the sum of sizes, or the root of that of squares; 0 stays 0."""
    x, p, axis = n[0], n.attribute("p", 2), n.axis(-1)
    if p not in (1, 2):
        raise NotImportedError(f"p: {p}")
    total = reduce.sum_(e.absolute(x) if p == 1 else e.square(x), axis, True)
    length = total if p == 1 else e.sqrt(total)
    return x / e.where(e.equal(length, 0.0), 1.0, length)


RULES: Mapping[str, Rule] = {
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "RMSNormalization": rms_norm, "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm, "LRN": local_response, "LpNormalization": lengths,
}  # fmt: skip
