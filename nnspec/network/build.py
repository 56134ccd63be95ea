"""A document's network: its inputs, its layers walked, its outputs, and every problem of it raised at once."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.errors import DataError, Problem, SpecError
from nnspec.network.context import Context
from nnspec.network.demands import expects, mixup, moves, own_rates, training, watches
from nnspec.network.expand import Expander
from nnspec.network.graph import Network, Port
from nnspec.network.ignored import uncalled, unread, unused
from nnspec.network.inputs import inputs
from nnspec.network.moving import frozen
from nnspec.network.scope import Scope
from nnspec.network.targets import Ends, Target, answer, named_losses, named_metrics, targets
from nnspec.records import dataclass, field
from nnspec.spec.formulas import BROKEN
from nnspec.spec.load import Document


@dataclass(frozen=True)
class Built:
    """A network with how data reaches it: the columns of each input, and the target of each loss and metric."""

    network: Network
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    losses: tuple[Target, ...] = ()
    metrics: tuple[Target, ...] = ()
    frozen: tuple[frozenset[str], ...] = (frozenset(),)  # the layers that do not move, for each stretch of the schedule

    @property
    def targets(self) -> tuple[Target, ...]:
        """Those of losses, then those of metrics, for which an array is fed."""
        return tuple(t for t in (*self.losses, *self.metrics) if t.feed)

    def answering(self, port: Port) -> Target | None:
        """The loss that says what an output means: one of classes before others."""
        return answer(self.losses, port)


def build(doc: Document) -> Built:
    """The network of a document; raises SpecError with every problem of the document and the network."""
    problems = list(doc.problems)
    network = Network(doc.settings.name, {})
    columns: dict[str, tuple[str, ...]] = {}
    scope = Scope()
    expander = Expander(network, doc.blocks, doc.settings.dtype, doc.networks, doc.broken)
    try:
        current, columns = inputs(doc, network, scope, problems)
        ports = expander.walk(doc.layers, current, Context(scope, doc.env)) if doc.layers is not None and doc.layers.items else ()
    except SpecError as e:
        problems += e.problems
        ports = (Port(""),)
    problems += expander.problems
    if doc.layers is not None and not doc.layers.items:
        problems.append(Problem("the list of layers is empty", doc.layers.place, wanted="at least one layer", rule="bad-value"))
    network.names = {name: ref.ports[0] for name, ref in scope.names.items() if ref.ports}
    ends = len(problems)
    _outputs(doc, network, ports, scope, problems)
    doc.losses, doc.metrics = named_losses(doc.losses), named_metrics(doc.metrics, len(network.outputs) > 1)
    losses, metrics = targets(Ends(doc, network, scope, columns), problems)
    if not expander.problems and doc.layers is not None and BROKEN not in doc.env.values():
        if len(problems) == ends and doc.whole:  # what failed reads nothing, and would be one more problem
            unread(network, [t.port for t in (*losses, *metrics)], problems)
        unused(doc, expander, problems)
        uncalled(doc, expander, problems)
    doc.used = expander.used | doc.called
    whole = not expander.problems and doc.whole
    still = frozen(network, doc.schedule, problems) if whole else (frozenset(),)
    if whole:
        own_rates(doc, network, still, problems)
        moves(doc, network, problems)
    training(doc, problems)
    mixup(doc, losses, problems)
    watches(doc, problems)
    expects(doc, problems)
    if problems:
        wrong = SpecError if len(problems) > len(doc.bad) else DataError  # in the spec, or in its data alone
        raise wrong(*sorted(problems, key=_order))
    return Built(network, columns, losses, metrics, still)


def _order(problem: Problem) -> tuple[str, int, int]:
    return (problem.place.file, problem.place.line, problem.place.column) if problem.place else ("", 0, 0)


def _outputs(doc: Document, network: Network, end: tuple[Port, ...], scope: Scope, problems: list[Problem]) -> None:
    ports: list[Port] = []
    names: list[str] = []
    for name, place in doc.outputs:
        try:
            port = scope.one(name, place)
            if name in names:
                raise SpecError(Problem(f"'{name}' stands twice in 'outputs'", place, wanted="each name once", rule="repeated-name"))
            ports.append(port)
            names.append(name)
        except SpecError as e:
            problems += e.problems
    if not doc.outputs:
        ports = list(end)
    problems += [
        Problem(f"the output '{p.node}' is for training only", network.nodes[p.node]["place"], wanted="one that is there in inference", rule="only")
        for p in ports
        if p.only == "training" and p.node in network.nodes
    ]
    if not doc.outputs:
        names = _names_of(ports, scope)
    network.outputs, network.output_names = tuple(ports), tuple(names)


def _names_of(ports: list[Port], scope: Scope) -> list[str]:
    """What the last entry's outputs are called: ``output``, or as ``outputs`` would name them."""
    if len(ports) == 1:
        return ["output"]
    for name, ref in scope.names.items():
        if ref.ports == tuple(ports) and ref.outputs:
            return [f"{name}.{output}" for output in ref.outputs]
    last = [p.node.rsplit("/", 1)[-1] for p in ports]
    return last if len(set(last)) == len(last) else [p.node for p in ports]
