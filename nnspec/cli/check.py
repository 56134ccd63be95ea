"""``nnspec check``: every problem of one or more specs, or a line for each that is right."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnspec.cli.options import overrides, read
from nnspec.cli.reports import REPORTS, Checked, many
from nnspec.errors import NnspecError, Problem, SpecError

if TYPE_CHECKING:
    from nnspec.compiler import Spec


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@overrides
@click.option("--expand", is_flag=True, help="Print the spec in its canonical spelling, as YAML.")
@click.option("--format", "form", type=click.Choice(list(REPORTS)), default="text", show_default=True,
              help="How problems are written; github makes annotations of a workflow, sarif is for code scanning.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 1 where there are warnings.")
@click.option("--fix", is_flag=True, help="Mend what is beyond doubt in the files that are named; comments and layout stay.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
def command(
    specs: tuple[str, ...], settings: dict[str, str], allowed: tuple[Path, ...], expand: bool, form: str, strict: bool, fix: bool, diff: bool
) -> int:
    """Check specs: all problems at once, each with its line and what was wanted; then what is no error, and yet a mistake.

    Nothing is trained, and of data files only what shapes and classes need is read. Exit status 2 where there is any
    error; warnings leave it 0 unless --strict. nnspec rule NUMBER explains a warning, and how a spec silences it.
    """
    if settings and (fix or diff):
        raise SpecError(Problem("--fix and --diff are about files as they stand, and --set changes what is checked",
                                found=f"--set {next(iter(settings))}=…", wanted="one of them", rule="set"))  # fmt: skip

    from nnspec.lint import lint, silenced

    checked: list[Checked] = []
    for file in specs:
        try:
            if fix or diff:
                _mend(file, allowed, diff, err=form != "text" or expand)
            spec = read(file, settings, allowed)
            warnings = tuple(lint(spec))
        except NnspecError as e:
            checked.append(Checked(file, e))
            continue
        checked.append(Checked(file, warnings=warnings))
        if expand:
            click.echo(("---\n" if len(specs) > 1 else "") + silenced(spec) + spec.text, nl=not spec.text.endswith("\n"))
        elif form == "text":
            click.echo(f"{file}: {many(len(warnings), 'warning') if warnings else 'ok'} ({sizes(spec)})")
    REPORTS[form](checked)
    if form == "text" and not (fix or diff) and (n := sum(map(mendable, checked))):
        click.echo(f"{n:,} of these can be mended: nnspec check --fix (--diff shows it)", err=True)
    if any(one.error for one in checked):
        return 2
    return int(strict and any(one.warnings for one in checked))


def mendable(one: Checked) -> int:
    """How many problems of a file carry edits."""
    return sum(bool(p.edits) for p in (one.error.problems if one.error else one.warnings))


def _mend(file: str, allowed: tuple[Path, ...], diff: bool, err: bool) -> None:
    from nnspec.cli import mend
    from nnspec.lint import lint

    def look() -> mend.Seen:
        try:
            return mend.Seen(warnings=tuple(lint(read(file, {}, allowed))))
        except NnspecError as e:
            return mend.Seen(e.problems)

    mend.fix(file, look, allowed, diff, lambda text: click.echo(text, err=err) if text else None)


def warned(file: str, spec: Spec) -> None:
    """A line on standard error where check would warn of a spec."""
    from nnspec.lint import lint

    with suppress(NnspecError):
        if found := len(lint(spec)):
            click.echo(f"{many(found, 'warning')}: nnspec check {file}", err=True)


def sizes(spec: Spec) -> str:
    """``13 layers, 37,210 parameters``."""
    layers = [data for _, data in spec.built.network.nodes.items() if data["kind"] != "input"]
    parameters = sum(data["parameters"] for data in layers)
    return f"{many(len(layers), 'layer')}, {many(parameters, 'parameter')}"
