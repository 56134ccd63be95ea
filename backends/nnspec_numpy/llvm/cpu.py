"""For which processor loop nests are compiled: this one, or less of it where NNSPEC_CPU says so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from nnspec.errors import NnspecError, Problem, SpecError, nearest, one_of

VARIABLE = "NNSPEC_CPU"
MASKS = {"avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"), "avx2": ("avx2", "fma"), "baseline": (), "none": ()}
NAMES = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "baseline": "x86-64"}


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
    if mask == "none":
        return None
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
