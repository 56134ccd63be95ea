"""Puts edits into a spec's text: what they do not name stays as it is, to the byte."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from nnspec.errors import Edit
from nnspec.spec.patches import WAYS, Patch, Refused
from nnspec.spec.tree import Tree


def rewrite(text: str, groups: Iterable[tuple[Edit, ...]]) -> tuple[str, list[int]]:
    """The text with every group of edits that can be made, each as a whole, and which those are.

    A group that touches what another changes is left out: it may be made on the text that comes out. Comments are never lost.
    """
    groups = list(groups)
    tree = _tree(text)
    taken, made = _together(tree, text, groups)
    if tree is not None and made and not _keeps(tree, _applied(text, taken)):  # some edit loses something: which?
        alone = [_together(tree, text, [edits]) for edits in groups]
        good = [n for n, (own, _) in enumerate(alone) if own and _keeps(tree, _applied(text, own))]
        taken, several = _together(tree, text, [groups[n] for n in good])
        made = [good[n] for n in several]
        if not _keeps(tree, _applied(text, taken)):
            return text, []
    return _applied(text, taken), made


def patches(edits: tuple[Edit, ...]) -> list[Patch]:
    """What the edits of one problem would change in the text that they point into, in its order; nothing where they cannot be made."""
    texts = {edit.place.source.text for edit in edits}
    if len(texts) != 1:
        return []
    text = texts.pop()
    tree = _tree(text)
    taken, made = _together(tree, text, [edits])
    risky = any("#" in text[patch.start : patch.end] for patch in taken)  # only then can a comment be lost
    return sorted(taken, key=lambda p: p.start) if made and not (tree and risky and not _keeps(tree, _applied(text, taken))) else []


@lru_cache(maxsize=8)
def _tree(text: str) -> Tree | None:
    try:
        return Tree(text)
    except ValueError:
        return None


def _together(tree: Tree | None, text: str, groups: list[tuple[Edit, ...]]) -> tuple[list[Patch], list[int]]:
    """The patches of every group that can be made beside those before it."""
    taken: list[Patch] = []
    made: list[int] = []
    for n, edits in enumerate(groups):
        try:
            own = [p for e in edits for p in (WAYS[e.kind](tree, e) if tree and e.kind != "text" else _text(text, e))]
        except Refused:
            continue
        new = [p for p in own if p not in taken]  # several problems may ask for the same
        if own and not any(p.meets(q) for i, p in enumerate(new) for q in (*taken, *new[:i])):
            taken += new
            made.append(n)
    return taken, made


def _applied(text: str, patches: list[Patch]) -> str:
    for patch in sorted(patches, key=lambda p: -p.start):
        text = text[: patch.start] + patch.text + text[patch.end :]
    return text


def _keeps(tree: Tree, text: str) -> bool:
    """Whether a text is still YAML with all its comments."""
    try:
        return sorted(Tree(text).comments()) == sorted(tree.comments())
    except ValueError:
        return False


def _text(text: str, edit: Edit) -> list[Patch]:
    if edit.kind != "text":
        raise Refused
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: edit.place.line - 1])) + edit.place.column - 1
    if not edit.old or not text.startswith(edit.old, start):
        raise Refused
    return [Patch(start, start + len(edit.old), edit.text)]
