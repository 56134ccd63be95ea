"""Powers, quotients rounded down and what they leave, of single precision: in double precision, so that what can be exact is.

A power of whole numbers that single precision can hold comes out as such, and signs, zeros, infinities and NaN go where C99's ``pow`` sends
them. A remainder is exact, as C's ``fmod`` is, whatever the quotient; what it is then made of is NumPy's, step by step.
"""

from __future__ import annotations

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Register, everywhere, mangled
from nnspec_numpy.llvm.functions import absolute, with_sign
from nnspec_numpy.llvm.lanes import Lanes

ROUND = 1.5 * 2.0**52  # what is added to it is rounded to a whole number, which then stands in the lowest bits
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
MOST = 160.0  # beyond 2^MOST and 2^-MOST there is no number of single precision
EVEN = 2.0**24  # from here on every number of single precision is even
# log2(m) / s in s^2 with s = (m - 1) / (m + 1), for m from sqrt(1/2) to sqrt(2): 3e-14
LOG2 = (0.2828977098294453, 0.3199058622312564, 0.41220924858186575, 0.5770779423979443, 0.9617966941132625, 2.8853900817778504)
# 2^r for |r| up to 1/2: 8e-13
EXP2 = (1.3175862587054554e-06, 1.5309737702143104e-05, 0.000154038517253487, 0.0013333452061230974, 0.009618128542901422, 0.055504109393427196,
        0.24022650698880177, 0.6931471805465141, 0.9999999999997629)
DIGITS = 28  # of a quotient that are found at a time: with those of a divisor no more than double precision has


def wider(f: Lanes, x: Register) -> tuple[Lanes, Register]:
    d = Lanes(f.code, DType.float64, f.lanes)
    return d, f.code.let(f"fpext {f.type} {x} to {d.type}")


def narrower(f: Lanes, d: Lanes, x: Register) -> Register:
    return f.code.let(f"fptrunc {d.type} {x} to {f.type}")


def power(f: Lanes, x: Register, y: Register) -> Register:
    """``2^(y log2 |x|)``, of x's sign where y is odd."""
    size = absolute(f, x)
    d, a = wider(f, size)
    _, b = wider(f, y)
    t = d.binary("fmul", b, _log2(d, a))
    t = d.select(d.compare("ogt", t, d.of(MOST)), d.of(MOST), t)
    t = d.select(d.compare("olt", t, d.of(-MOST)), d.of(-MOST), t)
    result = narrower(f, d, _exp2(d, t))
    one = f.compare("oeq", size, f.of(1.0))
    result = f.select(one, f.of(1.0), result)
    shifted = d.binary("fadd", b, d.of(ROUND))
    even = f.compare("oge", absolute(f, y), f.of(EVEN))
    whole = _or(f, even, d.compare("oeq", d.exact_sub(shifted, d.of(ROUND)), b))
    low = f.code.let(f"trunc {d.whole} {d.bits(shifted)} to {f.whole}")
    odd = _and(f, _and(f, whole, f.code.let(f"trunc {f.whole} {low} to {f.mask}")), _not(f, even))
    result = f.select(odd, with_sign(f, result, x), result)
    rooted = _and(f, f.compare("olt", x, f.of(0.0)), _and(f, _not(f, whole), f.compare("one", x, f.of(-float("inf")))))
    result = f.select(_and(f, rooted, f.compare("ord", y, y)), f.of(float("nan")), result)
    result = f.select(f.compare("uno", y, y), y, result)
    return f.select(_or(f, f.compare("oeq", y, f.of(0.0)), f.compare("oeq", x, f.of(1.0))), f.of(1.0), result)


def _log2(d: Lanes, a: Register) -> Register:
    """``e + log2(m)`` with ``a = 2^e m`` and m from sqrt(1/2) to sqrt(2)."""
    bits = d.bits(a)
    offset = _wide(d, "sub", bits, SQRT_HALF_BITS)
    e = d.from_integer(_wide(d, "ashr", offset, 52))
    m = d.from_bits(d.integer("sub", bits, _wide(d, "and", offset, -(1 << 52))))
    s = d.div(d.exact_sub(m, d.of(1.0)), d.add(m, d.of(1.0)))
    y = d.fma(d.polynomial(LOG2, d.mul(s, s)), s, e)
    y = d.select(d.compare("oeq", a, d.of(0.0)), d.of(-float("inf")), y)
    return d.select(d.compare("olt", a, d.of(float("inf"))), y, a)


