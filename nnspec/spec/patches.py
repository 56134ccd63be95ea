"""What each kind of edit does to a text, as patches of characters; what would lose something is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

from nnspec.errors import Edit
from nnspec.records import dataclass, replace
from nnspec.spec.tree import Span, Tree

_TORN = re.compile(r"[,\[\]{}]|: |:$| #|^[-?:] |^[&*!|>%@`'\"]")  # what plain text may not hold within brackets


class Refused(Exception):
    """An edit does not fit the text: another word stands there, or the place cannot be changed without losing something."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Text in place of the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str

    def meets(self, other: Patch) -> bool:
        """Whether the two would change the same characters, or put something at the same place."""
        return self.start < other.end and other.start < self.end or self.start == other.start or self.end == other.end


def _found(tree: Tree, edit: Edit) -> Span:
    """The word at the edit's place, if it is the one that is meant."""
    span = tree.scalars.get(tree.offset(edit.place))
    if span is None or (edit.old and span.value != edit.old):
        raise Refused
    return span


def _word(tree: Tree, edit: Edit) -> list[Patch]:
    span = _found(tree, edit)
    if span.style in ("|", ">"):
        raise Refused
    return [Patch(span.start, span.end, edit.text)]


def _is_key(span: Span) -> bool:
    parent = span.parent
    return parent is not None and parent.kind == "Mapping" and any(span is key for key in parent.parts[::2])


def _value(span: Span) -> Span:
    """The value of a key."""
    assert span.parent is not None
    return next(value for key, value in span.parent.pairs if key is span)


def _set(tree: Tree, edit: Edit) -> list[Patch]:
    word = _found(tree, replace(edit, old=""))
    pair = f"{edit.key}: {edit.text}"
    if edit.old and _given(word, edit) != edit.old:
        raise Refused
    if not _is_key(word):
        inside = word.parent is not None and word.parent.kind == "Sequence"
        if word.style in ("|", ">"):
            raise Refused
        given = f"{tree.text[word.start : word.end]}: {{{pair}}}"
        return [Patch(word.start, word.end, given if inside else f"{{{given}}}")]
    value = _value(word)
    if value.kind == "Mapping":
        return _put(tree, value, edit.key, edit.text)
    if value.kind == "Scalar" and not value.style and tree.text[value.start : value.end] in ("", "null", "~"):
        return [Patch(value.start, value.end, f" {{{pair}}}" if value.start == value.end else f"{{{pair}}}")]
    anchored = "&" in tree.text[word.end : value.start]  # what its aliases stand for would change
    if not edit.primary or anchored or value.kind == "Alias" or value.style in ("|", ">"):
        raise Refused
    if value.kind == "Sequence" and not value.flow:
        if edit.key == edit.primary:
            raise Refused
        return _wrapped_lines(tree, word, value, edit.primary, pair)
    given = edit.text if edit.key == edit.primary else f"{edit.primary}: {_in_brackets(tree, value)}, {pair}"
    return [Patch(value.start, value.end, given if edit.key == edit.primary else f"{{{given}}}")]


def _wrap(tree: Tree, edit: Edit) -> list[Patch]:
    """What stands after a kind, as the value of a key."""
    word = _found(tree, edit)
    value = _value(word) if _is_key(word) else word
    if value is word or value.kind not in ("Sequence", "Scalar") or value.style in ("|", ">") or "&" in tree.text[word.end : value.start]:
        raise Refused
    if value.kind == "Sequence" and not value.flow:
        return _wrapped_lines(tree, word, value, edit.key)
    return [Patch(value.start, value.end, f"{{{edit.key}: {_in_brackets(tree, value)}}}")]


