"""``nnspec compare``: runs side by side, what they differ in and what they have reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import json_option, print_json, write
from nnspec.errors import Problem, SpecError, nearest, one_of, printable

if TYPE_CHECKING:
    from nnspec.runtime.comparison import Side

SHOWN = 40  # rows of a table, and characters of a value
NOTHING = "-"


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--metric", "--curve", "metrics", multiple=True, metavar="METRIC",
              help="Draw this metric over the epochs, as validation.loss; on a terminal by default the loss.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Curves over each other as a picture: curves.svg.")
@json_option
def command(runs: tuple[str, ...], metrics: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """Say what two or more runs differ in, and what each has reached.

    Keys of the spec are those that --set takes. A metric is that of the last epoch, with the best of any epoch and its
    number behind it; an asterisk marks the best run. Runs that are not at their end are compared as far as they are. With -o
    every metric has a panel, or those that --metric names.
    """
    if not 2 <= len(runs) <= len(ascii_uppercase):
        raise SpecError(Problem("runs are compared with each other", found=f"{len(runs)}", wanted=f"two to {len(ascii_uppercase)}"))

    from nnspec.runtime.comparison import compared, look

    sides = [look(Path(run)) for run in runs]
    content = compared(sides)
    drawn = _chosen(sides, metrics, as_json)
    if output is not None:
        _picture(sides, metrics, output)
    if as_json:
        print_json(content)
        return
    coloured = _blocks() and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for line in report(sides, content, () if coloured else drawn):
        click.echo(printable(line))
    if coloured:
        _plots(sides, drawn)


def _chosen(sides: Sequence[Side], wanted: tuple[str, ...], as_json: bool) -> tuple[str, ...]:
    """The metrics that are drawn, if any are."""
    known = dict.fromkeys(name for side in sides for row in side.history for name in row if "." in name)
    for name in wanted:
        if name not in known:
            raise SpecError(Problem(f"no run has measured '{name}' at its epochs", wanted=one_of(known) if known else "runs of at least one epoch",
                                    hint=nearest(name, known)))  # fmt: skip
    default = [name for name in ("validation.loss", "train.loss") if name in known][:1] if _blocks() and sys.stdout.isatty() else []
    return () if as_json else wanted or tuple(default)


def _blocks() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def _picture(sides: Sequence[Side], wanted: tuple[str, ...], output: str) -> None:
    from nnspec.view import overlay

    if not output.lower().endswith(".svg"):
        raise SpecError(Problem(f"'{output}' does not say what to draw", wanted="a name that ends in .svg", hint="-o curves.svg"))
    letters = ascii_uppercase[: len(sides)]
    shown = overlay.panels({f"{letter} {side.path}": side.history for letter, side in zip(letters, sides, strict=True)}, wanted)
    if not shown:
        raise SpecError(Problem("no run has measured anything yet", wanted="runs of at least one epoch"))
    write(output, overlay.draw(shown))
    click.echo(f"wrote {output}", err=True)


def report(sides: Sequence[Side], content: Mapping[str, Any], drawn: Sequence[str]) -> Iterator[str]:
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
    for metric in drawn:
        yield from _curves(sides, metric, letters)


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


def _plots(sides: Sequence[Side], drawn: Sequence[str]) -> None:
    """The same curves over each other in colours."""
    from rich.console import Console
    from rich.text import Text

    from nnspec.view.braille import STYLES, plot

    console = Console(highlight=False)
    for metric in drawn:
        series = [[row.get(metric, float("nan")) for row in side.history] for side in sides]
        console.print(Text(f"{metric} over the epochs", style="bold"))
        for row in plot(series, max(20, min(console.width - 14, 100))):
            console.print(row, no_wrap=True)
        for n, (letter, side) in enumerate(zip(ascii_uppercase, sides, strict=False)):
            console.print(Text.assemble(("  ⣿ ", STYLES[n % len(STYLES)]), f"{letter}  {printable(str(side.path))}"), no_wrap=True)


def _cell(value: Any) -> str:
    text = NOTHING if value is None else value if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A title row, the others indented below it, and a blank line behind."""
    cells = [[row[0] if i == 0 else f"  {row[0]}", *row[1:]] for i, row in enumerate(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
