"""Changes of a spec's text, made by whoever finds a problem: a word's place says where, and ``rewrite`` puts them into the text.

A place is that of a word as nodes know it: an entry's kind (``node.keys["dense"]``, ``written.place``), a key, or a value. Texts are YAML
that may stand in brackets: ``false``, ``{kernel: he_normal}``. What stands in the text otherwise, comments too, is kept as it is.

>>> from nnspec.errors import Source
>>> spec = Source("spec.yaml", "layers: [Linear: 10]")
>>> word(Place(spec, 1, 10), "Linear", "dense").says
"'Linear' is now 'dense'"
"""

from __future__ import annotations

from nnspec.errors import Edit, Place


def word(place: Place, old: str, new: str) -> Edit:
    """Another word (or number) in place of the key or value ``old``, whose quotes go with it."""
    return Edit(place, "word", new, old=old, says=f"'{old}' is now '{new}'")


def unquoted(place: Place, text: str) -> Edit:
    """A value without its quotes."""
    return Edit(place, "word", text, old=text, says=f"'{text}' without quotes")


def text(place: Place, old: str, new: str) -> Edit:
    """Characters in place of others, whatever YAML makes of them: for what cannot be read yet."""
    return Edit(place, "text", new, old=old, says=f"{old} is now {new}")


def set_key(entry: Place, key: str, value: str, primary: str = "", was: str = "") -> Edit:
    """``key: value`` on an entry; another value where the key is there. ``primary`` is the field that the entry sets as ``kind: value``.

    ``- flatten`` and ``- dense: 10`` become mappings. ``was`` is the value that must be there, if any must: a formula is not replaced by its result.
    """
    return Edit(entry, "set", value, key, old=was, primary=primary, says=f"'{key}: {value}' set")


def wrapped(entry: Place, key: str) -> Edit:
    """What stands after an entry's kind becomes the value of a key: ``add: [a, b]`` is ``add: {from: [a, b]}``."""
    return Edit(entry, "wrap", key=key, says=f"'{key}' put before what stands there")


def set_top(place: Place, key: str, value: str) -> Edit:
    """``key: value`` at the top of the spec in which ``place`` is; ``nnspec`` stands first, the others last."""
    return Edit(place, "top", value, key, says=f"'{key}: {value}' set")


def remove_key(key: Place, name: str) -> Edit:
    """A key with its value taken out of its mapping."""
    return Edit(key, "remove", old=name, says=f"'{name}' removed")


def remove_entry(entry: Place, kind: str) -> Edit:
    """An entry taken out of its list."""
    return Edit(entry, "remove-entry", old=kind, says=f"'{kind}' removed")


def insert_after(entry: Place, new: str) -> Edit:
    """Another entry behind one of a list: ``insert_after(place, "dropout: 0.5")``."""
    return Edit(entry, "after", new, says=f"'{new}' put behind it")


def insert_before(entry: Place, new: str) -> Edit:
    """Another entry before one of a list."""
    return Edit(entry, "before", new, says=f"'{new}' put before it")


def pair(key: Place, name: str, new: str) -> Edit:
    """Other keys with their values in place of one with its own: ``pair(place, "freeze", "trainable: false")``."""
    return Edit(key, "pair", new, old=name, says=f"'{name}' is now '{new}'")