def _wrapped_lines(tree: Tree, word: Span, value: Span, key: str, more: str = "") -> list[Patch]:
    """The same for a list whose items stand on lines of their own, further in where they are not; with another pair behind it, if one is given."""
    first = tree.text.rfind("-", tree.line_start(value.parts[0].start), value.parts[0].start)
    if first < 0 or tree.text[tree.line_start(first) : first].strip(" ") or (more and value.last().style in ("|", ">")):
        raise Refused
    column, outer, line = tree.column(first), tree.column(_outer(tree, word)), _break(tree)
    step = "" if column > outer else "  "
    patches = [Patch(first, first, f"{step}{key}:{line}{' ' * column}{step}")]
    starts = [at for at in tree.starts if first < at <= value.parts[-1].end and at < len(tree.text) and tree.text[at] not in "\r\n"] if step else []
    patches += [Patch(at, at, step) for at in starts]
    if more:
        at = tree.line_end(value.end)
        patches.append(Patch(at, at, f"{line}{' ' * column}{step}{more}"))
    return patches


def _given(word: Span, edit: Edit) -> str:
    """What stands there for the key of an entry."""
    value = _value(word) if _is_key(word) else None
    held = value.get(edit.key) if value is not None and value.kind == "Mapping" else value if edit.key == edit.primary else None
    return held.value if held is not None and held.kind == "Scalar" else ""


def _in_brackets(tree: Tree, span: Span) -> str:
    """A value as it may stand within brackets: quoted where YAML would tear it apart."""
    text = tree.text[span.start : span.end]
    if span.style or not _TORN.search(text):
        return text
    if "\n" in text or "\r" in text:
        raise Refused
    return f'"{text}"' if '"' not in text and "\\" not in text else "'" + text.replace("'", "''") + "'"


def _put(tree: Tree, mapping: Span, key: str, text: str, first: bool = False) -> list[Patch]:
    """A key of a mapping that is there gets another value; one that is not comes behind the last."""
    value = mapping.get(key)
    if value is not None:
        return [_replaced(tree, value, text)]
    pair = f"{key}: {text}"
    if mapping.flow and not mapping.parts:
        return [Patch(mapping.start + 1, mapping.start + 1, pair)]
    if not mapping.parts:
        raise Refused
    begin, last = mapping.parts[0], mapping.parts[-1]
    if mapping.flow:
        return [Patch(begin.start, begin.start, f"{pair}, ")] if first else [Patch(last.end, last.end, f", {pair}")]
    if mapping.parent is not None and mapping.parent.flow:  # [conv2d: …]
        raise Refused
    indent = " " * tree.column(_outer(tree, begin))
    if first or last.last().style in ("|", ">") or last.last().kind == "Alias":
        at = _outer(tree, begin)
        return [Patch(at, at, f"{pair}{_break(tree)}{indent}")]
    at = tree.line_end(last.end)
    return [Patch(at, at, f"{_break(tree)}{indent}{pair}")]


def _outer(tree: Tree, span: Span) -> int:
    """Where a key begins, its anchor and all."""
    start = span.start
    match = re.compile(r"&\S+[ \t]+\Z").search(tree.text, tree.line_start(start), start)
    return match.start() if match else start


def _replaced(tree: Tree, value: Span, text: str) -> Patch:
    if value.kind == "Alias" or value.style in ("|", ">") or (value.parts and not value.flow):
        raise Refused
    space = " " if value.start == value.end else ""
    return Patch(value.start, value.end, space + text)


def _top(tree: Tree, edit: Edit) -> list[Patch]:
    if tree.root is None or tree.root.kind != "Mapping":
        raise Refused
    return _put(tree, tree.root, edit.key, edit.text, first=edit.key == "nnspec")


def _remove(tree: Tree, edit: Edit) -> list[Patch]:
    """A pair; in a block its lines, within brackets its comma too."""
    key = _found(tree, edit)
    if not _is_key(key) or key.parent is None:
        raise Refused
    mapping, value = key.parent, _value(key)
    number = mapping.parts.index(key)
    begin, end = _outer(tree, key), value.end
    if value.last().style in ("|", ">"):
        raise Refused
    if mapping.flow:
        return [_from_brackets(tree, begin, end, mapping.parts[number - 1] if number else None)]
    if len(mapping.parts) == 2:
        if mapping.parent is None or mapping.parent.flow:
            raise Refused
        return [Patch(begin, end, "{}")]
    return [_whole_lines(tree, begin, end)]


