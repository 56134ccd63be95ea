"""Rules about words of a spec that do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nnspec.data.column import Declaration
from nnspec.errors import Problem
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, walk
from nnspec.spec.edits import remove_key
from nnspec.spec.source import Mapping, Scalar

FILES = ("image_folder", "files")
HELD = ("idx", "digits", "iris")  # whose images lie in memory


class UnusedVariable(Rule, number=71, name="unused-variable"):
    """Nothing reads a variable."""

    why = "A name under `vars` that no formula reads changes nothing, whatever `--set` or a sweep makes of it: mostly a number was written twice."
    hint = "read it with $NAME, or leave it out"
    fixes = True
    bad = """
        nnspec: 1
        vars: {width: 64, depth: 3}                  # <-
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: $width, activation: relu, repeat: 3}
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        vars: {width: 64, depth: 3}
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: $width, activation: relu, repeat: $depth}
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        root = view.document.root
        declared = root.pairs.get("vars") if root is not None else None
        if not isinstance(declared, Mapping):
            return
        texts = [node.text for node in walk(root) if isinstance(node, Scalar) and "$" in node.text]
        texts += [key for node in walk(root) if isinstance(node, Mapping) for key in node.pairs if "$" in key or key.startswith("vars.")]
        words = {word for text in texts for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text)}
        for name in declared.pairs:
            if name not in words:
                yield self.at(declared.keys[name], f"nothing reads the variable '{name}'", wanted=f"a formula with ${name}",
                              edits=(remove_key(declared.keys[name], name),))  # fmt: skip


class IdleCache(Rule, number=72, name="idle-cache"):
    """`cache` is said of data that have no image files."""

    why = "`cache` is how much memory decoded images may take. Tables, arrays and the shipped sets lie in memory as they are; nothing is decoded."
    hint = "leave cache out"
    fixes = True
    bad = """
        nnspec: 1
        data:
          digits: {}
          cache: 2GB                                 # <-
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data:
          digits: {}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        if data is not None and "cache" in data.loading.model_fields_set and not _decodes(data):
            place = view.place("data", "cache")
            yield self.at(place, "'cache' does nothing here: no image is decoded", found=f"data from {data.source}",
                          edits=(remove_key(place, "cache"),))  # fmt: skip


class FrozenNothing(Rule, number=73, name="frozen-nothing"):
    """`trainable` stands on a layer that has nothing to learn."""

    why = """
        A layer, or a block, without weights learns nothing in any case. Mostly the word stands one entry too low or too high, and what should
        be frozen moves.
        """
    hint = "put it on the layer that has the weights, or leave it out"
    fixes = True
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: 16
          - relu: {trainable: false}                 # <-
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, trainable: false}
          - relu
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if "trainable" in leaf.keys and not leaf.params and leaf.entry.kind != "only" and leaf.inputs:
                inside = leaf.keys["trainable"]
                if not any(other.params and other.keys.get("trainable") is inside for other in view.leaves):
                    yield self.at(inside, f"'{leaf.path}' has no weights to freeze", found="trainable: false",
                                  edits=(remove_key(inside, "trainable"),))  # fmt: skip
        yield from self._frames(view)

    def _frames(self, view: View) -> Iterator[Problem]:
        """Blocks that are called, residuals and branches, in which nothing has weights."""
        root, calls = view.document.root, view.network.calls
        weighing = {leaf.path for leaf in view.leaves if leaf.params}
        bare = {place: path for path, (_, place) in calls.items() if not any(own.startswith(f"{path}/") for own in weighing)}
        full = {place for path, (_, place) in calls.items() if place not in bare or bare[place] != path}
        written = [node for node in walk(root) if isinstance(node, Mapping)] if root is not None and bare.keys() - full else []
        for node in written:
            for kind, place in node.keys.items():
                inner = node.pairs[kind]
                if place in bare and place not in full and isinstance(inner, Mapping) and "trainable" in inner.pairs:
                    key = inner.keys["trainable"]
                    yield self.at(key, f"nothing in '{bare[place]}' has weights to freeze", found="trainable: false",
                                  edits=(remove_key(key, "trainable"),))  # fmt: skip


def _decodes(data: Declaration) -> bool:
    """Whether images are read from files of their own."""
    return data.source in FILES or (data.source not in HELD and any(column.pixels for column in data.columns.values()))
