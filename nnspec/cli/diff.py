"""``nnspec diff``: what two specs differ in, layer by layer and setting by setting."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnspec.cli.options import json_option, overrides, print_json, read
from nnspec.errors import Problem, SpecError

if TYPE_CHECKING:
    from nnspec.compiler import Spec


@click.command("diff")
@click.argument("specs", nargs=-1, required=True, metavar="A [B]")
@overrides
@click.option("--all", "every", is_flag=True, help="Every line, however many there are.")
@json_option
def command(specs: tuple[str, ...], settings: dict[str, str], allowed: tuple[Path, ...], every: bool, as_json: bool) -> int:
    """Say what two specs differ in: layers, shapes, parameters, FLOPs, memory, settings.

    A and B are specs, or folders of runs. --set is of both; with A alone it is of the other side, and says what it changes.
    Layers are aligned by what they are and how they stand, so that one that was put in does not change those behind it. Comments,
    spelling, names and descriptions of specs are no difference; a default that is stated is none either. Exit status 0 where
    there is no difference, 1 where there is one, as of diff.
    """
    if len(specs) > 2 or (len(specs) == 1 and not settings):
        raise SpecError(Problem("two specs are compared", found=f"{len(specs)}", wanted="A.yaml B.yaml, or A.yaml --set KEY=VALUE"))
    alone = len(specs) == 1
    a, b = _spec(specs[0], {} if alone else settings, allowed), _spec(specs[-1], settings, allowed)

    from nnspec.view.differences import differences

    found = differences(a, b)
    if not found.equal:
        found = differences(a, b, (_memory(a), _memory(b)))
    if as_json:
        print_json({"a": specs[0], "b": specs[-1], **({"set": settings} if settings else {}), **found.to_json()})
        return int(not found.equal)

    from rich.console import Console

    from nnspec.view.differences_text import lines

    console = Console(highlight=False, soft_wrap=True)
    set_ = " ".join(f"--set {key}={value}" for key, value in settings.items())
    names = specs[0], f"{specs[-1]} {set_}" if alone else specs[-1]
    for line in lines(found, names, (a.settings.batch_size, b.settings.batch_size), every):
        console.print(line)
    sys.stdout.flush()
    return int(not found.equal)


def _spec(name: str, settings: dict[str, str], allowed: tuple[Path, ...]) -> Spec:
    """A spec, or that of a run's folder."""
    if not Path(name).is_dir():
        return read(name, settings, allowed)
    from nnspec.runtime.saving import stored_spec

    return stored_spec(Path(name), settings)


def _memory(spec: Spec) -> int | None:
    """The bytes of a training step, where it is known what one is."""
    from nnspec.cli.traced import open_axes, passed, planned, trace, trains
    from nnspec.codegen.backend import load_backend

    if not trains(spec) or open_axes(spec):
        return None
    backend = load_backend("numpy")
    return planned(spec, list(passed(trace(spec, spec.settings.batch_size, {}), backend, spec.settings.strict)), backend).peak
