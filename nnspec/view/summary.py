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


@dataclass(frozen=True)
class Row:
    """A layer, or a frame with the sums of what is inside it; ``folded`` where its layers are not shown."""

    name: str
    depth: int
    kind: str
    shape: str
    parameters: int
    flops: int
    notes: tuple[str, ...] = ()
    frame: bool = False
    folded: bool = False


def rows(graph: Graph, depth: int | None = None) -> list[Row]:
    """Frames and layers in order; frames within ``depth`` others stand for all inside them."""
    layers = list(graph.nodes(data=True))
    inside: dict[str, list[Mapping[str, Any]]] = {}
    for _, data in layers:
        for frame in data.get("frames") or ():
            inside.setdefault(str(frame), []).append(data)
    out: list[Row] = []
    open_frames: tuple[str, ...] = ()
    for path, data in layers:
        frames = tuple(str(frame) for frame in data.get("frames") or ())
        shared = next((i for i, (a, b) in enumerate(zip(open_frames, frames, strict=False)) if a != b), min(len(open_frames), len(frames)))
        for level in range(shared, len(frames)):
            if depth is None or level <= depth:
                label = frames[level].removeprefix(f"{frames[level - 1]}/" if level else "")
                out.append(_frame(label, level, inside[frames[level]], folded=level == depth))
        open_frames = frames
        if depth is None or len(frames) <= depth:
            out.append(_layer(path, data, len(frames)))
    return out


def _frame(label: str, depth: int, members: list[Mapping[str, Any]], folded: bool) -> Row:
    sums = describe.totals(members)
    last = members[-1]
    shape = describe.tensor(last.get("shape"), last.get("dtype")) if folded else ""
    return Row(label, depth, f"{sums.layers} layer{'' if sums.layers == 1 else 's'}" if folded else "", shape, sums.parameters, sums.flops,
               frame=True, folded=folded)  # fmt: skip


def _layer(path: str, data: Mapping[str, Any], depth: int) -> Row:
    kind = str(data.get("kind") or "")
    stated = describe.fields(kind, data.get("fields"))
    return Row(str(data.get("name") or path), depth, f"{kind} {stated}".strip(), describe.tensor(data.get("shape"), data.get("dtype")),
               data.get("parameters") or 0, data.get("flops") or 0, describe.notes(data))  # fmt: skip


def table(graph: Graph, memory: int | None = None, batch: int | None = None, depth: int | None = None, bar: int = 0, plain: bool = False) -> Table:
    """A row a layer, indented as its frames nest, with totals below.

    ``memory`` is the bytes of a training step and ``batch`` its rows; both are shown in the caption where given. Blocks within ``depth``
    others are one row each. A ``bar`` of so many letters shows what of the parameters, and of the FLOPs, each row has; ``plain`` in ASCII.
    """
    from rich.markup import escape
    from rich.table import Table

    sums = describe.totals(data for _, data in graph.nodes(data=True))
    shown = Table(title=escape(clean(graph.graph.get("name") or "network", 200)), title_justify="left", show_footer=True)
    shown.title_style, shown.caption_justify = "bold", "left"
    shown.add_column("layer", footer=f"{sums.layers} layer{'' if sums.layers == 1 else 's'}", overflow="fold")
    shown.add_column("kind", overflow="fold", style="cyan")
    shown.add_column("output shape", overflow="fold")
    for name, footer in (("parameters", amounts.count(sums.parameters)), ("FLOPs", amounts.flops(sums.flops))):
        shown.add_column(name, footer=footer, justify="right", no_wrap=True)
        if bar:
            shown.add_column("", width=bar, no_wrap=True, style="blue" if name == "parameters" else "magenta")
    for row in rows(graph, depth):
        costs = [" ".join([amounts.count(row.parameters)] * bool(row.parameters) + [escape(note) for note in row.notes])]
        costs.append(amounts.flops(row.flops) if row.flops else "")
        if bar:
            shares = [_share(row.parameters, sums.parameters), _share(row.flops, sums.flops)]
            bars = ["" if row.frame and not row.folded else bars_of(share, bar, plain) for share in shares]
            costs = [costs[0], bars[0], costs[1], bars[1]]
        name = _indented(escape(clean(row.name, 200)), row.depth)
        shown.add_row(name, escape(clean(row.kind, 200)), escape(row.shape), *costs, style="dim" if row.frame and not row.folded else None)
    frozen = sums.parameters - sums.trainable
    notes = [f"{amounts.count(sums.trainable)} trainable, {amounts.count(frozen)} not"]
    if memory is not None:
        of_rows = f" of {batch} rows" if batch is not None else ""
        notes.append(f"{amounts.memory(memory)} for a training step{of_rows}")
    if bar:
        notes.append("bars are shares of the sums below them")
    shown.caption = " · ".join(notes)
    return shown


def _share(part: object, whole: object) -> float:
    return part / whole if isinstance(part, int | float) and isinstance(whole, int | float) and whole else 0.0


EIGHTHS = " ▏▎▍▌▋▊▉█"


def bars_of(share: float, width: int, plain: bool = False) -> str:
    """A bar as long as a share of ``width``, to an eighth of a letter, or with ``plain`` letters of ASCII to a whole one.

    What is there at all shows: the least is one eighth.

    >>> bars_of(0.5, 4), bars_of(0.28, 4), bars_of(0.5, 4, plain=True)
    ('██', '█▏', '##')
    """
    share = min(max(share, 0.0), 1.0)
    if plain:
        return "#" * max(round(share * width), share > 0)
    eighths = max(round(share * width * 8), share > 0)
    return EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


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
