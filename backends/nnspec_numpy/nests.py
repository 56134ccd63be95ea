"""The compiled nests of a program over its memory: addresses bound once, parts that threads share joined in order."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial

import numpy as np

from nnspec.ir.op import Array, Op
from nnspec.ir.program import Program
from nnspec.ops.fused import Fused, ends
from nnspec.ops.reduce import AllFinite, Max, Min, Sum
from nnspec_numpy.crew import Step, sequence, together
from nnspec_numpy.llvm import philox
from nnspec_numpy.llvm.build import Names, linked, module
from nnspec_numpy.llvm.call import Call, call
from nnspec_numpy.llvm.cpu import Cpu, chosen
from nnspec_numpy.llvm.render import nests

JOINS: dict[type[Op], np.ufunc] = {AllFinite: np.logical_and, Sum: np.add, Max: np.maximum, Min: np.minimum}


class Functions:
    """The compiled nests of a program, by the number of their step."""

    def __init__(self, program: Program, cpu: Cpu) -> None:
        self._program, self._cpu = program, cpu

        def write() -> tuple[str, Names]:
            names: dict[int, list[str]] = {}
            text = module(program, cpu, names)
            return text, {str(index): own for index, own in names.items()}

        self._engine, names = linked(program.key and b"nests " + program.key, cpu, write)
        self.names = {int(index): own for index, own in names.items()}
        self._functions = {name: self._engine.get_function_address(name) for names in self.names.values() for name in names}

    def __contains__(self, index: int) -> bool:
        return index in self.names

    def bind(self, index: int, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
        """A step's function over its arrays; or its parts, which threads share, and whose reductions are then joined in order."""
        names = self.names[index]
        if len(names) == 1:
            return self._bound(names[0], (*inputs, *outputs))
        op = self._program.steps[index].call.op
        assert isinstance(op, Fused)
        reduced = {i: JOINS[type(v.op)] for i, v in enumerate(op.body.outputs.values()) if ends(v.call)}
        own = [[np.zeros_like(y) if i in reduced and part else y for i, y in enumerate(outputs)] for part in range(len(names))]
        step = self._program.steps[index]
        starts = [nest.starts() for nest in nests(op, step.inputs, step.outputs, self._cpu)]
        runs = [self._bound(name, (*inputs, *part), start) for name, part, start in zip(names, own, starts, strict=True)]
        joins = [partial(join, outputs[i], part[i], out=outputs[i]) for i, join in reduced.items() for part in own[1:]]
        return sequence([together(runs), *joins])

    def _bound(self, name: str, arrays: Sequence[Array], starts: Sequence[int] = ()) -> Call:
        """One function over its arrays from so many bytes on; addresses are read here and never again."""
        table = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data + s for a, s in zip(arrays, starts or [0] * len(arrays), strict=True)))
        return call(self._functions[name], ctypes.addressof(table), self, table, arrays)


def functions(program: Program) -> Functions | None:
    """The compiled nests and draws of a program; None where it has none, or there is no llvmlite."""
    cpu = chosen()
    fused = any(isinstance(s.call.op, Fused) for s in program.steps)
    assert cpu is not None or not fused, "a program of fused calls was planned where nothing is fused"
    if cpu is None or not (fused or any(philox.takes(s.call.op) for s in program.steps)):
        return None
    return Functions(program, cpu)
