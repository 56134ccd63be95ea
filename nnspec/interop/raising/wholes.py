"""Ops with weights of their own, as layers: normalisation, and convolutions that no node says as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.nodes import short
from nnspec.interop.raising.raiser import Raiser
from nnspec.interop.raising.windows import alike, spelled, unless
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ops import conv, normalization

Rule: TypeAlias = Callable[[Raiser, Call], "bool | None"]  # False: by what it is made of


def normal(kind: str, *fields: str) -> Rule:
    """A normalisation over the last axis, whose factors and summands are known."""

    def rule(r: Raiser, call: Call) -> bool:
        x, *weights = call.inputs
        held = [r.known(w) for w in weights]
        channels = sizes(x)[-1]
        if any(a is None for a in held) or r.known(x) is not None or r.rows[x] == x.rank - 1:
            return False
        arrays = [np.ascontiguousarray(a).reshape(-1) for a in held if a is not None]
        if any(a.size != channels for a in arrays):
            return False
        own = dict(zip(("gamma", "beta"), arrays, strict=False))
        more: dict[str, Any] = {name: getattr(call.op, name) for name in fields}
        perm, instance = r.channels_last(x, x.rank - 1), more.get("groups") == channels
        if instance:
            more = {}
        more["epsilon"] = short(call.op.epsilon)  # type: ignore[attr-defined]  # its own
        r.put(call.outputs[0], r.emit("instance_norm" if instance else kind, r.get(x, perm), weights=own, **more), perm, r.rows[x])
        return True

    return rule


def over_last(r: Raiser, call: Call) -> bool:
    """Layer normalisation, where it is over the last axis alone."""
    if call.op.axes not in ((-1,), (call.inputs[0].rank - 1,)):  # type: ignore[attr-defined]  # LayerNorm's
        return False
    return bool(normal("layer_norm")(r, call))


def response(r: Raiser, call: Call) -> bool:
    x, op = call.inputs[0], call.op
    perm = r.channels_last(x, x.rank - 1)
    fields: dict[str, Any] = {"size": op.size, **{name: short(getattr(op, name)) for name in ("alpha", "beta", "k")}}  # type: ignore[attr-defined]
    r.put(call.outputs[0], r.emit("local_response_norm", r.get(x, perm), **fields), perm, r.rows[x])
    return True


def convolution(r: Raiser, call: Call, whole: Value | None = None, made: Value | None = None) -> bool:
    """A convolution, channels last; of a ``whole`` with more axes before places it makes ``made``."""
    x, op = call.inputs[0], call.op
    kernel = r.array(call.inputs[1], "a kernel")
    rank = x.rank - 2
    if r.known(x) is not None or not 1 <= rank <= 3:
        raise NotImportedError(f"a convolution over {rank} axes")
    stride, dilation, groups = op.stride, op.dilation, op.groups  # type: ignore[attr-defined]  # Conv's
    same = conv.pads("same", x.shape[1:-1], kernel.shape[:rank], stride, dilation)
    around = same if op.padding == "same" else op.padding  # type: ignore[attr-defined]  # Conv's
    r.put(made or call.outputs[0], r.emit(
        f"conv{rank}d", r.get(whole or x), weights={"kernel": np.ascontiguousarray(kernel)}, filters=kernel.shape[-1],
        kernel=alike(kernel.shape[:rank]),
        stride=unless(stride, 1), padding=spelled(around, same), dilation=unless(dilation, 1), bias=False, groups=unless((groups,), 1)))  # fmt: skip
    return True


def transposed(r: Raiser, call: Call, whole: Value | None = None, made: Value | None = None) -> bool:
    """A transposed convolution, channels last; of a ``whole`` with more axes before places it makes ``made``."""
    x, op = call.inputs[0], call.op
    kernel = r.array(call.inputs[1], "a kernel")
    rank, size = x.rank - 2, kernel.shape[: x.rank - 2]
    if r.known(x) is not None or not 1 <= rank <= 3:
        raise NotImportedError(f"a transposed convolution over {rank} axes")
    stride, dilation, groups = op.stride, op.dilation, op.groups  # type: ignore[attr-defined]  # ConvInputGrad's
    out = sizes(call.outputs[0])[1:-1]
    around = conv.pads(op.padding, out, size, stride, dilation)  # type: ignore[attr-defined]  # ConvInputGrad's
    extra = tuple(o - ((n - 1) * s + (k - 1) * d + 1 - a - b)
                  for o, n, s, k, d, (a, b) in zip(out, sizes(x)[1:-1], stride, size, dilation, around, strict=True))
    if any(not 0 <= e < max(s, 1) for e, s in zip(extra, stride, strict=True)):
        raise NotImportedError("more output padding than the stride")
    r.put(made or call.outputs[0], r.emit(
        f"conv_transpose{rank}d", r.get(whole or x), weights={"kernel": np.ascontiguousarray(kernel)}, filters=kernel.shape[-2] * groups,
        kernel=alike(size), stride=unless(stride, 1), padding=alike(tuple(v for pair in around for v in pair)), output_padding=unless(extra, 0),
        dilation=unless(dilation, 1), groups=unless((groups,), 1), bias=False))  # fmt: skip
    return True


WHOLES: Mapping[type[Op], Rule] = {
    normalization.RmsNorm: normal("rms_norm"), normalization.GroupNorm: normal("group_norm", "groups"), normalization.LayerNorm: over_last,
    normalization.LocalResponseNorm: response, conv.Conv: convolution, conv.ConvInputGrad: transposed,
}  # fmt: skip
