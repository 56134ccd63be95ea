"""Where an element lies: sums of an index's digits times strides, all of them constants of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec_cupy.cuda.elements import C


def digits(index: str, shape: Sequence[int], name: str = "i") -> tuple[list[str], list[str]]:
    """Lines that take a flat index apart along ``shape``, and the names of its digits, outermost first.

    Axes of length 1 have the digit 0.
    """
    lines, names = [], ["0"] * len(shape)
    wide = [k for k, n in enumerate(shape) if n > 1]
    for k in wide:
        inner = prod(shape[k + 1 :])
        text = f"{index} / {inner}" if inner > 1 else index
        names[k] = f"{name}{k}"
        lines.append(f"const count {names[k]} = {text if k == wide[0] else f'({text}) % {shape[k]}'};")
    return lines, names


def place(a: Array, index: Sequence[str]) -> str:
    """The offset, in elements, of an array's element; the last axes of ``index`` are the array's, an axis of length 1 has one place."""
    own = index[len(index) - len(a.shape) :]
    terms = [f"{i} * {s}" if s != 1 else i for i, s, n in zip(own, a.strides, a.shape, strict=True) if n > 1 and s and i != "0"]
    return " + ".join(terms) or "0"


def parameter(a: Array, name: str, written: bool = False) -> str:
    """A kernel's parameter: a pointer to an array's first element."""
    return f"{'' if written else 'const '}{C[a.type.dtype]}* {name}"