def _exp2(d: Lanes, t: Register) -> Register:
    shifted = d.binary("fadd", t, d.of(ROUND))
    r = d.exact_sub(t, d.exact_sub(shifted, d.of(ROUND)))
    scale = d.from_bits(_wide(d, "shl", _wide(d, "add", d.bits(shifted), 1023), 52))  # the bits of ROUND are shifted out
    return d.mul(d.polynomial(EXP2, r), scale)


def _wide(d: Lanes, instruction: str, a: Register, b: int) -> Register:
    return d.integer(instruction, a, everywhere(str(b), "i64", d.lanes))


def whole_power(f: Lanes, x: Register, exponent: int) -> Register:
    """By products; below zero those of ``1 / x``."""
    if exponent < 0:
        x, exponent = f.div(f.of(1.0), x), -exponent
    y = ""
    while True:
        if exponent & 1:
            y = f.mul(y, x) if y else x
        exponent >>= 1
        if not exponent:
            return y
        x = f.mul(x, x)


ROOTED = (0.25, 0.75, 1.5, -0.25, -0.5, -0.75)


def rooted(f: Lanes, x: Register, exponent: float) -> Register:
    """By square roots: of the root, the root and what they are multiplied with."""
    x = f.select(f.compare("oeq", x, f.of(-float("inf"))), f.of(float("inf")), f.binary("fadd", x, f.of(0.0)))  # -0 becomes 0
    root = f.intrinsic("sqrt", x)
    size = abs(exponent)
    y = root if size == 0.5 else f.mul(x, root) if size == 1.5 else f.intrinsic("sqrt", root)
    if size == 0.75:
        y = f.mul(root, y)
    return f.div(f.of(1.0), y) if exponent < 0 else y


def floor(f: Lanes, x: Register) -> Register:
    return f.intrinsic("floor", x) if f.lanes > 4 else _rounded(f, x, down=True)


def rint(f: Lanes, x: Register) -> Register:
    """Of two equally near the even one."""
    return f.intrinsic("roundeven", x) if f.lanes > 4 else _rounded(f, x, down=False)


def _rounded(f: Lanes, x: Register, down: bool) -> Register:
    """By what is added and taken away: processors of old have no instruction, and would call a library."""
    size = absolute(f, x)
    unit = f.of(2.0**23 if f.dtype == DType.float32 else 2.0**52)
    shift = with_sign(f, unit, x)
    y = f.exact_sub(f.binary("fadd", x, shift), shift)
    if down:
        y = f.select(f.compare("ogt", y, x), f.exact_sub(y, f.of(1.0)), y)
    return f.select(f.compare("olt", size, unit), with_sign(f, y, x), x)


def remainder(f: Lanes, a: Register, b: Register) -> Register:
    """What is left of a, of b's sign."""
    return _adjusted(f, left(f, a, b), b)[0]


def floor_divide(f: Lanes, a: Register, b: Register) -> Register:
    """``a - remainder`` by b, rounded down; by a constant 1 simply that, and NaN of what is infinite."""
    if b == f.of(1.0):
        return f.binary("fadd", floor(f, a), f.mul(a, f.of(0.0)))
    rest = left(f, a, b)
    _, moved = _adjusted(f, rest, b)
    quotient = f.div(f.exact_sub(a, rest), b)
    quotient = f.select(moved, f.exact_sub(quotient, f.of(1.0)), quotient)
    down = floor(f, quotient)
    down = f.select(f.compare("ogt", f.exact_sub(quotient, down), f.of(0.5)), f.binary("fadd", down, f.of(1.0)), down)
    plain = f.div(a, b)
    down = f.select(f.compare("oeq", quotient, f.of(0.0)), with_sign(f, f.of(0.0), plain), down)
    return f.select(f.compare("oeq", b, f.of(0.0)), plain, down)


