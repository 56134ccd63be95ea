"""``nnspec check``: every problem of one or more specs, or a line for each that is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import overrides, print_json, read
from nnspec.errors import NnspecError, Problem

if TYPE_CHECKING:
    from nnspec.compiler import Spec


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@overrides
@click.option("--expand", is_flag=True, help="Print the spec in its canonical spelling, as YAML.")
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
              help="How problems are written; github makes annotations of a workflow.")  # fmt: skip
@click.option("--fix", is_flag=True, help="Mend what is beyond doubt in the files themselves; comments and layout stay.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
def command(
    specs: tuple[str, ...], settings: dict[str, str], allowed: tuple[Path, ...], expand: bool, form: str, fix: bool, diff: bool
) -> int:
    """Check specs: all problems at once, each with its line and what was wanted.

    Nothing is trained, and of data files only what shapes and classes need is read. Exit status 2 where there is any
    problem.
    """
    failures: list[tuple[str, NnspecError]] = []
    for file in specs:
        try:
            if fix or diff:
                _mend(file, settings, allowed, diff, err=form != "text" or expand)
            spec = read(file, settings, allowed)
        except NnspecError as e:
            failures.append((file, e))
            continue
        if expand:
            click.echo(("---\n" if len(specs) > 1 else "") + spec.text, nl=not spec.text.endswith("\n"))
        elif form == "text":
            click.echo(f"{file}: ok ({sizes(spec)})")
    REPORTS[form](failures)
    return 2 if failures else 0


def _mend(file: str, settings: dict[str, str], allowed: tuple[Path, ...], diff: bool, err: bool) -> None:
    from nnspec.cli import mend

    def look() -> tuple[Problem, ...]:
        try:
            read(file, settings, allowed)
        except NnspecError as e:
            return e.problems
        return ()

    mend.fix(file, look, allowed, diff, lambda text: click.echo(text, err=err) if text else None)


def sizes(spec: Spec) -> str:
    """``13 layers, 37,210 parameters``."""
    layers = [data for _, data in spec.built.network.nodes.items() if data["kind"] != "input"]
    parameters = sum(data["parameters"] for data in layers)
    return f"{_many(len(layers), 'layer')}, {_many(parameters, 'parameter')}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _text(failures: list[tuple[str, NnspecError]]) -> None:
    for _, error in failures:
        click.echo(error.render(), err=True)


def _json(failures: list[tuple[str, NnspecError]]) -> None:
    print_json([as_json(file, p) for file, error in failures for p in error.problems])


def as_json(file: str, problem: Problem) -> dict[str, Any]:
    """A problem for tools; one without a place stands at the start of its spec."""
    place = problem.place
    return {
        "file": place.file if place else file,
        "line": place.line if place else 1,
        "column": place.column if place else 1,
        "rule": problem.rule,
        "message": _message(problem),
        "hint": problem.hint,
    }


def _message(problem: Problem) -> str:
    sides = [f"{label} {text}" for label, text in (("found", problem.found), ("wanted", problem.wanted)) if text]
    return f"{problem.message}: {', '.join(sides)}" if sides else problem.message


def _github(failures: list[tuple[str, NnspecError]]) -> None:
    for file, error in failures:
        for p in error.problems:
            row = as_json(file, p)
            place = f"file={_property(row['file'])},line={row['line']},col={row['column']}"
            hint = f". {p.hint}" if p.hint else ""
            click.echo(f"::error {place}::{_data(row['message'] + hint)}")


def _data(text: Any) -> str:
    return str(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: Any) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


REPORTS: dict[str, Callable[[list[tuple[str, NnspecError]]], None]] = {"text": _text, "json": _json, "github": _github}
