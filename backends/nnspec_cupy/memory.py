"""Memory on a device: the state that programs share, and the arenas of one program."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.program import STATE, Array, Program
from nnspec.ir.types import DType, TensorType, known
from nnspec_cupy.device import Block, Bytes, Device


class DeviceMemory:
    """State that outlives a step: one block a label, zeroed at first, shared by every program bound to it."""

    def __init__(self, types: Mapping[str, TensorType], device: Device, tf32: bool = False) -> None:
        self.types, self.device, self.tf32 = dict(types), device, tf32
        self._blocks = {label: device.allocate(_bytes(t)) for label, t in self.types.items()}
        self.follows: dict[str, TensorType] = {}
        self.written = 0  # how often any state was
        self._sound: Block = None

    def hold(self, types: Mapping[str, TensorType]) -> None:
        """Room for what follows from states, where there is none yet."""
        for label, t in types.items():
            if label not in self.follows:
                self.follows[label], self._blocks[label] = t, self.device.allocate(_bytes(t))

    def type(self, label: str) -> TensorType:
        return self.types[label] if label in self.types else self.follows[label]

    def block(self, label: str) -> Block:
        return self._blocks[label]

    def read(self, label: str) -> NDArray[Any]:
        """A copy of a state's content, in the host's memory."""
        t = self.types[label]
        host = self.device.pinned(_bytes(t))
        self.device.download(self._blocks[label], host)()
        self.device.synchronize()
        return host.view(t.dtype.numpy).reshape(known(t.shape)).copy()

    def write(self, label: str, array: NDArray[Any]) -> None:
        """Replaces a state's content; shape and dtype must be those of ``types``."""
        t = self.types[label]
        if array.shape != known(t.shape) or array.dtype != t.dtype.numpy:
            raise ValueError(f"state '{label}' is {t}, not {array.dtype}{list(array.shape)}")
        self._put(label, 0, array)

    def put(self, label: str, offset: int, array: NDArray[Any]) -> None:
        """Replaces as many elements from the ``offset``-th on as the flat ``array`` has."""
        t = self.types[label]
        if array.dtype != t.dtype.numpy or not 0 <= offset <= offset + array.size <= prod(known(t.shape)):
            raise ValueError(f"state '{label}' is {t}: it has no {array.size} elements of {array.dtype} from {offset} on")
        self._put(label, offset, array)

    def _put(self, label: str, offset: int, array: NDArray[Any]) -> None:
        self.written += 1
        self._fill(self._blocks[label], offset * array.itemsize, np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def _fill(self, block: Block, offset: int, content: Bytes) -> None:
        host = self.device.pinned(content.nbytes)
        host[...] = content
        self.device.upload(host, block, offset)()
        self.device.synchronize()

    @property
    def sound(self) -> Block:
        """A byte: whether all steps so far were finite, as far as the host has not seen the one that was not. None is taken while it is 0."""
        if self._sound is None:
            self._sound = self.device.allocate(1)
            self.recover()
        return self._sound

    def recover(self) -> None:
        """The host has seen a step that was not finite: what is enqueued behind it does nothing, what comes now is taken again."""
        self.device.synchronize()
        self._fill(self.sound, 0, np.ones(1, np.uint8))


SOUND = "sound"  # the arena of ``DeviceMemory.sound``


def sound() -> Array:
    """``DeviceMemory.sound`` as an array."""
    return Array(SOUND, TensorType((), DType.bool), SOUND, 0, ())


class Arenas:
    """Where the arrays of one bound program lie: one block an arena of its own, and the state that it shares."""

    def __init__(self, program: Program, memory: DeviceMemory) -> None:
        self._memory, self._blocks = memory, dict[str, Block]()
        for label, a in program.state.items():
            if memory.type(label) != a.type:
                raise ValueError(f"state '{label}' is {memory.type(label)}, but the program expects {a.type}")
        for name, size in program.arenas.items():
            if name.startswith(STATE):
                self._blocks[name] = memory.block(name.removeprefix(STATE))
            else:
                self._blocks[name] = memory.device.allocate(size)

    def find(self, a: Array) -> Block:
        return self._memory.sound if a.arena == SOUND else self._blocks[a.arena]

    def arena(self, name: str) -> Block | None:
        return self._blocks.get(name)


def laid(arrays: Mapping[str, Array], host: Bytes) -> dict[str, NDArray[Any]]:
    """Arrays of one arena as NumPy arrays over its copy on the host."""
    return {name: over(a, host) for name, a in arrays.items()}


def over(a: Array, host: Bytes) -> NDArray[Any]:
    if prod(a.shape) == 0:
        return np.zeros(a.shape, a.type.dtype.numpy)
    return np.ndarray(a.shape, a.type.dtype.numpy, host, a.offset, tuple(s * a.type.dtype.size for s in a.strides))


def _bytes(t: TensorType) -> int:
    return prod(known(t.shape)) * t.dtype.size
