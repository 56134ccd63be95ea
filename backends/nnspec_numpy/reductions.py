"""Sums and extremes along axes: neighbouring axes as one, and sums as products with ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnspec.codegen.emit import Line
from nnspec.ir.program import row_major
from nnspec.ir.types import known
from nnspec.ops import reduce
from nnspec_numpy.statement import Space, Statement, Types


def reduction(name: str) -> Statement:
    return Statement(lambda line: write_reduction(line, name))


def write_reduction(line: Line, name: str) -> Iterator[str]:
    assert isinstance(line.op, reduce.Reduction)
    (x,), (y,) = line.step.inputs, line.step.outputs
    if x.contiguous and y.contiguous:
        source, target, _, axes = _merged(line)
        yield f"{name}.reduce({source}, axis={axes[0] if len(axes) == 1 else axes}, out={target})"
    else:
        kept = ", keepdims=True" if line.op.keep else ""
        yield f"{name}.reduce({line.x[0]}, axis={line.op.axis}{kept}, out={line.y})"


def sum_space(op: reduce.Sum, x: Types, y: Types) -> Space:
    """Ones to multiply by where the sum is along one axis of a matrix."""
    shape, axes = merged(known(x[0].shape), op.axis)
    product = x[0].dtype.is_float and len(axes) == 1 and (len(shape) == 2 or len(shape) == 3 and axes == (1,))
    return (np.ones(shape[axes[0]], x[0].dtype.numpy),) if product else ()


def write_sum(line: Line) -> Iterator[str]:
    """A product with ones: the same sum, two to ten times as fast as ``add.reduce`` where rows are short."""
    (x,), (y,) = line.step.inputs, line.step.outputs
    if not (line.w and x.contiguous and y.contiguous):
        yield from write_reduction(line, "add")
        return
    source, target, shape, axes = _merged(line)
    last = axes == (len(shape) - 1,)
    left, right = (source, line.w[0]) if last else (line.w[0], source)
    yield f"matmul({left}, {right}, out={target})"


def _merged(line: Line) -> tuple[str, str, tuple[int, ...], tuple[int, ...]]:
    """Names of input and output with neighbouring axes joined, the joined shape, and its reduced axes."""
    assert isinstance(line.op, reduce.Reduction)
    x, y = line.step.inputs[0], line.step.outputs[0]
    shape, axes = merged(x.shape, line.op.axis)
    rest = tuple(n for i, n in enumerate(shape) if i not in axes)
    source = line.view(x, "flat" if len(shape) == 1 else "rows", shape, row_major(shape))
    target = line.view(y, "flat" if len(rest) == 1 else "rows", rest, row_major(rest))
    return source, target, shape, axes


def merged(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Neighbouring axes of one fate as one: (2, 3, 4) over (0, 1) is (6, 4) over (0,). Axes of length 1 go."""
    sizes: list[int] = []
    gone: list[bool] = []
    for i, n in enumerate(shape):
        if n == 1:
            continue
        if gone and gone[-1] == (i in axis):
            sizes[-1] *= n
        else:
            sizes.append(n)
            gone.append(i in axis)
    if True not in gone:  # every reduced axis has length 1
        return (1, *sizes), (0,)
    return tuple(sizes), tuple(i for i, g in enumerate(gone) if g)
