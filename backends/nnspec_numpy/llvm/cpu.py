"""For which processor loop nests are compiled: this one, or less of it where NNSPEC_CPU says so."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import takewhile
from typing import Any

from nnspec.codegen.cache import PROCESSOR, held_json, keep
from nnspec.errors import NnspecError, Problem, SpecError, nearest, one_of
from nnspec.records import asdict, dataclass
from nnspec_numpy.llvm.elf import possible

VARIABLE = "NNSPEC_CPU"
MASKS = {"avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"), "avx2": ("avx2", "fma"), "baseline": (), "none": ()}
NAMES = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "baseline": "x86-64"}

SAYS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")  # of /proc/cpuinfo, what does not change while it runs
OLDEST = (20,)  # LLVM, as llvmlite 0.45 has it: older ones read another text


@dataclass(frozen=True)
class Cpu:
    """What code is compiled for; ``width`` is how many bytes a vector has."""

    name: str
    features: str
    width: int
    x86: bool

    def __str__(self) -> str:
        return f"{self.name}, vectors of {8 * self.width} bits"


def chosen() -> Cpu | None:
    """The processor to compile for; None where there is no llvmlite, or NNSPEC_CPU says none. Raises SpecError."""
    return _chosen(os.environ.get(VARIABLE, ""))


@cache
def _chosen(mask: str) -> Cpu | None:
    if mask and mask not in MASKS:
        raise SpecError(Problem(f"{VARIABLE} is '{mask}'", wanted=one_of(MASKS), hint=nearest(mask, MASKS)))
    return None if mask == "none" else _remembered(mask) if possible() else _asked(mask)


def _remembered(mask: str) -> Cpu | None:
    """What LLVM once said of a processor like this one: to load it takes longer than to run a small program."""
    key = _like(mask)
    if key is None:
        return _asked(mask)
    cpu = _read(held_json(key, PROCESSOR))
    if cpu is not None:
        return cpu
    cpu = _asked(mask)
    if cpu is not None:
        keep(key, json.dumps(asdict(cpu)).encode(), PROCESSOR)
    return cpu


def _read(content: Any) -> Cpu | None:
    """A processor as it was written; None where that is not what was read."""
    match content:
        case {"name": str(name), "features": str(features), "width": 16 | 32 | 64 as width, "x86": bool(x86)}:
            return Cpu(name, features, width, x86)
    return None


def _like(mask: str) -> bytes | None:
    """What LLVM's answer depends on: itself, and what the system says of the first processor; None where one is not to be found."""
    try:
        package = find_spec("llvmlite")
        release = version("llvmlite")
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = takewhile(str.strip, file)
            says = sorted(line.strip() for line in lines if line.partition(":")[0].strip() in SAYS)
    except (OSError, ImportError, ValueError, PackageNotFoundError):
        return None
    if package is None or package.origin is None or not any(line.startswith("flags") for line in says):
        return None
    return "\n".join([package.origin, release, mask, *says]).encode()


def _asked(mask: str) -> Cpu | None:
    try:
        import llvmlite.binding as llvm

        llvm.check_jit_execution()  # some systems forbid memory that is written and then executed
    except (ImportError, OSError):
        return None
    if llvm.llvm_version_info < OLDEST:
        return None
    has = {name for name, there in llvm.get_host_cpu_features().items() if there}
    x86 = llvm.get_default_triple().startswith(("x86_64", "i686", "amd64"))
    if mask and (not x86 and mask != "baseline" or not has.issuperset(MASKS[mask])):
        raise _lacking(mask)
    best = next(m for m, wanted in MASKS.items() if x86 and not mask and has.issuperset(wanted)) if x86 and not mask else mask or "baseline"
    width = {"avx512": 64, "avx2": 32}.get(best, 16)
    if mask:
        return Cpu(NAMES[mask] if x86 else "generic", "", width, x86)
    return Cpu(llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), width, x86)


def _lacking(mask: str) -> NnspecError:
    return SpecError(Problem(f"{VARIABLE} is '{mask}'", found="a processor without that", wanted=one_of(["baseline", "none"])))
