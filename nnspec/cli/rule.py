"""``nnspec rule``: the page of a rule of ``nnspec check``, or all of them in a list."""

from __future__ import annotations

from typing import Any

import click

from nnspec.cli.options import json_option, print_json
from nnspec.errors import Problem, SpecError, nearest


@click.command("rule")
@click.argument("rule", required=False, metavar="[RULE]")
@json_option
def command(rule: str | None, as_json: bool) -> int:
    """Explain a rule of nnspec check: why, an example that breaks it, and one that does not.

    RULE is a number (NN012) or a name (bias-before-batch-norm), as check reports it; without one all rules are listed.
    """
    from nnspec.lint import RULES, Rule
    from nnspec.lint.words import WORDS

    if rule is None:
        rows = [_row(r) for r in RULES.values()]
        if as_json:
            print_json(rows)
        else:
            for row in rows:
                click.echo(f"{row['rule']}  {row['severity']:<7}  {row['name']:<26}  {row['summary']}")
        return 0
    found: type[Rule] | None = RULES.get(rule.upper()) or next((r for r in RULES.values() if r.name == rule), None)
    if found is not None:
        if as_json:
            print_json({**_row(found), "page": found.page()})
        else:
            click.echo(found.page(), nl=False)
    elif rule in WORDS:
        if as_json:
            print_json({"rule": rule, "name": rule, "severity": "error", "summary": WORDS[rule]})
        else:
            click.echo(f"# {rule}\n\n{WORDS[rule]} An error: the problem itself says what was found and what was wanted.")
    else:
        known = [*RULES, *(r.name for r in RULES.values()), *WORDS]
        raise SpecError(Problem(f"no rule is called '{rule}'", wanted=f"{next(iter(RULES))} to {[*RULES][-1]}; nnspec rule lists them all",
                                hint=nearest(rule.upper() if rule[:2].upper() == "NN" else rule, known)))  # fmt: skip
    return 0


def _row(rule: Any) -> dict[str, Any]:
    return {"rule": rule.number, "name": rule.name, "severity": rule.severity, "summary": rule.summary(), "fix": rule.fixes}
