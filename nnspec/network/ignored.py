"""What would be ignored silently: layers that nothing reads, inputs that feed nothing, blocks and networks that nothing calls."""

from __future__ import annotations

from nnspec.errors import Problem
from nnspec.network.expand import Expander
from nnspec.network.graph import Network, Port
from nnspec.spec.load import Document


def unread(network: Network, also: list[Port], problems: list[Problem]) -> None:
    """Layers that nothing reads, inputs that feed nothing."""
    reached = network.ancestors(p.node for p in (*network.outputs, *also))
    read_in_vain = {source for source, target, _, _ in network.edges if target not in reached}
    marks: set[tuple[str, int, int]] = set()
    for path, data in network.nodes.items():
        place = data["place"]
        if path in reached or place is None:
            continue
        mark = (place.file, place.line, place.column)
        if mark not in marks and path not in read_in_vain:  # of a chain, its end
            what = f"input '{path}' feeds nothing" if data["kind"] == "input" else f"nothing reads layer '{path}'"
            problems.append(
                Problem(
                    what,
                    place,
                    wanted="a way to an output or a loss",
                    hint="name it in a later layer's from, in outputs, or leave it out",
                    rule="NN005",
                )
            )
        marks.add(mark)


def unused(doc: Document, expander: Expander, problems: list[Problem]) -> None:
    """Blocks that nothing calls."""
    for name, block in doc.blocks.items():
        if name not in expander.used and name not in doc.called and not block.included:
            problems.append(
                Problem(
                    f"block '{name}' is never used",
                    block.place,
                    wanted=f"a layer '- {name}: …'",
                    hint="leave it out, or move it to an included file",
                    rule="unused-block",
                )
            )


def uncalled(doc: Document, expander: Expander, problems: list[Problem]) -> None:
    """Networks that no layer names."""
    for name, network in doc.networks.items():
        if name not in expander.used:
            problems.append(Problem(f"network '{name}' is never used", network.place, wanted=f"a layer '- {name}'", rule="unused-network"))
