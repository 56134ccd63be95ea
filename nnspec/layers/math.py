"""Formulas over tensors: the tree of a formula becomes ops."""

from collections.abc import Callable
from functools import reduce
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from nnspec.errors import Place, Source, SpecError
from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, show
from nnspec.layers.axes import places
from nnspec.layers.layer import Merge, Mode
from nnspec.layers.merge import align
from nnspec.layers.source import held
from nnspec.ops import elementwise as ops
from nnspec.ops.movement import broadcast_to
from nnspec.ops.reduce import max_, mean, min_, sum_
from nnspec.records import dataclass
from nnspec.spec import arithmetic
from nnspec.spec import expressions as e
from nnspec.spec.tensor_formulas import name_of, names_of, read

NOWHERE = Place(Source("", ""))


def _formula(text: str) -> str:
    try:
        read(text, NOWHERE)
    except SpecError as error:  # in a spec it was read before, where its place is known
        first = error.problems[0]
        raise PydanticCustomError("nnspec", "{message}", {"message": first.message, "found": first.found, "wanted": first.wanted,
                                                          "hint": first.hint}) from None
    return text


class Math(Merge, kind="math", primary="formula"):
    """A formula over tensors, element by element and along axes: ``math: "x * sigmoid($beta * x)"``.

    ``x`` is the entry's input. Other names are those of ``from``, and all that ``from`` could name: inputs of the block around it, layers
    above, ``top_k_1.indices``. ``from: {a: dense_1, b: split_1.0}`` gives names of its own. Shapes broadcast as NumPy's do, the batch
    apart. There are numbers, ``+ - * / // % **``, comparisons, ``and or not``, ``a if c else b``; ``exp log sqrt sin cos tanh cosh sigmoid erf
    abs sign minimum maximum where``; and ``sum mean max min``, along ``axis`` (a number or a list, the batch not counted) or along all
    axes but the batch, ``keep=true`` leaving length 1. ``$name`` is put in before. Truth values count as 1 and 0 in arithmetic.
    ``(…)`` and ``(…)`` broadcast as in ``add``; the output has the shape that the formula gives.
    """

    inputs = (1, 64)
    own_roles = True
    formula: Annotated[str, AfterValidator(_formula)]

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        tree = read(self.formula, NOWHERE)
        names = names_of(tree)
        if len(names) != len(x):
            raise ShapeError("the formula does not fit its inputs", f"{len(x)} for '{self.formula}'", f"{len(names)}: {', '.join(names)}")
        terms = {n: Term(v, batched) for n, v, batched in zip(names, x, mode.batched, strict=True)}
        y = Evaluator(terms, mode.dtype).term(tree)
        if any(mode.batched) and not y.batched:
            return broadcast_to(y.value, (mode.batch, *y.value.shape))
        return y.value


@dataclass(frozen=True)
class Term:
    """A value, and whether its first axis is the batch."""

    value: Value
    batched: bool


Operand: TypeAlias = "Term | float | int | bool | tuple[Any, ...]"

UNARY: dict[str, Callable[[Value], Value]] = {
    "exp": ops.exp, "log": ops.log, "sqrt": ops.sqrt, "sin": ops.sin, "cos": ops.cos, "tanh": ops.tanh, "sigmoid": ops.sigmoid, "erf": ops.erf,
    "cosh": lambda x: ops.Cosh().one(x),
}  # fmt: skip
EITHER: dict[str, Callable[[Value], Value]] = {"abs": ops.absolute, "sign": ops.sign}
ALONG: dict[str, Callable[..., Value]] = {"sum": sum_, "mean": mean, "max": max_, "min": min_}
BINARY: dict[str, ops.Elementwise] = {
    "+": ops.Add(), "-": ops.Subtract(), "*": ops.Multiply(), "/": ops.Divide(), "//": ops.FloorDivide(), "%": ops.Remainder(), "**": ops.Raise(),
    "minimum": ops.Minimum(), "maximum": ops.Maximum(),
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Value, Value], Value]] = {
    "==": ops.equal, "!=": lambda a, b: ops.Not().one(ops.equal(a, b)), "<": ops.less, "<=": ops.less_equal, ">": ops.greater,
    ">=": ops.greater_equal,
}  # fmt: skip


