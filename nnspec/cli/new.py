"""``nnspec new``: a starter spec with comments, and its data where it needs a file."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from nnspec.cli.options import write
from nnspec.cli.schema import text as schema_text
from nnspec.errors import Problem, SpecError, nearest, one_of

SCHEMA = "nnspec.schema.json"
FOLDER = Path(__file__).parent / "templates"
TEMPLATES = {
    "perceptron": "one neuron on AND, by Rosenblatt's rule",
    "mlp": "a fully connected network on handwritten digits",
    "cnn": "a convolutional network on handwritten digits",
    "residual": "a residual network of blocks and repeats",
    "tabular": "numbers and categories from a csv file",
}


@click.command("new")
@click.argument("template", required=False, metavar="[TEMPLATE]")
@click.argument("name", required=False, metavar="[NAME]")
def command(template: str | None, name: str | None) -> None:
    """Write a starter spec to NAME.yaml; without a template, list them.

    NAME is the template's own unless it is given. A file that exists is never overwritten. Its first line tells an editor
    with yaml-language-server where the schema lies: nnspec.schema.json beside it, which is written where it is missing.
    """
    if template is None:
        for key, what in TEMPLATES.items():
            click.echo(f"{key:<12} {what}")
        return
    if template not in TEMPLATES:
        raise SpecError(
            Problem(f"no template is called '{template}'", wanted=one_of(TEMPLATES), hint=nearest(template, TEMPLATES))
        )
    spec = Path(name or template)
    spec = spec if spec.suffix in (".yaml", ".yml") else spec.with_name(spec.name + ".yaml")
    files = {spec: FOLDER / f"{template}.yaml"}
    files |= {
        spec.with_name(data.name): data for data in sorted(FOLDER.glob(f"{template}.*")) if data.suffix != ".yaml"
    }
    if there := [str(path) for path in files if path.exists()]:
        raise SpecError(
            Problem(f"{' and '.join(there)} exists already", wanted="a new name", hint=f"nnspec new {template} NAME")
        )
    schema = spec.with_name(SCHEMA)
    for path, source in files.items():
        text = source.read_text("utf-8")
        write(str(path), f"# yaml-language-server: $schema={SCHEMA}\n{text}" if path == spec else text)
    if not schema.exists():
        write(str(schema), schema_text())
    click.echo(f"wrote {' and '.join(map(str, files))}; next: nnspec run {shlex.quote(str(spec))}", err=True)
