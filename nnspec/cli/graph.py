"""``nnspec graph``: a drawing of one network or several, in the form that the file's name asks for."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnspec.cli.options import backend_name, backend_option, overrides, read, write
from nnspec.errors import Problem, SpecError, one_of

if TYPE_CHECKING:
    from nnspec.compiler import Spec
    from nnspec.network.graph import LayerGraph

FORMS = {  # suffix to module of nnspec.view
    "svg": "svg", "png": "png", "mmd": "mermaid", "dot": "dot", "json": "as_json", "html": "html", "txt": "tree",
}  # fmt: skip
NAMES = {"text": "txt", "mermaid": "mmd"}  # of --format, where they are not the suffix
ALSO = {"gv": "dot", "mermaid": "mmd", "text": "txt"}  # suffixes for the same
LATER = ("pdf", "ps")
FILES = 120  # columns of a drawing in text that goes to a file


@click.command("graph")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@overrides
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="net.html (one file to look through), .svg, .png, .mmd (Mermaid), .dot (Graphviz), .json or .txt."
    " Without it a terminal shows text, and a pipe gets Mermaid.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([*(form for form in FORMS if form not in NAMES.values()), *NAMES]),
    help="The form, where the file's name does not say it.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Dots of a PNG for a unit of the SVG; 2, or less where that is too large.",
)
@click.option(
    "--level", type=click.Choice(["layers", "ops"]), default="layers", show_default=True, help="What a node is: a layer, or a step of the program."
)
@backend_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Of ops: rows of a batch; by default the spec's.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="Of ops: the length of a named axis.")
@click.option("--predict", is_flag=True, help="Of ops: the program of an answer, not that of a training step.")
def command(
    specs: tuple[str, ...], settings: dict[str, str], allowed: tuple[Path, ...], output: str | None, form: str | None,
    scale: float | None, level: str, backend: str, batch: int | None, axes: tuple[str, ...], predict: bool,
) -> None:  # fmt: skip
    """Draw the network with shapes and parameters; several specs side by side."""
    chosen = form_of(output, form)
    if scale is not None and chosen != "png":
        raise click.BadParameter("only a PNG has dots", param_hint="--scale")
    if level == "layers" and (batch or axes or predict or backend != "auto"):
        raise click.UsageError("--backend, --batch, --axis and --predict are of a program: --level ops")
    read_specs = [read(spec, settings, allowed) for spec in specs]
    if level == "ops":
        graphs = [program_of(spec, backend, batch, axes, predict) for spec in read_specs]
    else:
        graphs = [spec.graph for spec in read_specs]
    data = drawing(chosen, graphs, output, scale)
    if output is None or output == "-":
        if isinstance(data, bytes) and sys.stdout.isatty():
            raise SpecError(Problem("a PNG is nothing that a terminal shows", wanted="a file or a pipe", hint="-o net.png"))
        if isinstance(data, bytes):
            sys.stdout.buffer.write(data)
        elif chosen == "txt":
            click.echo(data, nl=not data.endswith("\n"))
        else:  # files are UTF-8, whatever letters the terminal has
            click.echo(data.encode(), nl=not data.endswith("\n"))
        return
    write(output, data)
    click.echo(f"wrote {output}", err=True)


def program_of(spec: Spec, backend: str, batch: int | None, axes: tuple[str, ...], predict: bool) -> LayerGraph:
    """The program of ``nnspec plan`` as a graph."""
    from nnspec.cli.plan import lengths
    from nnspec.cli.traced import kept, open_axes, passed, trace
    from nnspec.codegen.backend import load_backend
    from nnspec.view.program import graph_of

    device = load_backend(backend_name(backend, spec))
    sizes = lengths(axes, open_axes(spec))
    traced = trace(spec, batch or spec.settings.batch_size, sizes, predict)
    stages = list(passed(traced, device, spec.settings.strict))
    return graph_of(kept(spec, stages, device).program, device.choice)


def drawing(form: str, graphs: list[LayerGraph], output: str | None, scale: float | None) -> str | bytes:
    """The drawing as text, or as the bytes of a PNG."""
    module = import_module(f"nnspec.view.{FORMS[form]}")
    if form == "png":
        data, found = module.draw(*graphs, scale=scale)
        if scale is None and found < module.SCALE:
            click.echo(f"drawn at a scale of {found:.2f}, not {module.SCALE:g}: the picture is large; as .svg it has no dots", err=True)
        return bytes(data)
    if form == "txt":
        return str(module.draw(*graphs, columns=_columns(output), plain=output in (None, "-") and not _draws_boxes()))
    return str(module.draw(*graphs))


def _columns(output: str | None) -> int:
    """As wide as the terminal where one is looked at."""
    import shutil

    return shutil.get_terminal_size((FILES, 24)).columns if output in (None, "-") else FILES


def _draws_boxes() -> bool:
    """Whether what reads standard output has letters for lines."""
    try:
        "┼╰▶│…·".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def form_of(output: str | None, form: str | None = None) -> str:
    """The form that ``--format`` or a file's name asks for; raises SpecError where there is none."""
    if form is not None:
        return NAMES.get(form, form)
    if output is None or output == "-":
        return "txt" if sys.stdout.isatty() else "mmd"
    suffix = Path(output).suffix.removeprefix(".").lower()
    suffix = ALSO.get(suffix, suffix)
    if suffix in FORMS:
        return suffix
    if suffix in LATER:
        raise SpecError(Problem(f"graph as {suffix}: not in this version", wanted=one_of(FORMS), hint=f"-o {Path(output).with_suffix('.svg')}"))
    raise SpecError(
        Problem(
            f"'{output}' does not say what to draw",
            wanted=f"a name that ends in {', '.join('.' + f for f in FORMS)}",
            hint="or say it: --format svg",
        )
    )
