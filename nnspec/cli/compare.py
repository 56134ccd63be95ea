"""``nnspec compare``: runs side by side, what they differ in and what they have reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import json_option, print_json
from nnspec.errors import Problem, SpecError, nearest, one_of, printable

if TYPE_CHECKING:
    from nnspec.runtime.comparison import Side

SHOWN = 40  # rows of a table, and characters of a value
NOTHING = "-"


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--curve", metavar="METRIC", help="Draw this metric over the epochs; on a terminal by default the loss.")
@json_option
def command(runs: tuple[str, ...], curve: str | None, as_json: bool) -> None:
    """Say what two or more runs differ in, and what each has reached.

    Keys of the spec are those that --set takes. A metric is that of the last epoch, with the best of any epoch and its
    number behind it; an asterisk marks the best run. Runs that are not at their end are compared as far as they are.
    """
    if not 2 <= len(runs) <= len(ascii_uppercase):
        raise SpecError(Problem("runs are compared with each other", found=f"{len(runs)}", wanted=f"two to {len(ascii_uppercase)}"))

    from nnspec.runtime.comparison import compared, look

    sides = [look(Path(run)) for run in runs]
    content = compared(sides)
    drawn = _curve(sides, curve, as_json)
    if as_json:
        print_json(content)
        return
    for line in report(sides, content, drawn):
        click.echo(printable(line))


def _curve(sides: Sequence[Side], wanted: str | None, as_json: bool) -> str | None:
    """The metric that is drawn, if one is."""
    known = dict.fromkeys(name for side in sides for row in side.history for name in row if "." in name)
    if wanted is not None and wanted not in known:
        raise SpecError(Problem(f"no run has measured '{wanted}' at its epochs", wanted=one_of(known) if known else "runs of at least one epoch",
                                hint=nearest(wanted, known)))  # fmt: skip
    blocks = (sys.stdout.encoding or "").lower().startswith("utf") and sys.stdout.isatty()
    default = next((name for name in ("validation.loss", "train.loss") if name in known), None) if blocks else None
    return None if as_json else wanted or default


def report(sides: Sequence[Side], content: Mapping[str, Any], drawn: str | None) -> Iterator[str]:
    """The comparison as a person reads it."""
    letters = ascii_uppercase[: len(sides)]
    for letter, side, run in zip(letters, sides, content["runs"], strict=True):
        count = f"{run['parameters']:,} parameters" if run["parameters"] is not None else "no weights yet"
        epochs = f"{run['epochs']} epoch{'' if run['epochs'] == 1 else 's'}, " if side.history else ""
        yield f"{letter}  {side.path}  {epochs}{count}{f', {side.stop}' if side.stop else ''}"
    yield ""
    yield from _section("spec", content["spec"], letters)
    shapes = {name: [None if v is None else " x ".join(map(str, v)) or "scalar" for v in row] for name, row in content["parameters"].items()}
    yield from _section("parameters", shapes, letters)
    data = {name: [None if v is None else str(v)[:8] for v in row] for name, row in content["data"].items()}
    yield from _section("rows (digests)", data, letters)
    yield from _section("environment", content["environment"], letters)
    yield from _metrics(content["metrics"], letters)
    if drawn is not None:
        yield from _curves(sides, drawn, letters)


def _section(title: str, rows: Mapping[str, Sequence[Any]], letters: Sequence[str]) -> Iterator[str]:
    if not rows:
        yield f"{title}: no difference"
        return
    cells = [[key, *(_cell(value) for value in row)] for key, row in list(rows.items())[:SHOWN]]
    yield from _table([[title, *letters], *cells])
    if len(rows) > SHOWN:
        yield f"  … {len(rows) - SHOWN} more"


def _metrics(rows: Mapping[str, Sequence[Mapping[str, Any] | None]], letters: Sequence[str]) -> Iterator[str]:
    from nnspec.runtime.comparison import winners

    cells = []
    for name, row in rows.items():
        first = winners(row, name)
        cells.append([name, *(_metric(cell, i in first) for i, cell in enumerate(row))])
    yield from _table([["metrics", *letters], *cells]) if cells else ["metrics: none yet"]


def _metric(cell: Mapping[str, Any] | None, first: bool) -> str:
    """``0.98*, best 0.99 at 12``, or with folds ``0.98* ± 0.01``."""
    if cell is None:
        return NOTHING
    text = f"{cell['last']:.6g}{'*' if first else ''}"
    if "deviation" in cell:
        return f"{text} ± {cell['deviation']:.3g}"
    return text if cell["best"] in (None, cell["last"]) else f"{text}, best {cell['best']:.6g} at {cell['epoch']}"


def _curves(sides: Sequence[Side], metric: str, letters: Sequence[str]) -> Iterator[str]:
    from nnspec.view.spark import lines

    series = [[row.get(metric, float("nan")) for row in side.history] for side in sides]
    yield f"{metric} over the epochs"
    for letter, line, values in zip(letters, lines(series), series, strict=True):
        ends = f"{values[0]:.4g} to {values[-1]:.4g}" if values else "no epoch yet"
        yield f"  {letter}  {line}  {ends}"


def _cell(value: Any) -> str:
    text = NOTHING if value is None else value if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A title row, the others indented below it, and a blank line behind."""
    cells = [[row[0] if i == 0 else f"  {row[0]}", *row[1:]] for i, row in enumerate(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
