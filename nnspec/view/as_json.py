"""A network as JSON for other tools: its layers, their uses of one another, and the frames around them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import networkx

from nnspec.view import describe

_NUMBERS = ("parameters", "trainable", "flops", "line")


def draw(*graphs: networkx.MultiDiGraph[Any]) -> str:
    """The JSON text ``{"name", "outputs", "nodes", "edges", "frames"}`` in the order of the graph; of several ``{"networks": [...]}``.

    A node has ``id`` (its path), ``name, kind, shape, dtype, parameters, trainable, flops, line, memory, fields, frames``; an
    edge ``source, target, input, output, shape, dtype``; a frame ``id, label, parent``. Symbolic axes are text. ``memory`` is
    the bytes of one row of the output; ``shares`` the layer whose weights it uses, where it does. A step of a program has ``step``
    (number, kernel, ops, layer, stage), ``reads``, ``writes`` and ``workspace`` (name, type, arena, offset, bytes, and what was
    there before) and its ``guard``.
    """
    pictures = [_picture(graph) for graph in graphs]
    return json.dumps(pictures[0] if len(pictures) == 1 else {"networks": pictures}, indent=1, allow_nan=False) + "\n"


def _picture(graph: networkx.MultiDiGraph[Any]) -> dict[str, Any]:
    nodes = [_node(path, data) for path, data in graph.nodes(data=True)]
    edges = [
        {
            "source": source,
            "target": target,
            "input": key,
            "output": str(data.get("output") or ""),
            "shape": _plain(data.get("shape") or ()),
            "dtype": str(data.get("dtype") or ""),
        }
        for source, target, key, data in graph.edges(keys=True, data=True)
    ]
    frames: dict[str, dict[str, Any]] = {}
    for _, data in graph.nodes(data=True):
        parent = None
        for frame in data.get("frames") or ():
            label = str(frame).removeprefix(f"{parent}/")
            frames.setdefault(frame, {"id": frame, "label": label, "parent": parent})
            parent = frame
    return {
        "name": str(graph.graph.get("name") or ""),
        "outputs": list(describe.outputs(graph)),
        "nodes": nodes,
        "edges": edges,
        "frames": list(frames.values()),
    }


def _node(path: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": path,
        "name": str(data.get("name") or path),
        "kind": str(data.get("kind") or ""),
        "shape": _plain(data.get("shape") or ()),
        "dtype": str(data.get("dtype") or ""),
        **{key: _plain(data.get(key) or 0) for key in _NUMBERS},
        "memory": describe.output_bytes(data),
        **{key: str(data[key]) for key in ("shares", "only") if data.get(key)},
        **{key: _plain(data[key]) for key in ("step", "reads", "writes", "workspace", "guard") if key in data},
        "fields": _plain(data.get("fields") or {}),
        "frames": list(data.get("frames") or ()),
    }


def _plain(value: Any) -> Any:
    """What JSON has a form for, as it is; anything else as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
