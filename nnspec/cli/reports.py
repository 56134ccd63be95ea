"""Problems of ``nnspec check`` as text, JSON, annotations of a workflow, and SARIF."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from nnspec.cli.options import print_json
from nnspec.errors import LIMIT, NnspecError, Problem, printable
from nnspec.records import dataclass

PAGES = "https://github.com/nnspec/nnspec/blob/main/.github/docs/rules/"  # where rules are explained to those who have no terminal open
HOME = "https://github.com/nnspec/nnspec"


@dataclass(frozen=True)
class Checked:
    """What was found in one file: the error that refuses it, or warnings."""

    file: str
    error: NnspecError | None = None
    warnings: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if self.error else self.warnings

    @property
    def severity(self) -> str:
        return "error" if self.error is not None else "warning"


def text(checked: Sequence[Checked]) -> None:
    """As a person reads them, on standard error: an error as every command tells it, a warning by that word."""
    for one in checked:
        if one.error is not None:
            click.echo(one.error.render(), err=True)
        shown = [p.render("warning") for p in one.warnings[: LIMIT if len(one.warnings) > LIMIT + 1 else None]]
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
    print_json([as_json(one, p) for one in checked for p in one.problems])


def as_json(one: Checked, problem: Problem) -> dict[str, Any]:
    """A problem for tools; one without a place stands at the start of its spec. ``edits``, where there are some, together are what --fix would do."""
    edits = [{"file": problem.edits[0].place.file, **edit} for edit in _edits(problem)]
    return {**_row(one, problem), **({"edits": edits} if edits else {})}


def _row(one: Checked, problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file if place else one.file,
        "line": place.line if place else 1,
        "column": place.column if place else 1,
        "rule": problem.rule,
        "message": message(problem),
        "hint": problem.hint,
    }


def _edits(problem: Problem) -> list[dict[str, Any]]:
    """What mends a problem, as places of its file with the text that stands there and the one that should; none where --fix makes none."""
    from nnspec.spec.rewrite import patches

    if not problem.edits or problem.edits[0].place.file.startswith("--set"):
        return []
    text = problem.edits[0].place.source.text
    rows = []
    for patch in patches(problem.edits):
        (line, column), (end_line, end_column) = _at(text, patch.start), _at(text, patch.end)
        rows.append({"line": line, "column": column, "end_line": end_line, "end_column": end_column, "old": text[patch.start : patch.end],
                     "new": patch.text})  # fmt: skip
    return rows


def _at(text: str, offset: int) -> tuple[int, int]:
    """The line and the column of a character."""
    before = text[:offset].splitlines(keepends=True)
    if not before or before[-1] != before[-1].rstrip("\r\n"):
        return len(before) + 1, 1
    return len(before), len(before[-1]) + 1


def message(problem: Problem) -> str:
    """What is wrong, what was found and what was wanted, in one line."""
    sides = [f"{label} {side}" for label, side in (("found", problem.found), ("wanted", problem.wanted)) if side]
    return f"{problem.message}: {', '.join(sides)}" if sides else problem.message


def github(checked: Sequence[Checked]) -> None:
    """Annotations of a workflow, on standard output."""
    for one in checked:
        for p in one.problems:
            row = _row(one, p)
            place = f"file={_property(row['file'])},line={row['line']},col={row['column']}"
            title = f",title={_property(p.rule)}" if p.numbered else ""
            hint = f". {p.hint}" if p.hint else ""
            click.echo(f"::{one.severity} {place}{title}::{_data(row['message'] + hint)}")


def _data(given: Any) -> str:
    """Escaped as workflow commands want it, and with nothing that could drive the terminal of a log."""
    return printable(str(given).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(given: Any) -> str:
    return _data(given).replace(":", "%3A").replace(",", "%2C")


def sarif(checked: Sequence[Checked]) -> None:
    """SARIF 2.1.0, which code scanning reads, on standard output."""
    from importlib.metadata import version

    found = [(one, p) for one in checked for p in one.problems]
    names = sorted({p.rule for _, p in found})
    number = version("nnspec")
    driver = {"name": "nnspec", "version": number, "semanticVersion": number, "informationUri": HOME, "rules": [_rule(name) for name in names]}
    results = [_result(one, p, names.index(p.rule)) for one, p in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    print_json({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


def _rule(name: str) -> dict[str, Any]:
    """What SARIF says of a rule, or of the word of an error."""
    from nnspec.lint import RULES
    from nnspec.lint.words import WORDS

    rule = RULES.get(name)
    short = rule.summary() if rule else WORDS.get(name, "The spec is refused.")
    row: dict[str, Any] = {
        "id": name, "name": rule.name if rule else name, "shortDescription": {"text": short}, "fullDescription": {"text": short},
        "defaultConfiguration": {"level": rule.severity if rule else "error"}, "helpUri": f"{PAGES}{name}.md" if rule else f"{PAGES}README.md",
    }  # fmt: skip
    if rule:
        says = f"{rule.hint[:1].upper()}{rule.hint[1:]}."
        row |= {"fullDescription": {"text": " ".join(rule.why.split())}, "help": {"text": says, "markdown": rule.page()}}
    return row


def _result(one: Checked, problem: Problem, index: int) -> dict[str, Any]:
    row = _row(one, problem)
    hint = f". {problem.hint}" if problem.hint else ""
    region = {"startLine": row["line"], "startColumn": row["column"]}
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": one.severity,
        "message": {"text": row["message"] + hint},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(row["file"]), "region": region}}],
    }
    if edits := _edits(problem):
        ends = {"startLine": "line", "startColumn": "column", "endLine": "end_line", "endColumn": "end_column"}
        replacements = [{"deletedRegion": {key: e[own] for key, own in ends.items()}, "insertedContent": {"text": e["new"]}} for e in edits]
        change = {"artifactLocation": _artifact(problem.edits[0].place.file), "replacements": replacements}
        says = "; ".join(e.says for e in problem.edits if e.says) or "what nnspec check --fix does"
        result["fixes"] = [{"description": {"text": says}, "artifactChanges": [change]}]
    return result


def _artifact(file: str) -> dict[str, str]:
    """A file's address: relative to where the command was called, if it lies there, or absolute."""
    from urllib.parse import quote

    path = Path(file)
    with suppress(ValueError, OSError):
        path = Path(os.path.relpath(path)) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix())}


def many(n: int, what: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


REPORTS: dict[str, Callable[[Sequence[Checked]], None]] = {"text": text, "json": json, "github": github, "sarif": sarif}
