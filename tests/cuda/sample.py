"""A seeded tenth of what is many, and all of it where NNSPEC_FULL is set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def tenth(items: Sequence[T], part: int = 10) -> list[T]:
    """One in ``part`` of the items, in their order, chosen by a seed."""
    if os.environ.get("NNSPEC_FULL") or len(items) <= part:
        return list(items)
    chosen = set(Random(0).sample(range(len(items)), -(-len(items) // part)))
    return [item for i, item in enumerate(items) if i in chosen]