class Evaluator:
    """Works a tree out over terms. What holds numbers alone is worked out as numbers."""

    def __init__(self, terms: dict[str, Term], dtype: DType) -> None:
        self.terms, self.dtype = terms, dtype

    def term(self, tree: e.Expression) -> Term:
        """The result as a tensor."""
        found = self.value(tree)
        return found if isinstance(found, Term) else Term(held(found, self.dtype), False)

    def value(self, part: e.Expression) -> Operand:
        name = name_of(part)
        if name:
            return self.terms[name]
        match part:
            case e.Number(value=number):
                return number
            case e.Constant(value=bool() as truth):
                return truth
            case e.ListLiteral(items=items):
                return tuple(self.value(item) for item in items)
            case e.Unary(operator=sign, operand=of):
                return self.unary(sign, self.value(of))
            case e.Binary(operator=sign, left=a, right=b):
                return self.binary(sign, self.value(a), self.value(b))
            case e.Compare():
                return self.compare(part)
            case e.Conditional(value=a, condition=c, other=b):
                return self.where(self.value(c), self.value(a), self.value(b))
            case e.Call():
                return self.call(part)
        raise TypeError(type(part).__name__)

    def floats(self, x: Operand) -> Term:
        """As a tensor of floats."""
        if not isinstance(x, Term):
            return Term(held(x, self.dtype), False)
        return x if x.value.dtype.is_float else Term(ops.cast(x.value, self.dtype), x.batched)

    def numbers(self, x: Operand) -> Term:
        """As a tensor of numbers: truth values are 1 and 0."""
        return self.floats(x) if not isinstance(x, Term) or x.value.dtype == DType.bool else x

    def truth(self, x: Operand) -> Term:
        """As a tensor of truth values; of numbers all but 0 are true."""
        if not isinstance(x, Term):
            return Term(constant(bool(x), DType.bool), False)
        return x if x.value.dtype == DType.bool else Term(ops.Not().one(ops.equal(x.value, 0)), x.batched)

    def alike(self, *x: Operand) -> list[Term]:
        """Operands as tensors of one element type: floats where one is a float, else whole numbers."""
        terms = [self.numbers(v) if isinstance(v, Term) else v for v in x]
        kinds = {t.value.dtype for t in terms if isinstance(t, Term)}
        fraction = not kinds or any(k.is_float for k in kinds) or any(isinstance(t, float) for t in terms)
        kind = next((k for k in kinds if k.is_float), self.dtype) if fraction else next(iter(kinds)) if len(kinds) == 1 else DType.int64
        return [Term(ops.cast(t.value, kind), t.batched) if isinstance(t, Term) else Term(held(t, kind), False) for t in terms]

    def apply(self, op: Callable[..., Value], *x: Operand) -> Term:
        """An op over operands that broadcast."""
        values, batched = aligned(*self.alike(*x))
        try:
            return Term(op(*values), batched)
        except ShapeError as error:
            raise ShapeError(error.message, "  and  ".join(show(v.shape) for v in values), error.wanted, error.hint) from None

    def unary(self, sign: str, x: Operand) -> Operand:
        if not isinstance(x, Term):
            return _host(arithmetic.unary, sign, x)
        if sign == "not":
            return Term(ops.Not().one(self.truth(x).value), x.batched)
        found = self.numbers(x)
        return Term(-found.value, x.batched) if sign == "-" else found

    def binary(self, sign: str, a: Operand, b: Operand) -> Operand:
        if sign in ("and", "or"):
            return self.both(sign, self.truth(a), self.truth(b))
        if not isinstance(a, Term) and not isinstance(b, Term):
            return _host(arithmetic.binary, sign, a, b)
        a, b = (int(v) if isinstance(v, bool) else v for v in (a, b))
        if sign in ("/", "//", "%") and not isinstance(b, Term) and b == 0:
            raise ShapeError("a division by zero", f"{sign} 0", "another number")
        if sign == "**" and isinstance(a, Term) and isinstance(b, (int, float)):
            return self.power(a, b)
        if sign in ("/", "**"):
            a, b = (self.floats(v) if isinstance(v, Term) else v for v in (a, b))
        return self.apply(BINARY[sign], a, b)

    def both(self, sign: str, a: Term, b: Term) -> Term:
        values, batched = aligned(a, b)
        return Term((ops.And() if sign == "and" else ops.Or()).one(*values), batched)

    def power(self, x: Term, exponent: float) -> Term:
        """A fixed power; those of 0 and 1 are exact, gradients at 0 included."""
        found = self.numbers(x) if isinstance(exponent, int) and exponent >= 0 else self.floats(x)
        if exponent == 0:
            return Term(broadcast_to(held(1, found.value.dtype), found.value.shape), found.batched)
        held(exponent, found.value.dtype)
        return found if exponent == 1 else Term(ops.power(found.value, float(exponent)), found.batched)

    def compare(self, part: e.Compare) -> Operand:
        left, result = self.value(part.first), None
        for sign, right_part in zip(part.operators, part.rest, strict=True):
            right = self.value(right_part)
            one: Operand
            if isinstance(left, Term) or isinstance(right, Term):
                one = self.apply(COMPARISONS[sign], left, right)
            else:
                one = _host(arithmetic.compare, sign, left, right)
            result = one if result is None else self.binary("and", result, one)
            left = right
        assert result is not None
        return result

    def where(self, condition: Operand, a: Operand, b: Operand) -> Operand:
        if not isinstance(condition, Term):
            return a if condition else b
        values, batched = aligned(self.truth(condition), *self.alike(a, b))
        try:
            return Term(ops.where(*values), batched)
        except ShapeError as error:
            raise ShapeError(error.message, "  and  ".join(show(v.shape) for v in values), error.wanted, error.hint) from None

    def call(self, part: e.Call) -> Operand:
        name, x = part.function, [self.value(a) for a in part.arguments]
        if name == "where":
            return self.where(x[0], x[1], x[2])
        if name in ("minimum", "maximum"):
            return reduce(lambda a, b: self.apply(BINARY[name], a, b), x)
        if name in UNARY:
            found = self.floats(x[0])
            return Term(UNARY[name](found.value), found.batched)
        found = self.numbers(x[0])
        if name in EITHER:
            return Term(EITHER[name](found.value), found.batched)
        return self.along(name, found, {key: self.value(value) for key, value in part.keywords})

    def along(self, name: str, x: Term, keys: dict[str, Operand]) -> Term:
        """A reduction over ``axis``, or over all axes but the batch."""
        if name == "mean":
            x = self.floats(x)
        rows = int(x.batched)
        rank = x.value.rank - rows
        axis, keep = keys.get("axis"), keys.get("keep", False)
        chosen = range(rank) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
        if not all(isinstance(a, int) and not isinstance(a, bool) for a in chosen) or not isinstance(keep, bool):
            raise ShapeError(f"'{name}' cannot tell its axes", "another value", "axis=0, axis=[0, 1], keep=true")
        found = places((a for a in chosen if isinstance(a, int)), rank, f"'{name}'", x.value)
        return Term(ALONG[name](x.value, tuple(a + rows for a in found), keep), x.batched)


def aligned(*terms: Term) -> tuple[tuple[Value, ...], bool]:
    """Their axes aligned, the batch apart, and whether the result has rows."""
    batched = tuple(t.batched for t in terms)
    return align(tuple(t.value for t in terms), Mode(batched=batched)), any(batched)


def _host(work: Callable[..., Any], *values: Any) -> Operand:
    try:
        return work(*values)  # type: ignore[no-any-return]  # of numbers, numbers
    except arithmetic.Wrong as error:
        raise ShapeError(str(error), " ".join(map(str, values))[:60], "", error.hint) from None
