"""``nnspec test``: specs held against what they expect of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import Folder, backend_name, backend_option, json_option, overrides, print_json, read
from nnspec.errors import NnspecError, Problem, SpecError
from nnspec.records import dataclass
from nnspec.spec.expect import STATIC

if TYPE_CHECKING:
    from nnspec.compiler import Spec

FAILED = 1
HEAD = ("expectation", "wanted", "found", "")


@dataclass(frozen=True)
class Result:
    """One expectation with what was found; nothing is found where the network's named axes leave it open."""

    name: str
    wanted: str
    found: float | None
    held: bool


@click.command("test")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@overrides
@backend_option
@click.option("--out", type=Folder, metavar="DIR", help="Keep the run there, of several specs in DIR/NAME; without it nothing is kept.")
@json_option
def command(
    specs: tuple[str, ...], settings: dict[str, str], allowed: tuple[Path, ...], backend: str, out: Path | None, as_json: bool
) -> int:
    """Hold specs against what they expect of themselves.

    What is known without training (parameters, trainable, flops, memory) is looked up; where metrics are expected the
    spec is trained, and those of its last epoch count. Exit status 1 where an expectation does not hold; a spec without
    `expect` is an error.
    """
    from nnspec.runtime.interrupt import Interrupted, Signals

    codes, tests = [], []
    with Signals() as signals:  # one that comes when a spec has been trained ends the others too
        for file in specs:
            signals.check()
            try:
                spec = expecting(read(file, settings, allowed))
                folder = out / spec.name if out and len(specs) > 1 else out
                results = list(tested(spec, backend_name(backend, spec), folder))
            except Interrupted:
                raise
            except NnspecError as e:
                click.echo(e.render(), err=True)
                codes.append(e.status)
                tests.append({"spec": file, "held": False, "run": None, "expectations": [], "error": e.problems[0].message})
                continue
            held = all(r.held for r in results)
            codes.append(0 if held else FAILED)
            tests.append({"spec": file, "held": held, "run": str(folder) if folder else None, "expectations": [as_dict(r) for r in results]})
            if not as_json:
                click.echo(f"{file}: {'ok' if held else 'FAILED'}\n" + "\n".join(rows(results)))
    if as_json:
        print_json(tests)
    return max(codes, key=lambda code: (code > FAILED, code))


def expecting(spec: Spec) -> Spec:
    """The spec, if it expects anything and can be trained where it expects metrics."""
    from nnspec.compiler import check_trainable

    root = spec.document.root
    if not spec.settings.expect:
        raise SpecError(Problem("the spec expects nothing, so there is nothing to test", root.place,
                                wanted='expect: {parameters: "<= 1e5", validation.accuracy: ">= 0.95"}', rule="missing-key"))  # fmt: skip
    if metrics(spec):
        check_trainable(spec)
    return spec


def metrics(spec: Spec) -> bool:
    """Whether something is expected that only training tells."""
    return any(name not in STATIC for name in spec.settings.expect or {})


def tested(spec: Spec, backend: str, out: Path | None) -> Iterator[Result]:
    """Every expectation of a spec in its order; trains where it has to."""
    found: dict[str, float | None] = dict(static(spec))
    if metrics(spec):
        found.update(trained(spec, backend, out))
    yield from held(spec, found)


def held(spec: Spec, found: Mapping[str, float | None]) -> Iterator[Result]:
    """Every expectation of a spec against what was found."""
    for name, bounds in (spec.settings.expect or {}).items():
        value = found.get(name)
        for bound in bounds:
            yield Result(name, bound.text, value, value is not None and bound.holds(name, value))


def static(spec: Spec) -> Iterator[tuple[str, float | None]]:
    """What is expected and known without training, with its value: None where it depends on an axis that is not known."""
    from nnspec.cli.traced import kept, open_axes, passed, trace
    from nnspec.codegen.backend import load_backend
    from nnspec.view import describe

    sums = describe.totals(data for _, data in spec.graph.nodes(data=True))
    expected = spec.settings.expect or {}
    for name in STATIC[:-1]:
        value = getattr(sums, name)
        yield name, value if isinstance(value, int) else None
    if "memory" in expected and not open_axes(spec):
        backend = load_backend("numpy")
        yield "memory", kept(spec, list(passed(trace(spec, spec.settings.batch_size, {}), backend, spec.settings.strict)), backend).program.peak


def trained(spec: Spec, backend: str, out: Path | None) -> Mapping[str, float]:
    """The metrics of the spec's last epoch and of its test rows; of folds their means."""
    from nnspec.cli.run import trained as train
    from nnspec.runtime.folds import train_folds
    from nnspec.runtime.run_folder import open_run
    from nnspec.runtime.session import compile

    make = partial(compile, backend=backend)
    with open_run(out, spec.name) if out else nullcontext() as folder:
        return train_folds(spec, make, train, folder).metrics if spec.folds else train(make(spec), folder).metrics


def as_dict(result: Result) -> dict[str, Any]:
    """A result for tools."""
    return {"name": result.name, "expected": result.wanted, "found": result.found, "held": result.held}


def rows(results: list[Result]) -> Iterator[str]:
    """A table: a line an expectation."""
    cells = [HEAD, *((r.name, r.wanted, shown(r), "held" if r.held else "NOT held") for r in results)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def shown(result: Result) -> str:
    """A value as a person reads it: counts in full, memory in bytes with a unit, measures to six digits."""
    from nnspec.view import amounts

    value = result.found
    if value is None:
        return "depends on a named axis"
    if result.name == "memory":
        return f"{amounts.memory(value)} ({value:,})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
