"""All the weights that a spec asks for: those of its networks, then its own over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnspec.compiler import Spec
from nnspec.errors import Problem, SpecError
from nnspec.interop.fill import Loaded, Part, load

__all__ = ["Loaded", "load_all"]


def load_all(spec: Spec, dtype: np.dtype[Any]) -> tuple[Loaded, ...]:
    """What each section of weights gives: of a network within a network first, of the whole spec last; the later wins.

    Raises SpecError, DataError.
    """
    network = spec.built.network
    parts = [Part(c.network.weights, f"{path}/", c.cut) for path, c in network.parts.items() if c.network.weights is not None]
    if spec.document.weights is not None:
        parts.append(Part(spec.document.weights))
    loaded: list[Loaded] = []
    filled: set[str] = set()
    problems: list[Problem] = []
    for part in parts:
        try:
            loaded.append(load(network, replace(part, filled=frozenset(filled)), dtype))
            filled |= loaded[-1].values.keys()
        except SpecError as e:
            problems += e.problems
    if problems:
        raise SpecError(*problems)
    return tuple(loaded)
