"""A step that is not finite stops those behind it, which were enqueued before the host could see it: on the device, by a byte that is kept."""

from __future__ import annotations

from nnspec.ir.program import Array, Program
from nnspec_cupy.commands import Kernel, Launch
from nnspec_cupy.cuda.flat import parameters
from nnspec_cupy.memory import sound

FINITE = "finite"
SCALE = "$loss_scale"  # a state that moves by steps that are not finite, which stop nothing


def halting(program: Program) -> dict[int, Launch]:
    """By step, what comes right after it: where a program says whether its numbers are ``finite`` they are so only if those before were."""
    finite = program.outputs.get(FINITE)
    if finite is None or finite.literal or SCALE in program.state:
        return {}
    made = [i for i, step in enumerate(program.steps) if any(_same(a, finite) for a in step.outputs)]
    guards = [step.guard for step in program.steps if step.guard is not None]
    if not made or any(not _same(g, finite) for g in guards):
        return {}
    return {made[-1]: halt(finite)}


def halt(finite: Array) -> Launch:
    """``finite = sound = finite and sound``, by one thread."""
    sides = (finite, sound())
    body = "    const bool fine = *in0 && *in1;\n    *out0 = fine;\n    *out1 = fine;\n"
    kernel = Kernel("halt", parameters(sides, sides, False), body, 1)
    return Launch(kernel, (1, 1, 1), (1, 1, 1), sides, sides, lambda a, b: (a & b, a & b))


def _same(a: Array, b: Array) -> bool:
    return (a.arena, a.offset, a.type.dtype) == (b.arena, b.offset, b.type.dtype)
