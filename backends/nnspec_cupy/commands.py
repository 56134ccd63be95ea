"""What a device is asked to do: kernels of CUDA C, products, convolutions. A step of a plan is one command or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from nnspec.ir.program import Array
from nnspec.ops.conv import Convolution

Three: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Kernel:
    """A function of CUDA C whose sizes are part of it; equal texts are one kernel.

    ``body`` is what stands between the braces, ``parameters`` what stands between the brackets, ``word`` a name for people.
    """

    word: str
    parameters: str
    body: str
    threads: int = 0  # the most in a block that it is launched with; 0 where the compiler is told nothing

    @cached_property
    def name(self) -> str:
        """A name that no other text has."""
        return f"{self.word}_{sha256(f'{self.parameters}{{{self.body}}}{self.threads}'.encode()).hexdigest()[:12]}"

    @cached_property
    def source(self) -> str:
        """The whole function; what it calls stands in ``cuda/prelude.py``."""
        bounds = f"__launch_bounds__({self.threads}) " if self.threads else ""
        return f'extern "C" __global__ void {bounds}{self.name}({self.parameters}) {{\n{self.body}}}\n'


@dataclass(frozen=True, eq=False)
class Launch:
    """A kernel over a grid of blocks. Its arguments are pointers to ``reads``, to ``writes``, then to ``guard``.

    ``meaning`` is what it computes, on NumPy arrays: from what it reads to what it writes. With a guard it does nothing where that is false.
    """

    kernel: Kernel
    grid: Three
    block: Three
    reads: tuple[Array, ...]
    writes: tuple[Array, ...]
    meaning: Callable[..., Any] = field(repr=False)
    guard: Array | None = None
    shared: int = 0  # bytes of dynamic shared memory

    def __str__(self) -> str:
        return f"{self.kernel.name}<<<{_size(self.grid)}, {_size(self.block)}>>>"


@dataclass(frozen=True, eq=False)
class Product:
    """``y = a @ b``, and a bias added to every row, or ``more`` to what ``y`` holds.

    With three axes a batch, each matrix a fixed step from the one before; of ``a`` and ``b`` one with two axes is that of all. ``algorithm`` counts
    those that a library's heuristic names for it, the best first; beyond the last it is the last.
    """

    a: Array
    b: Array
    y: Array
    bias: Array | None = None
    more: bool = False
    algorithm: int = 0

    def __str__(self) -> str:
        way = f" by {named(self.algorithm)}" if self.algorithm else ""
        return f"matmul {'x'.join(map(str, self.a.shape))} @ {'x'.join(map(str, self.b.shape))}{way}"


ALGORITHMS = 8  # of a product, at most
FIRST, NEXT = "heuristic", "candidate "  # names of the ways that a call's products can go


def named(algorithm: int) -> str:
    """``heuristic``, then ``candidate 2``…"""
    return f"{NEXT}{algorithm + 1}" if algorithm else FIRST


def numbered(way: str) -> int:
    """The algorithm of a name; the first of what is none."""
    found = way.removeprefix(NEXT)
    return int(found) - 1 if found.isdecimal() and 1 < int(found) <= ALGORITHMS else 0


@dataclass(frozen=True, eq=False)
class Convolve:
    """One of the three ops of a convolution by a library, its kernel as ``(filters, *taps, channels)``.

    It reads image and filters, gradient and filters, or image and gradient; ``shapes`` are those of image, filters and of what windows give.
    """

    op: Convolution
    reads: tuple[Array, Array]
    result: Array
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __str__(self) -> str:
        return f"{self.op.name} of cuDNN, {'x'.join(map(str, self.shapes[0]))} with {'x'.join(map(str, self.shapes[1]))}"


Command: TypeAlias = Launch | Product | Convolve


def _size(n: Three) -> str:
    return "x".join(str(d) for d in n if d > 1) or "1"