def _pair(tree: Tree, edit: Edit) -> list[Patch]:
    """Other pairs in place of one; in a block each on a line of its own."""
    key = _found(tree, edit)
    value = _value(key) if _is_key(key) else key
    if value is key or value.kind == "Alias" or value.style in ("|", ">") or (value.parts and not value.flow) or key.parent is None:
        raise Refused
    line = f"{_break(tree)}{' ' * tree.column(key.start)}"
    new = edit.text if key.parent.flow else re.sub(r", (?=\w+: )(?![^{]*\})", line, edit.text)
    return [Patch(key.start, value.end, new)]


def _from_brackets(tree: Tree, begin: int, end: int, before: Span | None) -> Patch:
    text = tree.text
    if comma := re.compile(r"[ \t]*,(?:[ \t]*(?![ \t\r\n#]))?").match(text, end):
        return Patch(begin, comma.end(), "")
    between = text[before.end : begin] if before else ""
    return Patch(before.end if before and re.fullmatch(r"\s*,\s*", between) else begin, end, "")


def _whole_lines(tree: Tree, begin: int, end: int) -> Patch:
    """The lines of a pair or an entry, unless something else stands on them."""
    text, start, stop = tree.text, tree.line_start(begin), tree.line_end(end)
    if text[start:begin].strip(" "):
        return Patch(begin, end, "")
    if text[end:stop].strip():
        return Patch(begin, end + len(text[end:stop]) - len(text[end:stop].lstrip()), "")
    after = re.compile(r"\r\n|\r|\n").match(text, stop)
    if after:
        return Patch(start, after.end(), "")
    line = re.compile(r"(?:\r\n|\r|\n)\Z").search(text, 0, start)  # the last line, without an end
    return Patch(line.start() if line else start, stop, "")


def _item(tree: Tree, edit: Edit) -> tuple[Span, Span]:
    """The list, and the item of it, that an entry's word stands for."""
    span = _found(tree, edit)
    if _is_key(span) and span.parent is not None and len(span.parent.parts) == 2:
        span = span.parent
    if span.parent is None or span.parent.kind != "Sequence":
        raise Refused
    return span.parent, span


def _dash(tree: Tree, item: Span) -> int:
    """Where the dash of an item stands; Refused where something is between them."""
    match = re.compile(r"-[ \t]+(?:&\S+[ \t]+)?\Z").search(tree.text, tree.line_start(item.start), item.start)
    if match is None or "\t" in match[0]:
        raise Refused
    return match.start()


def _remove_entry(tree: Tree, edit: Edit) -> list[Patch]:
    listed, item = _item(tree, edit)
    if item.last().style in ("|", ">") or len(listed.parts) == 1:
        raise Refused
    if listed.flow:
        number = listed.parts.index(item)
        return [_from_brackets(tree, item.start, item.end, listed.parts[number - 1] if number else None)]
    return [_whole_lines(tree, _dash(tree, item), item.end)]


def _before(tree: Tree, edit: Edit) -> list[Patch]:
    listed, item = _item(tree, edit)
    if listed.flow:
        return [Patch(item.start, item.start, f"{edit.text}, ")]
    at = _dash(tree, item)
    return [Patch(at, at, f"- {edit.text}{_break(tree)}{' ' * tree.column(at)}")]


def _after(tree: Tree, edit: Edit) -> list[Patch]:
    listed, item = _item(tree, edit)
    if listed.flow:
        return [Patch(item.end, item.end, f", {edit.text}")]
    if item.last().style in ("|", ">"):
        raise Refused
    at, indent = tree.line_end(item.end), tree.column(_dash(tree, item))
    return [Patch(at, at, f"{_break(tree)}{' ' * indent}- {edit.text}")]


def _break(tree: Tree) -> str:
    """How the text ends its lines."""
    match = re.search(r"\r\n|\r|\n", tree.text)
    return match[0] if match else "\n"


WAYS: dict[str, Callable[[Tree, Edit], list[Patch]]] = {
    "word": _word, "set": _set, "wrap": _wrap, "top": _top, "pair": _pair, "remove": _remove,
    "remove-entry": _remove_entry, "before": _before, "after": _after,
}  # fmt: skip
