"""Sine, cosine and arctangent of single precision within 4 units in the last place, however large the angle.

An angle is reduced by multiples of pi / 2 in double precision; from 2^20 on, where that would lose digits, by the bits of 2 / pi that matter to its
exponent (Payne and Hanek, 1983), a lane at a time: such angles are rare, and no vector that has none pays for them.
"""

from __future__ import annotations

from math import pi

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Register, everywhere, mangled, number
from nnspec_numpy.llvm.functions import absolute, with_sign
from nnspec_numpy.llvm.lanes import Lanes

HIGH, LOW = float.fromhex("0x1.921FB544p+0"), 6.07710050650619224932e-11  # pi / 2; the first has 33 bits, so that products with 20 bits are exact
ROUND = 1.5 * 2.0**52  # what is added to it is rounded to a whole number, which then stands in the lowest bits
LARGE = 2.0**20
TWO_BY_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561  # 2^256 times
# (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2 for |r| up to pi / 4: 4e-9 and 1e-10
SIN = (-0.0001951521699083969, 0.00833216030150652, -0.16666655242443085)
COS = (2.4433080398011953e-05, -0.0013887315290048718, 0.04166664555668831)
# (arctan(t) / t - 1) / t^2 in t^2 for |t| up to tan(pi / 8), from Cephes: 2e-8
ARCTAN = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)


def sin(f: Lanes, x: Register) -> Register:
    return _wave(f, x, 0)


def cos(f: Lanes, x: Register) -> Register:
    return _wave(f, x, 1)


def _wave(f: Lanes, x: Register, quarters: int) -> Register:
    """The sine of ``x`` and so many quarters of a turn."""
    r, quarter = _reduced(f, x)
    z = f.mul(r, r)
    odd = f.fma(f.mul(f.polynomial(SIN, z), z), r, r)
    even = f.fma(f.mul(f.polynomial(COS, z), z), z, f.fma(z, f.of(-0.5), f.of(1.0)))
    quarter = f.integer("add", quarter, quarters)
    turned = _is(f, f.integer("and", quarter, 1))
    y = f.select(turned, even, odd)
    flip = f.integer("shl", f.integer("and", quarter, 2), 30)
    return f.from_bits(f.integer("xor", f.bits(y), flip))


def _is(f: Lanes, bits: Register) -> Register:
    return f.code.let(f"icmp ne {f.whole} {bits}, {everywhere('0', 'i32', f.lanes)}")


def _reduced(f: Lanes, x: Register) -> tuple[Register, Register]:
    """r from -pi / 4 to pi / 4 and a whole number n with ``x = n pi / 2 + r``, n modulo 4."""
    code, d = f.code, Lanes(f.code, DType.float64, f.lanes)
    wide = code.let(f"fpext {f.type} {x} to {d.type}")
    shifted = d.fma(wide, d.of(2.0 / pi), d.of(ROUND))
    n = d.exact_sub(shifted, d.of(ROUND))
    r = d.fma(n, d.of(-LOW), d.fma(n, d.of(-HIGH), wide))
    r = code.let(f"fptrunc {d.type} {r} to {f.type}")
    quarter = code.let(f"trunc {d.whole} {d.bits(shifted)} to {f.whole}")
    size = absolute(f, x)
    large = f.compare("oge", size, f.of(LARGE))
    some = large if f.lanes == 1 else code.call("i1", f"llvm.vector.reduce.or.{mangled('i1', f.lanes)}", f"{f.mask} {large}")
    before, inside, after = code.block, code.name("large"), code.name("reduced")
    code.do(f"br i1 {some}, label %{inside}, label %{after}")
    code.label(inside)
    r_large, quarter_large = _by_bits(f, x, r, quarter)
    last = code.block
    code.do(f"br label %{after}")
    code.label(after)
    r = code.let(f"phi {f.type} [ {r}, %{before} ], [ {r_large}, %{last} ]")
    return r, code.let(f"phi {f.whole} [ {quarter}, %{before} ], [ {quarter_large}, %{last} ]")


