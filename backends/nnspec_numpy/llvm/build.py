"""From the fused calls of a program to functions that run: one module, object code from the cache, addresses bound once."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import numpy as np

from nnspec.codegen.cache import OBJECT, PROGRAM, found, held_json, keep, kept
from nnspec.ir.op import Array, Op
from nnspec.ir.program import Program, Step
from nnspec.ops.fused import Fused, ends
from nnspec.ops.random import RandomBits
from nnspec.ops.reduce import AllFinite, Max, Min, Sum
from nnspec_numpy.llvm import elf, philox
from nnspec_numpy.llvm.cpu import Cpu, chosen
from nnspec_numpy.llvm.nest import Function
from nnspec_numpy.llvm.render import render
from nnspec_numpy.team import TEAM

Run = Callable[[], object]
Names: TypeAlias = "dict[str, list[str]]"  # of functions, by what they are for
DIGEST = re.compile("[0-9a-f]{64}")
JOINS: dict[type[Op], np.ufunc] = {AllFinite: np.logical_and, Sum: np.add, Max: np.maximum, Min: np.minimum}
PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # its calls let other threads run


class Functions:
    """The compiled nests of a program, by the number of their step."""

    def __init__(self, program: Program, cpu: Cpu) -> None:
        self._program = program

        def write() -> tuple[str, Names]:
            names: dict[int, list[str]] = {}
            text = module(program, cpu, names)
            return text, {str(index): own for index, own in names.items()}

        self._engine, names = linked(program.key and b"nests " + program.key, cpu, write)
        self.names = {int(index): own for index, own in names.items()}
        self._functions = {name: PROTOTYPE(self._engine.get_function_address(name)) for names in self.names.values() for name in names}

    def __contains__(self, index: int) -> bool:
        return index in self.names

    def bind(self, index: int, inputs: Sequence[Array], outputs: Sequence[Array]) -> Run:
        """A step's function over its arrays; or its parts, which threads share, and whose reductions are then joined in order."""
        names = self.names[index]
        if len(names) == 1:
            return self._bound(names[0], (*inputs, *outputs))
        op = self._program.steps[index].call.op
        assert isinstance(op, Fused)
        reduced = {i: JOINS[type(v.op)] for i, v in enumerate(op.body.outputs.values()) if ends(v.call)}
        own = [[np.zeros_like(y) if i in reduced and part else y for i, y in enumerate(outputs)] for part in range(len(names))]
        runs = [self._bound(name, (*inputs, *part)) for name, part in zip(names, own, strict=True)]
        joins = [partial(join, outputs[i], part[i], out=outputs[i]) for i, join in reduced.items() for part in own[1:]]
        if not joins:
            return partial(TEAM.run, runs)

        def run() -> None:
            TEAM.run(runs)
            for join in joins:
                join()

        return run

    def _bound(self, name: str, arrays: Sequence[Array]) -> Run:
        """One function over its arrays, whose addresses are read here and never again."""
        table = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
        run = partial(self._functions[name], ctypes.c_void_p(ctypes.addressof(table)))
        run.keep = (self, table, arrays)  # type: ignore[attr-defined]  # what the address leads to
        return run


def functions(program: Program) -> Functions | None:
    """The compiled nests and draws of a program; None where it has none, or there is no llvmlite."""
    cpu = chosen()
    fused = any(isinstance(s.call.op, Fused) for s in program.steps)
    assert cpu is not None or not fused, "a program of fused calls was planned where nothing is fused"
    if cpu is None or not (fused or any(philox.takes(s.call.op) for s in program.steps)):
        return None
    return Functions(program, cpu)


def module(program: Program, cpu: Cpu, names: dict[int, list[str]]) -> str:
    """All nests as one module of LLVM IR; equal ones once. ``names`` gains the functions of each step."""
    found: dict[str, str] = {}
    declares: dict[str, None] = {}
    for i, step in enumerate(program.steps):
        for f in _rendered(step, cpu):
            names.setdefault(i, []).append(found.setdefault(f.text, f"nest_{len(found)}"))
            declares.update(dict.fromkeys(f.declares))
    return "\n\n".join([*(text.replace("@NAME", f"@{name}") for text, name in found.items()), "\n".join(declares)]) + "\n"


def _rendered(step: Step, cpu: Cpu) -> Iterable[Function]:
    op = step.call.op
    if isinstance(op, Fused):
        return render(op, step.inputs, step.outputs, cpu)
    return [philox.render(op, step.outputs, cpu)] if isinstance(op, RandomBits) and philox.takes(op) else []


def linked(key: bytes, cpu: Cpu, write: Callable[[], tuple[str, Names]]) -> tuple[Any, Names]:
    """A module's functions in memory, and their names by what they are for: with a ``key`` they are found on disk without the text, which takes
    longer to write than to find. Who owns the folder may say what is executed: a pointer is believed as object code is.
    """
    if key and elf.possible():
        pointer = _pointer(held_json(key, PROGRAM))
        code = found(pointer[0], OBJECT) if pointer else None
        image = elf.image(code) if code is not None else None
        if pointer and image is not None and image.names.issuperset(name for names in pointer[1].values() for name in names):
            return image, pointer[1]
    text, names = write()
    if key:
        keep(key, json.dumps([sha256(_key(text, cpu)).hexdigest(), names]).encode(), PROGRAM)
    return engine(text, cpu), names


def _pointer(content: Any) -> tuple[bytes, Names] | None:
    """Which entry holds the code, and the functions in it; None where that is not what was read."""
    match content:
        case [str(digest), dict(names)] if DIGEST.fullmatch(digest) and all(isinstance(v, list) and v for v in names.values()):
            return bytes.fromhex(digest), names
    return None


def engine(text: str, cpu: Cpu) -> Any:
    """A module's functions in memory, from the object code on disk where it is there."""
    return _loaded(kept(_key(text, cpu), partial(_compiled, text, cpu)), cpu)


def _key(text: str, cpu: Cpu) -> bytes:
    return "\n".join([_version("nnspec"), _version("llvmlite"), cpu.name, cpu.features, str(cpu.width), text]).encode()


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


@cache
def _initialized() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _machine(cpu: Cpu) -> Any:
    """A target of its own for every use: an engine frees its target when it goes."""
    import llvmlite.binding as llvm

    _initialized()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu.name, features=cpu.features, opt=2, jit=True)


def _compiled(text: str, cpu: Cpu) -> bytes:
    import llvmlite.binding as llvm

    machine = _machine(cpu)
    parsed = llvm.parse_assembly(f'target datalayout = "{machine.target_data}"\ntarget triple = "{machine.triple}"\n\n{text}')
    code: bytes = machine.emit_object(parsed)
    return code


def _loaded(code: bytes, cpu: Cpu) -> Any:
    image = elf.image(code)
    if image is not None:
        return image
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(cpu))
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
