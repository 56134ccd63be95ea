"""Kernels of CUDA C compiled by g++, and a device that runs them: the plan, the arguments and the code are those of a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nnspec_cupy.commands import Kernel, Launch
from nnspec_cupy.cuda.prelude import PRELUDE
from nnspec_cupy.device import Find, Run
from nnspec_cupy.emulated import EmulatedDevice

HEADER = Path(__file__).with_name("shim.h")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off", "-w")
COMPILER = shutil.which("g++")
FOLDER = Path(tempfile.gettempdir()) / f"nnspec-shim-{os.getuid()}"
TOGETHER = re.compile(r"__sync|__shfl|__ballot|__any_sync|__all_sync")


def library(kernels: Iterable[Kernel]) -> ctypes.CDLL:
    """The kernels as a shared library, kept by what it is made of; each is there as ``run_NAME(arguments, grid, block)``."""
    wanted = sorted({k.name: k for k in kernels}.values(), key=lambda k: k.name)
    parts = [HEADER.read_text(), PRELUDE]
    for k in wanted:
        fibered = "true" if TOGETHER.search(k.body) else "false"
        parts.append(f"{k.source}static void call_{k.name}(void** a) {{ shim::apply({k.name}, a); }}\n"
                     f'extern "C" void run_{k.name}(void** a, const unsigned int* grid, const unsigned int* block) '
                     f"{{ shim::run(call_{k.name}, a, grid, block, {fibered}); }}\n")
    text = "\n".join(parts)
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    path = FOLDER / f"{hashlib.sha256((text + ' '.join(FLAGS)).encode()).hexdigest()[:24]}.so"
    if not path.exists():
        assert COMPILER is not None
        source, made = path.with_suffix(f".{os.getpid()}.cpp"), path.with_suffix(f".{os.getpid()}.made")
        source.write_text(text)
        done = subprocess.run([COMPILER, *FLAGS, str(source), "-o", str(made)], capture_output=True, text=True)
        source.unlink()
        assert done.returncode == 0, done.stderr[:4000]
        os.replace(made, path)
    return ctypes.CDLL(str(path))


class ShimDevice(EmulatedDevice):
    """The emulated device, but that kernels are run rather than what they mean. Memory that is not a kernel's to write keeps its bits."""

    name = "shim"

    def __init__(self) -> None:
        super().__init__()
        self._functions: dict[str, ctypes._FuncPointer] = {}  # type: ignore[name-defined]

    def load(self, kernels: Iterable[Kernel]) -> None:
        super().load(kernels)
        new = [k for k in kernels if k.name not in self._functions]
        if new:
            found = library(new)
            self._functions.update({k.name: getattr(found, f"run_{k.name}") for k in new})

    def launched(self, command: Launch, find: Find) -> Run:
        arrays = [*command.reads, *command.writes, *([command.guard] if command.guard else [])]
        blocks = [find(a) for a in arrays]  # which are kept
        places = (ctypes.c_void_p * len(arrays))(*(b.ctypes.data + a.offset for a, b in zip(arrays, blocks, strict=True)))
        grid, block = (np.array(n, np.uint32) for n in (command.grid, command.block))
        function = self._functions[command.kernel.name]

        def run() -> None:
            function(places, grid.ctypes.data_as(ctypes.c_void_p), block.ctypes.data_as(ctypes.c_void_p))
            del blocks[:0]

        return run
