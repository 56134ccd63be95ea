"""What a value is before any number is known: element type and axes, some of them symbolic."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from enum import StrEnum
from math import gcd, prod
from typing import TypeAlias

import numpy as np

from nnspec.records import dataclass


class DType(StrEnum):
    """Element types; the names are NumPy's."""

    bool = "bool"
    int8 = "int8"
    uint8 = "uint8"
    int16 = "int16"
    uint16 = "uint16"
    int32 = "int32"
    uint32 = "uint32"
    int64 = "int64"
    uint64 = "uint64"
    bfloat16 = "bfloat16"  # of numbers that are rounded to it: NumPy holds them in float32
    float16 = "float16"
    float32 = "float32"
    float64 = "float64"

    def __repr__(self) -> str:
        return self.value

    @property
    def numpy(self) -> np.dtype[np.generic]:
        return NUMPY[self]

    @property
    def size(self) -> int:
        return 2 if self.half else self.numpy.itemsize

    @property
    def is_float(self) -> builtins.bool:
        return self in (DType.float32, DType.float64, DType.bfloat16, DType.float16)

    @property
    def half(self) -> builtins.bool:
        """Whether it is a float of 16 bits."""
        return self in (DType.bfloat16, DType.float16)

    @property
    def largest(self) -> float:
        """The largest number of a float type."""
        return LARGEST[self] if self.half else float(np.finfo(self.value).max)


NUMPY: dict[str, np.dtype[np.generic]] = {t: np.dtype("float32" if t.half else t.value) for t in DType}
LARGEST = {DType.bfloat16: (2 - 2**-7) * 2.0**127, DType.float16: 65504.0}

# A polynomial over atoms: {product of atoms, sorted: coefficient}. An atom is a name or a floor division.
Monomial: TypeAlias = "tuple[Atom, ...]"
Terms: TypeAlias = "tuple[tuple[Monomial, int], ...]"


@dataclass(frozen=True, slots=True, order=True)
class Atom:
    """A named axis, or ``over // divisor`` of one."""

    name: str
    over: Terms = ()
    divisor: int = 1


@dataclass(frozen=True, slots=True)
class Symbol:
    """An axis length that is not known yet: an integer polynomial in normal form, so equal lengths compare equal.

    >>> time = symbol("time")
    >>> str((time - 3) // 2 + 1)
    '(time + 1)//2 - 1'
    >>> (time + 4) // 2 == time // 2 + 2
    True
    """

    terms: Terms

    def __add__(self, other: Dim) -> Dim:
        total = dict(self.terms)
        for monomial, k in _terms(other):
            total[monomial] = total.get(monomial, 0) + k
        return _normal(total)

    def __mul__(self, other: Dim) -> Dim:
        total: dict[Monomial, int] = {}
        for m, a in self.terms:
            for n, b in _terms(other):
                key = tuple(sorted(m + n))
                total[key] = total.get(key, 0) + a * b
        return _normal(total)

    def __floordiv__(self, other: Dim) -> Dim:
        if isinstance(other, Symbol):
            if other == self:
                return 1
            raise ValueError(f"cannot divide {self} by the unknown length {other}")
        if other <= 0:
            raise ZeroDivisionError(f"cannot divide {self} by {other}")
        constant = dict(self.terms).get((), 0)
        whole = {m: k // other for m, k in self.terms if m and k % other == 0}
        rest = {m: k for m, k in self.terms if m and k % other}
        whole[()] = constant // other  # floor((other*a + c) / other) = a + floor(c / other) for an integer a
        if rest:
            shared = gcd(other, *rest.values())
            inner = {m: k // shared for m, k in rest.items()}
            inner[()] = constant % other // shared
            atom = Atom("", _terms(_normal(inner)), other // shared)
            whole[(atom,)] = whole.get((atom,), 0) + 1
        return _normal(whole)

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + (-other)

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __str__(self) -> str:
        return _text(self.terms)

    def __repr__(self) -> str:
        return str(self)


Dim: TypeAlias = int | Symbol
Shape: TypeAlias = tuple[Dim, ...]


def symbol(name: str) -> Symbol:
    """The axis called ``name``."""
    return Symbol((((Atom(name),), 1),))


BATCH = symbol("batch")


def bind(dim: Dim, sizes: Mapping[str, int]) -> Dim:
    """``dim`` with the named axes replaced by their sizes."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, k in dim.terms:
        product: Dim = k
        for atom in monomial:
            value: Dim
            if atom.name:
                value = sizes.get(atom.name, Symbol((((atom,), 1),)))
            else:
                value = bind(Symbol(atom.over), sizes) // atom.divisor
            product = product * value
        total = total + product
    return total


def known(shape: Shape) -> tuple[int, ...]:
    """``shape`` as plain integers; every axis must be bound."""
    if any(isinstance(d, Symbol) for d in shape):
        raise ValueError(f"shape {show(shape)} still has symbolic axes")
    return tuple(d for d in shape if isinstance(d, int))


def count(shape: Shape) -> int:
    """The number of elements; symbolic axes count as one."""
    return prod(d for d in shape if isinstance(d, int))


def size(shape: Shape) -> Dim:
    """The number of elements, symbolic where an axis is."""
    total: Dim = 1
    for d in shape:
        total = total * d
    return total


def show(shape: Shape) -> str:
    """``(batch, 28, 28, 64)``."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _terms(dim: Dim) -> Terms:
    return dim.terms if isinstance(dim, Symbol) else (((), dim),)


def _normal(terms: dict[Monomial, int]) -> Dim:
    kept = tuple(sorted((m, k) for m, k in terms.items() if k))
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    return Symbol(kept)


def _text(terms: Terms) -> str:
    parts: list[str] = []
    for monomial, k in sorted(terms, key=lambda t: (t[0] == (), t)):
        names = [a.name or f"{_wrapped(a.over)}//{a.divisor}" for a in monomial]
        if abs(k) != 1 or not names:
            names.insert(0, str(abs(k)))
        sign = "-" if k < 0 else "+"
        parts.append(f" {sign} {'*'.join(names)}" if parts else ("-" if k < 0 else "") + "*".join(names))
    return "".join(parts)


def _wrapped(terms: Terms) -> str:
    text = _text(terms)
    return f"({text})" if " " in text else text


@dataclass(frozen=True, slots=True)
class TensorType:
    """Axes and element type of a value, the batch included where there is one."""

    shape: Shape
    dtype: DType = DType.float32

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{' x '.join(map(str, self.shape))}]"
