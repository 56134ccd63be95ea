"""Functions of single precision (exp, log, tanh, sigmoid …) by our own polynomials, each within 4 units in the last place.

The polynomials were fitted for the least largest relative error. Numbers below 2^-126 count as zero, as everywhere in
loop nests of single precision; NaN and infinities go where they should.
"""

from __future__ import annotations

from math import log2

from nnspec_numpy.llvm.code import Register, everywhere
from nnspec_numpy.llvm.lanes import Lanes

LOG2_E = log2(2.718281828459045)
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # the first has 9 bits, so that its products with whole numbers are exact
ROUND = 12582912.0  # 1.5 * 2^23: what is added to it is rounded to a whole number, which then stands in the lowest bits
ROUND_BITS = 0x4B400000
HUGE, TINY = 88.8, -104.0  # beyond these exp is infinite, or zero
AVX512 = 16  # lanes of the width that has an instruction for 2^n y
SQRT_HALF_BITS = 0x3F3504F3

# (exp(r) - 1 - r) / r^2 for |r| up to ln(2) / 2, relative to exp(r): 5e-11
EXP = (0.00019790243823081255, 0.0013944758102297783, 0.008333497680723667, 0.04166629537940025, 0.1666666567325592, 0.5)
# (log(1 + f) - f + f^2 / 2) / f^3 for f from sqrt(1/2) - 1 to sqrt(2) - 1: 7e-10
LOG = (0.06746643036603928, -0.11675656586885452, 0.11888163536787033, -0.1240558847784996, 0.14219552278518677, -0.1666799634695053,
       0.2000211924314499, -0.25000008940696716, 0.3333331346511841)
# (tanh(x) / x - 1) / x^2 in x^2, for |x| up to 0.625: 4e-9
TANH = (-0.005717043299227953, 0.020650586113333702, -0.05374349653720856, 0.13331490755081177, -0.3333328366279602)
# (sinh(x) / x - 1) / x^2 in x^2, for |x| up to 1: Taylor's
SINH = (1 / 39916800, 1 / 362880, 1 / 5040, 1 / 120, 1 / 6)


def exp(f: Lanes, x: Register) -> Register:
    """``2^n e^r`` with n the whole number nearest to ``x / ln 2``."""
    return _scaled(f, *_reduced(f, _kept_below(f, _kept_above(f, x))))


def exp_within(f: Lanes, x: Register) -> Register:
    """``exp(x)`` where it is known to be neither as large nor as small as numbers can be."""
    y, n = _reduced(f, x)
    if f.lanes == AVX512:
        return _scaled(f, y, n)
    return f.mul(y, f.from_bits(f.integer("shl", f.integer("add", f.bits(n), 127), 23)))  # the bits of ROUND are shifted out


def _kept_below(f: Lanes, x: Register) -> Register:
    return f.select(f.compare("ogt", x, f.of(HUGE)), f.of(HUGE), x)


def _kept_above(f: Lanes, x: Register) -> Register:
    return f.select(f.compare("olt", x, f.of(TINY)), f.of(TINY), x)


def _reduced(f: Lanes, x: Register) -> tuple[Register, Register]:
    """``e^r`` and ``n + ROUND`` of ``x = n ln 2 + r``."""
    r, shifted = _parts(f, x)
    return f.fma(f.mul(f.polynomial(EXP, r), r), r, f.add(r, f.of(1.0))), shifted


def _parts(f: Lanes, x: Register) -> tuple[Register, Register]:
    """r and ``n + ROUND`` of ``x = n ln 2 + r``."""
    shifted = f.fma(x, f.of(LOG2_E), f.of(ROUND))
    n = f.exact_sub(shifted, f.of(ROUND))
    return f.fma(n, f.of(-LN2_LOW), f.fma(n, f.of(-LN2_HIGH), x)), shifted


def _scaled(f: Lanes, y: Register, shifted: Register) -> Register:
    """``2^n y``: one instruction, or two halves, so that neither overflows where the result does not."""
    if f.lanes == AVX512:
        kind, n = f.type, f.exact_sub(shifted, f.of(ROUND))
        return f.code.call(kind, "llvm.x86.avx512.mask.scalef.ps.512", f"{kind} {y}", f"{kind} {n}", f"{kind} zeroinitializer", "i16 -1", "i32 4")
    n = f.integer("sub", f.bits(shifted), ROUND_BITS)
    first = f.integer("ashr", n, 1)
    for part in (first, f.integer("sub", n, first)):
        y = f.binary("fmul", y, f.from_bits(f.integer("shl", f.integer("add", part, 127), 23)))
    return y


