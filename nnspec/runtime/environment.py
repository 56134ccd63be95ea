"""What a run was made with: versions, machine, processor."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

DECIDES_BITS = ("nnspec", "numpy", "machine", "cpu_features", "blas", "loops")  # where these differ, so may the last bits


def environment() -> dict[str, Any]:
    """Versions and machine as plain values for JSON; no names of users or hosts."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "nnspec": _version("nnspec"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_features": sorted(
            {f for kind in ("baseline", "found") for f in config.get("SIMD Extensions", {}).get(kind, ())}
        ),
        "cpus": os.cpu_count(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
