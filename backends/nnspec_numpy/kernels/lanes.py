"""Kernels over many rows in lanes that threads share: each lane has some of the rows, and a workspace of its own.

How many lanes there are is decided by shapes alone, and so are the sums, where lanes add up: any number of threads gives the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.conv import ConvKernelGrad, Convolution
from nnspec_numpy.products import parts_of

from .kernel import Arrays, Form, Kernel, Run, Types, cut, elements, flat, sequence, together

MOVED = 32  # multiply-adds in the time that it takes to move an element
MOST = 2  # lanes: each has the kernel's own workspace, and the transformed weights in it
KEPT = 64  # places of an image in a lane, at least
LEAST = 1024  # the same where each lane transforms or cuts a kernel for itself
LINED = 256  # and where it only turns or cuts a kernel of one place
Bounds = list[slice]


def lanes(op: Any, inputs: Types, outputs: Types) -> Bounds:
    """The rows of each lane."""
    work = max(op.flops(*inputs) // 2, MOVED * sum(elements(t.shape) for t in (*inputs, *outputs)))
    n, *places = known(inputs[0].shape)
    size = prod(op.size) if isinstance(op, ConvKernelGrad) else prod(known(inputs[1].shape)[:-2]) if isinstance(op, Convolution) else 0
    count = min(parts_of(work), MOST, n, max(1, elements(tuple(places[:-1])) * n // _least(op, n, size)))
    ends = [n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def _least(op: Any, n: int, size: int) -> int:
    """Places of a lane, at least: few where nothing is made of a kernel in each, or what is made is kept and lanes are alike."""
    if getattr(op, "kept", False) and n % MOST == 0 or not isinstance(op, Convolution) or op.groups > 1:
        return KEPT
    return LINED if size == 1 else LEAST


def some_of(t: TensorType, rows: slice) -> TensorType:
    """The type of some rows."""
    return TensorType((rows.stop - rows.start, *t.shape[1:]), t.dtype)


def by_rows(kernel: Kernel, *shared: int) -> Kernel:
    """The kernel in lanes; all inputs and outputs have rows but the inputs at the positions ``shared``."""

    def part(types: Types, rows: slice, whole: tuple[int, ...] = ()) -> list[TensorType]:
        return [t if i in whole else some_of(t, rows) for i, t in enumerate(types)]

    def workspace(op: Any, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
        return tuple(t for rows in lanes(op, inputs, outputs) for t in kernel.workspace(op, part(inputs, rows, shared), part(outputs, rows)))

    def bind(op: Any, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
        given, made = types_of(inputs), types_of(outputs)
        bounds = lanes(op, given, made)
        spaces = shared_out(space, [len(kernel.workspace(op, part(given, rows, shared), part(made, rows))) for rows in bounds])
        every = forms(op, given, made)
        kept = dict(zip(every, space[len(space) - len(every) :], strict=True))
        own = [[*scratch, *(kept[f] for f in kernel.forms(op, part(given, rows, shared), part(made, rows)))]
               for rows, scratch in zip(bounds, spaces, strict=True)]
        return together([kernel.bind(op, [x if i in shared else x[rows] for i, x in enumerate(inputs)], [y[rows] for y in outputs], mine)
                         for rows, mine in zip(bounds, own, strict=True)])

    def forms(op: Any, inputs: Types, outputs: Types) -> tuple[Form, ...]:
        found = (f for rows in lanes(op, inputs, outputs) for f in kernel.forms(op, part(inputs, rows, shared), part(outputs, rows)))
        return tuple(dict.fromkeys(found))

    def choice(op: Any, inputs: Types, outputs: Types) -> str:
        first = lanes(op, inputs, outputs)[0]
        return kernel.choice(op, part(inputs, first, shared), part(outputs, first))

    def ways(op: Any, inputs: Types, outputs: Types) -> tuple[str, ...]:
        first = lanes(op, inputs, outputs)[0]
        return kernel.ways(op, part(inputs, first, shared), part(outputs, first))

    return replace(kernel, bind=bind, workspace=workspace, choice=choice, forms=forms, ways=ways)


def summed(kernel: Kernel) -> Kernel:
    """The kernel in lanes whose one output is a sum over the rows of all inputs: that of each lane, added up in order."""

    def part(types: Types, rows: slice) -> list[TensorType]:
        return [TensorType((rows.stop - rows.start, *t.shape[1:]), t.dtype) for t in types]

    def workspace(op: Any, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
        (y,), bounds = outputs, lanes(op, inputs, outputs)
        own = [t for rows in bounds for t in kernel.workspace(op, part(inputs, rows), outputs)]
        return *(flat(elements(y.shape), y.dtype) for _ in bounds[1:]), *own

    def bind(op: Any, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
        (y,), given, made = outputs, types_of(inputs), types_of(outputs)
        bounds = lanes(op, given, made)
        others = [cut(s, y.shape) for s in space[: len(bounds) - 1]]
        spaces = shared_out(space[len(others) :], [len(kernel.workspace(op, part(given, rows), made)) for rows in bounds])
        run = together([kernel.bind(op, [x[rows] for x in inputs], [out], own)
                        for rows, out, own in zip(bounds, [y, *others], spaces, strict=True)])
        return sequence([run, *(partial(np.add, y, other, out=y) for other in others)])

    def choice(op: Any, inputs: Types, outputs: Types) -> str:
        return kernel.choice(op, part(inputs, lanes(op, inputs, outputs)[0]), outputs)

    def ways(op: Any, inputs: Types, outputs: Types) -> tuple[str, ...]:
        return kernel.ways(op, part(inputs, lanes(op, inputs, outputs)[0]), outputs)

    return replace(kernel, bind=bind, workspace=workspace, choice=choice, ways=ways)


def types_of(arrays: Arrays) -> list[TensorType]:
    return [TensorType(tuple(a.shape), DType(a.dtype.name)) for a in arrays]


def shared_out(space: Arrays, counts: list[int]) -> list[Arrays]:
    """What each lane has of the workspace."""
    ends = [0, *accumulate(counts)]
    return [space[a:b] for a, b in zip(ends, ends[1:], strict=False)]
