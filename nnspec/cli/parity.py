"""``nnspec parity``: a spec's training steps on two backends, and how far they are apart."""

from __future__ import annotations

from pathlib import Path

import click

from nnspec.cli.options import json_option, print_json, read, spec_options
from nnspec.errors import Problem, SpecError

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@click.command("parity")
@spec_options
@click.option("--backends", default="numpy,cupy", show_default=True, metavar="A,B", help="The two; interpret is one, too.")
@click.option("--steps", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N")
@click.option("--tolerance", type=click.FloatRange(0.0, min_open=True), metavar="X", help="Of losses, relative; by default 1e-5, in float64 1e-10.")
@click.option("--math", type=click.Choice(["strict", "spec"]), default="strict", show_default=True, help="What may be reordered on both sides.")
@click.option("--free", is_flag=True, help="Each goes on from its own parameters; otherwise every step begins from the first one's.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="The length of a named axis.")
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backends: str, steps: int, tolerance: float | None, math: str,
    free: bool, axes: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Train on two backends, step by step, and compare.

    Losses may differ by the tolerance, relative; gradients and parameters by ten times its root, relative to the largest of their tensor:
    that much comes of a relu that turns by its last bit. Status 1 where they differ by more.
    """
    names = [{"cpu": "numpy", "gpu": "cupy"}.get(name, name) for name in backends.split(",")]
    if len(names) != 2 or names[0] == names[1]:
        raise SpecError(Problem(f"--backends {backends} are not two", wanted="two names", hint="--backends numpy,cupy"))
    parsed = read(spec, settings, allowed)

    from nnspec.cli.plan import lengths
    from nnspec.cli.traced import open_axes, trains
    from nnspec.runtime.parity import parity

    if not trains(parsed):
        raise SpecError(Problem(f"{parsed.name} is not trained", wanted="a loss and an optimizer"))
    if math == "strict":
        parsed = parsed.with_(math="strict")
    sizes = lengths(axes, open_axes(parsed))
    parsed = parsed.fold(1) if parsed.folds else parsed
    limit = TOLERANCE.get(parsed.settings.precision, 1e-2) if tolerance is None else tolerance
    found = parity(parsed, (names[0], names[1]), steps, limit, sizes, free)
    if as_json:
        print_json({"spec": parsed.name, "backends": names, "steps": steps, "tolerance": limit, "passed": found.passed,
                    "deviations": [{"name": d.name, "kind": d.kind, "relative": d.relative, "step": d.step} for d in found.found]})
    else:
        width = max(len(d.name) for d in found.found)
        for d in found.found:
            mark = "" if d.relative <= found.allowed(d.kind) else f"   more than {found.allowed(d.kind):.0e}"
            click.echo(f"{d.kind:<10} {d.name:<{width}} {d.relative:>9.2e}   step {d.step}{mark}")
        verdict = "equal" if found.passed else "not equal"
        click.echo(f"{names[0]} and {names[1]}, {steps} steps of {parsed.name}, {parsed.settings.precision}: {verdict} within {limit:.0e} for losses")
    if not found.passed:
        raise SystemExit(1)
