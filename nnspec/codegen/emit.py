"""From a program's steps to lines of Python: one line an op, a comment where layer or stage changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.names import Names
from nnspec.ir.program import KEPT, STATE, Array, Program, Step
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass, field

Write = Callable[["Line"], Iterable[str]]
ARENAS = {"state": "kept between steps, shared by programs", "data": "written by the host before each step",
          "kept": "made of state, and again when that was written; shared by programs", "constants": "known when compiled",
          "segments": "gradients, in the order of the parameters", "outputs": "read by the host after each step",
          "work": "activations and scratch, sharing memory by lifetime"}


@dataclass
class Body:
    """Lines that make arrays and kernels, and lines of the step."""

    arrays: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


class Line:
    """A step as a statement sees it: names of inputs ``x``, outputs ``y`` and workspace ``w``."""

    def __init__(self, step: Step, index: int, scope: _Scope) -> None:
        self.step, self.index, self.op, self._scope = step, index, step.call.op, scope

    @property
    def x(self) -> list[str]:
        return [self._scope.name(a) for a in self.step.inputs]

    @property
    def y(self) -> str:
        return self._scope.name(self.step.outputs[0])

    @property
    def w(self) -> list[str]:
        return [self._scope.name(a) for a in self.step.workspace]

    def view(self, a: Array, suffix: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0,
             dtype: DType | None = None) -> str:
        """The name of another array over the memory of ``a``, ``offset`` elements further on."""
        type = TensorType(shape, dtype or a.type.dtype)
        return self._scope.view(a, suffix, type, a.offset + offset * a.type.dtype.size, strides)

    def bound(self, comment: str) -> str:
        """The name of a kernel bound to the step's arrays."""
        return self._scope.kernel(self.step, self.index, comment)


class _Scope:
    def __init__(self, program: Program, reserved: Iterable[str]) -> None:
        self.names = Names([*reserved, *(a.name for a in program.arrays)])
        self.used: dict[Array, None] = {}
        self.views: dict[tuple[Any, ...], Array] = {}
        self.kernels: list[str] = []

    def name(self, a: Array) -> str:
        if a.literal:
            return a.name
        self.used[a] = None
        return a.name

    def view(self, a: Array, suffix: str, type: TensorType, offset: int, strides: tuple[int, ...]) -> str:
        if (type, offset, strides) == (a.type, a.offset, a.strides):
            return self.name(a)
        key = (a.name, type, offset, strides)
        if key not in self.views:
            self.views[key] = Array(self.names.take(f"{a.name}_{suffix}"), type, a.arena, offset, strides, a.layer)
        return self.name(self.views[key])

    def kernel(self, step: Step, index: int, comment: str) -> str:
        name = self.names.take(f"compute_{step.outputs[0].name}")
        groups = (", ".join(self.name(a) for a in side) for side in (step.inputs, step.outputs, step.workspace))
        self.kernels.append(f"{name} = kernel({index}, {', '.join(f'[{g}]' for g in groups)})  # {safe(comment)}")
        return name


def emit(program: Program, write: Write, reserved: Iterable[str] = (), clock: str = "", conditions: bool = True) -> Body:
    """All lines of a program; ``write`` turns one step into its lines. With ``clock``, a function of that name is told each step that ended.

    Without ``conditions`` every step runs, and looks itself whether it is to do anything.
    """
    scope = _Scope(program, reserved)
    lines: list[str] = []
    comment = ""
    numbered = [Line(s, i, scope) for i, s in enumerate(program.steps)]
    for guard, group in groupby(numbered, key=lambda line: line.step.guard if conditions else None):
        inner = "    " if guard else ""
        if guard:
            lines.append(f"if {scope.name(guard)}:")
        for line in group:
            now = place(line.step)
            if now != comment and now:
                lines.append(f"{inner}# {now}")
            comment = now
            lines += [inner + text for text in write(line)]
            lines += [f"{inner}{clock}({line.index})"] if clock else []
    return Body(list(_bound(scope)), scope.kernels, lines)


def place(step: Step) -> str:
    """``dense_1, backward``."""
    layer, stage = step.call.origin
    words = [layer] if layer else []
    if stage != "forward" or not layer:
        words.append(stage)
    return safe(", ".join(w for w in words if w))


def _bound(scope: _Scope) -> Iterator[str]:
    """One line an array, by arena."""
    def kind(a: Array) -> str:
        return next((prefix[:-1] for prefix in (STATE, KEPT) if a.arena.startswith(prefix)), a.arena)

    for name, group in groupby(sorted(scope.used, key=lambda a: [*ARENAS].index(kind(a))), key=kind):
        yield f"# {name}: {ARENAS[name]}"
        for a in group:
            strides = "" if a.contiguous else f", strides={a.strides}"
            yield f"{a.name} = array({a.arena!r}, {a.offset}, {a.shape}, {a.type.dtype.value!r}{strides})"


def literal(data: NDArray[Any]) -> str:
    """A constant of one element as Python reads it back; a float of few digits that rounds to the same element."""
    x = data.reshape(())[()]
    if not np.issubdtype(data.dtype, np.floating):
        return repr(x.item())
    if not np.isfinite(x):
        return "nan" if np.isnan(x) else "inf" if x > 0 else "-inf"
    short = repr(float(str(x)))
    return short if data.dtype.type(float(short)).tobytes() == x.tobytes() else repr(float(x))


def safe(text: str) -> str:
    """``text`` for a comment or a docstring: nothing in it ends a line, a string or an escape."""
    return "".join(c if c.isprintable() and c not in '"\\' else "_" for c in text)
