"""Our dataclasses behave as those of the standard library, and are dataclasses to it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property
from typing import Any, ClassVar

import pytest

from nnspec import records


def family(dataclass: Any) -> dict[str, Any]:
    """The same classes by either decorator."""
    @dataclass(frozen=True)
    class Point:
        """A place."""

        x: int
        y: int = 2
        names: list[str] = dataclasses.field(default_factory=list)
        note: str = dataclasses.field(default="", compare=False, repr=False)
        kind: ClassVar[str] = "point"
        last: int = dataclasses.field(default=0, kw_only=True)

        @cached_property
        def double(self) -> int:
            return 2 * self.x

    @dataclass(frozen=True)
    class Further(Point):
        """A place in space."""

        z: float = 0.5
        made: int = dataclasses.field(default=0, init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "made", self.x + 1)

    @dataclass
    class Changing:
        """It changes."""

        a: Any
        b: tuple[int, ...] = ()

    @dataclass(frozen=True, eq=False)
    class Itself:
        """Equal to itself alone."""

        a: int

    @dataclass(frozen=True)
    class Own:
        """It says what equals it, and how it looks."""

        a: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, int) and other == self.a

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True)
    class Hashed:
        """It says its hash."""

        a: int

        def __hash__(self) -> int:
            return 7

    @dataclass(frozen=True)
    class Nothing:
        """It has no fields."""

    return {c.__name__: c for c in (Point, Further, Changing, Itself, Own, Hashed, Nothing)}


OURS, THEIRS = family(records.dataclass), family(dataclasses.dataclass)
DONE = {
    "positions": lambda c: c["Point"](1, 3, ["a"]),
    "names": lambda c: c["Point"](y=4, x=1, last=3),
    "defaults": lambda c: c["Point"](1),
    "a list of one's own": lambda c: c["Point"](1).names is c["Point"](1).names,
    "inheritance": lambda c: c["Further"](1, 2, [], "n", 1.5),
    "after it was made": lambda c: c["Further"](5).made,
    "lacking": lambda c: c["Point"](),
    "too many": lambda c: c["Itself"](1, 2),
    "twice": lambda c: c["Point"](1, x=2),
    "unknown": lambda c: c["Point"](1, q=2),
    "not by position": lambda c: c["Point"](1, 2, [], "", 5),
    "not to be given": lambda c: c["Further"](1, made=3),
    "changed": lambda c: setattr(c["Point"](1), "x", 2),
    "deleted": lambda c: delattr(c["Point"](1), "x"),
    "may change": lambda c: (v := c["Changing"](1), setattr(v, "a", 2), v.a)[2],
    "equal": lambda c: c["Changing"](1, (2,)) == c["Changing"](1, (2,)),
    "not compared": lambda c: c["Point"](1, note="a") == c["Point"](1, note="b"),
    "another class": lambda c: c["Point"](1) == c["Further"](1),
    "equal to itself alone": lambda c: c["Itself"](1) == c["Itself"](1),
    "says what equals it": lambda c: c["Own"](1) == 1 and c["Own"](2),
    "no hash of what changes": lambda c: hash(c["Changing"](1)),
    "no hash of lists": lambda c: hash(c["Point"](1)),
    "equal hashes": lambda c: hash(c["Own"](3)) == hash(c["Own"](3)),
    "its own hash": lambda c: hash(c["Hashed"](3)),
    "nothing": lambda c: (c["Nothing"]() == c["Nothing"](), hash(c["Nothing"]()) == hash(()), c["Nothing"]()),
    "replaced": lambda c: dataclasses.replace(c["Further"](1, 2), x=8, last=2),
    "wrongly replaced": lambda c: dataclasses.replace(c["Further"](1, 2), made=8),
    "as a mapping": lambda c: dataclasses.asdict(c["Further"](1, 2)),
    "fields": lambda c: [(f.name, f.type, f.init) for f in dataclasses.fields(c["Further"])],
    "matched": lambda c: c["Further"].__match_args__,
    "cached": lambda c: (v := c["Point"](4), v.double, v.double)[1:],
    "copied": lambda c: copy.deepcopy(c["Further"](1, 2, ["x"])),
    "of itself": lambda c: (v := c["Changing"]([]), v.a.append(v), repr(v))[2],
}  # fmt: skip


@pytest.mark.parametrize("what", DONE)
def test_the_same_comes_of_it(what: str) -> None:
    def tried(classes: dict[str, Any]) -> str:
        try:
            return repr(DONE[what](classes))
        except Exception as e:
            return type(e).__name__

    assert tried(OURS) == tried(THEIRS)


@records.dataclass(frozen=True)
class Sent:
    """It goes through a pickle."""

    a: int
    b: str = "b"


def test_they_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sent(3))) == Sent(3)


def test_those_with_slots_are_the_standard_librarys() -> None:
    @records.dataclass(frozen=True, slots=True, order=True)
    class Slotted:
        a: int

    assert Slotted(1) < Slotted(2) and not hasattr(Slotted(1), "__dict__")
