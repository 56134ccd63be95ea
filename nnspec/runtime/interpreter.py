"""``--interpret``: a graph run op by op with the ops' references; slow, plain, and the oracle for everything compiled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.ir.graph import Graph
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array
from nnspec.ir.types import TensorType, known

UPDATE = "update:"


class HostMemory:
    """State as plain arrays."""

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self.types = dict(types)
        self.arrays = {name: np.zeros(known(t.shape), t.dtype.numpy) for name, t in types.items()}

    def read(self, label: str) -> Array:
        return self.arrays[label].copy()

    def write(self, label: str, array: Array) -> None:
        self.arrays[label][...] = array

    def put(self, label: str, offset: int, array: Array) -> None:
        self.arrays[label][offset : offset + array.size] = array


class Interpreted:
    """A graph ready to be interpreted over a memory."""

    def __init__(self, graph: Graph, memory: HostMemory) -> None:
        self.graph, self.memory = graph, memory
        roles = {name: getattr(v.op, "role", "") for name, v in graph.inputs.items()}
        self.inputs = {n: np.zeros(known(v.shape), v.dtype.numpy) for n, v in graph.inputs.items() if roles[n] != "state"}
        self.outputs: dict[str, Array] = {}

    def run(self) -> None:
        results = interpret(self.graph, {**self.memory.arrays, **self.inputs})
        for name, array in results.items():
            if name.startswith(UPDATE):
                self.memory.write(name.removeprefix(UPDATE), array)
            else:
                self.outputs[name] = array

