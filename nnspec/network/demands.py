"""What the keys around a network ask of it: what is watched, expected and swept must be measured, what is mixed comparable."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.data.column import SPLITS
from nnspec.errors import Problem, nearest, one_of
from nnspec.ir.op import ShapeError
from nnspec.ir.types import TensorType
from nnspec.network.graph import Network
from nnspec.network.targets import Target
from nnspec.spec import expect, sweep
from nnspec.spec.load import Document
from nnspec.spec.source import Mapping as MappingNode
from nnspec.training.schedules import Constant, Plateau
from nnspec.training.stretches import Stretches, schedules


def own_rates(doc: Document, network: Network, still: Sequence[frozenset[str]], problems: list[Problem]) -> None:
    """A layer's rate goes along with the schedule by what that makes of the optimizer's, which of 0 cannot be said."""
    if doc.optimizer is None or doc.schedule is None:
        return
    for n, plan in enumerate(schedules(doc.schedule)):
        own = doc.schedule.parts[n].own.learning_rate if isinstance(doc.schedule, Stretches) else None
        base = doc.optimizer.learning_rate if own is None else own
        leaf = next((leaf for leaf in network.leaves if not leaf.rate.scaled and leaf.rate.value and leaf.path not in still[n]
                     and any(p.trainable for p in leaf.own)), None)
        if base or leaf is None or (isinstance(plan, Constant) and not plan.warmup.amount):
            continue
        what = f"layer '{leaf.path}' has a learning rate of its own, and the schedule cannot go along with one of 0"
        whose = "optimizer" if own is None else "stretch"
        problems.append(Problem(what, network.nodes[leaf.path]["place"], found=f"the {whose}'s learning_rate: 0", wanted="a rate above 0",
                                hint="what should not move stands still by trainable: false, or 0x", rule="bad-value"))  # fmt: skip
        return


def moves(doc: Document, network: Network, problems: list[Problem]) -> None:
    """An optimizer moves something: weights, or batch statistics at least; else it would be ignored."""
    if doc.optimizer is None or not doc.losses or problems or isinstance(doc.schedule, Stretches):
        return
    if not any(p.trainable for leaf in network.leaves if not leaf.frozen for p in leaf.own) and not any(
        not p.trainable for leaf in network.leaves if not leaf.frozen for p in leaf.params
    ):
        found = "every layer that has any is frozen" if network.parameters else "no layer has any"
        problems.append(Problem("there are no weights to train", doc.root.keys["optimizer"], found=found, wanted="a layer with weights that move",
                                hint="or leave optimizer, epochs and schedule out", rule="trainable"))  # fmt: skip


def mixup(doc: Document, compared: tuple[Target, ...], problems: list[Problem]) -> None:
    """What mixup makes of class numbers must be something that losses can compare with."""
    if doc.data is None or not doc.data.augment or doc.data.augment[-1].step.kind != "mixup":
        return
    for t in compared:
        y = t.port.type
        if t.type is None or t.type.dtype.is_float or y is None or t.classes is None:
            continue
        shape = (*t.type.shape, len(t.classes)) if y.shape[-1] != 1 else t.type.shape
        kind = t.term.of.kind
        if t.void is None and kind not in ("hinge", "perceptron") and _fits(t, TensorType(shape, y.dtype)):
            continue
        what = f"{kind} cannot take the shares of classes that mixup makes"
        wanted = "cross_entropy or binary_cross_entropy"
        problems.append(Problem(what, t.term.place, found=f"target {', '.join(t.columns)}", wanted=wanted, hint="or leave mixup out", rule="classes"))


def _fits(t: Target, type: TensorType) -> bool:
    assert t.output is not None
    try:
        t.term.of.fits(t.output, type)
    except ShapeError:
        return False
    return True


def training(doc: Document, problems: list[Problem]) -> None:
    """Keys that make no sense without others."""
    for key, needs in (("schedule", "optimizer"), ("optimizer", "loss"), ("metrics", "loss"), ("early_stopping", "epochs")):
        if key in doc.root.pairs and needs not in doc.root.pairs and not (needs == "epochs" and isinstance(doc.schedule, Stretches)):
            problems.append(Problem(f"'{key}' needs '{needs}'", doc.root.keys[key], wanted=f"{needs}: …", rule="missing-key"))


def watches(doc: Document, problems: list[Problem]) -> None:
    """What early stopping and checkpoints watch must be measured."""
    stopping, keeping = doc.settings.early_stopping, doc.settings.checkpoint
    watched = [("early_stopping", stopping.watch)] if stopping else []
    watched += [("checkpoint", keeping.watch)] if keeping.watch else []
    watched += [("schedule", s.watch) for s in schedules(doc.schedule) if isinstance(s, Plateau)]
    measured = _numbers(doc)
    splits = ["train", "validation"] if doc.data is None or "validation" in doc.data.split.names else ["train"]
    known = [f"{split}.{m}" for split in splits for m in measured]
    for key, watch in watched:
        if watch not in known:
            lost = watch.startswith("validation.") and "validation" not in splits
            hint = "the data has no validation split: split: {train: 0.8, validation: 0.2}" if lost else nearest(watch, known)
            if watch.partition(".")[2] in [t.name for t in doc.metrics if t.of.table]:
                hint = "a table has no best; watch a number"
            problems.append(
                Problem(
                    f"'{key}' watches '{watch}', which is not measured",
                    doc.root.keys.get(key, doc.root.place),
                    wanted=one_of(known),
                    hint=hint,
                    rule="unknown-name",
                )
            )


def expects(doc: Document, problems: list[Problem]) -> None:
    """What is expected, and what a sweep sorts by, must be measured, on rows that there are."""
    known = measures(doc)
    problems += expect.refuse(doc.root.pairs.get("expect"), doc.settings.expect or {}, known, [t.name for t in doc.metrics if t.of.table])
    node = doc.root.pairs.get("sweep")
    if doc.settings.sweep is not None and isinstance(node, MappingNode):
        problems += sweep.refuse(node, doc.settings.sweep, doc.vars, known)


def _numbers(doc: Document) -> list[str]:
    """The names of everything measured that is one number; of several losses each is told beside their sum."""
    several = [t.name for t in doc.losses] if len(doc.losses) > 1 else []
    return ["loss", *several, *(t.name for t in doc.metrics if not t.of.table)]


def measures(doc: Document) -> list[str]:
    """What a run on the spec's own data measures: ``train.loss``, ``test.accuracy``."""
    unknown_yet = SPLITS if "data" in doc.root.pairs else ()  # where the data are wrong, that is said already
    splits = doc.data.split.names if doc.data else unknown_yet
    names = _numbers(doc) if "loss" in doc.root.pairs else []
    return [f"{split}.{name}" for split in splits for name in names]
