"""What a generated case is: a layer in a spec, the shapes of its inputs, and what PyTorch makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

T = torch.Tensor


class Params:
    """The parameters that the other implementation asks for: named, in the canonical layout, filled at random."""

    def __init__(self, rng: np.random.Generator, dtype: torch.dtype = torch.float64) -> None:
        self.rng, self.dtype, self.held = rng, dtype, {}

    def __call__(self, name: str, *shape: int, positive: bool = False) -> T:
        if name not in self.held:
            a = self.rng.standard_normal(shape)
            self.held[name] = torch.tensor(np.abs(a) + 0.5 if positive else a, dtype=self.dtype).requires_grad_(True)
        return self.held[name]


@dataclass
class Case:
    """One layer in a spec, and what it should give."""

    kind: str
    fields: Any
    shapes: list[tuple[int, ...]]
    fn: Callable[..., T]  # (inputs, params) -> output, rows first
    ids: dict[int, int] = field(default_factory=dict)  # inputs that are whole numbers: how many there are
    bools: tuple[int, ...] = ()
    roles: tuple[str, ...] = ()
    output: str = "y"
    differentiable: bool = True
    make: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None
    unbatched: tuple[int, ...] = ()  # inputs that are parameters

    def __str__(self) -> str:
        return f"{self.kind} {self.fields} on {self.shapes}"


MAKERS: dict[str, Callable[[np.random.Generator, str], Case]] = {}


def makes(*kinds: str) -> Callable[[Any], Any]:
    def keep(f: Any) -> Any:
        for kind in kinds:
            MAKERS[kind] = f
        return f
    return keep


def cf(x: T) -> T:
    return x.movedim(-1, 1)


def cl(x: T) -> T:
    return x.movedim(1, -1)


def pick(rng: np.random.Generator, *options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def ints(rng: np.random.Generator, low: int, high: int, n: int) -> list[int]:
    return [int(v) for v in rng.integers(low, high + 1, n)]


def shape_of(rng: np.random.Generator, least: int = 1, most: int = 4, high: int = 5) -> tuple[int, ...]:
    return tuple(ints(rng, 1, high, int(rng.integers(least, most + 1))))


def is_big(rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.12)


def rounded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers with ties."""
    return rng.integers(-3, 4, shape).astype(float)


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from tiny to where functions saturate."""
    return rng.standard_normal(shape) * pick(rng, 0.1, 1.0, 4.0, 30.0)
