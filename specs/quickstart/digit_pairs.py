"""Draws digit_pairs.npz for siamese.yaml: two digits a row, and whether they are the same; the last rows show digits that the first do not."""

from pathlib import Path

import numpy as np

from nnspec.data.shipped_sets import FOLDER
from nnspec.ops.random import uniform

TRAIN, TEST = 2400, 600


def pairs(images: np.ndarray, labels: np.ndarray, n: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``n`` pairs, half of them of one class: left, right, same."""
    u = uniform(0, name, 3 * n).reshape(n, 3)
    left = (u[:, 0] * len(images)).astype(int)
    same = np.arange(n) % 2 == 0
    right = []
    for i, alike, v in zip(left, same, u[:, 1], strict=True):
        others = np.flatnonzero((labels == labels[i]) == alike)
        others = others[others != i]
        right.append(others[int(v * len(others))])
    return images[left], images[right], same


def draw() -> dict[str, np.ndarray]:
    """The arrays of the file; the same on every machine."""
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as archive:
        images, labels = archive["image"], archive["digit"]
    parts = [pairs(images[:1400], labels[:1400], TRAIN, "train"), pairs(images[1400:], labels[1400:], TEST, "test")]
    left, right, same = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return {"left": left, "right": right, "pair": np.where(same, "same", "different"), "number": np.arange(TRAIN + TEST, dtype=np.uint16)}


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("digit_pairs.npz"), **draw())
