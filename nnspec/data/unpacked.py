"""How much a packed file may become."""

from __future__ import annotations

LARGEST = 1 << 34  # bytes of all arrays of a file together
_HARMLESS = 1 << 24  # bytes that may come of anything
_RATIO = 500  # pictures pack to a half or a tenth, empty ones to a hundredth, nothing but zeros to a thousandth


def bomb(unpacked: int, packed: int) -> bool:
    """Whether a file of ``packed`` bytes claims to become suspiciously much."""
    return unpacked > _HARMLESS and unpacked > _RATIO * max(packed, 1)
