"""The source of a program for NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from nnspec.codegen.emit import Line, emit
from nnspec.codegen.module import RESERVED, module
from nnspec.ir.program import Program
from nnspec_numpy.statements import FUNCTIONS, NUMPY, STATEMENTS

WORDS = (*RESERVED, *NUMPY, *FUNCTIONS)


def source(program: Program, clocked: bool = False) -> str:
    """The module that ``bind`` runs, as a person reads it; ``clocked`` it tells ``clock`` the number of each step that ended."""
    body = emit(program, _write, WORDS, "clock" if clocked else "")
    return module(program, body, {"numpy": NUMPY, "nnspec_numpy.functions": FUNCTIONS})


def _write(line: Line) -> Iterable[str]:
    statement = STATEMENTS.get(type(line.op))
    if statement is not None:
        return statement.write(line)
    return [f"{line.bound(repr(line.op))}()"]
