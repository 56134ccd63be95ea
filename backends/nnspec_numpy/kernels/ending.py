"""The epilogue of a bound kernel: where the operands of a nest lie, seen from what the kernel writes."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.op import Array
from nnspec.ops.fused import Followed
from nnspec_numpy.llvm.epilogue import CHANNEL, NUMBER, WHOLE, epilogue

from .kernel import Arrays


class Ending:
    """The epilogue of ``op`` over the operands that it has besides those of its first call. All results and whole operands lie alike."""

    def __init__(self, op: Followed, operands: Arrays, results: Arrays) -> None:
        self.epilogue = epilogue(op)
        self.operands = list(zip(operands, [k for _, k in self.epilogue.given], strict=True))
        self.results = results

    def arguments(self, part: Array) -> Sequence[Array | int]:
        """What the kernel's table goes on with where it writes a ``part`` of the first result."""
        first = self.results[0]
        channel = _address(part) - _address(first)
        channel = channel // first.itemsize % first.shape[-1]
        steps = [_address(a) - _address(first) for a, kind in self.operands if kind == WHOLE]
        channels = [a.reshape(-1)[channel:] for a, kind in self.operands if kind == CHANNEL]
        numbers = [a for a, kind in self.operands if kind == NUMBER]
        return *steps, *channels, *numbers, *(_address(y) - _address(first) for y in self.results[1:])


def _address(a: Array) -> int:
    return int(a.ctypes.data)
