"""Which numbers an activation can make."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, pi

from nnspec.layers.activations import Activation

Range = tuple[float, float]

RANGES: Mapping[str, Range] = {
    "step": (0, 1), "sigmoid": (0, 1), "hard_sigmoid": (0, 1), "softmax": (0, 1), "log_sigmoid": (-inf, 0), "log_softmax": (-inf, 0),
    "tanh": (-1, 1), "hard_tanh": (-1, 1), "softsign": (-1, 1), "arctan": (-pi / 2, pi / 2), "relu": (0, inf), "relu6": (0, 6),
    "squared_relu": (0, inf), "softplus": (0, inf), "exponential": (0, inf), "selu": (-1.7581, inf), "gelu": (-0.17, inf),
    "silu": (-0.2785, inf), "mish": (-0.3089, inf), "hard_silu": (-0.375, inf),
}  # fmt: skip

# what leaves no logit below 0, or none of any size
SQUASHES = frozenset(("relu", "relu6", "squared_relu", "softplus", "exponential", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign",
                      "softmax"))
NOT_NEGATIVE = frozenset(kind for kind, (low, _) in RANGES.items() if low >= 0)


def reach(activation: Activation) -> Range:
    """The least and the largest number that an activation makes."""
    if activation.kind in ("elu", "celu"):
        return -float(getattr(activation, "alpha", 1.0)), inf
    return RANGES.get(activation.kind, (-inf, inf))


def told(numbers: Range) -> str:
    """``from 0 to 1``, ``from 0 on``."""
    low, high = numbers
    if low == -inf:
        return "of any size" if high == inf else f"up to {high:.4g}"
    return f"from {low:.4g} on" if high == inf else f"from {low:.4g} to {high:.4g}"
