"""What a run will need is known from its plan; here it is compared with what the machine has, before anything is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from nnspec.codegen.backend import Room
from nnspec.codegen.standing import MADE
from nnspec.errors import Problem, ResourceError
from nnspec.ir.program import STATE, Program
from nnspec.ir.types import TensorType, known

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
SPARE = 0.95


def available() -> int:
    """Bytes that can still be had: the machine's, or the control group's where that is less."""
    free = _meminfo()
    for limit, used in CGROUPS:
        most, now = _number(Path(limit)), _number(Path(used))
        if most is not None and now is not None and most < 1 << 60:
            free = min(free, max(0, most - now))
    return free


def _meminfo() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62  # not a Linux machine: nothing is known, nothing is refused


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def size(types: Mapping[str, TensorType]) -> int:
    """Bytes of named tensors."""
    total = 0
    for t in types.values():
        n = t.dtype.size
        for d in known(t.shape):
            n *= d
        total += n
    return total


def refuse_parameters(types: Mapping[str, TensorType], largest: list[tuple[str, int]], room: Room | None = None) -> None:
    """Raises ResourceError where parameters and optimizer state alone are too much; for a backend's memory with what it has of that."""
    need, (have, where, *_) = size(types), room or (available(), "")
    if need > have * SPARE:
        raise ResourceError(
            Problem(
                f"the parameters do not fit into memory{where}",
                found=f"{show(need)} needed, {show(have)} available",
                wanted="a smaller network",
                hint="largest: " + ", ".join(f"{n} ({show(b)})" for n, b in largest[:5]),
                rule="memory",
            )
        )


def refuse(program: Program, rows: int, plan: Callable[[int], Program] | None, room: Room | None = None) -> None:
    """Raises ResourceError where a program needs more than there is, with the largest tensors and a batch size that fits.

    ``plan`` gives the same program for another number of rows. A backend's memory, ``room``, holds the state already.
    """
    def needs(p: Program) -> int:
        if room is None:
            return p.peak
        own = sum(n for arena, n in p.arenas.items() if not arena.startswith(STATE) or arena.startswith(STATE + MADE))
        return own + room.copies * p.arenas.get("data", 0)

    need, (have, where, *_) = needs(program), room or (available(), "")
    if need <= have * SPARE:
        return
    largest = ", ".join(f"{a.name} {a.type} ({show(a.bytes)})" for a in program.largest(5))
    fits = _fitting(rows, have, lambda n: needs(plan(n))) if plan else 0
    hint = f"batch_size: {fits} fits" if fits else "not even one row fits: make the network smaller"
    raise ResourceError(
        Problem(
            f"{program.title} does not fit into memory{where}",
            found=f"{show(need)} needed, {show(have)} available; largest: {largest}",
            wanted=f"at most {show(int(have * SPARE))}",
            hint=hint,
            rule="memory",
        )
    )


def _fitting(rows: int, have: int, plan: Callable[[int], int]) -> int:
    """The largest power of two of rows that fits, or 1, or 0."""
    n = 1 << (max(1, rows - 1).bit_length() - 1)
    while n >= 1:
        if plan(n) <= have * SPARE:
            return n
        n //= 2
    return 0


def show(n: float) -> str:
    """``3.2 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError
