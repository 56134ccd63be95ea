"""CUDA C to the code of one architecture, by NVRTC; it needs neither a GPU nor a driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.prelude import PRELUDE
from nnspec_cupy.device import CPU

OPTIONS = ("--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true", "--device-int128")
BOARDS = (53, 62, 72, 87, 101)  # of embedded devices, whose code others do not run
INSTALL = "pip install 'nnspec[cuda12]' (or cuda13), which brings CuPy and NVRTC"


def version() -> str:
    """NVRTC's version. Raises MissingExtraError where there is none."""
    return ".".join(map(str, _nvrtc().getVersion()))


def target(arch: str) -> str:
    """What kernels are compiled for, so that a device of ``arch`` runs them.

    ``arch`` itself where NVRTC knows it; where that is older than the device, code of a lesser device of the same family, or else PTX, which the
    driver compiles. Raises ResourceError where NVRTC no longer knows the device.
    """
    number, known = int(arch.removeprefix("sm_")), sorted(_nvrtc().getSupportedArchs())
    if number in known:
        return arch
    lesser = [n for n in known if n < number and n not in BOARDS]
    if not lesser:
        problem = Problem(f"kernels cannot be compiled for {arch}", found=f"NVRTC {version()}, which begins at sm_{known[0]}",
                          wanted="an older CUDA, or a newer GPU", hint=f"nnspec[cuda12] knows older GPUs than nnspec[cuda13]; {CPU}")  # fmt: skip
        raise ResourceError(problem)
    family = [n for n in lesser if n // 10 == number // 10]
    return f"sm_{family[-1]}" if family else f"compute_{lesser[-1]}"


def cubin(kernels: Sequence[Kernel], arch: str) -> bytes:
    """The object code of some kernels for ``sm_90`` and its like, PTX for ``compute_90``. Raises AssertionError with the compiler's words."""
    nvrtc = _nvrtc()
    program = nvrtc.createProgram(text(kernels), "nnspec.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (f"--gpu-architecture={arch}", *OPTIONS))
        except nvrtc.NVRTCError as error:
            raise AssertionError(f"kernels do not compile: {nvrtc.getProgramLog(program)}") from error
        found: bytes = nvrtc.getCUBIN(program) if arch.startswith("sm_") else nvrtc.getPTX(program)
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
