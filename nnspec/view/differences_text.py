"""What two specs differ in, as a person reads it: what was added in green, removed in red, changed in yellow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nnspec.view import amounts, describe
from nnspec.view.text import clean

if TYPE_CHECKING:
    from rich.text import Text

    from nnspec.view.differences import Differences

ADDED, REMOVED, CHANGED = "green", "red", "yellow"
SHOWN = 40  # lines of one kind, and names on a line before they are counted
LONG = 60  # characters of a value
ARROW = "→"
_TOTALS: Mapping[str, Callable[[Any], str]] = {
    "layers": str, "parameters": amounts.count, "trainable": amounts.count, "flops": amounts.flops, "memory": amounts.memory,
}  # fmt: skip


def lines(found: Differences, names: tuple[str, str], rows: tuple[int, int], every: bool = False) -> Iterator[Text]:
    """``names`` say which specs, ``rows`` are those of a training step of each; ``every`` shows all lines where there are many."""
    yield _line(("--- ", REMOVED), (clean(names[0], 200), "bold"))
    yield _line(("+++ ", ADDED), (clean(names[1], 200), "bold"))
    if found.equal:
        yield _line(("no difference: the same layers, shapes and settings", ""))
        return
    yield from _totals(found.totals, rows)
    for title, told in (
        ("variables", [_change(key, values) for key, values in found.causes.items()]),
        ("settings", [_change(key, values) for key, values in found.settings.items()]),
        ("repeats", [_repeat(row) for row in found.layers["repeated"]]),
        ("layers", [*_alone("-", found.layers["removed"]), *_alone("+", found.layers["added"]), *_changed(found.layers["changed"])]),
        ("shapes that follow", _following(found.layers["changed"])),
        ("reads something else", [_rewired(row) for row in found.layers["rewired"]]),
        ("called otherwise", [_line(("~ ", CHANGED), (f"{clean(row['a'])} {ARROW} {clean(row['b'])}", "")) for row in found.layers["renamed"]]),
    ):
        if told:
            limit = len(told) if every else 8 if title == "called otherwise" else SHOWN
            yield _line(("", ""))
            yield _line((f"{title} ({len(told)})" if len(told) > 3 else title, "bold"))
            for line in told[:limit]:
                line.pad_left(2)
                yield line
            if len(told) > limit:
                yield _line((f"  … {len(told) - limit} more; --all shows them", "dim"))


def _line(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def _totals(totals: Mapping[str, Mapping[str, Any]], rows: tuple[int, int]) -> Iterator[Text]:
    for name, values in totals.items():
        a, b = values["a"], values["b"]
        if a is None and b is None:
            continue
        before, after = (_TOTALS[name](v) if v is not None else "?" for v in (a, b))
        label = "FLOPs" if name == "flops" else name
        note = ""
        if name == "memory":
            note = f"  a training step of {rows[0]} rows" if rows[0] == rows[1] else f"  training steps of {rows[0]} and {rows[1]} rows"
        if a == b:
            yield _line((f"  {label:<11}{before}", ""), (note, "dim"))
            continue
        yield _line((f"  {label:<11}{before} {ARROW} {after}", CHANGED), (f"  {_share(a, b)}", "bold"), (note, "dim"))


def _share(a: Any, b: Any) -> str:
    """``+86 %``; ``x 3.2`` from the double on."""
    if not isinstance(a, int | float) or not isinstance(b, int | float) or not a:
        return ""
    return f"x {b / a:.3g}" if b >= 2 * a else f"{100 * (b - a) / a:+.2g} %" if abs(b - a) < a / 10 else f"{100 * (b - a) / a:+.0f} %"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return clean(", ".join(map(str, value)), LONG) or "nothing"
    return "-" if value is None else clean(value, LONG)


def _change(key: str, values: Mapping[str, Any]) -> Text:
    """``optimizer.learning_rate  0.001 (default) → 0.01``."""
    a, b, default = values["a"], values["b"], values.get("default", "")
    mark, style = ("+ ", ADDED) if a is None else ("- ", REMOVED) if b is None else ("~ ", CHANGED)
    if a is None or b is None:
        return _line((mark, style), (f"{clean(key)}  {_value(b if a is None else a)}", style))
    return _line((mark, style), (f"{clean(key)}  ", ""), *_sides(a, b, default))


def _sides(a: Any, b: Any, default: str) -> tuple[tuple[str, str], ...]:
    marks = [(" (default)", "dim") if default in (side, "both") else ("", "") for side in "ab"]
    return (_value(a), REMOVED), marks[0], (f" {ARROW} ", ""), (_value(b), ADDED), marks[1]


def _repeat(row: Mapping[str, Any]) -> Text:
    where = f"{clean(row['b'])}: " if row["b"] else ""
    count = row["count"]
    name = f" {clean(row['of'])}{'s' * row['of'][-1:].isalpha()}"
    return _line(("~ ", CHANGED), (where, ""), (str(count["a"]), REMOVED), (f" {ARROW} ", ""), (str(count["b"]), ADDED), (name, ""))


def _alone(mark: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """A line a layer or frame; copies of one frame that follow each other stand on one."""
    style = ADDED if mark == "+" else REMOVED
    for (*_, what), alike in groupby(rows, _copy):
        members = list(alike)
        first, last = members[0], members[-1]
        path = clean(first["path"]) + (f" … {clean(last['path'].rsplit('/', 1)[-1])}" if len(members) > 1 else "")
        cost = sum(row["parameters"] for row in members)
        many = f"{len(members)} x " if len(members) > 1 else ""
        yield _line((f"{mark} {path}", style), (f"  {many}{clean(what, 120)}{f', {amounts.count(cost)} parameters' if cost else ''}", "dim"))


def _copy(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Equal for copies of one frame; each layer is its own."""
    if "kind" in row:
        return row["path"], "", f"{row['kind']} {row['fields']}".strip() + f"  {describe.shape(row['shape'])}"
    return row["path"].rpartition("/")[0], row["of"], f"{row['layers']} layer{'' if row['layers'] == 1 else 's'}"


