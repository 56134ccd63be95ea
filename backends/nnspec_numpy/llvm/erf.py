"""The error function in single precision: a table of polynomials where one instruction finds a vector's coefficients, else two of them."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.types import DType
from nnspec_numpy.llvm import functions
from nnspec_numpy.llvm.code import Register, number
from nnspec_numpy.llvm.functions import AVX512
from nnspec_numpy.llvm.lanes import Lanes

# erf(x) / x - 1 in x^2, for |x| up to 0.93: 2e-8
ERF_NEAR = (-0.0005976896500214934, 0.004990980960428715, -0.026765568181872368, 0.11281802505254745, -0.37612494826316833, 0.12837915122509003)
# log(1 - erf(t)) / t + 1 for t from 0.92 to 4: 7e-10 of erf
ERF_FAR = (-1.1231225471419748e-05, 0.00032280306913889945, -0.003642455907538533, 0.023762056604027748, -0.10623686760663986,
           -0.6351513266563416, -0.12864848971366882)

# erf(k / 4 + d) in d, for |d| up to 1/8, a column for each k from 0 to 15 and the highest power first, rounded to float32 from the highest on:
# 0.9 units in the last place. The last column is 1 at ONE, from where on erf is.
ONE = 3.87
QUARTERS = 3 * 2.0**20  # what is added to it is rounded to quarters, whose number then stands in the lowest bits
TABLE = (
    (0.13929307, 0.08112919, 0.008345251, -0.052117907, -0.06904338, -0.047009032, -0.014941681, 0.006500099,
     0.013031065, 0.010647262, 0.006127536, 0.0027710414, 0.0010256799, 0.0003178173, 8.349683e-05, 0.0138581535),
    (-0.0068318965, 0.12609072, 0.1821213, 0.15062353, 0.068883166, -0.005312145, -0.043650035, -0.04743831,
     -0.033761792, -0.018585099, -0.009555924, -0.0030147159, -0.0017569984, 4.964072e-05, 0.0007783669, 2.4276018e-05),
    (-0.3755808, -0.30919763, -0.14648059, 0.026774513, 0.13837083, 0.16753402, 0.13875225, 0.09015782,
     0.04822299, 0.021724539, 0.008350066, 0.00276031, 0.000789053, 0.00019578855, 4.228821e-05, -0.00024635516),
    (-1.3987043e-05, -0.26499897, -0.43938833, -0.482204, -0.4151016, -0.29565954, -0.17840566, -0.09236452,
     -0.041344665, -0.016078824, -0.0054316293, -0.001616528, -0.00040666395, -0.000100251964, -3.2309763e-05, -2.5163781e-06),
    (1.1283792, 1.0600142, 0.87878263, 0.6429311, 0.4151075, 0.23652112, 0.11893029, 0.052774996,
     0.020666987, 0.0071423193, 0.002178284, 0.0005862772, 0.00013925305, 2.9189025e-05, 5.3994268e-06, 1.8270589e-06),
    (0.0, 0.2763264, 0.5204999, 0.71115565, 0.8427008, 0.92290014, 0.96610516, 0.9866717,
     0.9953223, 0.9985373, 0.999593, 0.9998994, 0.9999779, 0.9999957, 0.9999993, 0.9999999),
)


def erf(f: Lanes, x: Register) -> Register:
    """An odd function; within 2.2 units in the last place by the table."""
    return _by_quarters(f, x) if f.lanes == AVX512 else _parted(f, x)


def _by_quarters(f: Lanes, x: Register) -> Register:
    """``p_k(d)`` with ``k / 4`` the quarter nearest to ``|x|`` and d what is left."""
    size = functions.absolute(f, x)
    t = f.select(f.compare("ogt", size, f.of(ONE)), f.of(ONE), size)
    shifted = f.binary("fadd", t, f.of(QUARTERS))
    d = f.exact_sub(t, f.exact_sub(shifted, f.of(QUARTERS)))
    y, *others = (_found(f, row, f.bits(shifted)) for row in TABLE)
    for coefficient in others:
        y = f.fma(y, d, coefficient)
    return functions.with_sign(f, y, x)


def _found(f: Lanes, row: Sequence[float], places: Register) -> Register:
    """The elements of a row at places, of which the lowest four bits count."""
    numbers = ", ".join(f"float {number(x, DType.float32)}" for x in row)
    return f.code.call(f.type, "llvm.x86.avx512.permvar.sf.512", f"{f.type} <{numbers}>", f"{f.whole} {places}")


def _parted(f: Lanes, x: Register) -> Register:
    """Near zero ``x (1 + p(x^2))``, else ``1 - e^(t q(t) - t)`` with ``t = |x|``."""
    size = functions.absolute(f, x)
    near = f.binary("fmul", x, f.add(f.polynomial(ERF_NEAR, f.mul(x, x)), f.of(1.0)))
    t = f.select(f.compare("ogt", size, f.of(4.0)), f.of(4.0), size)
    power = f.fma(f.polynomial(ERF_FAR, t), t, f.neg(t))
    far = f.binary("fsub", f.of(1.0), functions.exp_within(f, power))
    return f.select(f.compare("olt", size, f.of(0.93)), near, functions.with_sign(f, far, x))
