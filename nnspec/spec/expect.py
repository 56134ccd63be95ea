"""What a spec expects of itself, ``parameters: "<= 1e5"``: bounds read, their names checked, and held against what is found."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from operator import eq, ge, gt, le, lt
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.errors import Problem, nearest, one_of
from nnspec.records import dataclass
from nnspec.spec.nodes import Mapping as MappingNode
from nnspec.spec.nodes import Node, spelled

STATIC = ("parameters", "trainable", "flops", "memory")  # known without training
COMPARE: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "==": eq, "<": lt, ">": gt}
COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BYTES = {"": 1.0, "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
SHARES = {"": 1.0, "%": 0.01}
UNITS: Mapping[str, Mapping[str, float]] = {"parameters": COUNTS, "trainable": COUNTS, "flops": COUNTS, "memory": BYTES}
_BOUND = re.compile(r"\s*(<=|>=|==|<|>|)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z%]*)\s*", re.ASCII)


@dataclass(frozen=True)
class Bound:
    """One side that a value has to keep to, as written and as a number."""

    text: str
    compare: str
    limit: float
    unit: str = ""

    def of(self, name: str) -> float:
        """The limit in the plain unit of what it bounds: bytes, parameters, shares of one."""
        return self.limit * UNITS.get(name, SHARES)[self.unit]

    def holds(self, name: str, value: float) -> bool:
        """Whether a value keeps to it; NaN never does."""
        return not math.isnan(value) and COMPARE[self.compare](value, self.of(name))


def parse_bounds(value: Any) -> tuple[Bound, ...]:
    """Bounds as written: ``"<= 1e5"``, ``331`` (it is exactly that), or a list of such."""
    if isinstance(value, tuple) and value and not any(isinstance(item, tuple) for item in value):
        return tuple(b for item in value for b in parse_bounds(item))
    match = _BOUND.fullmatch(value) if isinstance(value, str) and len(value) <= 100 else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return (Bound(f"== {value}", "==", float(value)),)
    elif match and math.isfinite(float(match[2])):
        return (Bound(" ".join((match[1] or "==", match[2] + match[3])), match[1] or "==", float(match[2]), match[3]),)
    if isinstance(value, dict) and value:
        hint = f"join the names with a dot: ….{next(iter(value))}"
    else:
        hint = "'==' compares" if isinstance(value, str) and re.match(r"\s*=[^=]", value) else ""
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "an expectation does not fit", "found": spelled(value) if isinstance(value, bool) else repr(value)[:60],
        "wanted": '"<= 1e5", with one of <=, >=, <, >, == and a number', "hint": hint})


def parse_bytes(value: Any) -> int:
    """An amount of memory as written: ``512MB``, ``1.5 GiB``, or a plain number of bytes."""
    match = _BOUND.fullmatch(value) if isinstance(value, str) and len(value) <= 100 else None
    unit, number = "", math.nan
    if match and not match[1]:
        number, unit = float(match[2]), match[3]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    amount = number * BYTES.get(unit, math.nan)
    if math.isfinite(amount) and 1 <= amount < 1 << 62:
        return int(amount)
    same = next((u for u in BYTES if u and u.lower() in (unit.lower(), f"{unit}b".lower())), "") if unit not in BYTES else ""
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'memory' is no amount of memory", "found": spelled(value) if isinstance(value, bool) else repr(value)[:60],
        "wanted": "512MB: a number above 0 with B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, or of bytes", "hint": f"write {same}" if same else ""})


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Bounds = Annotated[tuple[Bound, ...], BeforeValidator(parse_bounds)]


def refuse(node: Node | None, expect: Mapping[str, tuple[Bound, ...]], measured: Collection[str], tables: Collection[str]) -> list[Problem]:
    """What is expected but never known, or in a unit that means nothing.

    ``measured`` are the metrics of a run, ``tables`` the names of those that are no single number.
    """
    if not isinstance(node, MappingNode):
        return []
    known = [*STATIC, *measured]
    problems = []
    for name, bounds in expect.items():
        place, units = node.keys[name], UNITS.get(name, SHARES)
        if name not in known:
            hint = "a table has no bound; expect a number" if name.partition(".")[2] in tables else _hint(name, known)
            what = f"'expect' names '{name}', which is not measured"
            problems.append(Problem(what, place, wanted=one_of(known), hint=hint, rule="unknown-name"))
            continue
        strange = next((b for b in bounds if b.unit not in units), None)
        if strange is not None:
            wanted = ", ".join(u for u in units if u) + ", or none"
            same = next((u for u in units if u.lower() == strange.unit.lower()), "")
            problems.append(Problem(f"'{name}' is not told in '{strange.unit}'", node.pairs[name].place, found=strange.text, wanted=wanted,
                                    hint=f"write {same}" if same else "", rule="bad-value"))  # fmt: skip
    return problems


def _hint(name: str, known: list[str]) -> str:
    split, dot, _ = name.partition(".")
    if dot and split in ("validation", "test") and not any(k.startswith(f"{split}.") for k in known):
        return f"the data has no {split} split: split: {{train: 0.8, {split}: 0.2}}"
    own = [k for k in known if k.partition(".")[2] == name]
    return f"of which rows? {' or '.join(own)}" if own else nearest(name, known)
