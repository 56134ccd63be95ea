"""``nnspec run``: trains a spec into a run folder, or continues one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import Folder, backend_name, backend_option, json_option, print_json, read, spec_options, tune_option

if TYPE_CHECKING:
    from nnspec.runtime.folds import Folds
    from nnspec.runtime.run_folder import RunFolder
    from nnspec.runtime.session import Model
    from nnspec.runtime.taps import Every
    from nnspec.runtime.trainer import Run


@click.command("run")
@spec_options
@backend_option
@tune_option
@click.option("--epochs", type=click.IntRange(0, 10_000_000), metavar="N", help="Instead of the spec's.")
@click.option("--out", type=Folder, metavar="DIR", help="The run's folder; without it runs/NAME/NNN.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, or the newest; start where there is none.")
@click.option("--threads", type=click.IntRange(min=1, max=1024), metavar="N", help="By default the spec's, else one a core.")
@click.option("--interpret", is_flag=True, help="Run the ops' references one by one: slow, and the oracle.")
@click.option("--taps", metavar="EVERY", help="Look into layers and gradients each so many steps, or 1epoch; nnspec view shows it.")
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, tune: Path | None, epochs: int | None,
    out: Path | None, resume: bool, threads: int | None, interpret: bool, taps: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Train a spec: check it, compile it, and leave weights, metrics and curves in a run folder.

    Progress goes to standard error, the last metrics to standard output. Ctrl-C ends the step, saves, and says how to
    resume. Of data with folds a model is trained on each, in fold_1, fold_2, ...; mean and deviation are printed.
    """
    parsed = read(spec, settings, allowed)
    name = "interpret" if interpret else backend_name(backend, parsed, say=True)

    from nnspec.cli.check import warned
    from nnspec.compiler import check_trainable
    from nnspec.runtime.run_folder import open_run
    from nnspec.runtime.session import compile
    from nnspec.runtime.taps import every

    often = every(taps) if taps is not None else None
    check_trainable(parsed)
    warned(spec, parsed)
    make = partial(compile, backend=name, threads=threads, weights=not resume, tune=tune)
    train = partial(trained, epochs=epochs, resume=resume, often=often)
    first = make(parsed.fold(1) if parsed.folds else parsed)  # what is wrong with it is told before there is a folder
    with open_run(out, parsed.name, resume) as folder:
        if parsed.folds:
            from nnspec.runtime.folds import train_folds

            folds = train_folds(parsed, make, train, folder, first)
            result: dict[str, Any] = {"run": str(folder.path), **folds.to_json()}
            lines: Iterable[str] = table(folds)
        else:
            metrics = dict(train(first, folder).metrics)
            result = {"run": str(folder.path), "metrics": metrics}
            lines = (f"{metric:<24} {value:.6g}" for metric, value in metrics.items())
    if as_json:
        print_json(result)
        return
    for line in (*lines, f"{'run':<24} {folder.path}"):
        click.echo(line)


def trained(model: Model, folder: RunFolder | None, epochs: int | None = None, resume: bool = False, often: Every | None = None) -> Run:
    """A run with progress and curves."""
    from nnspec.runtime.callbacks import Callback, Drawing
    from nnspec.runtime.progress import progress
    from nnspec.runtime.run_folder import CURVES, refuse_several
    from nnspec.runtime.taps import Tapping
    from nnspec.runtime.trainer import train
    from nnspec.view.curves import draw

    callbacks: list[Callback] = [progress()]
    if folder is not None:
        refuse_several(folder.path)
        callbacks.append(Drawing(lambda text: folder.write(CURVES, text), draw))
    run = train(model, folder=folder, epochs=epochs, callbacks=callbacks, resume=resume and folder is not None,
                taps=Tapping(often, partial(click.echo, err=True)) if often else None)
    known, there = model.programs.tuned
    if model.tuning is not None and known < there:
        click.echo(f"the tune file knew {known} of {there} calls that can go several ways; the cost model chose for the others", err=True)
    return run


def table(folds: Folds) -> Iterator[str]:
    """A line a metric: its mean and deviation, then each fold's."""
    head = ["", "mean", "deviation", *(f"fold {n}" for n in range(1, len(folds.runs) + 1))]
    cells = [head, *([name, *(f"{v:.6g}" for v in (mean, folds.deviation[name], *(run.metrics[name] for run in folds.runs)))]
                     for name, mean in folds.metrics.items())]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
