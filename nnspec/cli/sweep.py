"""``nnspec sweep``: a spec trained with many values of some keys, in processes, and a table of what came of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import Folder, backend_name, backend_option, json_option, print_json, read, spec_options
from nnspec.errors import NnspecError, Problem, ResourceError, SpecError

if TYPE_CHECKING:
    from nnspec.compiler import Spec
    from nnspec.runtime.children import Ended
    from nnspec.runtime.sweep import Outcome, SweepFolder
    from nnspec.spec.nodes import Node
    from nnspec.spec.sweep import Sweep, Trial

MOST_TOLD = 5  # settings of a trial in a line of progress


@click.command("sweep")
@spec_options
@click.option("--over", "over", multiple=True, metavar="KEY=A,B,C",
              help="Values of a key, beside the spec's or instead of them; or KEY={log: [1e-4, 1e-1]}.")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Draw so many combinations, instead of the spec's number.")
@click.option("--maximize", metavar="METRIC", help="What to sort by, such as validation.accuracy.")
@click.option("--minimize", metavar="METRIC", help="What to sort by, such as validation.loss.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Trials at once; by default as many as there are cores.")
@click.option("--epochs", type=click.IntRange(0, 10_000_000), metavar="N", help="Instead of the spec's.")
@click.option("--out", type=Folder, metavar="DIR", help="The sweep's folder; without it runs/NAME-sweep/NNN.")
@click.option("--resume", is_flag=True, help="Continue the sweep in --out, or the newest: run what is missing.")
@backend_option
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], over: tuple[str, ...], trials: int | None, maximize: str | None,
    minimize: str | None, jobs: int | None, epochs: int | None, out: Path | None, resume: bool, backend: str, as_json: bool,
) -> int:  # fmt: skip
    """Train a spec with many values of some keys, and sort the trials by a metric.

    The spec's `sweep` or --over says which values. Every combination is checked before the first is trained; each is a
    run in a folder of its own. A trial that stops on numbers (NaN) is noted, and the others go on.
    """
    base = read(spec, settings, allowed)

    from nnspec.compiler import check_trainable
    from nnspec.runtime.children import Call, run_all
    from nnspec.runtime.cores import cores
    from nnspec.runtime.interrupt import Interrupted
    from nnspec.runtime.run_folder import open_run
    from nnspec.runtime.sweep import SweepFolder
    from nnspec.spec.sweep import trials as combinations

    check_trainable(base)
    chosen = sweep_of(base, over, trials, maximize, minimize)
    given = {**settings, **({"epochs": ""} if epochs is not None else {})}
    if twice := [key for key in chosen.over if key in given]:
        raise SpecError(Problem(f"'{twice[0]}' is swept and set as well", wanted="one of them"))
    metric, less = chosen.objective
    metric, less = (metric, less) if metric else (_by_default(base), True)
    wanted = combinations(chosen, base.settings.seed)
    check(spec, settings, allowed, wanted)
    common = [*(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
              *(part for folder in allowed for part in ("--allow-include", str(folder))),
              *(["--epochs", str(epochs)] if epochs is not None else [])]  # fmt: skip
    where = ["--backend", backend] if backend != "auto" else []
    rest = ["--resume", "--json", "--backend", backend_name(backend, base)]
    with open_run(out, f"{base.name}-sweep", resume) as folder:
        held = SweepFolder(folder, base, wanted, epochs)
        if resume:
            held.resume()
        held.write()
        missing = [o for o in held.outcomes if not o.over]
        click.echo(f"{base.name}: {_many(len(wanted), 'trial')}, {len(missing)} to run, into {folder.path}", err=True)
        calls = [Call(o.number, ["run", spec, *common, *sets(o.settings), "--out", str(o.path), *rest]) for o in missing]
        threads = base.settings.threads or 1
        try:
            run_all(calls, jobs or max(1, cores() // threads), threads, lambda ended: note(held, ended, metric))
        except Interrupted as e:
            done = sum(o.over for o in held.outcomes)
            again = ["nnspec", "sweep", spec, *common, *where, *_again(over, trials, maximize, minimize), "--out", str(folder.path), "--resume"]
            raise type(e)(Problem(f"interrupted after {done} of {_many(len(wanted), 'trial')}; saved in {folder.path}", hint=shlex.join(again),
                                  rule="interrupted")) from None  # fmt: skip
    report(held.outcomes, folder.path, metric, less, ["nnspec", "run", spec, *common, *where], as_json)
    failed = [o.status for o in held.outcomes if o.status]
    return status_of(failed[0]) if len(failed) == len(held.outcomes) else 0


def status_of(status: int) -> int:
    """The exit status where every trial has failed as the first: one that the system ended had not what it needed."""
    return status if status > 0 else ResourceError.status


def sweep_of(spec: Spec, over: Sequence[str], trials: int | None, maximize: str | None, minimize: str | None) -> Sweep:
    """The spec's sweep with what the call says instead. Raises SpecError."""
    from nnspec.network.demands import measures
    from nnspec.spec.explain import validate
    from nnspec.spec.formulas import substitute
    from nnspec.spec.nodes import Mapping, literal
    from nnspec.spec.source import read as read_yaml
    from nnspec.spec.sweep import Sweep, refuse

    root = spec.document.root
    written = root.pairs.get("sweep")
    own = substitute(written, spec.document.vars) if written is not None else None
    pairs: dict[str, Node] = dict(own.pairs) if isinstance(own, Mapping) else {}
    axes = pairs.get("over")
    values, keys = (dict(axes.pairs), dict(axes.keys)) if isinstance(axes, Mapping) else ({}, {})
    for text in over:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            raise click.BadParameter(f"'{text}' is not KEY=A,B,C, as in vars.width=16,32", param_hint="--over")
        node = read_yaml(value if value[0] in "[{" else f"[{value}]", f"--over {key}")
        values[key], keys[key] = node, node.place
    if not values:
        raise SpecError(Problem("the spec has no sweep", root.place, wanted="sweep: {over: {vars.width: [16, 32]}}",
                                hint="or --over vars.width=16,32", rule="missing-key"))  # fmt: skip
    pairs["over"] = Mapping(axes.place if axes else root.place, values, keys, True)
    if maximize or minimize:
        pairs.pop("maximize", None)
        pairs.pop("minimize", None)
    for name, given in (("trials", trials), ("maximize", maximize), ("minimize", minimize)):
        if given is not None:
            pairs[name] = literal(given, _option(name, given))
    place = own.place if own is not None else _option("over", over[0])
    node = Mapping(place, pairs, dict.fromkeys(pairs, place), True)
    sweep = validate(Sweep, node, place, "the sweep")
    if problems := refuse(node, sweep, spec.document.vars, measures(spec.document)):
        raise SpecError(*problems)
    return sweep


