"""``nnspec run``: trains a spec into a run folder, or continues one."""

from __future__ import annotations

from pathlib import Path

import click

from nnspec.cli.options import Folder, backend_name, backend_option, json_option, print_json, read, spec_options


@click.command("run")
@spec_options
@backend_option
@click.option("--epochs", type=click.IntRange(0, 10_000_000), metavar="N", help="Instead of the spec's.")
@click.option("--out", type=Folder, metavar="DIR", help="The run's folder; without it runs/NAME/NNN.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, or the newest; start where there is none.")
@click.option("--threads", type=click.IntRange(min=1, max=1024), metavar="N", help="Instead of the spec's.")
@click.option("--interpret", is_flag=True, help="Run the ops' references one by one: slow, and the oracle.")
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, epochs: int | None, out: Path | None,
    resume: bool, threads: int | None, interpret: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a spec: check it, compile it, and leave weights, metrics and curves in a run folder.

    Progress goes to standard error, the last metrics to standard output. Ctrl-C ends the step, saves, and says how to
    resume.
    """
    parsed = read(spec, settings, allowed)
    name = "interpret" if interpret else backend_name(backend, say=True)

    from nnspec.compiler import check_trainable
    from nnspec.runtime.callbacks import Drawing
    from nnspec.runtime.progress import progress
    from nnspec.runtime.run_folder import CURVES, open_run, refuse_several
    from nnspec.runtime.session import compile
    from nnspec.runtime.trainer import train
    from nnspec.view.curves import draw

    check_trainable(parsed)
    model = compile(parsed, backend=name, threads=threads, weights=not resume)
    with open_run(out, parsed.name, resume) as folder:
        refuse_several(folder.path)
        curves = Drawing(lambda text: folder.write(CURVES, text), draw)
        run = train(model, folder=folder, epochs=epochs, callbacks=(progress(), curves), resume=resume)
    if as_json:
        print_json({"run": str(folder.path), "metrics": dict(run.metrics)})
        return
    for metric, value in run.metrics.items():
        click.echo(f"{metric:<24} {value:.6g}")
    click.echo(f"{'run':<24} {folder.path}")
