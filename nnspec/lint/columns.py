"""What is known of the numbers in a column without reading a large file."""

from __future__ import annotations

from math import prod

import numpy as np

from nnspec.data.column import Array, Declaration
from nnspec.data.config import MinMaxStep, OneHotStep, RescaleStep, StandardizeStep
from nnspec.data.images import Images
from nnspec.errors import NnspecError
from nnspec.lint.ranges import Range

IN_MEMORY = ("csv", "inline", "digits", "iris")  # sources whose values are there once their types are known
MOST = 200_000  # numbers that are read from another source


def values(data: Declaration, name: str) -> Array | None:
    """A column as its source holds it (NaN: missing), where that costs little."""
    column = data.columns[name]
    if column.pixels:
        return None
    if not data.source or (data.source not in IN_MEMORY and data.rows * prod(column.shape) > MOST):
        return None
    try:
        read = data.read(name)
    except (NnspecError, OSError):
        return None  # a stored model has no rows; a file that is damaged says so when it is loaded
    return None if isinstance(read, Images) else read


def raw_range(data: Declaration, name: str) -> Range | None:
    """The least and the largest number before any preparation."""
    column = data.columns[name]
    if column.pixels:
        return (0.0, 1.0) if column.dtype == "float32" else None
    found = values(data, name)
    if found is None or not np.issubdtype(found.dtype, np.number) or not found.size:
        return None
    known = found[np.isfinite(found)] if np.issubdtype(found.dtype, np.floating) else found
    return (float(known.min()), float(known.max())) if known.size else None


def spread(data: Declaration, name: str) -> Range | None:
    """The least and the largest number as the network and its losses see them, or None where that is not known."""
    numbers = raw_range(data, name)
    for column, step in data.prepare:
        if column != name:
            continue
        match step:
            case OneHotStep():
                numbers = (0.0, 1.0)
            case MinMaxStep():
                numbers = step.range
            case StandardizeStep():
                numbers = _standardized(data, name, numbers)
            case RescaleStep() if numbers is not None:
                ends = sorted(n * step.scale + step.offset for n in numbers)
                numbers = (ends[0], ends[1])
    return numbers


def _standardized(data: Declaration, name: str, numbers: Range | None) -> Range | None:
    """What mean 0 and deviation 1 make of a range: at least from -1 to 1, unless all numbers are equal."""
    found = values(data, name)
    if found is None or numbers is None or data.columns[name].shape:
        return None if numbers is not None and numbers[0] == numbers[1] else (-1.0, 1.0)
    known = found[np.isfinite(found)].astype(np.float64)
    deviation = float(known.std())
    return ((numbers[0] - float(known.mean())) / deviation, (numbers[1] - float(known.mean())) / deviation) if deviation else (0.0, 0.0)
