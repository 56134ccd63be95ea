"""Dataclasses whose methods are shared: the standard library writes six as text and compiles them, anew for each class.

That takes a sixth of the time from nothing to a first step. What is decorated is a dataclass all the same, for ``fields``, ``replace`` and
whoever checks types; those with slots or an order, which are made often and few, are the standard library's own.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, asdict, field, fields, replace
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["asdict", "dataclass", "field", "fields", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from dataclasses import dataclass as standard

    def dataclass(cls=None, /, *, frozen=False, eq=True, slots=False, order=False):
        """As the standard library's; methods that a class defines itself stay."""
        if cls is None:
            return lambda found: dataclass(found, frozen=frozen, eq=eq, slots=slots, order=order)
        if slots or order:
            return standard(cls, frozen=frozen, eq=eq, slots=slots, order=order)
        own = dict(vars(cls))
        cls = standard(cls, init=False, repr=False, eq=False)
        made = {"__init__": _initializer(cls), "__repr__": _repr}
        if frozen:
            made |= {"__setattr__": _refuse, "__delattr__": _refuse}
        if eq:
            made |= _equality(cls, frozen)
            if "__eq__" in own and own["__hash__"] is None:  # as Python has it where a class says what equals it, and no more
                del own["__hash__"]
        for name, method in made.items():
            if name not in own:
                setattr(cls, name, method)
        return cls


def _initializer(cls: type[Any]) -> Any:
    """``__init__`` of a class: defaults, then values in the order of fields, then those by name."""
    taken = [f for f in fields(cls) if f.init]
    order = tuple(f.name for f in taken if not f.kw_only)
    names = frozenset(f.name for f in taken)
    defaults = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    factories = tuple((f.name, f.default_factory) for f in fields(cls) if f.default_factory is not MISSING)
    required = names - defaults.keys() - {name for name, _ in factories}
    after = hasattr(cls, "__post_init__")

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        state = self.__dict__
        state.update(defaults)
        state.update(zip(order, values, strict=False))
        if named:
            state.update(named)
        if len(values) > len(order) or named and not (names.issuperset(named) and named.keys().isdisjoint(order[: len(values)])):
            raise TypeError(f"{cls.__qualname__} takes {', '.join(order)}; it was given {len(values)} values and {', '.join(named)}")
        for name, make in factories:
            if name not in state:
                state[name] = make()
        if not required <= state.keys():
            raise TypeError(f"{cls.__qualname__} lacks {', '.join(sorted(required - state.keys()))}")
        if after:
            self.__post_init__()

    return __init__


@recursive_repr()
def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(self) if f.repr)})"


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise FrozenInstanceError(f"'{name}' of {type(self).__qualname__} does not change")


def _equality(cls: type[Any], frozen: bool) -> dict[str, Any]:
    """``__eq__``, and ``__hash__`` of what does not change."""
    compared = [f.name for f in fields(cls) if f.compare]
    content = attrgetter(*compared) if compared else lambda x: ()
    hashed = [f.name for f in fields(cls) if (f.compare if f.hash is None else f.hash)]
    key = attrgetter(*hashed) if hashed else lambda x: ()

    def __eq__(self: Any, other: object) -> bool:
        return content(self) == content(other) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(key(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}
