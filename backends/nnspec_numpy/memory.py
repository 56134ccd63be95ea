"""Arrays over aligned memory: the state that programs share, and the arenas of one program."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.allocate import ALIGNMENT
from nnspec.ir.program import KEPT, STATE, Array, Program
from nnspec.ir.types import DType, TensorType, known

Bytes = NDArray[np.uint8]


def zeroed(nbytes: int) -> Bytes:
    """``nbytes`` zeros from an address that is a multiple of the alignment."""
    room = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + nbytes]


class NumpyMemory:
    """State that outlives a step: one array a label, zeroed at first, shared by every program bound to it."""

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self.types = dict(types)
        self._bytes = {label: zeroed(prod(known(t.shape)) * t.dtype.size) for label, t in self.types.items()}
        self.follows: dict[str, TensorType] = {}
        self._kept: dict[str, Bytes] = {}
        self.written = 0  # how often any state was
        self.made: dict[str, int] = {}  # when what is kept was made, counted in that

    def hold(self, types: Mapping[str, TensorType]) -> None:
        """Room for what follows from states, where there is none yet."""
        for label, t in types.items():
            if label not in self.follows:
                self.follows[label], self._bytes[label] = t, zeroed(prod(known(t.shape)) * t.dtype.size)

    def type(self, label: str) -> TensorType:
        return self.types[label] if label in self.types else self.follows[label]

    def bytes(self, label: str) -> Bytes:
        return self._bytes[label]

    def kept(self, arena: str, nbytes: int) -> Bytes:
        """The memory of what is made of a state in one form; its name says which."""
        if arena not in self._kept:
            self._kept[arena] = zeroed(nbytes)
        return self._kept[arena]

    def read(self, label: str) -> NDArray[Any]:
        """A copy of a state's content."""
        return self._array(label).copy()

    def write(self, label: str, array: NDArray[Any]) -> None:
        """Replaces a state's content; shape and dtype must be those of ``types``."""
        mine = self._array(label)
        if array.shape != mine.shape or array.dtype != mine.dtype:
            raise ValueError(f"state '{label}' is {self.types[label]}, not {array.dtype}{list(array.shape)}")
        np.copyto(mine, array)
        self.written += 1

    def put(self, label: str, offset: int, array: NDArray[Any]) -> None:
        """Replaces as many elements from the ``offset``-th on as the flat ``array`` has."""
        np.copyto(self._array(label)[offset : offset + array.size], array)
        self.written += 1

    def _array(self, label: str) -> NDArray[Any]:
        t = self.types[label]
        return self._bytes[label].view(t.dtype.numpy).reshape(known(t.shape))


class Arenas:
    """The memory of one bound program: its own arenas, and the state it shares."""

    def __init__(self, program: Program, memory: NumpyMemory) -> None:
        self._bytes: dict[str, Bytes] = {}
        for name, size in program.arenas.items():
            if name.startswith(STATE):
                self._bytes[name] = memory.bytes(name.removeprefix(STATE))
            else:
                self._bytes[name] = memory.kept(name, size) if name.startswith(KEPT) else zeroed(size)
        for label, a in program.state.items():
            if memory.type(label) != a.type:
                raise ValueError(f"state '{label}' is {memory.type(label)}, but the program expects {a.type}")
        for a in program.arrays:
            if a.arena == "constants" and a.data is not None:
                np.copyto(self.of(a), a.data)

    def array(self, arena: str, offset: int, shape: tuple[int, ...], dtype: str,
              strides: tuple[int, ...] | None = None) -> NDArray[Any]:
        """A place in an arena; ``offset`` in bytes, ``strides`` in elements."""
        if prod(shape) == 0:
            return np.zeros(shape, dtype)
        size = DType(dtype).size
        steps = None if strides is None else tuple(s * size for s in strides)
        return np.ndarray(shape, dtype, self._bytes[arena], offset, steps)

    def of(self, a: Array) -> NDArray[Any]:
        return self.array(a.arena, a.offset, a.shape, a.type.dtype.value, a.strides)
