"""Which way a convolution is computed: from shapes alone, by what each way costs, never by a clock.

Costs are nanoseconds on one core of a processor with AVX-512, and only their ratios matter.

Forward, tiles of 2x2 err as columns do. Tiles of 4x4 err three times as much, which turns a relu or a largest of a window now and
then, and what is learned after that is another trajectory. In gradients nothing is decided: there their error is lost in that of the
update (but for what ``passes.quiet_gradients`` says). So a convolution takes tiles of 2, its gradients of 4, and one of a program
without gradients (``passes.bound_tiles``) of 4 too.
"""

from __future__ import annotations

from math import prod

from nnspec.ir.types import DType
from nnspec.records import dataclass

from . import direct, dots, volumes
from .packed import Few
from .tiles import POINTS, TAPS, Tiles
from .windows import Windows

PRODUCT, TRANSFORM, MOVED = 200.0, 110.0, 12.0  # floating point operations and bytes in a nanosecond
COMPILED = {2: 40.0, 4: 22.0}  # bytes, by the size of tiles: 36 planes are more than pages that a processor knows at once
KERNEL, TURNED = 0.35, 0.83  # nanoseconds a number of a transformed kernel, where tiles are changed in registers, and where by products
SHORT = 100.0  # operations of products by vectors of half the length
STREAM = 24.0  # bytes in a nanosecond from memory, of what no cache holds from run to run
NEAR, FAR, CACHE = 200.0, 55.0, 1 << 20  # bytes in a nanosecond, from a cache of so many bytes and from beyond
APART, ALIKE = 28.0, 1024  # from beyond, where rows lie a multiple of so many bytes apart and only some of each are read at a time
TUNED = "tuned"  # why a way is taken that a tune file says
GAIN, PLAIN = 0.85, 0.75  # columns are left where tiles cost at most this share of them; of a kernel's gradient without compiled transformations


@dataclass(frozen=True)
class Way:
    """The name of an algorithm, why it was chosen, and the tiles of Winograd's."""

    name: str
    why: str
    tiles: Tiles | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def way(w: Windows, filters: int, groups: int, dtype: DType, tiles: int, part: str = "forward", kept: bool = False) -> Way:
    """For the windows of a convolution, with ``tiles`` at most; ``part``: ``forward``, or the gradient in ``kernel``, or in ``input``, whose
    windows are over the output's gradient. What is made of a kernel that is ``kept`` is only read.
    """
    if part == "forward" and dots.possible(w, filters, groups, dtype):
        return Way("dots", f"{filters} filter{'s' if filters > 1 else ''} of one place")
    if w.pointwise and not direct.worth(w, filters, groups, dtype, part):
        return Way("one product", "a window is one place")
    if groups == w.channels and groups > 1 and part != "input":
        return Way("taps", "every channel by itself")
    usual, plain = _usual(w, filters, groups, dtype, part, kept)
    plain += TAPS * TAPS * w.channels * filters * dtype.size / STREAM if kept else 0.0
    if packed := _packed(w, filters, groups, dtype, part):
        return packed
    reason = _not_winograd(w, groups, dtype, tiles)
    if reason:
        return Way(usual, reason)
    best = min((Tiles(w, m, dtype, filters) for m in POINTS if m <= tiles), key=lambda t: winograd(t, kept))
    share = winograd(best, kept) / plain
    if share > (PLAIN if part == "kernel" and best.compiled is None else GAIN):
        return Way(usual, "transforming would cost more than it saves")
    return Way(f"Winograd {best.m}x{best.m}", f"{TAPS * TAPS * best.m**2 / best.n**2:g} times fewer products", best)


def ways(w: Windows, filters: int, groups: int, dtype: DType, tiles: int, part: str = "forward") -> dict[str, Way]:
    """All ways that there are, by name; ``way`` takes one of them."""
    if groups == w.channels and groups > 1 and part != "input":
        return {name: Way(name, TUNED) for name in ("taps", *(["one product"] if w.pointwise else []))}
    found = [Way("one product" if w.pointwise else "columns", TUNED)]
    if part == "forward" and dots.possible(w, filters, groups, dtype):
        found.append(Way("dots", TUNED))
    if direct.possible(w, dtype):
        found.append(Way("direct", TUNED))
    if volumes.possible(w, groups, dtype):
        found.append(Way("direct by planes", TUNED))
    if _packed(w, filters, groups, dtype, part):
        found.append(Way("packed", TUNED))
    if not _not_winograd(w, groups, dtype, tiles):
        found += [Way(f"Winograd {m}x{m}", TUNED, Tiles(w, m, dtype, filters)) for m in POINTS if m <= tiles]
    return {one.name: one for one in found}


