"""The error function in single precision: a table of polynomials where one instruction finds a vector's coefficients, else two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnspec.ir.types import DType
from nnspec_numpy.llvm import functions
from nnspec_numpy.llvm.code import Register, number
from nnspec_numpy.llvm.lanes import Lanes

# erf(x) / x - 1 in x^2, for |x| up to 0.93: 2e-8
ERF_NEAR = (-0.0005976896500214934, 0.004990980960428715, -0.026765568181872368, 0.11281802505254745, -0.37612494826316833, 0.12837915122509003)
# log(1 - erf(t)) / t + 1 for t from 0.92 to 4: 7e-10 of erf
ERF_FAR = (-1.1231225471419748e-05, 0.00032280306913889945, -0.003642455907538533, 0.023762056604027748, -0.10623686760663986,
           -0.6351513266563416, -0.12864848971366882)

# erf(k / 4 + d) in d, for |d| up to 1/8, a column for each k from 0 to 15 and the highest power first, rounded to float32 from the highest on:
# 0.9 units in the last place. The last column is 1 at the end, from where on erf is.
QUARTERS = (
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
# erf(k / 2 + d), for |d| up to 1/4 and k from 0 to 7, likewise; the last column is bent by two units, so that it is 1 at 3.75.
HALVES = (
    (-0.047302037, -0.04915089, 0.0039490033, 0.018073367, -0.0012114093, 0.00063576334, 0.001973144, -0.0014487022),
    (0.13558786, 0.007844231, -0.067662075, -0.0152296955, 0.012844846, 0.006165724, 0.0010527924, 9.0021575e-05),
    (-0.004483781, 0.1830683, 0.06920369, -0.044479806, -0.03425782, -0.008945068, -0.0013015483, 7.023634e-05),
    (-0.37574777, -0.14647698, 0.13832836, 0.13875745, 0.048226263, 0.008348998, 0.0007882676, 4.2921627e-05),
    (-1.1474902e-05, -0.4393918, -0.41510707, -0.17839882, -0.04133911, -0.005438035, -0.00041162252, -2.1731583e-05),
    (1.1283792, 0.87878263, 0.4151077, 0.118930295, 0.020666987, 0.0021782878, 0.00013925585, 5.568499e-06),
    (0.0, 0.5204999, 0.8427008, 0.96610516, 0.9953223, 0.999593, 0.9999779, 0.9999993),
)


class Table(NamedTuple):
    """Polynomials of which a vector's lanes each take one, ``parts`` in 1, up to ``end``, and the instruction that finds them."""

    parts: int
    end: float
    rows: Sequence[Sequence[float]]
    instruction: str


TABLES = {16: Table(4, 3.87, QUARTERS, "llvm.x86.avx512.permvar.sf.512"), 8: Table(2, 3.75 - 2.0**-22, HALVES, "llvm.x86.avx2.permps")}  # by lanes
ROUND = 1.5 * 2.0**23  # what is added to it is rounded to a whole number, which then stands in the lowest bits; divided by 4, to quarters


def erf(f: Lanes, x: Register) -> Register:
    """An odd function; within 2.4 units in the last place by a table."""
    table = TABLES.get(f.lanes)
    return _parted(f, x) if table is None else _by_parts(f, x, table)


def _by_parts(f: Lanes, x: Register, table: Table) -> Register:
    """``p_k(d)`` with k the part nearest to ``|x|`` and d what is left."""
    size = functions.absolute(f, x)
    t = f.select(f.compare("ogt", size, f.of(table.end)), f.of(table.end), size)
    magic = f.of(ROUND / table.parts)
    shifted = f.binary("fadd", t, magic)
    d = f.exact_sub(t, f.exact_sub(shifted, magic))
    y, *others = (_found(f, table.instruction, row, f.bits(shifted)) for row in table.rows)
    for coefficient in others:
        y = f.fma(y, d, coefficient)
    return functions.with_sign(f, y, x)


def _found(f: Lanes, instruction: str, row: Sequence[float], places: Register) -> Register:
    """The elements of a row at places, of which as many bits count as there are lanes."""
    numbers = ", ".join(f"float {number(x, DType.float32)}" for x in row)
    return f.code.call(f.type, instruction, f"{f.type} <{numbers}>", f"{f.whole} {places}")


def _parted(f: Lanes, x: Register) -> Register:
    """Near zero ``x (1 + p(x^2))``, else ``1 - e^(t q(t) - t)`` with ``t = |x|``."""
    size = functions.absolute(f, x)
    near = f.binary("fmul", x, f.add(f.polynomial(ERF_NEAR, f.mul(x, x)), f.of(1.0)))
    t = f.select(f.compare("ogt", size, f.of(4.0)), f.of(4.0), size)
    power = f.fma(f.polynomial(ERF_FAR, t), t, f.neg(t))
    far = f.binary("fsub", f.of(1.0), functions.exp_within(f, power))
    return f.select(f.compare("olt", size, f.of(0.93)), near, functions.with_sign(f, far, x))
