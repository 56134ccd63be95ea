"""``nnspec graph``: a drawing of the network, in the form that the file's name asks for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from nnspec.cli.options import read, spec_options, write
from nnspec.errors import Problem, SpecError, one_of

FORMS = {"svg": "svg", "mmd": "mermaid", "dot": "dot", "json": "as_json", "html": "html"}  # suffix to module of nnspec.view
LATER = ("png", "pdf")


@click.command("graph")
@spec_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="net.html (one file to look through), .svg, .mmd (Mermaid), .dot (Graphviz) or .json; by default Mermaid is printed.",
)
@click.option(
    "--level", type=click.Choice(["layers", "ops"]), default="layers", show_default=True, help="What a node is."
)
def command(spec: str, settings: dict[str, str], allowed: tuple[Path, ...], output: str | None, level: str) -> None:
    """Draw the network with shapes and parameters."""
    form = form_of(output)
    if level == "ops":
        raise SpecError(Problem("graph --level ops: not in this version", hint="nnspec plan --source shows every op"))
    drawing = read(spec, settings, allowed).graph
    text: str = import_module(f"nnspec.view.{FORMS[form]}").draw(drawing)
    if output is None or output == "-":
        click.echo(text, nl=not text.endswith("\n"))
        return
    write(output, text)
    click.echo(f"wrote {output}", err=True)


def form_of(output: str | None) -> str:
    """The form that a file's name asks for; raises SpecError where there is none."""
    if output is None or output == "-":
        return "mmd"
    suffix = Path(output).suffix.removeprefix(".").lower()
    if suffix in FORMS:
        return suffix
    if suffix in LATER:
        raise SpecError(
            Problem(
                f"graph as {suffix}: not in this version",
                wanted=one_of(FORMS),
                hint=f"-o {Path(output).with_suffix('.svg')}",
            )
        )
    raise SpecError(
        Problem(
            f"'{output}' does not say what to draw", wanted=f"a name that ends in {', '.join('.' + f for f in FORMS)}"
        )
    )
