"""``nnspec evaluate``: loss and metrics of a run on its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import json_option, print_json
from nnspec.cli.tables import lines
from nnspec.errors import Problem, SpecError, one_of

if TYPE_CHECKING:
    from nnspec.data.column import Array

SPLITS = ("train", "validation", "test")


@click.command("evaluate")
@click.argument("run", metavar="RUN")
@click.option(
    "--which", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which weights of the run."
)
@click.option("--split", type=click.Choice(SPLITS), help="Which rows; by default test, else validation.")
@json_option
def command(run: str, which: str, split: str | None, as_json: bool) -> None:
    """Loss and metrics of a run on its test split (else validation).

    The rows are read again from where the run's spec said they are.
    """
    from nnspec.runtime.loading import assembled, dataset
    from nnspec.runtime.saving import load_model

    model = load_model(run, which=which)
    for note in model.notes:
        click.echo(note, err=True)
    record = record_of(Path(run))
    splits = dataset(model).splits
    chosen = split or next((name for name in ("test", "validation") if name in splits), None)
    if chosen is None or chosen not in splits:
        raise SpecError(
            Problem(
                f"the data has no {chosen or 'test or validation'} split", wanted=one_of(splits), hint="--split train"
            )
        )
    arrays = assembled(model, splits[chosen]).arrays
    warn_of_changes(arrays, chosen, record)
    scores = model.score(arrays)
    metrics = {f"{chosen}.{name}": value for name, value in scores.items()}
    tables = {f"{chosen}.{name}": table for name, table in scores.tables.items()}
    if as_json:
        print_json({"run": run, "metrics": metrics, **({"tables": tables} if tables else {})})
        return
    for name, value in metrics.items():
        click.echo(f"{name:<24} {value:.6g}")
    classes = {f"{chosen}.{t.term.name}": t.classes for t in model.spec.built.metrics}
    for name, table in tables.items():
        click.echo("\n".join((name, *lines(table, classes.get(name)))))


def record_of(run: Path) -> dict[str, Any]:
    """What the run says of itself; nothing for a model that was only saved."""
    try:
        record = json.loads((run / "run.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def warn_of_changes(arrays: Mapping[str, Array], split: str, record: dict[str, Any]) -> None:
    """Says so where the rows are not those of the run any more."""
    from nnspec.runtime.resume import fingerprint

    before = record.get("data")
    if isinstance(before, dict) and before.get(split) not in (None, fingerprint({split: arrays})[split]):
        click.echo(f"the {split} rows have changed since the run", err=True)
