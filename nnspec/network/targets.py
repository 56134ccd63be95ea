"""What each loss and metric compares: an output of the network with columns, an input, a number, or what is fed as the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nnspec.data.column import SAMPLE_WEIGHT, Declaration
from nnspec.data.inputs import input_type
from nnspec.errors import Place, Problem, SpecError, nearest, one_of
from nnspec.ir.graph import Value, abstract
from nnspec.ir.op import ShapeError
from nnspec.ir.types import BATCH, DType, TensorType
from nnspec.network.graph import Network, Port
from nnspec.network.last import compared, resized
from nnspec.network.linked import linked
from nnspec.network.own import body
from nnspec.network.scope import Scope
from nnspec.network.void import void_of
from nnspec.ops.elementwise import Sigmoid
from nnspec.ops.softmax import Softmax
from nnspec.records import dataclass, field, replace
from nnspec.spec.load import Document
from nnspec.spec.terms import Term
from nnspec.training.classification import Classification
from nnspec.training.losses import Loss
from nnspec.training.metrics import fits
from nnspec.training.origin import made_by
from nnspec.training.own import OwnLoss, OwnMetric
from nnspec.training.void import Void


@dataclass(frozen=True)
class Target:
    """A term with its ends: ``feed`` is the name of the array that holds its target, empty where nothing is fed."""

    term: Term
    port: Port
    feed: str = ""
    columns: tuple[str, ...] = ()
    type: TensorType | None = None
    classes: tuple[str, ...] | None = None
    number: float | None = None
    void: Void | None = None  # a class that counts for nothing
    output: Value | None = field(default=None, compare=False, repr=False)  # what is compared, as inferred


@dataclass(frozen=True)
class Ends:
    """What a spec's losses and metrics can read."""

    doc: Document
    network: Network
    scope: Scope
    columns: dict[str, tuple[str, ...]]  # of the network's inputs


Targets = tuple[Target, ...]


def targets(ends: Ends, problems: list[Problem]) -> tuple[Targets, Targets]:
    """Losses and metrics with their ends; what does not fit is added to ``problems``."""
    losses = tuple(t for term in ends.doc.losses if (t := _target(term, ends, problems, None)) is not None)
    metrics = tuple(t for term in ends.doc.metrics if (t := _target(term, ends, problems, losses)) is not None)
    return losses, metrics


def named_metrics(terms: Sequence[Term], several: bool) -> tuple[Term, ...]:
    """Metrics with names of their own: what the spec calls them, else ``accuracy``; ``species.accuracy`` where outputs are several."""
    kinds = Counter(t.kind for t in terms)
    return _unique(terms, [t.name or (f"{t.source[0]}.{t.kind}" if t.source and (several or kinds[t.kind] > 1) else t.kind) for t in terms])


