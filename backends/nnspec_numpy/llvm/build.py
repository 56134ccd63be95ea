"""From the fused calls of a program to functions: one module, object code from the cache."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

from nnspec.codegen.cache import OBJECT, PROGRAM, found, held_json, keep, kept
from nnspec.ir.program import Program, Step
from nnspec.ops.fused import Fused
from nnspec.ops.random import RandomBits
from nnspec_numpy.llvm import elf, philox
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.nest import Function
from nnspec_numpy.llvm.render import render

Names: TypeAlias = "dict[str, list[str]]"  # of functions, by what they are for
DIGEST = re.compile("[0-9a-f]{64}")


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
