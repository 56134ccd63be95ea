"""Which way a matrix product is computed: OpenBLAS or a kernel of our own, from shapes, how matrices lie, and the processor alone.

Costs are cycles of one core, fitted to measurements (``python -m tests.bench.products``) of processors with vectors of 512 bits; only
their ratios matter. OpenBLAS packs both matrices for every product, and runs the kernels of the processor that it takes this for: what that
is it says itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.llvm.products import Product
from nnspec_numpy.threads import core

PART = 1024  # numbers of the depth at a time: a strip of columns then stays in a second-level cache
REGISTERS = {16: 31, 8: 15}  # for sums, a row of the strip and a number of the left matrix, by lanes
STRIP, STREAMS = 4, 8  # vectors of a strip in the workspace, and of panels, each a stream of its own
WIDE = 24  # vectors of a strip that is read where it lies
NEAR = 8  # rows a page apart that a first-level cache holds of the left matrix, beside the strip
PAGE = 4096  # bytes
MOVED = 0.35  # to bring a number of the right matrix to a workspace
CALL, BLOCK = 800, 30  # of a call, and of what is done once for a block of sums
FAR, CACHE = 0.04, 1 << 20  # for a number of the right matrix that a cache of so many bytes lost, for the rows lie large powers of two apart
KEPT = 1 << 16  # numbers of a matrix that is kept in panels, at least
FULL = ("SkylakeX", "Cooperlake", "SapphireRapids")  # cores for which OpenBLAS multiplies vectors of 512 bits
LIBRARY, PACKED, STORED, TURNED = 2000, 0.5, 0.2, 1.2  # OpenBLAS: a call; a number of both matrices, of the result, of what lies by columns
SMALL = 1_000_000  # products that it takes without packing


@dataclass(frozen=True)
class Blocks:
    """Blocks of ``rows`` and strips of ``vectors``, some of one less; the depth in ``parts`` of ``part`` numbers."""

    rows: int
    tall: int
    short: int
    vectors: int
    wide: int
    narrow: int
    parts: int
    part: int
    lanes: int
    cycles: float

    def kind(self, upright: bool, right: str, columns: int) -> Product:
        """The kernel."""
        return Product(self.rows, self.vectors, upright, right, self.short > 0, self.narrow > 0, columns % self.lanes > 0, self.parts > 1)

    def counts(self, columns: int) -> tuple[int, int, int, int]:
        """Blocks and strips as the kernel counts them: a last vector that is not full is in a strip of its own kind."""
        return self.tall, self.short, self.narrow, self.wide - (columns % self.lanes > 0)


@dataclass(frozen=True)
class Way:
    """The name of what multiplies, why it was chosen, and for a kernel of ours how the right matrix is read."""

    name: str
    why: str = ""
    right: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def lanes() -> int:
    """Numbers in a vector that is long enough to beat a library; 0 where there are none."""
    cpu = chosen()
    return cpu.width // 4 if cpu is not None and cpu.width // 4 in REGISTERS else 0


def most_vectors(columns: int) -> int:
    """Columns of the widest strip in a workspace."""
    return min(STRIP, -(-columns // lanes())) * lanes() if lanes() else 0


def keeps(depth: int, columns: int, turned: bool) -> bool:
    """Whether a matrix that stands still is kept in panels: it lies by columns, or its rows lie large powers of two apart."""
    return lanes() > 0 and depth * columns >= KEPT and (turned or _lost(depth, columns, 4 * columns) > 0)


def _lost(depth: int, columns: int, pitch: int) -> float:
    """How many times over the rows of a strip fill the places of a cache that they share."""
    over = depth * pitch / CACHE
    return min(2.0, over) if pitch % 1024 == 0 and over >= 1 else 0.0


@cache
def blocks(m: int, k: int, n: int, right: str, crowded: tuple[bool, bool], width: int) -> Blocks:
    """The blocks that take the fewest cycles, as a processor with two units multiplies and loads; ``crowded`` where rows of the left
    matrix, and of the result, lie whole pages apart."""
    vectors = -(-n // width)
    most = min(vectors, {"rows": WIDE, "panels": STREAMS}.get(right, STRIP))
    rows = min(m, NEAR) if crowded[0] else m
    shapes = [(p, q) for q in range(1, most + 1) for p in range(1, rows + 1) if p * q + q + 1 <= REGISTERS[width] or p == q == 1]
    return min((_cut(m, k, vectors, p, q, width, right in ("rows", "panels"), crowded[1]) for p, q in shapes), key=lambda b: (b.cycles, -b.rows))


def _cut(m: int, k: int, vectors: int, p: int, q: int, width: int, there: bool, far: bool) -> Blocks:
    """As even as can be: no block is as large as ``p`` times ``q`` where smaller ones do. What is read once where it is ``there`` goes
    whole; rows of the result that lie ``far`` apart wait for one another."""
    down, across = -(-m // p), -(-vectors // q)
    p, q = -(-m // down), -(-vectors // across)
    short, narrow = down * p - m, across * q - vectors
    tall, wide = down - short, across - narrow
    parts = 1 if down == 1 and there else -(-k // PART)
    part = -(-k // parts // width) * width
    parts = -(-k // part)
    cycles = sum(rows * strips * (k * _each(a, b, across == 1) + parts * (BLOCK + far * max(0, a - 6) * 50))
                 for rows, a in ((tall, p), (short, p - 1)) for strips, b in ((wide, q), (narrow, q - 1)))
    return Blocks(p, tall, short, q, wide, narrow, parts, part, width, cycles)


def _each(p: int, q: int, alone: bool) -> float:
    """For one number of the depth: products, loads, or the time until a sum can be added to again. A strip that is ``alone`` reads the left
    matrix once: what follows in memory is on its way."""
    return max(p * q / 2, (p + q) / (1.8 if alone else 1.4), 4.0) + 1


def crowded(k: int, pitches: tuple[int, int, int], upright: bool) -> tuple[bool, bool]:
    """Whether rows of the left matrix, and of the result, meet in the places of a first-level cache."""
    return not upright and k >= PART and 4 * pitches[0] % PAGE == 0, 4 * pitches[2] % PAGE == 0


def way(count: int, m: int, k: int, n: int, upright: bool, turned: bool, pitches: tuple[int, int, int], kept: bool,
        room: bool = True, own: bool = False) -> Way:
    """For ``count`` products of (m, k) and (k, n); ``upright`` and ``turned`` where left and right lie by columns, ``pitches`` apart; ``kept``
    where the right one is there in panels, ``room`` where there is a workspace; by an
    ``own`` kernel whatever it costs."""
    width = lanes()
    if not width:
        return Way("OpenBLAS", "no compiled kernel for this processor")
    library = float("inf") if own else count * _library(m, k, n, turned)
    rights = ["panels"] if kept else [] if turned else ["rows"]
    rights += ["turned" if turned else "moved"] if room and not kept else []
    costs = {right: _own(m, k, n, right, upright, pitches, width) * count + CALL for right in rights}
    right = min(rights, key=costs.__getitem__, default="")
    if not right or costs[right] >= library:
        if not right:
            return Way("OpenBLAS", "it would be turned for few rows")
        return Way("OpenBLAS", "as fast for this shape" if costs[right] < 1.3 * library else "it reads each number once" if 1 in (m, n) else
                   "it would be turned for few rows" if turned else "faster for this shape")
    made = blocks(m, k, n, right, crowded(k, pitches, upright), width)
    why = {"panels": "its right side is kept in panels", "moved": "strips of its right side are moved together",
           "turned": "strips of its right side are turned"}.get(right, "nothing is moved")
    return Way(f"blocks of {made.rows}x{made.vectors * width}", why, right)


def _own(m: int, k: int, n: int, right: str, upright: bool, pitches: tuple[int, int, int], width: int) -> float:
    made = blocks(m, k, n, right, crowded(k, pitches, upright), width)
    cost = made.cycles
    if upright and 4 * pitches[0] % 1024 == 0 and 4 * k * pitches[0] > CACHE:
        cost *= 1.2  # each number of the depth is in another line, and these share places
    if right in ("moved", "turned"):
        cost += MOVED * k * -(-n // width) * width
    if right == "rows":
        cost += FAR * _lost(k, n, 4 * pitches[1]) * k * n * (made.tall + made.short)
    return cost


def _library(m: int, k: int, n: int, turned: bool) -> float:
    """What OpenBLAS takes."""
    if m == 1:
        return LIBRARY + (k * n / 8 + 10 * n if turned else k * max(n, 64) / 8)
    if n == 1:
        return LIBRARY + m * k / 8
    name = core().rpartition(" ")[2]
    full = name in FULL or not core().startswith("OpenBLAS") and lanes() == 16
    units = 32 if full else 16
    across = -(-n // 16) * 16
    usual = LIBRARY + 1.08 * m * k * across / units + PACKED * k * (m + n) + STORED * m * n + (TURNED * k * n if turned else 0)
    if full and m * k * n <= SMALL and turned and (m <= 4 or k >= 2 * n):
        return min(usual, LIBRARY + 1.3 * m * k * n / units * (1 + 1 / m) + 7 * m * n)  # vectors along the depth
    if full and m * k * n <= SMALL and not turned:
        return min(usual, LIBRARY + 1.5 * m * k * across / units * (1 + 1 / m))
    return usual
