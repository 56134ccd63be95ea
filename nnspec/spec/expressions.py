"""The parts of a formula, as a tree of frozen dataclasses."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.records import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Expression:
    """A part of a formula; ``at`` is where it stands in the text, from 0."""

    at: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Number(Expression):
    value: int | float


@dataclass(frozen=True, slots=True)
class String(Expression):
    value: str


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """``true``, ``false`` or ``null``."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Name(Expression):
    name: str


@dataclass(frozen=True, slots=True)
class ListLiteral(Expression):
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Attribute(Expression):
    """``of.name``."""

    of: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Index(Expression):
    """``of[index]``."""

    of: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """``function(a, b, key=c)``."""

    function: str
    arguments: tuple[Expression, ...]
    keywords: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """``-x``, ``+x`` or ``not x``."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """Arithmetic, ``and`` and ``or``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Compare(Expression):
    """``first < second <= third``: as many operators as there are values after the first."""

    first: Expression
    operators: tuple[str, ...]
    rest: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Expression):
    """``value if condition else other``."""

    value: Expression
    condition: Expression
    other: Expression


def children(e: Expression) -> Iterator[Expression]:
    """The parts directly inside a part."""
    for f in fields(e):
        value = getattr(e, f.name)
        for item in value if isinstance(value, tuple) else (value,):
            part = item[1] if isinstance(item, tuple) else item
            if isinstance(part, Expression):
                yield part
