"""What YAML has and specs do not: directives, tags, keys that are no words, aliases of nothing; a problem for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from nnspec.errors import Place, Problem, Source, nearest
from nnspec.spec.nodes import Mapping, Node, Scalar
from nnspec.spec.syntax import at


def directives(event: Any, place: Place) -> Iterator[Problem]:
    """Of a document's start."""
    if event.version and tuple(event.version) != (1, 2):
        found = f"%YAML {'.'.join(map(str, event.version))}"
        yield Problem("specs are YAML 1.2", place, found=found, hint="leave the line out", rule="yaml")
    if event.tags:
        yield Problem("tags are not used in specs", place, found="%TAG", hint="leave the line out", rule="tag")


def tag(source: Source, mark: Any) -> Problem:
    """``!word`` before a value that begins at ``mark``."""
    line = source.line(mark.line + 1)
    column = max(line.find("!", mark.column), mark.column)
    found = re.split(r"[\s,\]}]", line[column:], maxsplit=1)[0][:40]
    hint = "leave it out; a text that begins with '!' wants quotes"
    return Problem("tags are not used in specs", at(source, mark.line, column), found=found, hint=hint, rule="tag")


def key(node: Node, parent: Mapping) -> Problem | None:
    """None where it is a word that has not been there."""
    place = node.place
    if not isinstance(node, Scalar):
        hint = "quote the text if the bracket belongs to it"
        return Problem("a key is a word, not a list or mapping", place, hint=hint, rule="key")
    text = node.text
    if not text and not node.quoted:
        return Problem("a key is missing before ':'", place, wanted="key: value", rule="key")
    if text == "<<" and not node.quoted:
        return Problem("'<<' is not used in specs", place, hint="write the keys out, or make a block with arguments", rule="merge")
    if not node.quoted and re.match(r"\$[A-Za-z_(]", text):
        return Problem("a formula cannot be a key", place, found=text[:40], hint="quote it if the ':' belongs to a text", rule="key")
    if text in parent.pairs:
        first = parent.keys[text]
        found = f"first on line {first.line}, column {first.column}"
        return Problem(f"the key '{text[:40]}' stands here twice", place, found=found, hint="keep one of them", rule="repeated-key")
    return None


def unknown_anchor(name: str, anchors: Iterable[str], place: Place) -> Problem:
    """``*name`` without ``&name`` above."""
    hint = nearest(name, islice(anchors, 100)) or f'quote it if it is a text: "*{name}"'
    return Problem(f"no anchor '&{name}' stands above", place, hint=hint, rule="alias")


def endless_alias(name: str, place: Place) -> Problem:
    """``&name`` whose value holds ``*name``."""
    return Problem(f"'*{name}' stands inside of what it repeats", place, hint="this would never end", rule="alias")


def alias_as_key(name: str, place: Place) -> Problem:
    """``*name: value``."""
    return Problem("a key is a word, not an alias", place, found=f"*{name}", hint="write the word out", rule="key")