def _changed(rows: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """Layers of other fields; those that changed alike stand on one line."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["fields"] or "became" in row:
            key = row["kind"], row.get("became", ""), *(f"{k} {v}" for k, v in row["fields"].items())
            groups.setdefault(key, []).append(row)
    for (kind, became, *_), members in groups.items():
        first = members[0]
        parts: list[tuple[str, str]] = []
        if became:
            parts += [("  ", ""), (clean(kind), REMOVED), (f" {ARROW} ", ""), (clean(became), ADDED)]
        for key, values in first["fields"].items():
            parts += [("  ", ""), (f"{clean(key)} ", "")]
            parts += _sides(values["a"], values["b"], values.get("default", ""))
        if len(members) == 1:
            yield _line(("~ ", CHANGED), (clean(first["b"]), CHANGED), (f" ({kind})" if not became else "", "dim"), *parts, (_costs(first), "dim"))
        else:
            names = ", ".join(clean(row["b"]) for row in members[:3]) + (", …" if len(members) > 3 else "")
            yield _line(("~ ", CHANGED), (f"{len(members)} x {kind}", CHANGED), *parts, (f"  {names}", "dim"))


def _costs(row: Mapping[str, Any]) -> str:
    """What follows for the layer itself: its shape and its parameters."""
    told = []
    if "shape" in row:
        told.append(f"{describe.shape(row['shape']['a'])} {ARROW} {describe.shape(row['shape']['b'])}")
    if "parameters" in row:
        told.append(f"{amounts.count(row['parameters']['a'])} {ARROW} {amounts.count(row['parameters']['b'])} parameters")
    return f"  {', '.join(told)}" if told else ""


def _following(rows: Sequence[Mapping[str, Any]]) -> list[Text]:
    """Layers that are written alike, and came out otherwise."""
    followed = [row for row in rows if not row["fields"] and "became" not in row]
    return [_line(("~ ", CHANGED), (clean(row["b"]), ""), (_costs(row) or _rest(row), "dim")) for row in followed]


def _rest(row: Mapping[str, Any]) -> str:
    told = [f"{key} {_value(row[key]['a'])} {ARROW} {_value(row[key]['b'])}" for key in ("dtype", "trainable") if key in row]
    if "flops" in row:
        told.append(f"{amounts.flops(row['flops']['a'])} {ARROW} {amounts.flops(row['flops']['b'])}")
    return f"  {', '.join(told)}"


def _rewired(row: Mapping[str, Any]) -> Text:
    values = row["from"]
    return _line(("~ ", CHANGED), (f"{clean(row['b'])}  from ", ""), (_value(values["a"]), REMOVED), (f" {ARROW} ", ""), (_value(values["b"]), ADDED))
