"""What each loss and metric compares: an output of the network with a column, or with what is fed as the target."""

from __future__ import annotations

from dataclasses import dataclass

from nnspec.data.column import Declaration
from nnspec.data.inputs import input_type
from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.ir.graph import abstract
from nnspec.ir.op import ShapeError
from nnspec.ir.types import BATCH, DType, TensorType
from nnspec.network.graph import Network, Port
from nnspec.network.scope import Scope
from nnspec.spec.load import Document, Term
from nnspec.training.losses import Loss


@dataclass(frozen=True)
class Target:
    """A term with its ends: ``feed`` is the name of the array that holds its target."""

    term: Term
    port: Port
    feed: str
    columns: tuple[str, ...] = ()
    type: TensorType | None = None
    classes: tuple[str, ...] | None = None


def targets(doc: Document, network: Network, scope: Scope, problems: list[Problem]) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """Losses and metrics with their ends; what does not fit is added to ``problems``."""
    losses = tuple(t for term in doc.losses if (t := _target(term, doc, network, scope, problems, None)) is not None)
    metrics = tuple(t for term in doc.metrics if (t := _target(term, doc, network, scope, problems, losses)) is not None)
    return losses, metrics


def _target(term: Term, doc: Document, network: Network, scope: Scope, problems: list[Problem], losses: tuple[Target, ...] | None) -> Target | None:
    try:
        port = scope.one(*term.source) if term.source else network.outputs[0] if network.outputs else Port("")
        if term.source is None and len(network.outputs) > 1:
            raise SpecError(
                Problem(
                    f"'{term.of.kind}' does not say which output it reads", term.place, wanted=f"from: {network.output_names[0]}", rule="missing-key"
                )
            )
        if port.only == "inference" and losses is None:
            raise SpecError(Problem(f"loss '{term.of.kind}' reads '{port.node}', which is there in inference only", term.place,
                                    wanted="what is there in training", rule="only"))
        target = _end(term, port, doc, network)
        if port.type is not None:
            type = target.type or _like(losses, target.feed) or (term.of.target(port.type) if isinstance(term.of, Loss) else None)
            if type is not None:
                term.of.fits(port.type, type)
                _classes(term, port, target)
                term.of.rows(port.value if port.value is not None else abstract(port.type), abstract(type, "target"))
            target = Target(term, port, target.feed, target.columns, type, target.classes)
        return target
    except SpecError as e:
        problems += e.problems
    except ShapeError as e:
        source = f"layer '{port.node}'"
        problems.append(
            Problem(
                f"{'loss' if losses is None else 'metric'} '{term.of.kind}' of {source}: {e.message}",
                term.place,
                found=e.found,
                wanted=e.wanted,
                hint=e.hint,
                rule="shape",
            )
        )
    return None


def _like(losses: tuple[Target, ...] | None, feed: str) -> TensorType | None:
    return next((t.type for t in losses or () if t.feed == feed), None)


def _end(term: Term, port: Port, doc: Document, network: Network) -> Target:
    """Where the target comes from."""
    data = doc.data
    if term.target is not None:
        name, place = term.target
        if name in network.inputs and (data is None or name not in data.columns or not data.columns[name].plain_number):
            return Target(term, port, name, (), network.inputs[name])
        if data is not None:
            if name not in data.columns:
                raise SpecError(
                    Problem(
                        f"no column is called '{name}'", place, wanted=one_of(data.columns), hint=nearest(name, data.columns), rule="unknown-name"
                    )
                )
            return _columns(term, port, name, (name,), data, doc)
        return Target(term, port, name)
    if data is None:
        return Target(term, port, "target")
    if not data.targets:
        raise SpecError(Problem(f"'{term.of.kind}' has no target", term.place, wanted="target: COLUMN, here or in data", rule="missing-key"))
    return _columns(term, port, "target", data.targets, data, doc)


def _columns(term: Term, port: Port, feed: str, columns: tuple[str, ...], data: Declaration, doc: Document) -> Target:
    shape, kind = input_type(data, columns, "the target", term.place)
    if len(columns) == 1 and data.columns[columns[0]].plain_number:
        shape = ()
    dtype = DType.int64 if kind == "int64" else DType(doc.settings.precision)
    return Target(term, port, feed, columns, TensorType((BATCH, *shape), dtype), data.columns[columns[0]].classes if len(columns) == 1 else None)


def _classes(term: Term, port: Port, target: Target) -> None:
    """The number of classes in the data must be what the output can say."""
    if not isinstance(term.of, Loss) or not term.of.classes or target.classes is None or port.type is None:
        return
    units = port.type.shape[-1]
    n = len(target.classes)
    if term.of.kind == "cross_entropy" and units != n:
        raise SpecError(
            Problem(
                f"layer '{port.node}' has {units} units, the target has {n} classes",
                term.place,
                found=f"{units} units, classes {', '.join(target.classes[:6])}{', …' if n > 6 else ''}",
                wanted=f"{n} units",
                hint=f"dense: {n}, or dense: $data.{target.columns[0]}.classes",
                rule="classes",
            )
        )
    if term.of.kind == "binary_cross_entropy" and n != 2:
        raise SpecError(
            Problem(
                f"binary_cross_entropy asks for two classes, the target has {n}",
                term.place,
                found=", ".join(target.classes[:6]),
                wanted="2 classes",
                hint="cross_entropy takes any number",
                rule="classes",
            )
        )
