"""What can be asked about the inside of a run's network, each with what the page says of it: statistics, rows, maps, kernels, mistakes, planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnspec.errors import DataError
from nnspec.view.board.inside import WHICH, Inside
from nnspec.view.board.runs import Run

if TYPE_CHECKING:
    from nnspec.runtime.observe import Observer
    from nnspec.view.board.app import Asked

ROWS = 1 << 53


def _about(seen: Observer, asked: Asked) -> Any:
    nodes = seen.model.spec.built.network.nodes
    layers = [{"name": name, "kind": str(nodes[name]["kind"]), "shape": list(map(str, nodes[name]["shape"]))} for name in seen.layers]
    splits = seen.splits  # read first: they add to the notes
    rows = {"outputs": list(seen.outputs), "splits": splits, "given": list(seen.given)}
    return {"step": seen.step, "notes": list(seen.notes), "layers": layers, **rows}


LOOKS: dict[str, tuple[Callable[[Observer, Asked], Any], tuple[str, ...]]] = {  # what is asked, and the values that it depends on
    "about": (_about, ()),
    "statistics": (lambda seen, asked: seen.statistics().as_json(), ()),
    "samples": (lambda seen, asked: seen.samples(asked.text("split")).as_json(), ("split",)),
    "row": (lambda seen, asked: seen.row(asked.text("split"), asked.whole("row", 0, 0, ROWS)).as_json(), ("split", "row")),
    "confusion": (lambda seen, asked: seen.confusion(asked.text("split"), asked.text("output")).as_json(), ("split", "output")),
    "scatter": (lambda seen, asked: seen.scatter(asked.text("split"), asked.text("output")).as_json(), ("split", "output")),
    "features": (
        lambda seen, asked: seen.features(asked.text("layer"), asked.text("split"), asked.whole("row", 0, 0, ROWS)).as_json(),
        ("layer", "split", "row"),
    ),
    "kernels": (lambda seen, asked: seen.kernels(asked.text("layer")).as_json(), ("layer",)),
    "boundary": (lambda seen, asked: seen.boundary(asked.text("output")).as_json(), ("output",)),
}


def look(inside: Inside, run: Run, name: str, asked: Asked) -> Any:
    """The answer to one of LOOKS. Raises NnspecError."""
    answer, values = LOOKS[name]
    which = asked.one_of("which", tuple(WHICH))

    def told(seen: Observer, refused: list[str]) -> Any:
        found = answer(seen, asked)
        return {**found, "refused": refused, "pictures": inside.own.takes_pictures(seen.model)} if name == "about" else found

    return inside.ask(run, which, name, tuple(asked.text(v) for v in values), told)


def taps(run: Run, asked: Asked) -> dict[str, Any]:
    """What the run's own taps say over its steps, and one of them in full: the newest, or the one at ``step``."""
    from nnspec.runtime.taps import history, read, steps

    known = steps(run.path)
    if not known:
        return {"steps": []}
    wanted = asked.whole("step", known[-1], 0, ROWS)
    nearest = min(known, key=lambda step: abs(step - wanted))
    try:
        one = read(run.path, nearest)
    except DataError:  # thinned out since
        one = None
    return {"steps": list(known), "one": one, "history": history(run.path) if asked.text("history") else None}
