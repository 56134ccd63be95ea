"""Products of several inputs summed over shared axes, by Einstein's convention."""

import re
from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, DType, show, size
from nnspec.layers.layer import Merge, Mode
from nnspec.ops.elementwise import where
from nnspec.ops.matmul import matmul
from nnspec.ops.movement import reshape, transpose
from nnspec.ops.reduce import sum_

ROW = "0"  # the letter of the batch, which is never written
GRAMMAR = re.compile(r"[A-Za-z]*(,[A-Za-z]*){0,7}->[A-Za-z]*")


def _equation(text: str) -> str:
    """An equation without its spaces; its letters checked."""
    plain = text.replace(" ", "")
    inputs, _, output = plain.partition("->")
    fault = ""
    if not GRAMMAR.fullmatch(plain) or len(plain) > 200:
        fault = "letters for axes, ',' between at most 8 inputs, and '->' before the output: 'ij,jk->ik'"
    elif len(set(output)) < len(output):
        fault = "an output that names each axis once"
    elif unknown := sorted(set(output) - set(inputs)):
        fault = f"'{unknown[0]}' in one of the inputs, for it stands in the output"
    if fault:
        hint = "the batch is implied: leave it out" if "..." in plain else ""
        raise PydanticCustomError("nnspec", "{message}", {"message": "'equation' of einsum does not fit", "found": text[:60], "wanted": fault,
                                                          "hint": hint})
    return plain


class Einsum(Merge, kind="einsum", primary="equation"):
    """Products summed over the letters that the output leaves out: ``ij,jk->ik`` is a product of matrices.

    The batch is implied, and never written: a row of the output comes from that row of every input, and what has no rows, a
    parameter, stands in each. A letter twice in one input takes its diagonal. Lengths of one letter must be equal.
    ``ij,jk->ik`` of ``(3, 4)`` and ``(4, 5)`` gives ``(3, 5)``; every letter of the output stands in an input.
    """

    inputs = (1, 8)
    equation: Annotated[str, AfterValidator(_equation)]

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        left, _, output = self.equation.partition("->")
        terms = left.split(",")
        if len(terms) != len(x):
            raise ShapeError("the equation does not fit the inputs", f"{len(x)} for '{self.equation}'", f"{len(terms)} input{'s' * (len(terms) > 1)}")
        lengths: dict[str, Dim] = {}
        parts: list[tuple[str, Value]] = []
        for term, v, batched in zip(terms, x, mode.batched, strict=True):
            letters = ROW + term if batched else term
            if len(letters) != v.rank:
                wanted = f"{v.rank - batched} letters, the batch not counted"
                raise ShapeError("the equation does not fit an input", f"'{term}' for {show(v.shape)}", wanted)
            for letter, d in zip(letters, v.shape, strict=True):
                if lengths.setdefault(letter, d) != d:
                    found = f"{lengths[letter]} and {d} in '{self.equation}'"
                    raise ShapeError(f"axis '{letter}' of the equation has two lengths", found, "one length")
            parts.append(_diagonal(letters, v))
        result = ROW + output
        done, y = parts[0]
        for i, (letters, v) in enumerate(parts[1:], 1):
            needed = {*result, *(c for later, _ in parts[i + 1 :] for c in later)}
            done, y = _product(done, y, letters, v, needed)
        done, y = _summed(done, y, set(result))
        return transpose(y, tuple(done.index(c) for c in result))


def _diagonal(letters: str, x: Value) -> tuple[str, Value]:
    """Each letter once: of two axes of one letter the elements at equal places."""
    while len(set(letters)) < len(letters):
        letter = next(c for c in letters if letters.count(c) > 1)
        first = letters.index(letter)
        second = letters.index(letter, first + 1)
        n = x.shape[first]
        if isinstance(n, int):
            eye = np.eye(n, dtype=bool).reshape([n if i in (first, second) else 1 for i in range(x.rank)])
            x = where(constant(eye, DType.bool), x, 0.0 if x.dtype.is_float else 0)
        x = sum_(x, second)
        letters = letters[:second] + letters[second + 1 :]
    return letters, x


def _summed(letters: str, x: Value, kept: Iterable[str]) -> tuple[str, Value]:
    """Without the axes that nobody needs."""
    gone = tuple(i for i, c in enumerate(letters) if c not in set(kept))
    return "".join(c for c in letters if c in set(kept)), sum_(x, gone)


def _product(a: str, x: Value, b: str, y: Value, needed: set[str]) -> tuple[str, Value]:
    """Two factors as one: a product of matrices over what both have, the rest of each beside it."""
    a, x = _summed(a, x, needed | set(b))
    b, y = _summed(b, y, needed | set(a))
    both = [c for c in a if c in b and c in needed]
    over = [c for c in a if c in b and c not in needed]
    own, other = [c for c in a if c not in b], [c for c in b if c not in a]
    lengths = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}

    def shape(letters: list[str]) -> tuple[Dim, ...]:
        return tuple(lengths[c] for c in letters)

    left = reshape(transpose(x, tuple(a.index(c) for c in both + own + over)), (*shape(both), size(shape(own)), size(shape(over))))
    right = reshape(transpose(y, tuple(b.index(c) for c in both + over + other)), (*shape(both), size(shape(over)), size(shape(other))))
    return "".join(both + own + other), reshape(matmul(left, right), shape(both + own + other))
