"""Each op of one element at a time as instructions: a table, and which calls it covers."""

from __future__ import annotations

from collections.abc import Callable

from nnspec.ir.graph import Call
from nnspec.ir.op import Op
from nnspec.ir.types import DType, count
from nnspec.ops import elementwise as e
from nnspec.ops.fused import ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Max, Min, Sum
from nnspec.ops.rounding import Rounded
from nnspec.ops.rows import StopGradient
from nnspec_numpy.llvm import angles, functions, powers, sixteen
from nnspec_numpy.llvm.code import IN_REGISTER, Code, Register, vector
from nnspec_numpy.llvm.erf import erf
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.middle import in_the_middle

Write = Callable[[Lanes, list[Register]], Register]
SIGNED = (DType.int8, DType.int16, DType.int32, DType.int64)
IDS = (DType.int32, DType.int64)


def arithmetic(floats: Callable[[Lanes, Register, Register], Register], whole: str) -> Write:
    """One instruction for floats and another for whole numbers."""
    def write(f: Lanes, x: list[Register]) -> Register:
        return floats(f, *x) if f.dtype.is_float else f.binary(whole, *x)

    return write


def comparison(floats: str, signed: str, unsigned: str) -> Write:
    def write(f: Lanes, x: list[Register]) -> Register:
        return f.compare(floats if f.dtype.is_float else signed if f.dtype in SIGNED else unsigned, *x)

    return write


def extreme(floats: str, signed: str, unsigned: str) -> Write:
    """The larger or smaller of two; NaN where either is, as NumPy."""
    def write(f: Lanes, x: list[Register]) -> Register:
        a, b = x
        if not f.dtype.is_float:
            return f.select(f.compare(signed if f.dtype in SIGNED else unsigned, a, b), a, b)
        if _is_constant(b):
            a, b = b, a
        chosen = f.select(f.compare(floats, a, b), a, b)  # b where either is NaN
        return chosen if _is_constant(a) else f.select(f.compare("uno", a, a), a, chosen)

    return write


def _is_constant(register: Register) -> bool:
    return not register.startswith("%")


def relu(f: Lanes, x: list[Register]) -> Register:
    return f.select(f.compare("ogt", f.of(0.0), x[0]), f.of(0.0), x[0])


def step(f: Lanes, x: list[Register]) -> Register:
    return f.select(f.compare("ogt", x[0], f.of(0.0)), f.of(1.0), f.of(0.0))


def absolute(f: Lanes, x: list[Register]) -> Register:
    if f.dtype.is_float:
        return functions.absolute(f, x[0])
    if f.dtype not in SIGNED:
        return x[0]
    return f.select(f.compare("slt", x[0], f.of(0)), f.binary("sub", f.of(0), x[0]), x[0])


def sign(f: Lanes, x: list[Register]) -> Register:
    """-1, 0 or 1; NaN of NaN."""
    above, below = (f.compare(how, x[0], f.of(0.0)) for how in ("ogt", "olt"))
    return f.select(above, f.of(1.0), f.select(below, f.of(-1.0), x[0]))


def negative(f: Lanes, x: list[Register]) -> Register:
    return f.neg(x[0]) if f.dtype.is_float else f.binary("sub", f.of(0), x[0])


def single(function: Callable[[Lanes, Register], Register]) -> Write:
    return lambda f, x: function(f, x[0])


ARITHMETIC: dict[type[Op], Write] = {
    e.Add: arithmetic(Lanes.add, "add"), e.Subtract: arithmetic(Lanes.sub, "sub"), e.Multiply: arithmetic(Lanes.mul, "mul"),
    e.Divide: lambda f, x: f.div(*x),
    e.Maximum: extreme("ogt", "sgt", "ugt"), e.Minimum: extreme("olt", "slt", "ult"),
    e.Negative: negative, e.Abs: absolute, e.Square: lambda f, x: ARITHMETIC[e.Multiply](f, [x[0], x[0]]),
    e.Less: comparison("olt", "slt", "ult"), e.LessEqual: comparison("ole", "sle", "ule"), e.Equal: comparison("oeq", "eq", "eq"),
    StopGradient: lambda f, x: x[0],
}
FLOATS: dict[type[Op], Write] = {  # exact, as IEEE 754 asks
    e.Sqrt: lambda f, x: f.intrinsic("sqrt", x[0]), e.Relu: relu, e.Step: step, e.Sign: sign,
    e.Floor: single(powers.floor), e.Round: single(powers.rint),
}
SINGLE: dict[type[Op], Write] = {  # within 4 units in the last place, in single precision alone
    e.Exp: single(functions.exp), e.Log: single(functions.log), e.Tanh: single(functions.tanh), e.Sigmoid: single(functions.sigmoid),
    e.Erf: single(erf), e.Expm1: single(functions.expm1), e.Log1p: single(functions.log1p),
    e.Cosh: single(functions.cosh), e.Sinh: single(functions.sinh),
    e.Sin: single(angles.sin), e.Cos: single(angles.cos), e.Arctan: single(angles.arctan),
    e.Raise: lambda f, x: powers.power(f, *x),
    e.Remainder: lambda f, x: powers.remainder(f, *x), e.FloorDivide: lambda f, x: powers.floor_divide(f, *x),
}
LOGIC = {e.And: "and", e.Or: "or"}
POWERS = (2.0, 0.5, 1.0, -1.0)  # in whatever precision
PRODUCTS = (3.0, 4.0, 5.0, 6.0, -2.0, -3.0)  # that err by at most 4 units in the last place


