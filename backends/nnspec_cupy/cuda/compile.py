"""CUDA C to the code of one architecture, by NVRTC; it needs neither a GPU nor a driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnspec.errors import MissingExtraError, Problem
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.prelude import PRELUDE

OPTIONS = ("--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true", "--device-int128")
INSTALL = "pip install 'nnspec[cuda12]' (or cuda13), which brings CuPy and NVRTC"


def version() -> str:
    """NVRTC's version. Raises MissingExtraError where there is none."""
    return ".".join(map(str, _nvrtc().getVersion()))


def cubin(kernels: Sequence[Kernel], arch: str) -> bytes:
    """The object code of some kernels for ``arch``, such as ``sm_90``. Raises AssertionError with the compiler's words where there is none."""
    nvrtc = _nvrtc()
    program = nvrtc.createProgram(text(kernels), "nnspec.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (f"--gpu-architecture={arch}", *OPTIONS))
        except nvrtc.NVRTCError as error:
            raise AssertionError(f"kernels do not compile: {nvrtc.getProgramLog(program)}") from error
        found: bytes = nvrtc.getCUBIN(program)
        return found
    finally:
        nvrtc.destroyProgram(program)


def text(kernels: Sequence[Kernel]) -> str:
    """One translation unit."""
    return PRELUDE + "".join(k.source for k in kernels)


def _nvrtc() -> Any:
    """CuPy's binding."""
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(Problem("kernels cannot be compiled for a GPU", found=str(error), hint=INSTALL)) from error
    return nvrtc
