"""ONNX's own node cases, made once: it takes seconds."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np


@cache
def node_cases() -> tuple[Any, ...]:
    """Every case of the wheel."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return tuple(load_model_tests(kind="node"))
