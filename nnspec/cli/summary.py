"""``nnspec summary``: a line a layer with shape, parameters and FLOPs, and what a training step takes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nnspec.cli.options import json_option, print_json, read, spec_options

WIDTH = 120  # of a table that is not shown on a terminal


@click.command("summary")
@spec_options
@click.option("--depth", type=click.IntRange(0), metavar="N", help="Open blocks to this depth; 0 is a row for each of the outermost.")
@json_option
def command(spec: str, settings: dict[str, str], allowed: tuple[Path, ...], depth: int | None, as_json: bool) -> None:
    """Layers with output shapes, parameters and FLOPs; the memory of a training step.

    Bars show what of the parameters and FLOPs each layer has, where the width allows. No parameter is allocated.
    FLOPs are twice the multiply-adds of one row forward; shapes leave the batch out.
    """
    parsed = read(spec, settings, allowed)

    from nnspec.cli.traced import open_axes, passed, planned, trace, trains
    from nnspec.codegen.backend import load_backend
    from nnspec.view import summary

    network, batch = parsed.built.network, parsed.settings.batch_size
    layers = summary.Layers(network.name, network.nodes)
    memory: int | None = None
    if trains(parsed) and not open_axes(parsed):
        backend = load_backend("numpy")
        memory = planned(parsed, list(passed(trace(parsed, batch, {}), backend, parsed.settings.strict)), backend).peak
    if as_json:
        print_json(summary.as_json(layers, memory))
        return

    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    unicode = (console.encoding or "").lower().startswith("utf")
    console.print(summary.table(layers, memory, batch if memory is not None else None, depth, _bar(console.width), not unicode))


def _bar(width: int) -> int:
    """How long bars are on a terminal of this width: beside names and shapes there is room for them from 100 letters on."""
    return 0 if width < 100 else min(12, (width - 80) // 4)
