"""What a layer makes of one row, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.records import dataclass
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.picture import Picture, grey, span
from nnspec.runtime.observe.shown import Absent

CHANNELS, SIDE = 64, 128  # tiles, and points along a side of each
VALUES = 1024
EACH, LAYER = "channel", "layer"


@dataclass(frozen=True)
class Tile:
    """One channel or kernel; black is ``low`` and white ``high``."""

    name: str
    picture: Picture
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "picture": self.picture.as_json(), "low": rounded(self.low), "high": rounded(self.high)}


@dataclass(frozen=True)
class Features:
    """A layer's output for one row. ``tiles`` are the first 64 of ``of`` channels, where it has places; else ``values`` the first 1024 of ``of``.

    ``low`` and ``high`` are of the whole output; tiles have their own, unless they are ``scaled`` by ``layer``. ``note`` says what is not shown.
    """

    layer: str
    kind: str
    split: str
    row: int
    shape: tuple[int, ...]
    low: float
    high: float
    of: int
    tiles: tuple[Tile, ...] = ()
    values: tuple[float | None, ...] = ()
    scaled: str = EACH
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        plain = {key: getattr(self, key) for key in ("layer", "kind", "split", "row", "of", "scaled", "note")}
        return {**plain, "shape": list(self.shape), "low": rounded(self.low), "high": rounded(self.high), "tiles": [t.as_json() for t in self.tiles],
                "values": list(self.values)}


def features(values: Array, layer: str, kind: str, split: str, row: int, scaled: str = EACH) -> Features | Absent:
    """From a layer's output for one row, without the axis of rows. ``scaled`` is ``channel`` or ``layer``: whose range is black to white."""
    if scaled not in (EACH, LAYER):
        raise SpecError(Problem(f"tiles are not scaled by '{scaled[:40]}'", wanted=f"{EACH} or {LAYER}", rule="observe"))
    if not values.size:
        return Absent(f"what '{layer}' makes is empty")
    x = np.asarray(values, np.float64)
    low, high = span(x)
    shape, note = tuple(map(int, x.shape)), ""
    if x.ndim == 4:
        x, note = x[x.shape[0] // 2], f"the middle one of {x.shape[0]} slices"
    if x.ndim > 4 or x.ndim < 2 or min(x.shape[:2]) < 2:
        flat = x.reshape(-1)
        return Features(layer, kind, split, row, shape, low, high, flat.size, values=tuple(rounded(float(v)) for v in flat[:VALUES]), scaled=scaled)
    if x.ndim == 2:
        note, x = "places go down, features to the right", x[..., None]
    tiles = []
    for k in range(min(x.shape[2], CHANNELS)):
        own = span(x[..., k]) if scaled == EACH else (low, high)
        tiles.append(Tile(str(k), grey(x[..., k], *own, SIDE), *own))
    return Features(layer, kind, split, row, shape, low, high, x.shape[2], tuple(tiles), (), scaled, note)
