"""``nnspec bench``: how long a spec's training step and its answers take here, layer by layer, beside what the machine can do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import backend_name, backend_option, json_option, print_json, read, spec_options, tune_option

if TYPE_CHECKING:
    from rich.table import Table

    from nnspec.runtime.bench import Cost, Timing
    from nnspec.runtime.machine import Peak
    from nnspec.runtime.session import Model

ROWS = 20  # of a table
WIDTH = 140  # of a table that is not shown on a terminal


@click.command("bench")
@spec_options
@backend_option
@tune_option
@click.option("--batch", type=click.IntRange(1, 1 << 20), metavar="N", help="Rows of a batch; by default the spec's.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="The length of a named axis.")
@click.option("--threads", type=click.IntRange(min=1, max=1024), metavar="N", help="By default the spec's, else one a core.")
@click.option("--only", type=click.Choice(["train", "infer"]), help="One of the two.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=7, show_default=True, metavar="N", help="Turns; the median is told.")
@click.option("--seconds", type=click.FloatRange(0.0, 60.0), default=0.2, show_default=True, metavar="S", help="Of a turn, about.")
@click.option("--steps", is_flag=True, help="The steps of the plan instead of the layers, all of them, in order.")
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, tune: Path | None, batch: int | None, axes: tuple[str, ...],
    threads: int | None, only: str | None, repeats: int, seconds: float, steps: bool, as_json: bool,
) -> None:  # fmt: skip
    """Time a training step and an answer: layers, GFLOP/s, GB/s, memory.

    The rows are the spec's first batch; without data they are drawn from its seed. The machine's peak is measured first, by a
    matrix product and a triad. GB/s count every operand and result once, caches or not: a step can have more than memory gives.
    """
    parsed = read(spec, settings, allowed)

    from nnspec.cli.plan import timed
    from nnspec.cli.traced import trains
    from nnspec.runtime.bench import measure, rows
    from nnspec.runtime.machine import peak
    from nnspec.runtime.session import compile

    sizes = timed(parsed, axes, only)
    parsed = parsed.with_(batch_size=batch)
    model = compile(parsed.fold(1) if parsed.folds else parsed, backend=backend_name(backend, parsed), threads=threads, weights=False, tune=tune)
    most = peak(model.segments.dtype.numpy, model.threads)
    given = rows(model, sizes)
    kinds = [kind for kind in ("train", "infer") if only in (None, kind) and (kind == "infer" or trains(parsed))]
    found = [measure(model, kind, given, repeats, seconds) for kind in kinds]  # type: ignore[arg-type]  # the two kinds
    if as_json:
        print_json(to_json(model, most, found))
        return

    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"machine: {_rate(most.flops)} GFLOP/s and {_rate(most.bytes)} GB/s ({most.how})", markup=False)
    for note in _notes():
        console.print(f"   {note}", markup=False)
    for timing in found:
        console.print("", *lines(timing, most), sep="\n", markup=False)
        console.print(by_step(timing, most) if steps else by_layer(timing, most))


def lines(timing: Timing, most: Peak) -> list[str]:
    """What is said above a table."""
    from nnspec.view import amounts

    what = "training step" if timing.kind == "train" else "answer"
    per = timing.rows / timing.seconds
    clocked = sum(c.seconds for c in timing.costs)
    memory = ", ".join(f"{amounts.memory(size)} {name}" for name, size in timing.memory.items() if name != "all" and size)
    return [
        f"{what} of {timing.rows} rows: {_ms(timing.seconds)} ms, at best {_ms(timing.least)} ms; {amounts.count(per)} rows a second; the first took "
        f"{timing.first:.2f} s",
        f"   {_share(timing.flops, timing.seconds, most.flops, 'GFLOP/s')}; {_ms(clocked)} ms in the steps of the plan",
        f"   memory: {amounts.memory(timing.memory['all'])} ({memory})",
    ]


def by_layer(timing: Timing, most: Peak) -> Table:
    """A row a layer, the slowest first."""
    shown = _table("layer", "forward ms", "backward ms", "share", "GFLOP/s", "GB/s")
    whole = sum(c.seconds for c in timing.costs)
    layers = list(timing.layers().items())
    for layer, costs in layers[:ROWS]:
        _row(shown, layer, [_stage(costs, "forward"), _stage(costs, "backward")], costs, whole, most)
    if len(layers) > ROWS:
        rest = [c for _, costs in layers[ROWS:] for c in costs]
        _row(shown, f"{len(layers) - ROWS} more", [_stage(rest, "forward"), _stage(rest, "backward")], rest, whole, most)
    return shown


def by_step(timing: Timing, most: Peak) -> Table:
    """A row a step of the plan, in its order."""
    shown = _table("step", "op", "ms", "share", "GFLOP/s", "GB/s")
    whole = sum(c.seconds for c in timing.costs)
    for c in timing.costs:
        way = c.way.partition(":")[0]
        _row(shown, c.name, [f"{c.op}, {way}" if way else c.op, _ms(c.seconds)], [c], whole, most)
    return shown


def _table(*columns: str) -> Table:
    from rich.table import Table

    shown = Table()
    for i, name in enumerate(columns):
        shown.add_column(name, justify="left" if i == 0 or name == "op" else "right", overflow="fold" if i == 0 else "ellipsis")
    return shown


def _row(shown: Table, name: str, cells: list[str], costs: list[Cost], whole: float, most: Peak) -> None:
    from rich.markup import escape

    from nnspec.view.text import clean

    seconds = sum(c.seconds for c in costs)
    flops, moved = sum(c.flops for c in costs), sum(c.bytes for c in costs)
    rates = [_share(flops, seconds, most.flops), _share(moved, seconds, most.bytes)]
    shown.add_row(escape(clean(name, 200)), *cells, f"{100 * seconds / whole:.1f} %" if whole else "", *rates)


def _stage(costs: list[Cost], stage: str) -> str:
    """The time of a stage; what is neither forward nor backward (losses, updates) stands in the first column."""
    seconds = sum(c.seconds for c in costs if c.stage == stage or (stage == "forward" and c.stage != "backward"))
    return _ms(seconds) if seconds else ""


def _share(amount: float, seconds: float, most: float, unit: str = "") -> str:
    """A rate, and how much of the peak it is."""
    if not amount or not seconds:
        return ""
    rate = amount / seconds
    return f"{_rate(rate)} {unit}".rstrip() + f" ({100 * rate / most:.0f} %)"


def _rate(value: float) -> str:
    return f"{value / 1e9:.3g}" if value >= 1e6 else "0.00"


def _notes() -> Iterator[str]:
    """What makes the times others than this machine's best."""
    load, cores = (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0), os.cpu_count() or 1
    if load > cores + 0.5:
        yield f"the machine is busy (load {load:.1f} on {cores} cores): times are those of what is left of it"
    if forced := os.environ.get("OPENBLAS_CORETYPE"):
        yield f"OPENBLAS_CORETYPE={forced} is set: matrix products run as for that processor, whatever this one is"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def to_json(model: Model, most: Peak, found: list[Timing]) -> dict[str, Any]:
    """Everything that was measured: seconds, bytes, operations."""
    settings = model.spec.settings
    result: dict[str, Any] = {
        "spec": settings.name,
        "backend": model.backend.name,
        "precision": settings.precision,
        "threads": model.threads,
        "machine": {"flops_per_second": most.flops, "bytes_per_second": most.bytes, "how": most.how},
    }
    for t in found:
        result[t.kind] = {
            "rows": t.rows,
            "seconds": t.seconds,
            "least": t.least,
            "first": t.first,
            "rows_per_second": t.rows / t.seconds,
            "flops": t.flops,
            "bytes": t.bytes,
            "memory": {name.replace(" ", "_"): size for name, size in t.memory.items()},
            "layers": [
                {"layer": name, "seconds": sum(c.seconds for c in costs), "flops": sum(c.flops for c in costs), "bytes": sum(c.bytes for c in costs)}
                for name, costs in t.layers().items()
            ],
            "steps": [vars(c) for c in t.costs],
        }
    return result
