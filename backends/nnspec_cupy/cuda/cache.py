"""Kernels as object code: some at a time, so that compilers share what all begin with and threads share the rest; kept on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from nnspec.codegen.cache import CUBIN, kept
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.compile import OPTIONS, cubin, text, version

TOGETHER = 24  # kernels of one object
COMPILERS = 4  # at a time


def compiled(kernels: Sequence[Kernel], arch: str) -> Iterator[tuple[list[Kernel], bytes]]:
    """Kernels with the object code that holds them, compiled for ``arch`` where they are not on disk."""
    parts = [list(kernels[i : i + TOGETHER]) for i in range(0, len(kernels), TOGETHER)]
    if not parts:
        return
    head = f"cubin {arch} nvrtc {version()} {' '.join(OPTIONS)}\n"

    def made(part: list[Kernel]) -> bytes:
        return kept((head + text(part)).encode(), lambda: cubin(part, arch), CUBIN)

    with ThreadPoolExecutor(COMPILERS) as pool:
        yield from zip(parts, pool.map(made, parts), strict=True)
