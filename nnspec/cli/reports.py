"""Problems of ``nnspec check`` as text, JSON, annotations of a workflow, and SARIF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import click

from nnspec.cli.options import print_json
from nnspec.errors import LIMIT, NnspecError, Problem
from nnspec.records import dataclass, replace


@dataclass(frozen=True)
class Checked:
    """What was found in one file: the error that refuses it, or warnings."""

    file: str
    error: NnspecError | None = None
    warnings: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if self.error else self.warnings


def text(checked: Sequence[Checked]) -> None:
    """As a person reads them, on standard error."""
    for one in checked:
        if one.error is not None:
            click.echo(one.error.render(), err=True)
        shown = [replace(p, message=f"{p.rule} {p.message}").render() for p in one.warnings[: LIMIT if len(one.warnings) > LIMIT + 1 else None]]
        for part in shown:
            click.echo(part, err=True)
        if len(shown) < len(one.warnings):
            click.echo(f"… and {len(one.warnings) - len(shown)} more", err=True)
    rules = sorted({p.rule for one in checked for p in one.warnings})
    if rules:
        total = sum(len(one.warnings) for one in checked)
        more = ", …" if len(rules) > 6 else ""
        click.echo(f"{many(total, 'warning')}: {', '.join(rules[:6])}{more} (nnspec rule {rules[0]} explains)", err=True)


def json(checked: Sequence[Checked]) -> None:
    """A list of all of them, on standard output."""
    print_json([as_json(one.file, p) for one in checked for p in one.problems])


def as_json(file: str, problem: Problem) -> dict[str, Any]:
    """A problem for tools; one without a place stands at the start of its spec."""
    place = problem.place
    return {
        "file": place.file if place else file,
        "line": place.line if place else 1,
        "column": place.column if place else 1,
        "rule": problem.rule,
        "message": message(problem),
        "hint": problem.hint,
    }


def message(problem: Problem) -> str:
    """What is wrong, what was found and what was wanted, in one line."""
    sides = [f"{label} {side}" for label, side in (("found", problem.found), ("wanted", problem.wanted)) if side]
    return f"{problem.message}: {', '.join(sides)}" if sides else problem.message


def github(checked: Sequence[Checked]) -> None:
    """Annotations of a workflow, on standard output."""
    for one in checked:
        level = "error" if one.error is not None else "warning"
        for p in one.problems:
            row = as_json(one.file, p)
            place = f"file={_property(row['file'])},line={row['line']},col={row['column']}"
            title = f",title={_property(p.rule)}" if one.error is None else ""
            hint = f". {p.hint}" if p.hint else ""
            click.echo(f"::{level} {place}{title}::{_data(row['message'] + hint)}")


def _data(given: Any) -> str:
    return str(given).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(given: Any) -> str:
    return _data(given).replace(":", "%3A").replace(",", "%2C")


def sarif(checked: Sequence[Checked]) -> None:
    """SARIF 2.1.0, which code scanning reads, on standard output."""
    from importlib.metadata import version

    from nnspec.lint import RULES
    from nnspec.lint.words import WORDS

    found = [(one, p) for one in checked for p in one.problems]
    names = sorted({p.rule for _, p in found})
    rules = []
    for name in names:
        rule = RULES.get(name)
        short = rule.summary() if rule else WORDS.get(name, "The spec is refused.")
        row: dict[str, Any] = {"id": name, "shortDescription": {"text": short}, "fullDescription": {"text": short},
                               "defaultConfiguration": {"level": rule.severity if rule else "error"}}  # fmt: skip
        if rule:
            row |= {"name": rule.name, "fullDescription": {"text": " ".join(rule.why.split())}, "help": {"text": rule.hint, "markdown": rule.page()}}
        rules.append(row)
    driver = {"name": "nnspec", "version": version("nnspec"), "rules": rules}
    results = [_result(one, p, names.index(p.rule)) for one, p in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    print_json({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


def _result(one: Checked, problem: Problem, index: int) -> dict[str, Any]:
    row = as_json(one.file, problem)
    hint = f". {problem.hint}" if problem.hint else ""
    region = {"startLine": row["line"], "startColumn": row["column"]}
    return {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": "error" if one.error is not None else "warning",
        "message": {"text": row["message"] + hint},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(row["file"])}, "region": region}}],
    }


def _uri(file: str) -> str:
    """A file's address: relative as it was given, or absolute."""
    from urllib.parse import quote

    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def many(n: int, what: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


REPORTS: dict[str, Callable[[Sequence[Checked]], None]] = {"text": text, "json": json, "github": github, "sarif": sarif}
