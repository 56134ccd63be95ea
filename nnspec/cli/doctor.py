"""``nnspec doctor``: versions, backends, processor and memory, and what to install where something is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from nnspec.cli.options import json_option, print_json

FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_bf16",
    "amx_tile",
    "neon",
    "asimd",
    "sve",
)
EXTRAS = {"fast": "llvmlite", "images": "PIL", "parquet": "pyarrow"}  # what pip installs as nnspec[NAME], and the module that comes with it


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what this machine and installation offer, and what is missing."""
    facts = dict(examine())
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<12} {_line(value)}")


def examine() -> Iterator[tuple[str, Any]]:
    """Every fact by its name."""
    from importlib.metadata import version

    yield "nnspec", f"{version('nnspec')} in {Path(__file__).resolve().parent.parent}"
    yield "python", f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "numpy", _numpy()
    yield "backends", {name: backend(name) for name in ("numpy", "cupy")}
    yield "extras", {name: _extra(name, module) for name, module in EXTRAS.items()}
    yield "loop nests", _loops()
    yield "cache", _cache()
    yield "cpu", _features()
    if forced := os.environ.get("OPENBLAS_CORETYPE"):
        yield "blas", f"OPENBLAS_CORETYPE={forced} is set: matrix products run as for that processor, whatever this one is"
    yield "cores", _cores()
    yield "memory", _memory()
    yield "terminal", "yes" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else "plain output"


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {v}" for k, v in value.items())
    return str(value)


def _numpy() -> str:
    import numpy as np

    config: Any = np.show_config(mode="dicts") or {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{np.__version__}, BLAS {blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip()


def backend(name: str) -> str:
    """``ready``, or what is missing and the line that installs it."""
    from nnspec.codegen.backend import load_backend
    from nnspec.errors import NnspecError

    try:
        return load_backend(name).status()
    except NnspecError as e:
        problem = e.problems[0]
        return " — ".join(part for part in (problem.message, problem.found, problem.hint) if part)


def _extra(name: str, module: str) -> str:
    """The module's version, or the line that installs it."""
    try:
        found = import_module(module)
    except ImportError:
        return f"not installed — pip install 'nnspec[{name}]'"
    return f"{'Pillow' if module == 'PIL' else module} {getattr(found, '__version__', 'unknown')}"


def _loops() -> str:
    """For which processor loop nests are compiled."""
    from nnspec.codegen.backend import load_backend

    loops = load_backend("numpy").loops()
    return str(loops) if loops is not None else "none: NumPy alone"


def _cache() -> str:
    """Where compiled code is kept and how much it is, or why none is."""
    from nnspec.codegen.cache import LARGEST, MOST, state

    found = state()
    if found.refused:
        return f"{found.path} is not used: {found.refused}" if found.path else f"none: {found.refused}"
    return f"{found.path}: {found.entries} of at most {MOST} entries, {found.bytes / 1e6:.1f} MB of at most {LARGEST / 1e6:.0f}"


def _features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    model = fields.get("model name", platform.machine())
    return f"{model}; {' '.join(f for f in FEATURES if f in flags) or 'no vector features known'}"


def _cores() -> str:
    from nnspec.runtime.cores import allowed, quota

    usable, given = allowed(), quota()
    limit = f", limited to {given:g} by the control group" if given is not None and given < usable else ""
    return f"{usable} of {os.cpu_count()}{limit}"


def _memory() -> str:
    from nnspec.runtime.memory import available, show

    free = available()
    return f"{show(free)} available" if free < 1 << 61 else "unknown"
