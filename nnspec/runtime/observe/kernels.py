"""What a layer has learned to look for: kernels as pictures, weights laid out as the picture that they read, embeddings as points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.ir.op import Array
from nnspec.network.graph import Leaf
from nnspec.records import dataclass
from nnspec.runtime.observe.features import Tile
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.picture import Picture, as_bytes, sheet, span, thinned
from nnspec.runtime.observe.shown import Absent
from nnspec.runtime.session import Model

FILTERS, DEPTH = 64, 16  # kernels that are shown, and channels of each
WORDS = 500


@dataclass(frozen=True)
class Kernels:
    """What a parameter of a layer is: ``tiles``, the first 64 of ``of``.

    ``how`` says what a tile is: ``colour`` and ``grey`` (a kernel over three channels or one), ``channels`` (a kernel's first 16
    channels side by side), ``input`` (a unit's weights laid out as the picture that they read), ``matrix`` (the whole parameter).
    All tiles have one range, around 0: black is -high, grey 0. Of an embedding ``points`` are its rows along their two main directions:
    (name, x, y), at most 500.
    """

    parameter: str
    layer: str
    shape: tuple[int, ...]
    how: str
    of: int
    tiles: tuple[Tile, ...]
    points: tuple[tuple[str, float | None, float | None], ...] = ()

    def as_json(self) -> dict[str, Any]:
        plain = {key: getattr(self, key) for key in ("parameter", "layer", "how", "of")}
        return {**plain, "shape": list(self.shape), "tiles": [t.as_json() for t in self.tiles], "points": [list(p) for p in self.points]}


def kernels(model: Model, layer: str, parameter: str = "") -> Kernels | Absent:
    """A parameter of a layer as pictures; by default the first that has any."""
    if layer in model.spec.built.network.inputs:
        return Absent(f"'{layer}' is an input: it learns nothing")
    leaf = leaf_of(model, layer)
    roles = {p.name: p for p in leaf.params}
    names = [n for n, p in roles.items() if len(p.shape) > 1 and "kernel" in p.role] or [n for n, p in roles.items() if len(p.shape) > 1]
    if parameter and parameter not in roles:
        what, wanted = f"'{layer}' has no parameter '{parameter[:60]}'", one_of(roles) if roles else "none: it learns nothing"
        raise SpecError(Problem(what, wanted=wanted, hint=nearest(parameter, roles), rule="observe"))
    if not parameter and not names:
        return Absent(f"'{layer}' has nothing to show: {'vectors alone' if roles else 'it learns nothing'}")
    name = parameter or names[0]
    path = f"{leaf.weights}/{name}"
    x = np.asarray(model.parameters[path], np.float64)
    if not x.size or x.ndim > 5:
        return Absent(f"'{path}' is {'empty' if not x.size else 'of too many axes'}")
    reach = max(map(abs, span(x))) or 1.0
    how, of, tiles = _tiles(model, leaf, x, reach)
    shown = tuple(Tile(str(i), Picture(pixels), -reach, reach) for i, pixels in enumerate(tiles))
    points = _points(model, leaf, x) if roles[name].role == "embedding" else ()
    return Kernels(path, layer, tuple(map(int, x.shape)), how, of, shown, points)


def leaf_of(model: Model, layer: str) -> Leaf:
    """The layer of that name; raises SpecError."""
    nodes = model.spec.built.network.nodes
    if layer not in nodes or nodes[layer]["leaf"] is None:
        known = [n for n, data in nodes.items() if data["leaf"] is not None]
        raise SpecError(Problem(f"the network has no layer '{layer[:100]}'", wanted=one_of(known), hint=nearest(layer, known), rule="observe"))
    leaf: Leaf = nodes[layer]["leaf"]
    return leaf


def _tiles(model: Model, leaf: Leaf, x: Array, reach: float) -> tuple[str, int, list[Array]]:
    """How a parameter is laid out, how many tiles there are, and the first of them."""
    if x.ndim == 5:  # the middle slice along the first axis
        x = x[x.shape[0] // 2]
    if x.ndim == 4:
        of = x.shape[3]
        if x.shape[2] == 3:
            return "colour", of, [as_bytes(x[..., i], -reach, reach) for i in range(min(of, FILTERS))]
        if x.shape[2] == 1:
            return "grey", of, [as_bytes(x[..., 0, i], -reach, reach) for i in range(min(of, FILTERS))]
        shown = [x[..., :DEPTH, i].transpose(2, 0, 1) for i in range(min(of, FILTERS))]
        return "channels", of, [sheet(t, math.ceil(math.sqrt(len(t))), -reach, reach).pixels for t in shown]
    if x.ndim == 3:
        return "channels", x.shape[2], [as_bytes(thinned(x[..., i]), -reach, reach) for i in range(min(x.shape[2], FILTERS))]
    image = _read(model, leaf)
    if x.ndim == 2 and image is not None and math.prod(image) == x.shape[0]:
        pictures = x.T[:FILTERS].reshape(-1, *image)
        tiles = [as_bytes(t[..., 0] if image[2] < 3 else t[..., :3], -reach, reach) for t in pictures]
        return "input", x.shape[1], tiles
    return "matrix", 1, [as_bytes(thinned(x.reshape(x.shape[0], -1)), -reach, reach)]


def _read(model: Model, leaf: Leaf) -> tuple[int, int, int] | None:
    """The shape of the picture that a layer's first input is the numbers of, if it is one."""
    nodes, port = model.spec.built.network.nodes, leaf.inputs[0] if leaf.inputs else None
    if leaf.entry.kind != "dense" or port is None or port.node not in nodes:
        return None
    before = nodes[port.node]["leaf"]
    if before is None or before.entry.kind != "flatten":
        return None
    shape = before.inputs[0].shape
    return shape if len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) > 1 else None


def _points(model: Model, leaf: Leaf, x: Array) -> tuple[tuple[str, float | None, float | None], ...]:
    """Rows of an embedding along the two directions in which they differ most."""
    rows = x.reshape(len(x), -1)[:WORDS]
    if len(rows) < 2 or not np.isfinite(rows).all():
        return ()
    centred = rows - rows.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ directions[:2].T
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    flat *= np.where(np.sign(flat[np.abs(flat).argmax(0), [0, 1]]) < 0, -1, 1)  # so that the same rows lie on the same side each time
    names = _names(model, leaf)
    return tuple((names[i] if i < len(names) else str(i), rounded(float(a)), rounded(float(b))) for i, (a, b) in enumerate(flat))


def _names(model: Model, leaf: Leaf) -> tuple[str, ...]:
    """The classes of the column that an embedding looks up, where the data has them."""
    data, node = model.spec.document.data, leaf.inputs[0].node if leaf.inputs else ""
    columns = model.spec.built.columns.get(node, ())
    return (data.columns[columns[0]].classes or ()) if data is not None and len(columns) == 1 else ()
