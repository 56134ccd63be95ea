"""A large network over smaller images, where its weights stay what they are: its gradients are the same functions, and take seconds."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.compiler import Spec, finish
from nnspec.errors import NnspecError
from nnspec.spec.load import take_apart

LARGE = 2 * 10**10  # operations of one pass of the batch: beyond them inputs are taken smaller
LEAST = 32  # places along an axis that are left
VAST = 10**11  # operations of one step: beyond them the compiled step is not tried


def passes(spec: Spec, rows: int) -> int:
    """Operations of one pass of so many rows."""
    return rows * sum(int(data["flops"]) for data in spec.built.network.nodes.values())


def reduced(spec: Spec, rows: int) -> tuple[Spec, dict[str, tuple[int, ...]]]:
    """The spec over inputs of half the size, half of that and so on, and what they are then; as it is where its weights would be others."""
    found, shapes = spec, {name: t.shape[1:] for name, t in spec.built.network.inputs.items()}
    small: dict[str, tuple[int, ...]] = {}
    while spec.document.data is None and passes(found, rows) > LARGE:
        tried = {name: tuple(_half(n) if i < len(shape) - 1 and isinstance(n, int) else n for i, n in enumerate(shape))
                 for name, shape in shapes.items() if len(shape) >= 3}  # fmt: skip
        if not tried or all(tried[name] == shapes[name] for name in tried):
            break
        shapes = {**shapes, **tried}
        try:
            next_ = _with(spec, shapes)
        except NnspecError:
            break
        if _weights(next_) != _weights(spec):
            break
        found, small = next_, {name: shapes[name] for name in tried}  # type: ignore[misc]  # numbers, or they would not be halved
    return found, small


def _half(n: int) -> int:
    """About half: less by a multiple of 32, so that what strides five times, or joins what it cropped, goes on to fit."""
    return n - n // 2 // 32 * 32 if n // 2 >= LEAST else n


def _with(spec: Spec, shapes: Mapping[str, tuple[object, ...]]) -> Spec:
    d = spec.document
    settings = {f"inputs.{name}.shape": f"[{', '.join(map(str, shape))}]" for name, shape in shapes.items()}
    return finish(take_apart(d.root, d.file, settings, d.allow, d.data))


def _weights(spec: Spec) -> dict[str, tuple[object, ...]]:
    return {path: tuple(p.param.shape) for path, p in spec.built.network.parameters.items()}
