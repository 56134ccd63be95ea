"""``nnspec import``: an ONNX model as a spec that a person can read and edit, with its weights beside it."""

from __future__ import annotations

from pathlib import Path

import click

from nnspec.cli.options import Folder


def _lengths(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        if not name or not number.isascii() or not number.isdigit() or not 0 < int(number) <= 10_000_000:
            raise click.BadParameter(f"'{text}' is not NAME=N")
        found[name] = int(number)
    return found


@click.command("import")
@click.argument("file", type=Folder, metavar="FILE")
@click.option("-o", "--out", required=True, type=Folder, metavar="DIR", help="The folder; it is made where it is not there.")
@click.option("--channels-last", is_flag=True, help="Inputs of images take (height, width, channels), whatever the model takes.")
@click.option("--axis", "axes", multiple=True, callback=_lengths, metavar="NAME=N", help="The length of an axis that the model leaves open.")
@click.option("--external-data", is_flag=True, help="Read tensors from files beside FILE; otherwise no other file is opened.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def command(file: Path, out: Path, channels_last: bool, axes: dict[str, int], external_data: bool, force: bool) -> None:
    """Raise an ONNX model to a spec.

    DIR/NAME.yaml has layers for the model's nodes, blocks where they repeat, and inputs in the model's own order of axes; DIR/NAME.safetensors
    has the weights. Both go wherever a spec goes: nnspec check, graph, predict from Python, and run once data and a loss are added.
    """
    from nnspec.runtime.imported import import_onnx

    for path in import_onnx(file, out, channels_last, force, external_data, axes):
        click.echo(f"{path}  {path.stat().st_size:,} bytes")
