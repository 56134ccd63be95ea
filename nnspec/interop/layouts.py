"""How PyTorch and Keras write what we keep: names of parameters, orders of axes.

| here | PyTorch | Keras |
| --- | --- | --- |
| dense ``kernel (in, out)`` | ``weight (out, in)``; rows behind a flattened image, columns before a reshape to one: channels first | the same |
| conv ``kernel (*size, in / groups, out)`` | ``weight (out, in / groups, *size)`` | the same |
| conv_transpose ``kernel (*size, out / groups, in)`` | ``weight (in, out / groups, *size)`` | the same |
| depthwise ``kernel (*size, in, multiplier)`` | ``weight (in * multiplier, 1, *size)`` | ``kernel`` or ``depthwise_kernel``, the same |
| ``pointwise_kernel`` | ``(out, in, 1, …)`` | the same |
| norms ``gamma``, ``beta`` | ``weight``, ``bias`` | the same |
| ``moving_mean``, ``moving_variance`` | ``running_mean``, ``running_var`` (``num_batches_tracked`` is left out) | the same |
| ``embedding (vocabulary, units)`` | ``weight`` | ``embeddings`` |
| prelu ``alpha (channels)`` | ``weight (channels)`` or ``(1)`` | ``alpha (1, …, channels)`` |

A parameter may go by our own name in every layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from nnspec.interop.flattened import Flattened
from nnspec.ir.op import Array
from nnspec.layers.layer import Param
from nnspec.network.graph import Leaf, Port
from nnspec.records import dataclass, field

WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "nnspec": {},
    "torch": {
        "weight": ("kernel", "gamma", "embedding", "alpha"),
        "bias": ("bias", "beta"),
        "running_mean": ("moving_mean",),
        "running_var": ("moving_variance",),
    },
    "keras": {"depthwise_kernel": ("kernel",), "embeddings": ("embedding",), "moving_var": ("moving_variance",)},
}
LEFT_OUT = {"torch": ("num_batches_tracked",), "keras": (), "nnspec": ()}
VECTORS = ("gamma", "beta", "moving_mean", "moving_variance", "alpha")
DEPTHWISE = "depthwise"
Turn = Callable[[Array], Array]

@dataclass(frozen=True)
class Form:
    """A parameter as a file holds it: its shape there, others that will do, and how ours is made of it."""

    shape: tuple[int, ...]
    turn: Turn
    also: tuple[tuple[int, ...], ...] = field(default=())

def plain_name(name: str, layout: str) -> str:
    """A name before renaming: Keras's ``conv2d/kernel:0`` without the number of the variable's output."""
    return re.sub(r":\d+\Z", "", name) if layout == "keras" else name

def place_of(name: str, layout: str) -> tuple[str, str]:
    """The layer's path and the parameter's word of a name after renaming."""
    path = name if layout == "nnspec" else name.replace(".", "/")
    layer, _, word = path.rpartition("/")
    return layer, word

def param_of(leaf: Leaf, word: str, layout: str) -> Param | None:
    """The parameter of a layer that a word stands for."""
    own = next((p for p in leaf.own if p.name == word), None)
    roles = WORDS[layout].get(word, ())
    return own or next((p for role in roles for p in leaf.own if p.role == role), None)

def form(leaf: Leaf, param: Param, layout: str, flattened: Flattened) -> Form:
    """How a layout writes a parameter."""
    if layout == "torch":
        return _torch(leaf, param, flattened)
    squeezed = (*(1,) * (len(leaf.inputs[0].shape) - 1), *param.shape) if layout == "keras" and param.role == "alpha" else param.shape
    return Form(param.shape, lambda a: a.reshape(param.shape), (squeezed,))

def _torch(leaf: Leaf, param: Param, flattened: Flattened) -> Form:
    shape, kind = param.shape, leaf.entry.kind
    order = flattened.order(leaf.inputs[0]) if leaf.inputs else None
    if param.role == "depthwise_kernel" or (param.role == "kernel" and kind.startswith(DEPTHWISE)):
        return _depthwise(shape)
    if param.role == "pointwise_kernel" and len(shape) == 2:
        return Form((*reversed(shape), 1, 1), lambda a: a.reshape(a.shape[:2]).T)
    if param.role in ("kernel", "pointwise_kernel") and len(shape) > 2:
        return Form((shape[-1], shape[-2], *shape[:-2]), lambda a: a.transpose(*range(2, a.ndim), 1, 0))
    if kind == "dense":
        columns = flattened.order(Port(leaf.path))
        if param.role == "kernel":
            return Form((shape[1], shape[0]), lambda a: _ordered(_ordered(a.T, order).T, columns).T)
        return Form(shape, lambda a: _ordered(np.broadcast_to(a, shape), columns), ((1,),) if param.role == "alpha" else ())
    if param.role == "kernel" and len(shape) == 2:
        return Form((shape[1], shape[0]), lambda a: a.T)
    if param.role in VECTORS and len(shape) == 1:
        fits = order is not None and len(order) == shape[0]
        also = ((1,),) if param.role == "alpha" else ()
        return Form(shape, lambda a: a[order] if fits and a.shape == shape else np.broadcast_to(a, shape), also)
    return Form(shape, lambda a: a)

def _ordered(a: Array, order: Array | None) -> Array:
    return a if order is None else a[order]


def _depthwise(shape: tuple[int, ...]) -> Form:
    *size, channels, multiplier = shape

    def turn(a: Array) -> Array:
        return np.moveaxis(a.reshape(channels, multiplier, *size), (0, 1), (-2, -1))

    return Form((channels * multiplier, 1, *size), turn)