def check(spec: str, settings: dict[str, str], allowed: tuple[Path, ...], trials: Sequence[Trial]) -> None:
    """Reads and checks the spec of every trial; raises SpecError with what is wrong in any, each problem once."""
    found: dict[str, tuple[Problem, str]] = {}
    kind: type[NnspecError] = SpecError
    for number, trial in enumerate(trials, 1):
        try:
            read(spec, {**settings, **texts(trial)}, allowed)
        except NnspecError as e:
            kind = type(e)
            for p in e.problems:
                found.setdefault(p.render(), (p, f"trial {number} of {len(trials)}: "))
    if found:
        raise kind(*(Problem(where + p.message, p.place, p.found, p.wanted, p.hint, p.rule) for p, where in found.values()))


def texts(trial: Trial) -> dict[str, str]:
    """A trial's settings as ``--set`` takes them."""
    from nnspec.spec.write import flow

    return {key: flow(_lists(value)) for key, value in trial.items()}


def _lists(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_lists(v) for v in value]
    return {k: _lists(v) for k, v in value.items()} if isinstance(value, dict) else value


def sets(trial: Trial) -> list[str]:
    return [part for key, value in texts(trial).items() for part in ("--set", f"{key}={value}")]


def note(held: SweepFolder, ended: Ended, metric: str) -> None:
    """Writes down how a trial ended, and says so."""
    from nnspec.runtime.sweep import INTERRUPTED

    outcome = held.outcomes[ended.call.number - 1]
    outcome.seconds += ended.seconds
    if ended.status in INTERRUPTED:
        return
    outcome.status = ended.status
    if ended.status == 0:
        held.look(outcome)
    else:
        outcome.error = _error(ended)
    held.write()
    short = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in list(texts(outcome.settings).items())[:MOST_TOLD])
    result = outcome.error or f"{metric} {outcome.metrics.get(metric, float('nan')):.6g}"
    click.echo(f"trial {outcome.number}/{len(held.outcomes)}  {short}  {result}  ({ended.seconds:.1f} s)", err=True)


