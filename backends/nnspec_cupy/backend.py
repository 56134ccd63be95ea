"""The CuPy backend: plans, prints and runs programs on a GPU, or on what stands for one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from os import environ
from typing import Any

from numpy.typing import NDArray

from nnspec.codegen import plan
from nnspec.codegen.backend import Room, Speed
from nnspec.codegen.stored import read
from nnspec.errors import MissingExtraError, ResourceError
from nnspec.ir.graph import Call, Graph
from nnspec.ir.op import Composite
from nnspec.ir.program import Program, Step
from nnspec.ir.types import TensorType
from nnspec.ops.conv import Convolution
from nnspec.ops.matmul import Linear, MatMul
from nnspec.records import replace
from nnspec_cupy import convolution
from nnspec_cupy.commands import Product, named
from nnspec_cupy.cublaslt import library
from nnspec_cupy.cuda.compile import INSTALL, version
from nnspec_cupy.device import Device
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.executable import SLOTS, DeviceExecutable
from nnspec_cupy.lowerings import LOWERINGS
from nnspec_cupy.memory import DeviceMemory
from nnspec_cupy.nests import Nests
from nnspec_cupy.plan import DeviceRules
from nnspec_cupy.source import apart, kernels, source

RESERVED = ("array", "kernel", "step", "clock")
SWITCH = "NNSPEC_GPU"  # "emulated" runs every plan on NumPy, in the order and within the rules of a GPU


def lacking() -> list[str]:
    """What is not installed of what a GPU is driven with."""
    found = [f"{name} is not installed" for name, module in (("CuPy", "cupy"), ("cuDNN's frontend", "cudnn")) if find_spec(module) is None]
    for look in (version, library) if find_spec("cupy") else ():
        try:
            look()
        except MissingExtraError as error:
            found.append(f"{error.problems[0].message} ({error.problems[0].found.partition(':')[0]})")
    return found


class CupyBackend:
    """The protocol of ``nnspec.codegen.backend``. It plans and prints without CuPy and without a GPU."""

    name = "cupy"
    late = True

    def __init__(self, device: Device | None = None) -> None:
        self._given = device

    @cached_property
    def device(self) -> Device:
        """Where programs run. Raises MissingExtraError without CuPy, ResourceError without a GPU."""
        if self._given is not None:
            return self._given
        if environ.get(SWITCH) == "emulated":
            return EmulatedDevice()
        from nnspec_cupy.gpu import Gpu  # CuPy, which takes a second

        return Gpu()

    def claims(self, op: Composite, strict: bool = False) -> bool:
        return False

    def loops(self, strict: bool = False) -> Nests:
        return Nests(strict)

    def plan(self, graph: Graph, title: str) -> Program:
        return plan.plan(graph, title, DeviceRules(), None, RESERVED)

    def restore(self, content: bytes, key: bytes) -> Program | None:
        """A program that was written; None where it is not one that ``plan`` could have made."""
        return read(content, key, DeviceRules(), RESERVED)

    def signature(self) -> str:
        """What programs depend on besides graphs: whether cuDNN convolves."""
        return f"cudnn {convolution.library()}"

    def choice(self, step: Step) -> str:
        return LOWERINGS[type(step.call.op)].choice(step)

    def source(self, program: Program) -> str:
        """The module, and below it as comments the CUDA C of its kernels."""
        text = "\n".join(k.source for k in kernels(program).values())
        return source(program) + "".join(f"# {line}".rstrip() + "\n" for line in ["", *text.splitlines()])

    def ways(self, call: Call) -> tuple[str, ...]:
        """Of what is multiplied, the algorithms that the device's library names, the one it takes by itself first; there is one way for the rest."""
        if not isinstance(call.op, MatMul | Linear | Convolution):
            return ()
        most = max((self.device.algorithms(c) for c in apart(call) if isinstance(c, Product)), default=0)
        return tuple(map(named, range(most))) if most > 1 else ()

    def machine(self, tf32: bool = False) -> dict[str, str]:
        """The device and its libraries, and how products may round."""
        return {**self.device.words(), "math": "tf32" if tf32 else "float32"}

    def memory(self, types: Mapping[str, TensorType], tf32: bool = False) -> DeviceMemory:
        return DeviceMemory(types, self.device, tf32)

    def room(self) -> Room:
        """What is free on the device."""
        free, _ = self.device.memory()
        return Room(free, f" on {self.device.name}", SLOTS)

    def speed(self) -> Speed:
        """Of the device, by its processors, clocks and memory."""
        return self.device.speed()

    def status(self) -> str:
        """``ready``, and the device. Raises MissingExtraError, ResourceError, with all that is missing and the line that installs it."""
        try:
            device = self.device
        except ResourceError as error:
            p, missing = error.problems[0], lacking()
            raise ResourceError(replace(p, found="; ".join([p.found, *missing]), hint=f"{INSTALL}; {p.hint}" if missing else p.hint)) from error
        free, total = device.memory()
        found = "cuDNN" if convolution.library() else "products (cuDNN's frontend is not installed)"
        return f"ready: {device.name}, {device.arch}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free; convolutions by {found}"

    def set_threads(self, count: int) -> None:
        """A GPU's threads are its own."""

    def bind(self, program: Program, memory: DeviceMemory, seconds: NDArray[Any] | None = None) -> DeviceExecutable:
        return DeviceExecutable(program, memory, seconds)
