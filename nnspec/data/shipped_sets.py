"""The data sets that come with nnspec; sources, licences and changes are in ``shipped/LICENCE.md``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnspec.data.column import Array, Raw, Table
from nnspec.data.csv_file import read_csv
from nnspec.data.source_kinds import Csv

FOLDER = Path(__file__).parent / "shipped"


def read_digits() -> Table:
    """``image`` (8, 8, 1), the pixels' 0 to 16 divided by 16; ``digit``, ten classes."""

    def array(name: str) -> Array:
        with np.load(FOLDER / "digits.npz", allow_pickle=False) as archive:
            return np.asarray(archive[name])

    classes = tuple(str(i) for i in range(10))
    return Table(
        1797,
        {
            "image": Raw((8, 8, 1), lambda: array("image").astype(np.float32) / np.float32(16), pixels="gray"),
            "digit": Raw((), lambda: array("digit").astype(np.int64), classes),
        },
    )


def read_iris() -> Table:
    """Four lengths in centimetres; ``species``, three classes."""
    return read_csv(FOLDER / "iris.csv", Csv(path="iris.csv"), {})
