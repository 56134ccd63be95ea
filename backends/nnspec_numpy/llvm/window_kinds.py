"""What kernels there are for windows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.depthwise import depthwise, depthwise_kernel, depthwise_scatter
from nnspec_numpy.llvm.epilogue import Epilogue
from nnspec_numpy.llvm.pools import largest, largest_alone, largest_gradient, mean, mean_gradient
from nnspec_numpy.llvm.windows import Shape

KINDS: dict[str, Callable[[Shape, Cpu], Code]] = {
    "depthwise": depthwise, "depthwise_scatter": depthwise_scatter, "depthwise_kernel": depthwise_kernel,
    "largest": largest, "largest_alone": largest_alone, "largest_gradient": largest_gradient, "mean": mean, "mean_gradient": mean_gradient}


@dataclass(frozen=True)
class Family:
    """The one kernel of a name for windows of a shape."""

    kind: str
    shape: Shape
    epilogue: Epilogue | None = None  # of depthwise alone

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, depthwise(self.shape, cpu, self.epilogue) if self.epilogue else KINDS[self.kind](self.shape, cpu)