def _packed(w: Windows, filters: int, groups: int, dtype: DType, part: str) -> Way | None:
    """Several places in a vector, where filters alone leave many of its lanes idle."""
    if groups > 1 or dtype != DType.float32 or Few(w, filters).kernel("gradient" if part == "kernel" else "forward") is None:
        return None
    return Way("packed", f"{filters} filter{'s' if filters > 1 else ''}, several places in a vector")


def _not_winograd(w: Windows, groups: int, dtype: DType, tiles: int) -> str:
    if w.size != (TAPS, TAPS):
        return f"windows of {'x'.join(map(str, w.size))}"
    if prod(w.stride) != 1 or prod(w.dilation) != 1:
        return "a stride" if prod(w.stride) != 1 else "a dilation"
    if groups != 1:
        return f"{groups} groups"
    if dtype != DType.float32:
        return f"{dtype} is strict"
    return "" if tiles else "math: strict"


def _usual(w: Windows, filters: int, groups: int, dtype: DType, part: str, kept: bool) -> tuple[str, float]:
    """Directly or by columns, and what it costs."""
    columns = _columns(w, filters, groups, dtype)
    if volumes.worth(w, filters, groups, dtype, part):
        return "direct by planes", min(columns, _direct(w, filters, groups, part, kept))
    if not direct.worth(w, filters, groups, dtype, part):
        return "columns", columns
    cost = _direct(w, filters, groups, part, kept)
    return ("direct", cost) if cost <= columns or groups > 1 or w.pointwise else ("columns", columns)


def _columns(w: Windows, filters: int, groups: int, dtype: DType) -> float:
    """Of columns and one product a group."""
    depth = prod(w.size) * w.channels
    return w.n * prod(w.out) * (2 * depth * filters / groups / _speed() + depth * dtype.size / MOVED)


def _direct(w: Windows, filters: int, groups: int, part: str, kept: bool) -> float:
    """Of products where things lie: the kernel is read again for every block of places, its gradient read and written for every line."""
    depth, share, lanes = prod(w.size) * w.channels // groups, filters // groups, direct.lanes()
    places = w.n * prod(w.out)
    products = places * 2 * depth * filters / _speed()
    if part == "kernel":
        held, numbers = 4 * depth * share, depth if groups > 1 else depth // prod(w.size[:-1])
        moved: float = w.n * prod(w.out[:-1]) * held * groups  # half of it while products are added
        shape = direct.block("kernel_gradient", numbers, share, lanes)
        return products * direct.waste(shape, numbers, share, lanes) + moved / (NEAR if held <= CACHE else FAR)
    shape = direct.block("forward", w.out[-1], share, lanes, depth)
    held = 4 * depth * shape.vectors * lanes
    moved = places / shape.rows * 4 * depth * filters
    rate = NEAR if held <= CACHE else FAR
    if lanes == 8 and 4 * depth * filters > CACHE and 4 * filters % ALIKE == 0 and not _strips(w, filters, groups, kept):
        rate = APART
    return max(products * direct.waste(shape, w.out[-1], share, lanes), moved / rate)


def _strips(w: Windows, filters: int, groups: int, kept: bool) -> bool:
    own = direct.Direct(w, groups, filters)
    return bool(own.kept if kept else own.strips)


def _speed() -> float:
    """Floating point operations of products in a nanosecond."""
    return SHORT if direct.lanes() == 8 else PRODUCT


def winograd(t: Tiles, kept: bool = False) -> float:
    """Of transformations, products and moves, for a kernel and all tiles; compiled, a transformation is no more than its moves."""
    w, filters, n, m = t.windows, t.filters, t.n * t.n, t.m * t.m
    tiles = w.n * prod(t.grid.out)
    products: float = 2 * n * w.channels * filters / _speed()
    transforms, moved, rate = (2 * n * n * w.channels + 2 * n * m * filters) / TRANSFORM, (n + m) * w.channels + m * filters, MOVED
    if t.compiled:
        lanes = direct.lanes()
        products *= direct.waste(direct.block("forward", direct.PLACES, filters, lanes, w.channels), direct.PLACES, filters, lanes)
        whole = sum(-(-c // lanes) * lanes for c in (w.channels, filters))  # vectors are moved, however full
        transforms, moved, rate = 0.0, (n + m) * whole, COMPILED[t.m]
    moves = moved * t.dtype.size / rate
    reads = (len(t.blocks) - 1) * (n + m) * w.channels * t.dtype.size / rate  # again for each block of filters
    kernel = n * w.channels * filters * (t.dtype.size / STREAM if kept else KERNEL if t.compiled else TURNED)
    return tiles * (products + transforms + moves + reads) + kernel