def _error(ended: Ended) -> str:
    """The first line of what went wrong; a run's progress comes before it."""
    if ended.status < 0:
        return f"ended by signal {-ended.status}"
    lines = ended.err.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("   ") and i and not lines[i - 1].startswith("   ")]
    line = lines[starts[-1] - 1] if starts else lines[-1] if lines else f"exit status {ended.status}"
    return line[:300]


def report(outcomes: Sequence[Outcome], folder: Path, metric: str, less: bool, call: list[str], as_json: bool) -> None:
    """The trials in the order of the objective, the best marked, and the command that repeats it."""
    from nnspec.runtime.sweep import best

    ranked = best(outcomes, metric, less)
    first = ranked[0] if ranked[0].metrics.get(metric, float("nan")) == ranked[0].metrics.get(metric) else None
    again = shlex.join([*call, *sets(first.settings)]) if first else None
    if as_json:
        direction = "minimize" if less else "maximize"
        print_json({"sweep": str(folder), direction: metric, "best": first.number if first else None, "command": again,
                    "trials": [o.to_json() for o in ranked]})  # fmt: skip
        return
    for line in table(ranked, metric, first):
        click.echo(line)
    click.echo(f"best: {again}" if again else f"no trial has a {metric}")
    click.echo(f"sweep: {folder}")


def table(ranked: Sequence[Outcome], metric: str, first: Outcome | None) -> Iterator[str]:
    """A line a trial, the best first and marked."""
    from nnspec.runtime.sweep import NUMBERS

    keys = list(ranked[0].settings)
    ends = [key.rpartition(".")[2] for key in keys]
    head = ["", "trial", *(end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)), metric, "seconds"]
    cells = [head]
    for o in ranked:
        value = f"{o.metrics[metric]:.6g}" if metric in o.metrics else f"NaN ({o.error.split(':')[0]})" if o.status == NUMBERS else o.error
        cells.append(["*" if o is first else "", str(o.number), *texts(o.settings).values(), value, f"{o.seconds:.1f}"])
    widths = [min(60, max(map(len, column))) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell[:60].ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _by_default(spec: Spec) -> str:
    """The metric that decides where none is named: as of checkpoints."""
    from nnspec.network.demands import measures

    return "validation.loss" if "validation.loss" in measures(spec.document) else "train.loss"


def _again(over: Sequence[str], trials: int | None, maximize: str | None, minimize: str | None) -> list[str]:
    given = (("--trials", trials), ("--maximize", maximize), ("--minimize", minimize))
    return [*(p for text in over for p in ("--over", text)), *(p for name, v in given if v is not None for p in (name, str(v)))]


def _option(name: str, given: object) -> Any:
    from nnspec.errors import Place, Source

    return Place(Source(f"--{name}", str(given)))


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
