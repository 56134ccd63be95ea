"""Layers that move and resize, brought together: a reshape of a reshape, one axis resized and then another, blends of neighbours."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np

from nnspec.interop.raising.draft import Draft, Entry, Source
from nnspec.ops.resample import Resample

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def alone(draft: Draft, source: Source, reader: Entry) -> bool:
    """Whether nobody but ``reader`` reads an entry."""
    return all(e is reader or all(s.entry is not source.entry for s in e.inputs) for e in draft.entries) and all(
        s.entry is not source.entry for s in draft.outputs.values())


def blended(draft: Draft, e: Entry) -> None:
    """Each place of an axis as a blend of two others: a resize, where the shares are those of one."""
    if e.kind != "add" or len(e.inputs) != 2 or any(s.entry.kind != "multiply" or len(s.entry.inputs) != 2 for s in e.inputs):
        return
    parts = []
    for s in e.inputs:
        taken = next((v.entry for v in s.entry.inputs if v.entry.kind == "gather" and len(v.entry.inputs) == 1), None)
        share = next((v.entry.weights["value"] for v in s.entry.inputs if v.entry.kind == "parameter"), None)
        if taken is None or share is None or not alone(draft, s, e):
            return
        parts.append((taken, share))
    (first, a), (second, b) = parts
    x, at = first.inputs[0], first.fields.get("axis", 0)
    places = len(x.entry.shape) - 1
    ids = [np.asarray(t.fields["indices"]) for t in (first, second)]
    if second.inputs != [x] or second.fields.get("axis", 0) != at or x.output or not 1 <= places <= 3 or at == places or ids[0].ndim != 1:
        return
    n, m = x.entry.shape[at], len(ids[0])
    if a.size != m or b.size != m or len(ids[1]) != m:
        return
    for rule in ("linear", "corners"):
        wanted = Resample(axis=0, rule=rule, length=m).reads(n, m)
        close = np.allclose(b.reshape(-1), wanted[2], atol=1e-6) and np.allclose(a.reshape(-1), 1 - wanted[2], atol=1e-6)
        if close and all((i == w).all() for i, w in zip(ids, wanted[:2], strict=True)):
            e.kind, e.inputs = f"resize{places}d", [x]
            e.fields = {"size": [m if i == at else d for i, d in enumerate(x.entry.shape[:-1])], "method": LINEAR[places]}
            e.fields |= {"align": "corners"} if rule == "corners" else {}
            return


def narrow(draft: Draft, e: Entry) -> None:
    """A global pool that keeps its axes, and whoever takes them away: one that does not keep them."""
    if e.kind not in ("flatten", "reshape", "squeeze") or len(e.inputs) != 1:
        return
    x = e.inputs[0].entry
    if x.kind.startswith("global_") and x.fields.get("keep") and e.shape == x.shape[-1:] and alone(draft, e.inputs[0], e):
        del x.fields["keep"]
        x.shape = e.shape
        draft.replace(e.main, e.inputs[0])


def moved_twice(draft: Draft, e: Entry) -> None:
    """A reshape of a reshape, a permute of a permute; one that moves nothing."""
    if e.kind in ("reshape", "flatten"):
        x = e.inputs[0].entry
        if x.kind in ("reshape", "flatten") and prod(e.shape) == prod(x.shape):
            e.inputs = list(x.inputs)
            x = e.inputs[0].entry
        if x.shape == e.shape and x.shape and not e.inputs[0].output:
            draft.replace(e.main, e.inputs[0])
    elif e.kind == "permute" and e.inputs[0].entry.kind == "permute":
        x = e.inputs[0].entry
        e.fields["axes"] = [x.fields["axes"][a] for a in e.fields["axes"]]
        e.inputs = list(x.inputs)
        if e.fields["axes"] == list(range(len(e.fields["axes"]))):
            draft.replace(e.main, e.inputs[0])


def resized_twice(draft: Draft, e: Entry) -> None:
    """One axis resized, then another: both at once."""
    x = e.inputs[0].entry if e.inputs else e
    if not re.match(r"(resize|pad|upsample)\dd", e.kind) or x.kind != e.kind or not alone(draft, e.inputs[0], e):
        return
    key = next((k for k in ("size", "scale", "factor") if k in e.fields), "")
    others = [{k: v for k, v in f.items() if k != key} for f in (e.fields, x.fields)]
    if key not in x.fields or others[0] != others[1]:
        return
    mine, before = e.fields[key], x.fields[key]
    if e.kind.startswith("pad"):
        if not (isinstance(mine, list) and isinstance(before, list)) or any(a and b for a, b in zip(mine, before, strict=True)):
            return
        e.fields["size"] = [a + b for a, b in zip(mine, before, strict=True)]
    elif key in ("scale", "factor"):
        e.fields[key] = [a * b for a, b in zip(mine, before, strict=True)]
    e.inputs = list(x.inputs)


def compact(draft: Draft, e: Entry) -> None:
    """Lists of one number repeated as that number."""
    for key in ("size", "scale", "factor"):
        value: Any = e.fields.get(key)
        if isinstance(value, list) and len(value) > 1 and len(set(value)) == 1 and re.match(r"(resize|pad|upsample)\dd", e.kind):
            e.fields[key] = value[0]


def transposed_factor(draft: Draft, e: Entry) -> None:
    """A product with a matrix whose last two axes were exchanged before: ``transpose: true``."""
    if e.kind != "matmul" or "transpose" in e.fields:
        return
    x = e.inputs[1].entry
    if x.kind == "permute":
        n = len(x.fields["axes"])
        if x.fields["axes"] == [*range(n - 2), n - 1, n - 2]:
            e.inputs, e.fields["transpose"] = [e.inputs[0], x.inputs[0]], True
