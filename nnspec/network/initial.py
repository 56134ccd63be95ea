"""``init``: what a layer's parameters start with instead of its own choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.types import DType
from nnspec.layers.initializers import Given, Initializer
from nnspec.spec.explain import choose, describe, unknown
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, plain


def initial(node: Node | None, params: tuple[Any, ...], path: str, dtype: DType) -> dict[str, Initializer]:
    """``init:`` — for each parameter an initialiser, a number, or the numbers themselves; of one parameter its name may be left out."""
    if node is None:
        return {}
    if len(params) == 1 and not (isinstance(node, MappingNode) and not Initializer.registry.keys() >= node.pairs.keys()):
        return {params[0].name: initializer(node, params[0].shape, f"'{params[0].name}' of layer '{path}'", dtype)}
    if not isinstance(node, MappingNode):
        raise SpecError(Problem("'init' does not fit", node.place, found=describe(node), wanted="{kernel: he_normal, bias: 0.1}", rule="bad-value"))
    shapes = {p.name: p.shape for p in params}
    out: dict[str, Initializer] = {}
    problems: list[Problem] = []
    for key, value in node.pairs.items():
        try:
            if key not in shapes:
                raise SpecError(unknown(key, shapes, node.keys[key], f"parameter of layer '{path}'"))
            out[key] = initializer(value, shapes[key], f"'{key}' of layer '{path}'", dtype)
        except SpecError as e:
            problems += e.problems
    if problems:
        raise SpecError(*problems)
    return out


def initializer(node: Node, shape: tuple[int, ...], what: str, dtype: DType) -> Initializer:
    """An initialiser by name, a number for all, or the numbers themselves with axes of length 1 left out at will."""
    chosen = _chosen(node, shape, what)
    largest, given = dtype.largest, [v for v in chosen.model_dump().values() if isinstance(v, float | np.ndarray)]
    if (most := max((float(np.abs(v).max(initial=0)) for v in given), default=0.0)) > largest:
        raise SpecError(Problem(f"the numbers of {what} do not fit", node.place, found=f"{most:g}", wanted=f"at most {largest:.3g}, as {dtype} holds",
                                rule="bad-value"))  # fmt: skip
    return chosen


def _chosen(node: Node, shape: tuple[int, ...], what: str) -> Initializer:
    if isinstance(node, Scalar) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        node = MappingNode(node.place, {"constant": node}, {"constant": node.place}, True)
    if isinstance(node, Sequence):
        try:
            numbers = np.asarray(plain(node), np.float64)
        except (ValueError, TypeError):
            raise SpecError(
                Problem(
                    f"the numbers of {what} do not fit", node.place, found="a ragged list, or not numbers", wanted=f"shape {shape}", rule="bad-value"
                )
            ) from None
        if tuple(d for d in numbers.shape if d != 1) != tuple(d for d in shape if d != 1) or not np.isfinite(numbers).all():
            raise SpecError(
                Problem(
                    f"the numbers of {what} do not fit",
                    node.place,
                    found=f"shape {numbers.shape}",
                    wanted=f"{shape}, finite; axes of length 1 may be left out",
                    rule="bad-value",
                )
            )
        return Given(numbers=numbers)
    return choose(node, Initializer, "initialiser")  # type: ignore[type-abstract]  # the family, not an instance