def expm1(f: Lanes, x: Register) -> Register:
    """``2^n (e^r - 1) + (2^n - 1)``."""
    r, shifted = _parts(f, _kept_below(f, _kept_above(f, x)))
    n = f.integer("sub", f.bits(shifted), ROUND_BITS)
    small = f.fma(f.mul(f.polynomial(EXP, r), r), r, r)
    half = f.from_bits(f.integer("shl", f.integer("add", n, 126), 23))  # 2^(n - 1); below 2^-126 nothing is left of it
    half = f.select(f.code.let(f"icmp slt {f.whole} {n}, {everywhere('-30', 'i32', f.lanes)}"), f.of(0.0), half)
    y = f.fma(half, small, f.exact_sub(half, f.of(0.5)))
    near = f.compare("olt", absolute(f, x), f.of(2.0**-30))
    return f.select(near, x, f.add(y, y))


def log(f: Lanes, x: Register) -> Register:
    """``e ln 2 + log(m)`` with ``x = 2^e m`` and m from sqrt(1/2) to sqrt(2)."""
    bits = f.bits(x)
    offset = f.integer("sub", bits, SQRT_HALF_BITS)
    e = f.from_integer(f.integer("ashr", offset, 23))
    m = f.from_bits(f.integer("sub", bits, f.integer("and", offset, -(1 << 23))))
    z = f.exact_sub(m, f.of(1.0))
    square = f.mul(z, z)
    y = f.mul(f.mul(f.polynomial(LOG, z), z), square)
    y = f.fma(e, f.of(LN2_LOW), y)
    y = f.fma(square, f.of(-0.5), y)
    y = f.fma(e, f.of(LN2_HIGH), f.add(z, y))
    infinite = f.compare("oeq", x, f.of(float("inf")))
    y = f.select(infinite, x, y)
    y = f.select(f.compare("oeq", x, f.of(0.0)), f.of(-float("inf")), y)
    return f.select(f.compare("oge", x, f.of(0.0)), y, f.of(float("nan")))


def log1p(f: Lanes, x: Register) -> Register:
    """``log(u) x / (u - 1)`` with u the rounded ``1 + x``: the quotient undoes the rounding."""
    u = f.binary("fadd", x, f.of(1.0))
    less = f.exact_sub(u, f.of(1.0))
    near = f.compare("oeq", less, f.of(0.0))
    far = f.compare("oeq", x, f.of(float("inf")))
    y = f.mul(log(f, u), f.div(x, f.select(near, f.of(1.0), less)))
    return f.select(f.code.let(f"or {f.mask} {near}, {far}"), x, y)


def tanh(f: Lanes, x: Register) -> Register:
    """Near zero ``x + x^3 p(x^2)``, else ``1 - 2 / (e^(2 |x|) + 1)``."""
    size = absolute(f, x)
    square = f.mul(x, x)
    near = f.fma(f.mul(f.polynomial(TANH, square), square), x, x)
    t = f.select(f.compare("ogt", size, f.of(10.0)), f.of(10.0), size)
    far = exp_within(f, f.add(t, t))
    far = f.binary("fsub", f.of(1.0), f.div(f.of(2.0), f.add(far, f.of(1.0))))
    return f.select(f.compare("olt", size, f.of(0.625)), near, with_sign(f, far, x))


def sigmoid(f: Lanes, x: Register) -> Register:
    return f.div(f.of(1.0), f.add(exp(f, f.neg(x)), f.of(1.0)))


def cosh(f: Lanes, x: Register) -> Register:
    """``h + 1 / 4h`` with ``h = e^|x| / 2``, which is finite where the result is."""
    half = _half_exp(f, x)
    return f.add(half, f.div(f.of(0.25), half))


def sinh(f: Lanes, x: Register) -> Register:
    """Near zero ``x + x^3 p(x^2)``, else ``h - 1 / 4h`` with ``h = e^|x| / 2``."""
    half = _half_exp(f, x)
    square = f.mul(x, x)
    near = f.fma(f.mul(f.polynomial(SINH, square), square), x, x)
    far = with_sign(f, f.sub(half, f.div(f.of(0.25), half)), x)
    return f.select(f.compare("olt", absolute(f, x), f.of(1.0)), near, far)


def _half_exp(f: Lanes, x: Register) -> Register:
    size = absolute(f, x)
    y, shifted = _reduced(f, f.select(f.compare("ogt", size, f.of(HUGE + 1.0)), f.of(HUGE + 1.0), size))
    return _scaled(f, y, f.exact_sub(shifted, f.of(1.0)))


def absolute(f: Lanes, x: Register) -> Register:
    return f.intrinsic("fabs", x)


def with_sign(f: Lanes, size: Register, sign: Register) -> Register:
    return f.intrinsic("copysign", size, sign)
