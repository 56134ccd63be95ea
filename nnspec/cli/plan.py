"""``nnspec plan``: what the compiler did to a spec's training step, or to its prediction where nothing is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnspec.cli.options import backend_name, backend_option, read, spec_options, tune_option
from nnspec.errors import Problem, SpecError, nearest, one_of

if TYPE_CHECKING:
    from nnspec.cli.traced import Stage
    from nnspec.codegen.backend import Backend
    from nnspec.codegen.budget import Budget, Kept
    from nnspec.codegen.tuning import Tuning
    from nnspec.compiler import Spec
    from nnspec.ir.program import Program

ROWS = 10  # of each table
LONGEST, WIDE = 110, 32  # letters of an expression, and of a name


@click.command("plan")
@spec_options
@backend_option
@tune_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Rows of a batch; by default the spec's.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="The length of a named axis.")
@click.option("--predict", is_flag=True, help="The program of an answer, not that of a training step.")
@click.option("--source", is_flag=True, help="Print the program as Python source, and nothing else.")
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, tune: Path | None, batch: int | None,
    axes: tuple[str, ...], predict: bool, source: bool,
) -> None:  # fmt: skip
    """Say what the compiler did: passes, kernels, buffers, peak memory, FLOPs."""
    parsed = read(spec, settings, allowed)

    from nnspec.cli.traced import kept, open_axes, passed, trace, trains
    from nnspec.codegen.backend import load_backend
    from nnspec.codegen.tuning import read_tuning

    device = load_backend(backend_name(backend, parsed))
    sizes = lengths(axes, open_axes(parsed))
    tuning = None if tune is None else read_tuning(tune)
    if tuning is not None:
        tuning.refuse_other(device.machine(parsed.settings.tf32))
    stages = list(passed(trace(parsed, batch or parsed.settings.batch_size, sizes, predict), device, parsed.settings.strict, tuning))
    found = kept(parsed, stages, device)
    if source:
        click.echo(device.source(found.program), nl=False)
        return
    click.echo("\n".join(report(found, parsed.budget if trains(parsed) and not predict else None, stages, device, tuning)))


def lengths(axes: tuple[str, ...], known: list[str]) -> dict[str, int]:
    """``NAME=N`` pairs of the named axes of a spec."""
    found = {}
    for text in axes:
        name, _, value = text.partition("=")
        if not value.isdecimal() or int(value) < 1:
            raise click.BadParameter(f"'{text}' is not NAME=N", param_hint="--axis")
        if name not in known:
            wanted = one_of(known) if known else "no --axis: every axis of the spec has a length"
            raise SpecError(Problem(f"no axis is called '{name}'", wanted=wanted, hint=nearest(name, known)))
        found[name] = int(value)
    return found


def timed(spec: Spec, axes: tuple[str, ...], only: str | None) -> dict[str, int]:
    """The lengths of named axes that what is timed needs; without data each. Raises SpecError for what cannot be timed."""
    from nnspec.cli.traced import open_axes, trains

    sizes = lengths(axes, open_axes(spec))
    if missing := [name for name in open_axes(spec) if name not in sizes and spec.document.data is None]:
        raise SpecError(Problem(f"the axis '{missing[0]}' has no length here", hint=f"--axis {missing[0]}=64"))
    if only == "train" and not trains(spec):
        raise SpecError(Problem(f"{spec.name} is not trained", wanted="a loss and an optimizer", hint="--only infer"))
    return sizes


def report(kept: Kept, budget: Budget | None, stages: list[Stage], device: Backend, tuning: Tuning | None = None) -> Iterator[str]:
    """The plan as a person reads it."""
    from nnspec.codegen.standing import MADE
    from nnspec.ir.program import KEPT, STATE
    from nnspec.view import amounts

    program = kept.program
    yield program.title
    again = sum(c.op.flops(*(v.type for v in c.inputs)) for c in kept.calls)
    work = amounts.flops(stages[-1][1].flops + again)
    yield f"   {work} a step, {len(program.steps)} calls, {amounts.memory(program.peak)} at the peak"
    yield "\npasses"
    for (_, before), (name, after) in zip(stages, stages[1:], strict=False):
        was, now = len(before.calls), len(after.calls)
        yield f"   {name:<18} {was:>6} -> {now:<6} {'' if was == now else f'{now - was:+d}'}".rstrip()
    yield "\nkernels"
    calls: Counter[str] = Counter()
    each: Counter[str] = Counter()
    for step in program.steps:
        calls[step.call.op.name] += 1
        each[step.call.op.name] += step.call.op.flops(*(v.type for v in step.call.inputs))
    for name, flops in sorted(each.items(), key=lambda item: (-item[1], item[0]))[:ROWS]:
        yield f"   {name:<18} {calls[name]:>4} x   {amounts.flops(flops)}"
    if len(each) > ROWS:
        yield f"   {len(each) - ROWS} more"
    yield from nests(program, device)
    yield from ways(program, device, tuning)
    yield "\nmemory"
    held = {name: size for name, size in program.arenas.items() if not name.startswith((KEPT, STATE + MADE))}
    for start, word in ((STATE + MADE, "made of weights: {} tensors"), (KEPT, "kept: {} kernels")):
        if made := [size for name, size in program.arenas.items() if name.startswith(start)]:
            held[word.format(len(made))] = sum(made)
    for name, size in held.items():
        yield f"   {name:<32} {amounts.memory(size):>12}"
    yield from recomputed(kept, budget, again)
    yield "\nlargest buffers"
    for array in program.largest(ROWS):
        yield f"   {array.name:<32} {amounts.memory(array.bytes):>12}   {array.type}"


def recomputed(kept: Kept, budget: Budget | None, flops: int) -> Iterator[str]:
    """What is made twice so that the plan keeps to its budget, and what that saves."""
    from nnspec.ir.types import count
    from nnspec.view import amounts

    if budget is None:
        return
    yield f"\nrecomputed, for a budget of {amounts.memory(budget.bytes)}"
    if not kept.calls:
        yield f"   nothing: the plan takes {amounts.memory(kept.before)}"
        return
    yield f"   {amounts.memory(kept.before)} before, {amounts.memory(kept.program.peak)} now, for {amounts.flops(flops)} more a step"
    for c in kept.calls:
        size = sum(count(v.shape) * v.dtype.size for v in c.outputs)
        yield f"   {c.origin.layer or c.origin.stage:<44} {c.op.name:<16} {amounts.memory(size):>12}"


def nests(program: Program, device: Backend) -> Iterator[str]:
    """What was fused, most work first: where, how it is walked, and its expression; equal ones once."""
    from nnspec.ops.fused import Fused, written

    found: Counter[str] = Counter()
    where: dict[str, str] = {}
    for step in program.steps:
        if isinstance(step.call.op, Fused):
            text = written(step.call.op.body)
            found[text] += step.call.op.flops()
            where.setdefault(text, f"{device.choice(step):<20} {step.outputs[0].name[-WIDE:]:<{WIDE}}")
    if found:
        yield f"\nloop nests, by {device.loops()}"
    for text, _ in found.most_common(ROWS):
        yield f"   {where[text]} {_short(text)}"
    if len(found) > ROWS:
        yield f"   {len(found) - ROWS} more"


def ways(program: Program, device: Backend, tuning: Tuning | None = None) -> Iterator[str]:
    """How each step is computed for which there are several ways, in the order of the steps; equal lines as one."""
    from nnspec.ir.types import show
    from nnspec.passes.take_ways import spelled

    found: Counter[tuple[str, str]] = Counter()
    for step in program.steps:
        if step.call.op.name != "Fused" and (chosen := device.choice(step)):
            shapes = "  ".join(show(v.type.shape) for v in step.call.inputs)
            timed = tuning.calls.get(spelled(step.call)) if tuning is not None else None
            found[f"{step.call.op.name:<16} {shapes:<40}", f"{_short(chosen)}, {timed}" if timed else _short(chosen)] += 1
    if found:
        yield "\nways"
    if tuning is not None:
        known, there = tuning.knows(program, device)
        yield f"   the tune file knows {known} of the {there} different calls that can go several ways"
    for (what, chosen), times in found.items():
        yield f"   {what} {chosen}{f', {times} x' if times > 1 else ''}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"
