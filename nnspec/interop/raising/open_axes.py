"""Axes of a model that have a name and no length: what two lengths of each have in common is said for all lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from nnspec.errors import DataError
from nnspec.interop.onnx_read import wrong
from nnspec.interop.raising.draft import Draft, Entry

Lengths: TypeAlias = Mapping[str, int]
# Lengths that are tried, of the first and of the second draft: all different, then such as networks of images take.
TRIED: tuple[Callable[[int], tuple[int, int]], ...] = (
    lambda i: (37 + 6 * i, 41 + 10 * i), lambda i: (64, 96), lambda i: (224, 256), lambda i: (16, 24),
)  # fmt: skip


def for_all(names: Sequence[str], make: Callable[[Lengths], Draft], file: str) -> Draft:
    """A draft that holds for every length of the named axes. Raises DataError where there is none."""
    if not names:
        return make({})
    problem: DataError | None = None
    for lengths in TRIED:
        both = [{name: lengths(i)[k] for i, name in enumerate(names)} for k in (0, 1)]
        try:
            first, second = (make(b) for b in both)
        except DataError as e:
            problem = problem or e
            continue
        if (differs := joined(first, second)) is None:
            for entry in first.inputs:
                entry.shape = tuple(name or n for name, n in zip(entry.fields["axes"], entry.shape, strict=True))
            return first
        problem = problem or wrong(file, f"{differs.where}: the layer {differs.kind} depends on the length of an axis that is left open",
                                   ", ".join(names), "a length", f"--axis {names[0]}=64")
    assert problem is not None
    raise problem


def joined(first: Draft, second: Draft) -> Entry | None:
    """Makes the first say what both do; the entry for which that cannot be."""
    if len(first.entries) != len(second.entries):
        return first.entries[-1] if first.entries else first.inputs[0]
    place = {e: i for i, e in enumerate([*second.inputs, *second.entries])}
    own = {e: i for i, e in enumerate([*first.inputs, *first.entries])}
    for a, b in zip(first.entries, second.entries, strict=True):
        if a.kind != b.kind or [(own[s.entry], s.output) for s in a.inputs] != [(place[s.entry], s.output) for s in b.inputs]:
            return a
        if {k: v.shape for k, v in a.weights.items()} != {k: v.shape for k, v in b.weights.items()}:
            return a
        if any((x != b.weights[k]).any() for k, x in a.weights.items()):
            return a
        if a.fields != b.fields and not open_reshape(a, b) and not open_resize(a, b):
            return a
    return None


def open_reshape(a: Entry, b: Entry) -> bool:
    """A reshape in which one length is whatever is left."""
    mine, other = a.fields.get("shape", []), b.fields.get("shape", [])
    differ = [i for i, (m, n) in enumerate(zip(mine, other, strict=False)) if m != n]
    if a.kind != "reshape" or len(mine) != len(other) or len(differ) != 1:
        return False
    a.fields["shape"] = [-1 if i in differ else m for i, m in enumerate(mine)]
    return True


def open_resize(a: Entry, b: Entry) -> bool:
    """A resize to so many times the length."""
    if not a.kind.startswith("resize") or "size" not in a.fields or "size" not in b.fields:
        return False
    scales = []
    for e in (a, b):
        places = e.inputs[0].entry.shape[:-1]
        size = e.fields["size"] if isinstance(e.fields["size"], list) else [e.fields["size"]] * len(places)
        if len(places) != len(size) or 0 in places:
            return False
        scales.append([m / n for m, n in zip(size, places, strict=True)])
    if scales[0] != scales[1]:
        return False
    a.fields = {"scale": scales[0] if len(set(scales[0])) > 1 else scales[0][0], **{k: v for k, v in a.fields.items() if k != "size"}}
    return True