def _by_bits(f: Lanes, x: Register, r: Register, quarter: Register) -> tuple[Register, Register]:
    """The same, anew for the lanes that are large."""
    code = f.code
    numbers, rests, quarters = code.stack(f.lanes, "i32"), code.stack(f.lanes, "float"), code.stack(f.lanes, "i32")
    code.do(f"store {f.whole} {f.bits(x)}, ptr {numbers}, align 4")
    code.do(f"store {f.type} {r}, ptr {rests}, align 4")
    code.do(f"store {f.whole} {quarter}, ptr {quarters}, align 4")

    def lane(i: Register, _: list[Register]) -> list[Register]:
        let = code.let
        at, rest, turn = (let(f"getelementptr i32, ptr {base}, i64 {i}") for base in (numbers, rests, quarters))
        bits = let(f"load i32, ptr {at}, align 4")
        exponent = let(f"and i32 {let(f'lshr i32 {bits}, 23')}, 255")
        own = let(f"icmp ult i32 {let(f'sub i32 {exponent}, 147')}, 108")  # from 2^20 on, and neither infinite nor NaN
        shift = let(f"select i1 {own}, i32 {let(f'sub i32 312, {exponent}')}, i32 165")
        moved = let(f"lshr i256 {TWO_BY_PI}, {let(f'zext i32 {shift} to i256')}")
        digits = let(f"trunc i256 {moved} to i96")
        fraction = let(f"and i32 {bits}, {(1 << 23) - 1}")
        whole = let(f"zext i32 {let(f'or i32 {fraction}, {1 << 23}')} to i128")
        product = let(f"mul i128 {let(f'zext i96 {digits} to i128')}, {whole}")
        turns = let(f"trunc i128 {let(f'lshr i128 {product}, 32')} to i64")  # of 2^64 to a whole turn
        part = let(f"sitofp i64 {let(f'shl i64 {turns}, 2')} to double")
        angle = let(f"fmul double {part}, {number(pi / 2 * 2.0**-64, DType.float64)}")
        up = let(f"and i64 {let(f'lshr i64 {turns}, 61')}, 1")
        down = let(f"lshr i64 {turns}, 62")
        n = let(f"trunc i64 {let(f'add i64 {down}, {up}')} to i32")
        below = let(f"icmp slt i32 {bits}, 0")
        angle = let(f"select i1 {below}, double {let(f'fneg double {angle}')}, double {angle}")
        n = let(f"select i1 {below}, i32 {let(f'sub i32 0, {n}')}, i32 {n}")
        kept, turned = let(f"load float, ptr {rest}, align 4"), let(f"load i32, ptr {turn}, align 4")
        single = let(f"fptrunc double {angle} to float")
        code.do(f"store float {let(f'select i1 {own}, float {single}, float {kept}')}, ptr {rest}, align 4")
        code.do(f"store i32 {let(f'select i1 {own}, i32 {n}, i32 {turned}')}, ptr {turn}, align 4")
        return []

    code.loop(f.lanes, lane)
    return code.let(f"load {f.type}, ptr {rests}, align 4"), code.let(f"load {f.whole}, ptr {quarters}, align 4")


def arctan(f: Lanes, x: Register) -> Register:
    """``a + arctan(t)``: t is x, ``(|x| - 1) / (|x| + 1)`` with a = pi / 4, or ``-1 / |x|`` with a = pi / 2."""
    size = absolute(f, x)
    far, middle = f.compare("ogt", size, f.of(2.414213562373095)), f.compare("ogt", size, f.of(0.4142135623730950))
    above = f.select(far, f.of(-1.0), f.select(middle, f.sub(size, f.of(1.0)), size))
    below = f.select(far, size, f.select(middle, f.add(size, f.of(1.0)), f.of(1.0)))
    t = f.div(above, below)
    z = f.mul(t, t)
    y = f.fma(f.mul(f.polynomial(ARCTAN, z), z), t, t)
    y = f.add(y, f.select(far, f.of(pi / 2), f.select(middle, f.of(pi / 4), f.of(0.0))))
    return with_sign(f, y, x)
