"""Between which numbers each layer's output lies, whatever its weights are: intervals, through layers and formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf, exp, inf, sqrt, tanh
from typing import TypeAlias

import numpy as np

from nnspec.layers.math import NOWHERE, Math
from nnspec.layers.source import Constant as ConstantLayer
from nnspec.lint.ranges import Range, reach
from nnspec.lint.view import NOTHING, View, activation, bare
from nnspec.network.graph import Leaf
from nnspec.spec import expressions as e
from nnspec.spec.tensor_formulas import name_of, names_of, read

ALL: Range = (-inf, inf)
Kept: TypeAlias = frozenset[str]
# what gives back numbers of its input, or means of them
MEANS: Kept = frozenset((*NOTHING, "stop_gradient", "cast", "slice", "gather", "split", "average", "concat", "stack", "pixel_shuffle",
                         "pixel_unshuffle", "resize", "reduce_mean", "reduce_max", "reduce_min",
                         *(f"{kind}{n}d" for kind in ("crop", "upsample", "resize", "max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool",
                                                      "global_max_pool") for n in (1, 2, 3))))  # fmt: skip
WITH_ZERO: Kept = frozenset(("dropout", "spatial_dropout", "drop_path", "pad1d", "pad2d", "pad3d"))


def bounds(view: View) -> dict[str, Range]:
    """By layer the least and the largest number that it can give; of inputs and of layers with weights that is any."""
    found: dict[str, Range] = {}
    for leaf in view.leaves:
        given = [found.get(p.node, ALL) if not p.output else ALL for p in leaf.inputs]
        made = activation(leaf)
        if made is None:
            found[leaf.path] = _made(leaf, given)
        elif bare(leaf) and made.kind in ("relu", "relu6"):
            low, high = given[0]
            most = reach(made)[1]
            found[leaf.path] = (min(max(low, 0.0), most), min(max(high, 0.0), most))
        else:
            found[leaf.path] = reach(made)
    return found


def _made(leaf: Leaf, given: Sequence[Range]) -> Range:
    """What a layer without an activation makes of ranges."""
    entry, kind = leaf.entry, leaf.entry.kind
    if isinstance(entry, ConstantLayer):
        held = np.asarray(entry.value, np.float64)
        return float(held.min()), float(held.max())
    if isinstance(entry, Math):
        tree = read(entry.formula, NOWHERE)
        return formula(tree, dict(zip(names_of(tree), given, strict=False)))
    if not given:
        return ALL
    if kind in MEANS or kind == "activation":
        return union(given)
    if kind in WITH_ZERO:
        return union([given[0], (0.0, 0.0)])
    if kind in BINARY:
        result = given[0]
        for other in given[1:]:
            result = BINARY[kind](result, other)
        return result
    if kind in ("one_hot", "bernoulli"):
        return 0.0, 1.0
    return ALL


def union(ranges: Sequence[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def add(a: Range, b: Range) -> Range:
    return a[0] + b[0], a[1] + b[1]


def subtract(a: Range, b: Range) -> Range:
    return a[0] - b[1], a[1] - b[0]


def multiply(a: Range, b: Range) -> Range:
    products = [x * y if x and y else 0.0 for x in a for y in b]  # 0 times a number of any size is 0
    return min(products), max(products)


def divide(a: Range, b: Range) -> Range:
    if b[0] <= 0 <= b[1]:
        return (0.0, inf) if a[0] >= 0 and b[0] >= 0 else ALL
    return multiply(a, (1 / b[1], 1 / b[0]))


BINARY: Mapping[str, Callable[[Range, Range], Range]] = {
    "add": add, "+": add, "subtract": subtract, "-": subtract, "multiply": multiply, "*": multiply, "/": divide,
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])), "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
}  # fmt: skip


def _exp(x: float) -> float:
    return inf if x > 700 else exp(x)


RISING: Mapping[str, Callable[[float], float]] = {
    "exp": _exp, "tanh": tanh, "erf": erf, "sigmoid": lambda x: 1 / (1 + _exp(-x)), "sqrt": lambda x: sqrt(max(x, 0.0))}  # fmt: skip
FIXED: Mapping[str, Range] = {"sin": (-1.0, 1.0), "cos": (-1.0, 1.0), "sign": (-1.0, 1.0), "cosh": (1.0, inf)}


def formula(tree: e.Expression, names: Mapping[str, Range]) -> Range:
    """The range of a formula, by the ranges of its names."""
    if name := name_of(tree):
        return names.get(name, ALL)
    match tree:
        case e.Number(value=number):
            return float(number), float(number)
        case e.Unary(operator="-", operand=of):
            low, high = formula(of, names)
            return -high, -low
        case e.Binary(operator="**", left=of, right=e.Number(value=power)) if power in (2, 4):
            low, high = _size(formula(of, names))
            return float(low**power), float(high**power)
        case e.Binary(operator=sign, left=a, right=b) if sign in BINARY:
            return BINARY[sign](formula(a, names), formula(b, names))
        case e.Compare():
            return 0.0, 1.0
        case e.Conditional(value=a, other=b):
            return union([formula(a, names), formula(b, names)])
        case e.Call():
            return _called(tree, names)
    return ALL


def _called(call: e.Call, names: Mapping[str, Range]) -> Range:
    given = [formula(part, names) for part in call.arguments]
    kind = call.function
    if kind in RISING:
        return RISING[kind](given[0][0]), RISING[kind](given[0][1])
    if kind in FIXED:
        return FIXED[kind]
    if kind in ("minimum", "maximum"):
        return BINARY[kind](given[0], given[1])
    if kind in ("mean", "max", "min"):
        return given[0]
    if kind == "where":
        return union(given[1:])
    if kind == "abs":
        return _size(given[0])
    if kind == "sum":
        return 0.0 if given[0][0] >= 0 else -inf, 0.0 if given[0][1] <= 0 else inf
    return ALL


def _size(numbers: Range) -> Range:
    """The range of how far from 0 numbers lie."""
    low, high = sorted(abs(x) for x in numbers)
    return 0.0 if numbers[0] <= 0 <= numbers[1] else low, high