def _adjusted(f: Lanes, rest: Register, b: Register) -> tuple[Register, Register]:
    """A remainder of b's sign, and where b was added for it."""
    differ = f.code.let(f"xor {f.mask} {f.compare('olt', b, f.of(0.0))}, {f.compare('olt', rest, f.of(0.0))}")
    moved = _and(f, f.compare("une", rest, f.of(0.0)), differ)
    y = f.select(moved, f.binary("fadd", rest, b), rest)
    return f.select(f.compare("oeq", rest, f.of(0.0)), with_sign(f, f.of(0.0), b), y), moved


def left(f: Lanes, a: Register, b: Register) -> Register:
    """C's ``fmod``: what is left of a, of a's sign. Digits of the quotient are found from the highest on, as many times as the longest needs."""
    code = f.code
    d, x = wider(f, absolute(f, a))
    _, y = wider(f, absolute(f, b))
    exponents = [code.let(f"lshr {f.whole} {f.bits(absolute(f, v))}, {everywhere('23', 'i32', f.lanes)}") for v in (a, b)]
    apart = code.let(f"sub {f.whole} {exponents[0]}, {exponents[1]}")
    none = everywhere("0", "i32", f.lanes)
    apart = code.let(f"select {f.mask} {code.let(f'icmp sgt {f.whole} {apart}, {none}')}, {f.whole} {apart}, {f.whole} {none}")
    longest = apart if f.lanes == 1 else code.call("i32", f"llvm.vector.reduce.smax.{mangled('i32', f.lanes)}", f"{f.whole} {apart}")
    rounds = code.let(f"add i32 {code.let(f'udiv i32 {longest}, {DIGITS - 1}')}, 1")
    count = code.let(f"zext i32 {rounds} to i64")

    def digits(i: Register, now: list[Register]) -> list[Register]:
        round_ = code.let(f"sub i64 {code.let(f'sub i64 {count}, 1')}, {i}")
        exponent = code.let(f"mul i64 {round_}, {DIGITS - 1}")
        factor = code.let(f"shl i64 {code.let(f'add i64 {exponent}, 1023')}, 52")
        scale = _spread(d, code.let(f"bitcast i64 {factor} to double"))
        divisor = d.binary("fmul", y, scale)
        quotient = d.div(now[0], divisor)
        quotient = d.exact_sub(d.binary("fadd", quotient, d.of(2.0**52)), d.of(2.0**52))
        rest = d.exact_sub(now[0], d.binary("fmul", quotient, divisor))
        rest = d.select(d.compare("olt", rest, d.of(0.0)), d.binary("fadd", rest, divisor), rest)
        return [d.select(d.compare("oge", rest, divisor), d.exact_sub(rest, divisor), rest)]

    (rest,) = code.loop(count, digits, [(d.type, x)])
    found = with_sign(f, narrower(f, d, rest), a)
    size = absolute(f, a)
    infinite = f.compare("oeq", absolute(f, b), f.of(float("inf")))
    found = f.select(_and(f, infinite, f.compare("olt", size, f.of(float("inf")))), a, found)
    lost = _or(f, f.compare("oeq", b, f.of(0.0)), f.compare("oeq", size, f.of(float("inf"))))
    return f.select(_or(f, lost, f.compare("uno", a, b)), f.of(float("nan")), found)


def _spread(d: Lanes, x: Register) -> Register:
    if d.lanes == 1:
        return x
    first = d.code.let(f"insertelement {d.type} poison, double {x}, i64 0")
    return d.code.let(f"shufflevector {d.type} {first}, {d.type} poison, <{d.lanes} x i32> zeroinitializer")


def _and(f: Lanes, a: Register, b: Register) -> Register:
    return f.code.let(f"and {f.mask} {a}, {b}")


def _or(f: Lanes, a: Register, b: Register) -> Register:
    return f.code.let(f"or {f.mask} {a}, {b}")


def _not(f: Lanes, a: Register) -> Register:
    return f.code.let(f"xor {f.mask} {a}, {everywhere('true', 'i1', f.lanes)}")
