"""What a spec settles beside its layers, by key: loss, metrics, optimizer, schedule, data, weights and the plain keys, defaults included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nnspec.compiler import Spec
from nnspec.data.section import Section
from nnspec.network.targets import Target
from nnspec.spec.formulas import substitute
from nnspec.spec.model import Config, Kind
from nnspec.spec.source import plain
from nnspec.training.schedules import Schedule
from nnspec.training.stretches import Stretches
from nnspec.view.described import Settled, fields, flattened, value_text

APART = ("nnspec", "name", "description")  # the language, what a run is called, and words for people
Settings = dict[str, Settled]


def settings(spec: Spec) -> Settings:
    """Every value by its key. A choice stands under its family: ``optimizer``, then ``optimizer.learning_rate``."""
    doc, out = spec.document, dict[str, Settled]()
    for name, value in fields(doc.settings).items():
        model = getattr(doc.settings, name)
        if isinstance(model, Config):
            out |= {f"{name}.{key}": Settled(v.text, value.stated and v.stated) for key, v in fields(model).items()}
        elif name not in APART:
            out[name] = value
    out |= _choice("optimizer", doc.optimizer)
    out |= dict(_schedule(doc.schedule))
    out |= dict(_terms("loss", spec.built.losses))
    out |= dict(_terms("metrics", spec.built.metrics))
    out |= _data(spec)
    if doc.weights is not None:
        out |= dict(flattened(doc.weights.to_tree(), "weights"))
    for name, part in doc.networks.items():
        if part.weights is not None:
            out |= dict(flattened(part.weights.to_tree(), f"networks.{name}.weights"))
    return out


def _choice(key: str, chosen: Kind | None) -> Settings:
    if chosen is None:
        return {}
    return {key: Settled(chosen.kind), **{f"{key}.{name}": value for name, value in fields(chosen).items()}}


def _schedule(of: Schedule | Stretches | None) -> Iterator[tuple[str, Settled]]:
    if not isinstance(of, Stretches):
        yield from _choice("schedule", of).items()
        return
    for n, part in enumerate(of.parts, 1):
        yield from _choice(f"schedule.{n}", part.schedule).items()
        for name, value in fields(part.own).items():
            if value.stated:
                yield f"schedule.{n}.{name}", value


def _terms(key: str, targets: Iterable[Target]) -> Iterator[tuple[str, Settled]]:
    """Losses and metrics with what they compare; which output they read is said with the layers."""
    held = list(targets)
    for target in held:
        term = target.term
        at = key if len(held) == 1 else f"{key}.{term.name.removesuffix('.loss')}"
        yield at, Settled(term.kind)
        for name, value in fields(term.of).items():
            if name == "called":
                yield from flattened(None if term.of.called.fields is None else plain(term.of.called.fields), f"{at}.arguments")
            elif name != "body":
                yield f"{at}.{name}", value
        if term.weight != 1.0 or isinstance(term.weight, Schedule):
            yield f"{at}.weight", Settled(value_text(term.weight))
        if target.number is not None or target.columns:
            yield f"{at}.target", Settled(value_text(target.columns or target.number), bool(term.target) or target.number is not None)


def _data(spec: Spec) -> Settings:
    doc = spec.document
    node = doc.root.pairs.get("data")
    if node is None:
        return {}
    section = Section(substitute(node, doc.vars))
    out: Settings = {"data": Settled(section.name)}
    if section.fields is not None:
        folder = doc.folder if doc.file is not None else None
        for name, value in fields(section.fields).items():
            out[f"data.{name}"] = _located(name, getattr(section.fields, name), value, folder)
        for name, held in (section.fields.model_extra or {}).items():
            out[f"data.{name}"] = _located("path", held, Settled(value_text(held)), folder)
    for name, kind in section.kinds.items():
        out |= _choice(f"data.columns.{name}", kind)
    for key, model in (("split", section.split), ("loading", section.loading)):
        if model is not None:
            out |= {f"data.{key}.{name}".replace(".loading", ""): value for name, value in fields(model).items()}
    steps: tuple[tuple[str, list[Any]], ...] = (("prepare", section.steps), ("augment", section.augment))
    for key, chosen in steps:
        for n, (step, _) in enumerate(chosen, 1):
            out |= _choice(f"data.{key}.{n}", step)
    for name, columns in spec.built.columns.items():
        out[f"inputs.{name}.columns"] = Settled(value_text(columns))
    return out


def _located(name: str, held: Any, value: Settled, folder: Path | None) -> Settled:
    """A path as it is found from anywhere; two specs that write it alike mean the same file of their own folders."""
    if folder is None or not ("path" in name or name == "root"):
        return value
    return Settled(value_text(_absolute(held, folder)), value.stated, value.text)


def _absolute(held: Any, folder: Path) -> Any:
    if isinstance(held, str):
        return str((folder / held).resolve())
    return {k: _absolute(v, folder) for k, v in held.items()} if isinstance(held, Mapping) else held
