"""``--backend auto``: how long a step of a spec would take on each backend, by its plan and what the machine can do."""

from __future__ import annotations

from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING

from nnspec.errors import NnspecError

if TYPE_CHECKING:
    from nnspec.codegen.backend import Backend, Speed
    from nnspec.compiler import Spec
    from nnspec.ir.program import Program


def chosen(spec: Spec | None) -> tuple[str, str]:
    """A backend's name, and why it was chosen. A GPU is looked for only where CuPy is installed."""
    from nnspec.codegen.backend import load_backend

    if find_spec("nnspec_cupy") is None or find_spec("cupy") is None:
        return "numpy", "CuPy is not installed"
    try:
        other = load_backend("cupy")
        speed = other.speed()
    except NnspecError as error:
        return "numpy", error.problems[0].message
    if spec is None:
        return "numpy", "nothing to estimate"
    numpy = load_backend("numpy")
    try:
        here, there = planned(spec, numpy), planned(spec, other)
    except NnspecError:  # of named axes, which have no lengths yet
        return "numpy", "no plan without the lengths of its axes"
    own, theirs = seconds(here, numpy.speed()), seconds(there, speed)
    name, short, long = ("numpy", own, theirs) if own <= theirs else ("cupy", theirs, own)
    return name, f"a step is estimated to take {1e3 * short:.2g} ms, {1e3 * long:.2g} ms on {'a GPU' if name == 'numpy' else 'the CPU'}"


def planned(spec: Spec, backend: Backend) -> Program:
    """The training step's program, or a prediction's where nothing is trained."""
    from nnspec.cli.traced import passed, trace

    stages = list(passed(trace(spec, spec.settings.batch_size, {}), backend, spec.settings.strict))
    return backend.plan(stages[-1][1], spec.name)


def seconds(program: Program, speed: Speed) -> float:
    """Every step takes as long as its operations, its bytes or its call, whichever is longest."""
    total = speed.run
    for step in program.steps:
        flops = step.call.op.flops(*(v.type for v in step.call.inputs))
        moved = sum(prod(a.shape) * a.type.dtype.size for a in (*step.inputs, *step.outputs))
        total += max(flops / speed.flops, moved / speed.bytes, speed.call)
    return total