def takes(c: Call) -> bool:
    """Whether a nest may hold this call."""
    op, dtypes = c.op, [v.dtype for v in c.inputs]
    kind = type(op)
    if kind in ARITHMETIC:
        return DType.bool not in dtypes
    if kind in FLOATS:
        return all(d.is_float for d in dtypes)
    if kind in SINGLE or kind is Rounded:
        return set(dtypes) == {DType.float32}
    if kind in LOGIC or kind is e.Not:
        return set(dtypes) == {DType.bool}
    if kind is e.Cast:
        return not (dtypes[0].is_float and not c.outputs[0].dtype.is_float)  # out of range NumPy goes its own ways
    if isinstance(op, e.Power):
        return dtypes[0] == DType.float32 or dtypes[0].is_float and op.exponent in POWERS
    if isinstance(op, AllFinite):
        return all(d.is_float and d == dtypes[0] for d in dtypes)
    if isinstance(op, ArgMax):
        return dtypes == [DType.float32] and c.inputs[0].rank > 1 and op.axis == c.inputs[0].rank - 1 and _wide(c)
    if isinstance(op, OneHot):
        return op.dtype == DType.float32 and dtypes[0] in IDS and op.depth > 1
    if isinstance(op, Pick):
        return dtypes[0] == DType.float32 and dtypes[1] in IDS and c.inputs[0].rank > 1 and _wide(c)
    if isinstance(op, Sum | Max | Min):
        rank, known = c.inputs[0].rank, dtypes == [DType.float32]
        ends = op.axis == tuple(range(len(op.axis))) or op.axis == (rank - 1,)
        return known and (ends and _wide(c) or in_the_middle(c) is not None)
    return kind is e.Where


def _wide(c: Call) -> bool:
    return c.inputs[0].shape[-1] != 1


PLAIN = (e.Add, e.Subtract, e.Multiply, e.Divide, e.Maximum, e.Minimum, e.Negative, e.Square, e.Sqrt, e.Abs, e.Less, e.LessEqual, e.Equal,
         e.And, e.Or, e.Not, e.Cast, StopGradient, Sum, Max, Min, Pick)


def worth(calls: list[Call]) -> bool:
    """More than one call, or one for which NumPy has no single fast function. Sums of rows and columns are products with ones."""
    if len(calls) == 1 and isinstance(op := calls[0].op, Sum | Max | Min):
        return len(op.axis) == calls[0].inputs[0].rank or not ends(calls[0]) and (not isinstance(op, Sum) or in_the_middle(calls[0]) is not None)
    return not isinstance(calls[0].op, PLAIN) or len(calls) > 1 and not all(isinstance(c.op, Sum) for c in calls)


def write(code: Code, c: Call, x: list[Register], lanes: int) -> Register:
    """The instructions of one call; ``x`` are registers of its inputs' dtypes."""
    op = c.op
    f = Lanes(code, c.inputs[0].dtype, lanes)
    for table in (ARITHMETIC, FLOATS, SINGLE):
        if type(op) in table:
            return table[type(op)](f, x)
    match op:
        case e.And() | e.Or():
            return f.binary(LOGIC[type(op)], *x)
        case e.Not():
            return f.binary("xor", x[0], f.of(True))
        case e.Where():
            return Lanes(code, c.outputs[0].dtype, lanes).select(x[0], x[1], x[2])
        case Rounded(to=to):
            return sixteen.rounded(f, x[0], to)
        case e.Power(exponent=exponent):
            return _power(f, x[0], exponent)
        case e.Cast():
            return _cast(code, x[0], c.inputs[0].dtype, c.outputs[0].dtype, lanes)
    raise AssertionError(op)


def _power(f: Lanes, x: Register, exponent: float) -> Register:
    if exponent == 2.0:
        return f.mul(x, x)
    if exponent == 0.5:
        return f.intrinsic("sqrt", x)
    if exponent in PRODUCTS:
        return powers.whole_power(f, x, int(exponent))
    if exponent in powers.ROOTED:
        return powers.rooted(f, x, exponent)
    if exponent not in (1.0, -1.0):
        return powers.power(f, x, f.of(exponent))
    return x if exponent == 1.0 else f.div(f.of(1.0), x)


def _cast(code: Code, x: Register, old: DType, new: DType, lanes: int) -> Register:
    if old == new:
        return x
    source, target = (vector(IN_REGISTER[d], lanes) for d in (old, new))
    if new == DType.bool:
        return Lanes(code, old, lanes).compare("ne", x, Lanes(code, old, lanes).of(0))
    if old.is_float:
        word = "fpext" if new == DType.float64 else "fptrunc"
    elif new.is_float:
        word = "sitofp" if old in SIGNED else "uitofp"
    elif new.size == old.size and old != DType.bool:
        return x
    elif new.size < old.size:
        word = "trunc"
    else:
        word = "sext" if old in SIGNED else "zext"
    return code.let(f"{word} {source} {x} to {target}")


def combine(op: Op, f: Lanes, a: Register, b: Register) -> Register:
    """One step of a reduction."""
    if isinstance(op, ArgMax):
        return ARITHMETIC[e.Maximum](Lanes(f.code, DType.int64, f.lanes), [a, b])
    if isinstance(op, Max | Min):
        return ARITHMETIC[e.Maximum if isinstance(op, Max) else e.Minimum](f, [a, b])
    return f.add(a, b)


def neutral(op: Op) -> float:
    """What a reduction starts from."""
    return -float("inf") if isinstance(op, Max) else float("inf") if isinstance(op, Min) else 0.0


def small(c: Call) -> bool:
    """Whether a call gives one number."""
    return count(c.outputs[0].shape) == 1
