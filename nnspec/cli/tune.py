"""``nnspec tune``: times the ways that a spec's calls can go on this machine, and writes a file that ``--tune`` takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import Folder, backend_name, backend_option, json_option, print_json, read, spec_options, write
from nnspec.errors import DataError, Problem, SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from nnspec.runtime.bench import Kind
    from nnspec.runtime.session import Model
    from nnspec.runtime.tune import Gain, Tuned

SUFFIX = ".tune.yaml"
WIDTH = 140  # of a table that is not shown on a terminal
ROWS = 20  # of the table


@click.command("tune")
@spec_options
@backend_option
@click.option("-o", "--out", type=Folder, metavar="FILE", help="What is written; by default SPEC.tune.yaml beside the spec.")
@click.option("--batch", type=click.IntRange(1, 1 << 20), metavar="N", help="Rows of a batch; by default the spec's.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="The length of a named axis.")
@click.option("--threads", type=click.IntRange(min=1, max=1024), metavar="N", help="By default the spec's, else one a core.")
@click.option("--only", type=click.Choice(["train", "infer"]), help="Training steps (with what they are measured by), or answers.")
@click.option(
    "--seconds", type=click.FloatRange(0.0, 3600.0), default=20.0, show_default=True, metavar="S", help="About how long; four turns at least."
)
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, out: Path | None, batch: int | None, axes: tuple[str, ...],
    threads: int | None, only: str | None, seconds: float, as_json: bool,
) -> None:  # fmt: skip
    """Time the ways that calls can be computed, and write the fastest.

    The programs of a training step, of the evaluation of its other rows, and of an answer run in several variants, their steps under
    the clock. The file is for this machine: `nnspec run SPEC --tune FILE` takes it, the run's folder keeps it, and what resumes the run
    goes by it. Choices of a program whose whole step gains nothing are left to the cost model.
    """
    parsed = read(spec, settings, allowed)
    path = target(spec) if out is None else out
    check_target(path)

    from nnspec.cli.plan import timed
    from nnspec.cli.traced import trains
    from nnspec.runtime.bench import rows
    from nnspec.runtime.session import compile
    from nnspec.runtime.tune import tune

    sizes = timed(parsed, axes, only)
    parsed = parsed.with_(batch_size=batch)
    model = compile(parsed.fold(1) if parsed.folds else parsed, backend=backend_name(backend, parsed), threads=threads, weights=False)
    given = rows(model, sizes)
    n = len(next(iter(given.values())))
    wanted: list[tuple[Kind, int]] = []
    if only != "infer" and trains(parsed):
        wanted += [("train", n), *(("score", count) for count in scored(model))]
    if only != "train":
        wanted.append(("infer", n))
    with telling() as say:
        found = tune(model, given, wanted, seconds, say)
    write(str(path), found.tuning.text())
    if as_json:
        print_json(to_json(found, path))
        return

    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    if shown := faster(found):
        console.print(table(found, shown[:ROWS]))
    for line in (*map(said, found.gains), *closing(found, path, model.backend.name)):
        console.print(line, markup=False, soft_wrap=True)


def target(spec: str) -> Path:
    """``lenet.tune.yaml`` of ``lenet.yaml``."""
    path = Path(spec)
    return path.with_name((path.stem if path.suffix in (".yaml", ".yml") else path.name) + SUFFIX)


def check_target(path: Path) -> None:
    """Raises SpecError where a file of something else would be lost, or none can be written: before anything is timed."""
    from nnspec.codegen.tuning import read_tuning

    if path.is_dir() or not path.parent.is_dir():
        found = "this is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise SpecError(Problem(f"{path} cannot be written", found=found, wanted="the name of a file", hint="-o FILE"))
    if not path.is_file():
        return
    try:
        read_tuning(path)
    except DataError as e:
        first = path.read_bytes()[:200]
        if first.strip() and b"nnspec tune" not in first:
            raise SpecError(Problem(f"{path} holds something else", found=e.problems[0].message, wanted="a new file, or one of nnspec tune",
                                    hint="-o FILE")) from None


def scored(model: Model) -> list[int]:
    """How many rows are scored at a time, for each split that training measures; different numbers once."""
    from nnspec.runtime.answers import CHUNK
    from nnspec.runtime.loading import dataset

    if model.spec.document.data is None:
        return []
    splits = dataset(model).splits
    return sorted({min(CHUNK, splits[name].size) for name in ("validation", "test") if name in splits and splits[name].size})


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Shows where it is: live on a terminal, elsewhere a line for each program."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("compiling") as status:
            yield status.update
        return
    seen: set[str] = set()

    def once(text: str) -> None:
        head = text.partition(":")[0]
        if head not in seen:
            seen.add(head)
            click.echo(f"timing: {head}", err=True)

    yield once


def faster(found: Tuned) -> list[str]:
    """The calls that another way than the cost model's is faster for, those first that a step would gain most by."""
    calls = found.tuning.calls
    best = {text: min(t.milliseconds.values()) for text, t in calls.items()}
    lost = {text: found.times[text] * (t.milliseconds[t.model] - best[text]) for text, t in calls.items()}
    return sorted((text for text, t in calls.items() if best[text] < t.milliseconds[t.model]), key=lambda text: -lost[text])


