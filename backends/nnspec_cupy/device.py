"""What a device offers: memory, copies, commands, and a sequence of them captured once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.backend import Speed
from nnspec.ir.program import Array
from nnspec_cupy.commands import Command, Kernel, Product

CPU = "--backend numpy runs the same spec on the CPU"
Run: TypeAlias = Callable[[], None]
Bytes: TypeAlias = NDArray[np.uint8]
Block: TypeAlias = Any  # memory of the device; only the device knows what it is
Find: TypeAlias = Callable[[Array], Block]  # the block that holds an array's arena


class Device(Protocol):
    """One GPU, or what stands for it. All that is enqueued happens in order; the host goes on meanwhile.

    What is enqueued ``beside`` has an order of its own, that of copies; either order waits for a mark of the other where ``follow`` says so.

    Between ``capture``'s begin and end nothing is done: what is enqueued is remembered. Memory, host reads and waiting are refused then.
    """

    name: str
    arch: str  # what kernels are compiled for: "sm_90"

    def words(self) -> dict[str, str]:
        """What decides, beside shapes, how fast it is and what its libraries choose, in words that are equal on equal devices."""

    def memory(self) -> tuple[int, int]:
        """Bytes that are free, and all."""

    def speed(self) -> Speed:
        """What it can do at most."""

    def allocate(self, nbytes: int) -> Block:
        """Memory of the device, zeroed, from an address that is a multiple of 256."""

    def pinned(self, nbytes: int) -> Bytes:
        """Memory of the host that copies read and write while the host goes on; zeroed."""

    def upload(self, source: Bytes, target: Block, offset: int = 0, beside: bool = False) -> Run:
        """What enqueues a copy to the device, ``offset`` bytes from where the block begins; the host may not write ``source`` before it is done."""

    def download(self, source: Block, target: Bytes) -> Run:
        """What enqueues a copy to the host; the host may read ``target`` when it is done."""

    def copy(self, source: Block, target: Block, nbytes: int) -> Run:
        """What enqueues a copy from one block to another."""

    def load(self, kernels: Iterable[Kernel]) -> None:
        """Compiles kernels, or finds them compiled. Raises BackendError where one does not compile."""

    def bind(self, command: Command, find: Find, tf32: bool = False) -> Run:
        """What enqueues a command over memory; with ``tf32`` a library may round float32 operands to 10 bits."""

    def algorithms(self, product: Product) -> int:
        """How many ways of computing a product there are, ``ALGORITHMS`` at most; only its types and how its arrays lie are looked at."""

    def capture(self, work: Run) -> Run:
        """What ``work`` enqueues, as one call that enqueues it all."""

    def mark(self, beside: bool = False) -> Any:
        """A point in the order of what is enqueued."""

    def follow(self, mark: Any, beside: bool = False) -> None:
        """What is enqueued from here on waits for a mark of the other order."""

    def wait(self, mark: Any) -> None:
        """Until all before a mark is done."""

    def hold(self, seconds: float) -> None:
        """Keeps what is enqueued from here on waiting for so long, so that meanwhile all of it can be enqueued and then runs without gaps."""

    def seconds(self, first: Any, last: Any) -> float:
        """The time between two marks that are both done."""

    def synchronize(self) -> None:
        """Until all is done."""
