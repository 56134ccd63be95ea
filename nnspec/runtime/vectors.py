"""A model's state by name: which part of which persistent vector each parameter, average and slot of the optimizer is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec.network.segments import NEXT, STATE, Slot
from nnspec.runtime.interrupt import Whole
from nnspec.training import loss_scale
from nnspec.training.reach import small

if TYPE_CHECKING:
    from nnspec.runtime.session import Model

WEIGHTS = "parameters/"
UPDATES = "optimizer/updates"  # how often a parameter has moved
SCALE = "optimizer/loss_scale"  # of float16: the scale, and the good steps since it changed
MOVING = "optimizer/weights"  # of the weights that move, where the parameters are their averages


def read_state(model: Model) -> dict[str, Array]:
    """Everything that a continuation needs, in canonical layout."""
    held = {label: model.memory.read(label) for label in model.memory.types}
    out: dict[str, Array] = {}
    for key, label, place in _places(model):
        out[key] = held[label][place.offset : place.offset + place.size].reshape(place.shape)
    if model.segments.counted:
        slots = model.segments.slots
        out |= {f"{UPDATES}/{path}": np.array(model.updates[slots[path].segment], np.int64) for path in _learned(model)}
    return out


def read_answering(model: Model) -> dict[str, Array]:
    """A copy of the vectors that answer, whole: what ``weights_of`` cuts."""
    return {label: model.memory.read(label) for label in map(model.segments.answering, model.segments.sizes)}


def weights_of(model: Model, held: Mapping[str, Array]) -> dict[str, Array]:
    """The part of ``read_state`` that is parameters, from such a copy."""
    places = ((path, model.segments.slots[path]) for path in model.parameters)
    return {f"{WEIGHTS}{path}": held[model.segments.answering(p.segment)][p.offset : p.offset + p.size].reshape(p.shape) for path, p in places}


def restore_state(model: Model, state: Mapping[str, Array]) -> None:
    """Writes what ``read_state`` gave; what is left out stays, and weights that move are then the averages."""
    with Whole():
        for key, label, place in _places(model):
            key = key if key in state else key.replace(MOVING, "parameters", 1)
            if key in state:
                model.sound &= _sound(key, state[key])
                model.memory.put(label, place.offset, state[key].reshape(-1))
        if model.segments.counted:
            known = {model.segments.slots[path].segment: state.get(f"{UPDATES}/{path}") for path in _learned(model)}
            model.updates.update({segment: int(n) for segment, n in known.items() if n is not None})
        _copy_statistics(model)


def begin(model: Model, values: Callable[[str], Array]) -> None:
    """Writes what each parameter starts with, one after another: all of them at once would take their memory again."""
    learned = set(_learned(model)) if model.segments.averaged else set()
    for path in model.parameters:
        place, start = model.segments.slots[path], values(path).reshape(-1)
        model.sound &= _sound(path, start)
        for label in dict.fromkeys((model.segments.answering(place.segment), *([place.segment] if path in learned else []))):
            model.memory.put(label, place.offset, start)
    if model.segments.scaled:
        model.memory.write(loss_scale.LABEL, np.array([loss_scale.FIRST, 0], np.float32))
    _copy_statistics(model)


def _sound(key: str, values: Array) -> bool:
    """Whether what is given is a finite parameter, or a slot as steps of small gradients make it."""
    _, _, slot = key.rpartition("optimizer/")
    name = slot.partition("/")[0] if slot != key else "weights"
    return bool(np.isfinite(values).all()) if name == "weights" else small(name, values, DType(values.dtype.name))


def _copy_statistics(model: Model) -> None:
    """Those that move beside themselves within a step begin as they are."""
    if NEXT in model.memory.types:
        model.memory.write(NEXT, model.memory.read(STATE))


def _places(model: Model) -> Iterator[tuple[str, str, Slot]]:
    """Every part of the state: its key, the vector that holds it, and where. What answers stands under ``parameters``."""
    slots, segments = model.segments.slots, model.segments
    yield from ((f"parameters/{path}", segments.answering(slots[path].segment), slots[path]) for path in model.parameters)
    learned = _learned(model)
    if segments.averaged:
        yield from ((f"{MOVING}/{path}", slots[path].segment, slots[path]) for path in learned)
    if segments.scaled:
        yield SCALE, loss_scale.LABEL, Slot(loss_scale.LABEL, 0, (2,))
    for slot in model.slots:
        yield from ((f"optimizer/{slot}/{path}", f"{slots[path].segment}.{slot}", slots[path]) for path in learned)


def _learned(model: Model) -> list[str]:
    return [path for path in model.parameters if model.segments.slots[path].segment in model.updates]
