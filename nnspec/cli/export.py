"""``nnspec export``: a run as an ONNX model, or its weights as safetensors."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("run", metavar="RUN")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="model.onnx or weights.safetensors.")
@click.option("--which", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which weights of the run.")
@click.option("--raw", is_flag=True, help="ONNX: the network's output as it is, logits instead of probabilities.")
def command(run: str, out: Path, which: str, raw: bool) -> None:
    """Write a run as an ONNX model, or its weights as safetensors, by the ending of FILE.

    The model (opset 21) has the spec's inputs and outputs by their names, and any number of rows. Inputs are prepared ones: how, and the
    classes' names, stand in the model's metadata. The weights are named by their layers; a spec takes them with weights: {from: FILE}.
    """
    from nnspec.runtime.export import check_name, export
    from nnspec.runtime.saving import load_model

    check_name(out)
    model = load_model(run, which=which)
    export(model, out, raw)
    for note in model.notes:
        click.echo(note, err=True)
    if out.suffix == ".onnx" and model.spec.settings.precision == "float64":
        click.echo("the run's precision is float64, in which onnxruntime lacks some ops, convolutions among them", err=True)
    click.echo(f"{out}  {out.stat().st_size:,} bytes")
