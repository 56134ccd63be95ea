"""The layers of a network as a table for a terminal, and as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from nnspec.records import dataclass
from nnspec.view import amounts, describe
from nnspec.view.text import clean

if TYPE_CHECKING:
    import networkx
    from rich.table import Table

    Graph: TypeAlias = "networkx.MultiDiGraph[Any] | Layers"


@dataclass(frozen=True)
class Layers:
    """What a table reads of a graph, without networkx: to import that takes a third of the time of a summary."""

    name: str
    layers: Mapping[str, Mapping[str, Any]]

    @property
    def graph(self) -> dict[str, Any]:
        return {"name": self.name}

    def nodes(self, data: bool) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return self.layers.items()


def table(graph: Graph, memory: int | None = None, batch: int | None = None) -> Table:
    """A row a layer, indented as its frames nest, with totals below.

    ``memory`` is the bytes of a training step and ``batch`` its rows; both are shown in the caption where given.
    """
    from rich.markup import escape
    from rich.table import Table

    sums = describe.totals(data for _, data in graph.nodes(data=True))
    shown = Table(title=escape(clean(graph.graph.get("name") or "network", 200)), title_justify="left", show_footer=True)
    shown.title_style, shown.caption_justify = "bold", "left"
    shown.add_column("layer", footer=f"{sums.layers} layer{'' if sums.layers == 1 else 's'}", overflow="fold")
    shown.add_column("kind", overflow="fold", style="cyan")
    shown.add_column("output shape", overflow="fold")
    shown.add_column("parameters", footer=amounts.count(sums.parameters), justify="right", no_wrap=True)
    shown.add_column("FLOPs", footer=amounts.flops(sums.flops), justify="right", no_wrap=True)
    open_frames: tuple[str, ...] = ()
    for path, data in graph.nodes(data=True):
        frames = tuple(data.get("frames") or ())
        shared = next((i for i, (a, b) in enumerate(zip(open_frames, frames, strict=False)) if a != b), None)
        shared = min(len(open_frames), len(frames)) if shared is None else shared
        for depth in range(shared, len(frames)):
            label = str(frames[depth]).removeprefix(f"{frames[depth - 1]}/" if depth else "")
            shown.add_row(_indented(escape(clean(label, 200)), depth), style="dim")
        open_frames = frames
        shown.add_row(*_row(path, data, len(frames)))
    frozen = sums.parameters - sums.trainable
    notes = [f"{amounts.count(sums.trainable)} trainable, {amounts.count(frozen)} not"]
    if memory is not None:
        rows = f" of {batch} rows" if batch is not None else ""
        notes.append(f"{amounts.memory(memory)} for a training step{rows}")
    shown.caption = " · ".join(notes)
    return shown


def _row(path: str, data: Mapping[str, Any], depth: int) -> tuple[str, ...]:
    from rich.markup import escape

    kind = str(data.get("kind") or "")
    stated = describe.fields(kind, data.get("fields"))
    parameters, flops = data.get("parameters") or 0, data.get("flops") or 0
    cost = " ".join([amounts.count(parameters)] * bool(parameters) + [escape(note) for note in describe.notes(data)])
    return (
        _indented(escape(clean(data.get("name") or path, 200)), depth),
        escape(clean(f"{kind} {stated}".strip(), 200)),
        escape(describe.tensor(data.get("shape"), data.get("dtype"))),
        cost,
        amounts.flops(flops) if flops else "",
    )


def _indented(text: str, depth: int) -> str:
    return "  " * depth + text


def as_json(graph: Graph, memory: int | None = None) -> dict[str, Any]:
    """What ``nnspec summary --json`` prints: totals, and a mapping a layer with the batch left out of its shape.

    ``flops`` are twice the multiply-adds of one row forward, ``memory`` the bytes of a training step; ``total`` counts
    moving statistics, ``trainable`` does not. Symbolic axes are text.
    """
    sums = describe.totals(data for _, data in graph.nodes(data=True))
    return {
        "parameters": {"total": _number(sums.parameters), "trainable": _number(sums.trainable)},
        "flops": _number(sums.flops),
        "memory": memory,
        "layers": [
            {
                "name": path,
                "kind": str(data.get("kind") or ""),
                "shape": [_number(axis) for axis in data.get("shape") or ()],
                "dtype": str(data.get("dtype") or ""),
                "parameters": _number(data.get("parameters") or 0),
                "trainable": _number(data.get("trainable") or 0),
                "flops": _number(data.get("flops") or 0),
                **{key: str(data[key]) for key in ("shares", "only") if data.get(key)},
                "line": int(data.get("line") or 0),
            }
            for path, data in graph.nodes(data=True)
            if data.get("kind") != "input"
        ],
    }


def _number(value: object) -> int | str:
    return value if isinstance(value, int) else str(value)