def table(found: Tuned, texts: list[str]) -> Table:
    """A row a call: where, how often, what the cost model chose, what is the fastest, and what that gains in a step."""
    from rich.markup import escape
    from rich.table import Table

    from nnspec.view.text import clean

    shown = Table()
    for name in ("layer", "call", "times", "cost model", "ms", "fastest", "ms", "gain ms"):
        shown.add_column(name, justify="right" if name in ("times", "ms", "gain ms") else "left", overflow="fold" if name != "call" else "ellipsis")
    for text in texts:
        t = found.tuning.calls[text]
        times, best = found.times[text], min(t.milliseconds, key=lambda name: t.milliseconds[name])
        gain = times * (t.milliseconds[t.model] - t.milliseconds[t.way])
        layers = t.layers[0] + (f" and {len(t.layers) - 1} more" if len(t.layers) > 1 else "")
        op, _, types = text.partition(" of ")
        what = f"{op.partition('(')[0]} {types.replace('float32', '')}"
        fastest = best if t.way == best else f"{best}, not taken"
        cells = [layers, what, str(times), t.model, _ms(t.milliseconds[t.model]), fastest, _ms(t.milliseconds[best]), _ms(gain) if gain else ""]
        shown.add_row(*(escape(clean(cell, 200)) for cell in cells))
    return shown


def said(g: Gain) -> str:
    """``training step of 64 rows: 52.1 ms by the cost model, 48.9 ms tuned (6.1 % less)``."""
    share = 100 * (1 - g.after / g.before)
    less = f"{share:.1f} % less" if share >= 0 else f"{-share:.1f} % more"
    left = "" if g.taken else ": left to the cost model"
    return f"{g.kind} of {g.rows} rows: {_ms(1e3 * g.before)} ms by the cost model, {_ms(1e3 * g.after)} ms with the fastest ways ({less}){left}"


def closing(found: Tuned, path: Path, backend: str = "numpy") -> Iterator[str]:
    """What was written, and what takes it."""
    calls = found.tuning.calls.values()
    changed = sum(t.way != t.model for t in calls)
    if not calls:
        yield "nothing to choose: every call goes one way here"
    else:
        close = len(faster(found)) - changed
        more = f"; for {close} another is faster, but not by enough to tell" if close else ""
        yield f"{changed} of {len(calls)} calls go another way than the cost model's{more}"
    where = "" if backend == "numpy" else f" --backend {backend}"
    yield f"written to {path}: nnspec run SPEC{where} --tune {path}"


def to_json(found: Tuned, path: Path) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "file": str(path),
        "machine": dict(found.tuning.machine),
        "threads": found.tuning.threads,
        "programs": [{"kind": g.kind, "rows": g.rows, "seconds_before": g.before, "seconds_after": g.after, "taken": g.taken} for g in found.gains],
        "calls": [
            {
                "call": t.call,
                "layers": list(t.layers),
                "times": found.times[text],
                "model": t.model,
                "way": t.way,
                "milliseconds": dict(t.milliseconds),
            }
            for text, t in found.tuning.calls.items()
        ],
    }


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3g}"
