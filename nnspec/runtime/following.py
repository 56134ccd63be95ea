"""A program behind another that makes what it reads of the weights: the first runs only when a state was written since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from nnspec.codegen.backend import Executable, Memory
from nnspec.ir.program import Program


class Following:
    """``rest`` over states that ``first`` writes; programs that read the same of them agree on when it last ran."""

    def __init__(self, first: Executable, rest: Executable, memory: Memory, made: dict[frozenset[str], int]) -> None:
        self.first, self.rest, self.memory, self._made = first, rest, memory, made
        self._key = frozenset(first.program.state)
        self.program: Program = rest.program
        self.inputs: Mapping[str, NDArray[Any]] = rest.inputs
        self.outputs: Mapping[str, NDArray[Any]] = rest.outputs

    def renew(self) -> None:
        """Makes what follows from the weights anew, where they have changed."""
        if self._made.get(self._key) != self.memory.written:
            self.first.run()
            self._made[self._key] = self.memory.written

    def run(self) -> None:
        self.renew()
        self.rest.run()