def named_losses(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Losses that are added up, by what they read: ``species.loss``, ``mse.loss`` where they read the same, or the spec's own name with ``.loss``."""
    sources = Counter(t.source[0] if t.source else "" for t in terms)
    names = [t.name or (t.source[0] if t.source and sources[t.source[0]] == 1 else f"{t.source[0]}.{t.kind}" if t.source else t.kind) for t in terms]
    return _unique(terms, names, ".loss")


def _unique(terms: Sequence[Term], names: Sequence[str], ending: str = "") -> tuple[Term, ...]:
    total, seen = Counter(names), Counter[str]()
    out = []
    for term, name in zip(terms, names, strict=True):
        seen[name] += 1
        out.append(replace(term, name=(f"{name}_{seen[name]}" if total[name] > 1 else name) + ending))
    return tuple(out)


def _target(term: Term, ends: Ends, problems: list[Problem], losses: Targets | None) -> Target | None:
    what = f"{'loss' if losses is None else 'metric'} '{term.kind}'"
    port, target = Port(""), None
    try:
        port = _source(term, ends)
        if port.only == "inference" and losses is None:
            raise SpecError(Problem(f"loss '{term.kind}' reads '{port.node}', which is there in inference only", term.place,
                                    wanted="what is there in training", rule="only"))
        target = _end(term, port, ends, losses)
        if port.type is not None:
            target = _checked(target, ends, losses)
        return target
    except SpecError as e:
        problems += e.problems
    except ShapeError as e:
        hint, mend = compared(port, target.type if target else None, ends.network) if "differ in shape" in e.message else ("", ())
        if hint and target is not None and (number := _class_numbers(target, ends)):
            hint = f"where '{number}' holds class numbers, say so under data: columns: {{{number}: category}}{f'; else {hint}' if hint else ''}"
            mend = ()
        problems.append(Problem(f"{what} of layer '{port.node}': {e.message}", term.place, found=e.found, wanted=e.wanted, hint=hint or e.hint,
                                rule="shape", edits=mend))
    return None


def _class_numbers(target: Target, ends: Ends) -> str:
    """The column of numbers that a loss of classes compares several units with, or nothing."""
    data = ends.doc.data
    column = target.columns[0] if len(target.columns) == 1 else ""
    several = target.port.type is not None and len(target.port.shape) == 1 and target.port.shape[-1] != 1
    return column if several and data is not None and column in data.columns and data.columns[column].plain_number and getattr(
        target.term.of, "classes", False) else ""  # fmt: skip


def _source(term: Term, ends: Ends) -> Port:
    """The output that a term reads."""
    network = ends.network
    if term.source is not None:
        return ends.scope.one(*term.source, rows=not isinstance(term.of, Loss) or term.of.targeted)
    if len(network.outputs) > 1:
        known = one_of(network.output_names)
        raise SpecError(Problem(f"'{term.kind}' does not say which output it reads", term.place, wanted=f"from: {network.output_names[0]}",
                                hint=f"the outputs are {known}", rule="missing-key"))
    return network.outputs[0] if network.outputs else Port("")


def _checked(target: Target, ends: Ends, losses: Targets | None) -> Target:
    """A target with its type, where it fits; raises ShapeError or SpecError where it does not."""
    term, port = target.term, target.port
    y = linked(ends.network, port)
    target = replace(target, output=y)
    if not isinstance(term.of, Loss):
        answering = answer(losses or (), port)
        own = isinstance(term.of, OwnMetric)
        type = target.type or _like(losses, target.feed) or (y.type if target.number is not None or own else None)
        target = replace(target, void=None) if own else _alike(target, answering)
        if type is not None and isinstance(term.of, OwnMetric):
            made = body(term, ends.doc, y.type, type, "metric")
            target = replace(target, term=replace(term, of=term.of.model_copy(update={"body": made})))
        elif type is not None:
            fits(term.of, y, type, answering.term.of if answering else None, target.void)
        return replace(target, type=type)
    if not y.dtype.is_float:
        raise ShapeError("a loss reads float numbers, which alone have gradients", f"{y.dtype}", "an output of float32",
                         "cast: float32 makes numbers of it, without a gradient")
    type = target.type or term.of.target(y)
    if isinstance(term.of, OwnLoss):
        made = body(term, ends.doc, y.type, type, "loss")
        term = replace(term, of=term.of.model_copy(update={"body": made}))
    loss = term.of
    if isinstance(loss, Classification) and loss.ignore is not None:
        void, classes = void_of(loss, y, target.classes, target.number, term.places.get("ignore", term.place))
        target, loss = replace(target, void=void, classes=classes), loss.without(void)
    loss.check(y)
    if loss.classes:
        _no_noise(port, ends.network)
    if target.number is not None:
        _fitting_number(target, y, loss)
    elif loss.targeted:
        _classes(target, y, loss, ends.network)
        loss.fits(y, type)
    term = replace(term, of=_weighed(loss, y, target.classes, term.places.get("class_weights", term.place)))
    term.of.elements(y, abstract(type, "target"))
    return replace(target, term=term, type=type)


def _no_noise(port: Port, network: Network) -> None:
    """Raises SpecError for noise behind the last softmax or sigmoid: training would read as logits what inference reads as probabilities."""
    if port.value is None or made_by(port.value, Softmax, Sigmoid) or not made_by(linked(network, port), Softmax, Sigmoid):
        return
    leaf = network.nodes[port.node]["leaf"]
    if leaf.entry.noise:
        raise SpecError(Problem(f"{leaf.entry.kind} stands between probabilities and the loss", leaf.place,
                                found=f"'{leaf.path}' behind softmax or sigmoid", wanted=f"{leaf.entry.kind} before the layer that makes them",
                                rule="NN021"))
    for before in leaf.inputs:
        _no_noise(before, network)


def answer(losses: Targets, port: Port) -> Target | None:
    """The loss that says what an output means: one of classes before others."""
    own = [t for t in losses if t.port == port and t.term.of.targeted]
    return next((t for t in own if t.term.of.classes), own[0] if own else None)


def _alike(target: Target, answering: Target | None) -> Target:
    """What a loss ignores of a target does not count in a metric that compares with the same, however that names it."""
    if answering is None or answering.void is None:
        return target
    same = target.feed == answering.feed or (target.columns and target.columns == answering.columns)
    return replace(target, void=answering.void, classes=answering.classes) if same else target


def _like(losses: Targets | None, feed: str) -> TensorType | None:
    return next((t.type for t in losses or () if t.feed == feed), None)


def _fitting_number(target: Target, y: Value, loss: Loss) -> None:
    """A number as the target of every element: 0 or 1 for two classes, a class's number where there are more."""
    n, place = target.number, target.term.place
    assert n is not None
    if loss.binary(y):
        low = -1.0 if loss.kind == "hinge" else 0.0
        if not low <= n <= 1.0:
            what = f"'{loss.kind}' takes a target from {low:g} to 1"
            raise SpecError(Problem(what, place, found=f"target: {n:g}", wanted="0 or 1", rule="bad-value"))
    elif not loss.target(y).dtype.is_float:
        units = y.shape[-1]
        if n != int(n) or not (isinstance(units, int) and 0 <= n < units):
            what, wanted = f"'{loss.kind}' takes the number of a class", f"a whole number below {units}"
            raise SpecError(Problem(what, place, found=f"target: {n:g}", wanted=wanted, rule="bad-value"))


def _end(term: Term, port: Port, ends: Ends, losses: Targets | None) -> Target:
    """Where the target comes from."""
    data = ends.doc.data
    if not term.of.targeted:
        if term.target or term.number is not None:
            place = term.target[0][1] if term.target else term.place
            what = f"'{term.kind}' has no target: it takes what it reads as it is"
            raise SpecError(Problem(what, place, hint="leave 'target' out", rule="unknown-key"))
        return Target(term, port)
    if term.number is not None:
        return Target(term, port, number=term.number)
    if term.target:
        return _said(term, port, ends)
    if losses is not None and (alike := [t for t in losses if t.port == port and t.feed]):
        if len({t.feed for t in alike}) > 1:
            raise SpecError(Problem(f"'{term.kind}' does not say what it compares with: the losses of its output have different targets", term.place,
                                    wanted=" or ".join(f"target: {t.feed}" for t in alike), rule="missing-key"))
        return replace(alike[0], term=term)
    if data is None:
        return Target(term, port, "target")
    if not data.targets:
        raise SpecError(Problem(f"'{term.kind}' has no target", term.place, wanted="target: COLUMN, here or in data", rule="missing-key"))
    return _columns(term, port, "target", data.targets, ends)


def _said(term: Term, port: Port, ends: Ends) -> Target:
    """The target that the term names: an input, a column or several."""
    data, inputs = ends.doc.data, ends.network.inputs
    names = tuple(name for name, _ in term.target)
    if SAMPLE_WEIGHT in names:
        what = f"'{SAMPLE_WEIGHT}' is no target: it says what each row weighs"
        raise SpecError(Problem(what, dict(term.target)[SAMPLE_WEIGHT], wanted="another column", rule="sample-weight"))
    if len(names) == 1 and names[0] in inputs and (data is None or names[0] not in data.columns or not data.columns[names[0]].plain_number):
        columns = ends.columns.get(names[0], ())
        classes = data.columns[columns[0]].classes if data is not None and len(columns) == 1 else None
        return Target(term, port, names[0], columns, inputs[names[0]], classes)
    feed = "+".join(names)
    if data is None:
        return Target(term, port, feed, names if len(names) > 1 else ())
    unknown = [(name, place) for name, place in term.target if name not in data.columns]
    if unknown:
        known = list(dict.fromkeys([*data.columns, *inputs]))
        raise SpecError(*(Problem(f"no column is called '{name}'", place, wanted=one_of(known), hint=nearest(name, known), rule="unknown-name")
                          for name, place in unknown))
    return _columns(term, port, feed, names, ends)


def _columns(term: Term, port: Port, feed: str, columns: tuple[str, ...], ends: Ends) -> Target:
    data = ends.doc.data
    assert data is not None
    _mixed(term, columns, data)
    shape, kind = input_type(data, columns, "the target", term.place)
    if len(columns) == 1 and data.columns[columns[0]].plain_number:
        shape = ()
    dtype = DType.int64 if kind == "int64" else ends.doc.settings.dtype
    return Target(term, port, feed, columns, TensorType((BATCH, *shape), dtype), data.columns[columns[0]].classes if len(columns) == 1 else None)


def _mixed(term: Term, columns: tuple[str, ...], data: Declaration) -> None:
    """Classes and numbers are targets of outputs of their own."""
    if len(columns) > 1 and not all(data.columns[c].plain_number for c in columns):
        raise SpecError(Problem(f"'{term.kind}' cannot compare with columns of different kinds at once", term.place,
                                found=", ".join(f"{c}: {data.columns[c].kind}" for c in columns[:8]), wanted=f"target: {columns[0]}",
                                hint="give each its own loss: [{cross_entropy: {from: …, target: …}}, {mse: {…}}]", rule="mixed-columns"))


def _weighed(loss: Loss, y: Value, classes: Sequence[str] | None, place: Place) -> Loss:
    """The loss with a list for ``class_weights``, where it has a mapping; raises SpecError for one that does not fit the classes."""
    if not isinstance(loss, Classification) or not isinstance(loss.class_weights, dict | tuple):
        return loss
    given, n = loss.class_weights, loss.many(y)
    if isinstance(given, tuple):
        if len(given) != n:
            found, wanted = f"{len(given)} number{'' if len(given) == 1 else 's'}", f"{n} numbers"
            raise SpecError(Problem("'class_weights' has a number for each class", place, found=found, wanted=wanted, rule="classes"))
        return loss
    known = list(classes or map(str, range(n)))
    if unknown := [name for name in given if name not in known]:
        raise SpecError(*(Problem(f"'class_weights' names '{name}', which is no class of the target", place, wanted=one_of(known),
                                  hint=nearest(name, known), rule="classes") for name in unknown))
    weights: Loss = loss.weighing(tuple(float(given.get(name, 1.0)) for name in known))
    return weights


def _classes(target: Target, y: Value, loss: Loss, network: Network) -> None:
    """The number of classes in the data must be what the output can say."""
    if target.classes is None:
        return
    n, units, place = len(target.classes), y.shape[-1], target.term.place
    found = f"classes {', '.join(target.classes[:6])}{', …' if n > 6 else ''}"
    if loss.numbers and n > 2 and not (target.type is not None and target.type.dtype.is_float):
        raise SpecError(Problem(f"'{loss.kind}' compares numbers, the target has {n} classes", place, found=found, wanted="a column of numbers",
                                hint=f"cross_entropy takes classes, with dense: {n}", rule="classes"))
    if not loss.classes and not loss.two:
        return
    if loss.binary(y):
        if n != 2:
            raise SpecError(Problem(f"{loss.kind} asks for two classes, the target has {n}", place, found=found.removeprefix("classes "),
                                    wanted="2 classes", hint="cross_entropy takes any number", rule="classes"))
    elif units != n:
        hint, mend = resized(target.port, network, n)
        hint = f"{hint}, or $data.{target.columns[0]}.classes" if hint else f"{n} units in the last layer"
        has = f"{units} unit{'s' * (units != 1)}"
        raise SpecError(Problem(f"layer '{target.port.node}' has {has}, the target has {n} classes", _units_at(target.port, network) or place,
                                found=f"{has}, {found}", wanted=f"{n} units", hint=hint, rule="NN001", edits=mend))


def _units_at(port: Port, network: Network) -> Place | None:
    """Where the number of an output's units stands; None where that is not one layer's, or is worked out behind it."""
    leaf = network.nodes[port.node]["leaf"] if port.node in network.nodes else None
    while leaf is not None and not {"units", "filters"} & leaf.keys.keys() and len(leaf.inputs) == 1 and leaf.inputs[0].shape[-1:] == port.shape[-1:]:
        leaf = network.nodes[leaf.inputs[0].node]["leaf"]
    return next((leaf.keys[key] for key in ("units", "filters") if key in leaf.keys), None) if leaf is not None else None

