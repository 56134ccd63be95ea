"""All the weights that a spec asks for: those of its networks, then its own over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.compiler import Spec
from nnspec.interop.fill import Loaded, Part, load

__all__ = ["Loaded", "load_all"]


def load_all(spec: Spec, dtype: np.dtype[Any]) -> tuple[Loaded, ...]:
    """What each section of weights gives, in the order in which they are written. Raises SpecError, DataError."""
    given = spec.document.weights
    return (load(spec.built.network, Part(given), dtype),) if given is not None else ()
