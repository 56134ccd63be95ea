"""``nnspec predict``: a run's answers, one line an input."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import json_line, json_option

if TYPE_CHECKING:
    from nnspec.runtime.session import Model

SHOWN = 5  # classes on a line
TOGETHER = 1000  # lines written at once


@click.command("predict", context_settings={"ignore_unknown_options": True})  # so that -1,2 is a row
@click.argument("run", metavar="RUN")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.UNPROCESSED)
@click.option(
    "--which", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which weights of the run."
)
@click.option("--raw", is_flag=True, help="The network's output as it is: logits, prepared units.")
@json_option
def command(run: str, inputs: tuple[str, ...], which: str, raw: bool, as_json: bool) -> None:
    """Answers of a run for inputs: images, csv files, npz files, or rows typed as 5.1,3.5,1.4,0.2.

    An image is made as large as those that the network was trained on. A csv file has the columns that it was trained on
    (of images their paths), an npz file arrays by their names or the inputs'. Values are in the data's own units. Where the
    network tells classes apart, their names and probabilities are printed; where it does so for every pixel, each
    class's share of them.
    """
    from nnspec.cli.rows import Reader
    from nnspec.runtime.saving import load_model

    model = load_model(run, which=which)
    for note in model.notes:
        click.echo(note, err=True)
    reader = Reader(model)
    for batch in chain.from_iterable([reader.read(text) for text in inputs]):
        outputs = model.predict(batch.feeds, raw=raw)
        by_name = outputs if isinstance(outputs, dict) else {"": outputs}
        rows = (
            (label, {name: answer(model, name, values[row], raw) for name, values in by_name.items()}) for row, label in enumerate(batch.labels)
        )
        while lines := [_written(label, answers, as_json) for label, answers in islice(rows, TOGETHER)]:
            click.echo("\n".join(lines))


def _written(label: str, answers: dict[str, dict[str, Any]], as_json: bool) -> str:
    """The line of a row, for people or as JSON."""
    if as_json:
        return json_line({"input": label, **(next(iter(answers.values())) if len(answers) == 1 else {"outputs": answers})})
    return f"{label}  {'; '.join(_line(name, a) for name, a in answers.items())}"


def answer(model: Model, name: str, values: Any, raw: bool) -> dict[str, Any]:
    """One row's answer: a class with probabilities, or the output."""
    classes = model.classes(name or None)
    if not raw and classes is not None and values.ndim == 3 and values.shape[-1] == len(classes):
        labels = values.argmax(-1)
        shares = [float((labels == i).mean()) for i in range(len(classes))]
        return {"shares": dict(zip(classes, shares, strict=True)), "labels": labels.tolist()}
    if raw or classes is None or values.ndim != 1:
        return {"output": values.tolist()}
    if len(values) == 1 and len(classes) == 2:
        values = [1.0 - float(values[0]), float(values[0])]  # one unit says how likely the second class is
    if len(values) != len(classes):
        return {"output": list(map(float, values))}
    probabilities = dict(zip(classes, map(float, values), strict=True))
    return {"class": max(probabilities, key=lambda c: probabilities[c]), "probabilities": probabilities}


def _line(name: str, answer: dict[str, Any]) -> str:
    head = f"{name}: " if name else ""
    if "output" in answer:
        return head + _numbers(answer["output"])
    ranked = sorted((answer.get("probabilities") or answer["shares"]).items(), key=lambda item: -item[1])
    more = f", {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
    return head + ", ".join(f"{c} {p:.4f}" for c, p in ranked[:SHOWN]) + more


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_numbers, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
