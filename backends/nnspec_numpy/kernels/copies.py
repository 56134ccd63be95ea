"""Which compiled kernel copies one strided array to another: in runs, turned in squares, laid into one another, or none, and NumPy does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.program import Array as Placed
from nnspec.ir.program import Copy
from nnspec.ops.movement import Pad
from nnspec_numpy.llvm.cpu import Cpu, chosen
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.moves import AXES, SHORT, ZIPPED, family, squares

from .kernel import Arrays, Kernel, Run, Step, sequence, together

PARTS = ((1 << 26, 4), (1 << 19, 2))  # so many bytes read and written, so many parts
WORDS = {"runs": "runs", "turned": "squares turned", "zip": "lines laid into one another", "unzip": "lines taken out of one another"}


class Axis(NamedTuple):
    """An axis of both arrays, and the bytes from one place to the next."""

    size: int
    y: int
    x: int


class Way(NamedTuple):
    """A kernel's name, the axes around what it moves at once, the rest of its table, and what it is in a word."""

    name: str
    around: tuple[Axis, ...]
    table: tuple[int, ...]
    word: str


def way(shape: Sequence[int], y: Sequence[int], x: Sequence[int], item: int) -> Way | None:
    """The kernel for arrays of one shape, whose steps are given in bytes, that share no memory."""
    cpu = chosen()
    if cpu is None or not all(shape):
        return None
    axes = _joined([Axis(*a) for a in zip(shape, y, x, strict=True) if a[0] > 1])
    run = item
    if axes and axes[-1].y == axes[-1].x == item:
        run *= axes.pop().size
    if not axes:
        return None  # one run, or one number
    found = _across(axes, run, cpu) if run in (4, 8) else None
    if found is None and run % 4 == 0 and run > 4:
        vectors = -(-run // cpu.width)
        found = Way(f"short{vectors}" if vectors <= SHORT else "runs", tuple(axes), (run // 4,), WORDS["runs"])
    return found if found is not None and len(found.around) <= AXES else None


def copy(y: Array, x: Array) -> Step | None:
    """A call of the kernel, in parts where there is much to move; None where there is none."""
    found = way(y.shape, y.strides, x.strides, y.itemsize) if y.dtype == x.dtype else None
    kernels = library(family) if found is not None else None
    if found is None or kernels is None:
        return None
    around = [*(Axis(1, 0, 0) for _ in range(AXES - len(found.around))), *found.around]
    longest = max(range(AXES), key=lambda i: (around[i].size, -i))
    wanted = next((parts for least, parts in PARTS if y.nbytes * 2 >= least), 1)
    ends = sorted({around[longest].size * i // wanted for i in range(wanted + 1)})
    calls = []
    for start, stop in zip(ends, ends[1:], strict=False):
        own = [a._replace(size=stop - start) if i == longest else a for i, a in enumerate(around)]
        places = x.ctypes.data + start * around[longest].x, y.ctypes.data + start * around[longest].y
        run = kernels.bind(found.name, *places, *(a.size for a in own), *(a.x for a in own), *(a.y for a in own), *found.table)
        run.keep += (x, y)
        calls.append(run)
    return together(calls)


def _joined(axes: list[Axis]) -> list[Axis]:
    """In the order of the target's memory, neighbours that both arrays walk evenly as one."""
    out: list[Axis] = []
    for a in sorted(axes, key=lambda a: -abs(a.y)):
        if out and out[-1].y == a.size * a.y and out[-1].x == a.size * a.x:
            out[-1] = Axis(out[-1].size * a.size, a.y, a.x)
        else:
            out.append(a)
    return out


def _across(axes: list[Axis], item: int, cpu: Cpu) -> Way | None:
    """Elements that lie side by side along one axis here, along another there."""
    i, j = ([k for k, a in enumerate(axes) if a[side] == item] for side in (1, 2))
    if len(i) != 1 or len(j) != 1 or i == j:
        return None
    rows, columns = axes[i[0]], axes[j[0]]
    for name, line, there, here in (("zip", columns, 1, 2), ("unzip", rows, 2, 1)):
        inner = sorted((a for a in axes if abs(a[there]) < line[there]), key=lambda a: -a[there])
        count = prod(a.size for a in inner)
        if item == 4 and count in ZIPPED and line[there] == 4 * count and line.size >= cpu.width // 4 and _even(inner, there):
            begins = [sum(n * a[here] for n, a in zip(places, inner, strict=True)) for places in product(*(range(a.size) for a in inner))]
            return Way(f"{name}{count}", tuple(a for a in axes if a not in inner and a != line), (line.size, *begins), WORDS[name])
    side = next((n for n in squares(cpu, item) if n <= min(rows.size, columns.size)), 0)
    if side < 2:
        return None
    around = tuple(a for a in axes if a not in (rows, columns))
    return Way(f"turned{item}x{side}", around, (rows.size, columns.size, rows.x, columns.y), WORDS["turned"])


def _even(inner: Sequence[Axis], there: int) -> bool:
    """Whether axes, the outermost first, lie without gaps."""
    step = 4
    for a in reversed(inner):
        if a[there] != step:
            return False
        step *= a.size
    return True


def bind_copy(op: Copy, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    return sequence([step(outputs[0], inputs[0])])


def step(y: Array, x: Array) -> Step:
    """``y[...] = x``."""
    return copy(y, x) or partial(np.copyto, y, x)


def bind_pad(op: Pad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """The border, axis by axis within what those before it leave, and what it is around."""
    x, y = inputs[0], outputs[0]
    inside: tuple[Any, ...] = op.inside(y.shape)
    steps = [step(y[(*inside, ...)], x)]
    if any(op.inner) or any(n < 0 for n in (*op.low, *op.high)):
        return sequence([partial(y.fill, op.value), *steps])
    for axis, where in enumerate(inside):
        for border in (slice(0, where.start), slice(where.stop, None)):
            if (part := y[(*inside[:axis], border, ...)]).size:
                steps.append(partial(np.copyto, part, y.dtype.type(op.value)))
    return sequence(steps)


def described(y: Placed, x: Placed) -> str:
    """The way between two arrays of a program; nothing where it is NumPy's."""
    item = y.type.dtype.size
    found = way(y.shape, [n * item for n in y.strides], [n * item for n in x.strides], item)
    return found.word if found is not None else ""


COPIES: dict[type[Any], Kernel] = {Copy: Kernel(bind_copy, contiguous=()), Pad: Kernel(bind_pad, contiguous=())}
