"""Rules about numbers on their way into the network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnspec.data.config import Prepare, RescaleStep
from nnspec.errors import Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.layers.embedding import Embedding
from nnspec.layers.math import NOWHERE, Math
from nnspec.lint.columns import raw_range, values
from nnspec.lint.rule import Rule
from nnspec.lint.view import PLACES, View, at
from nnspec.network.graph import Leaf
from nnspec.spec.edits import set_key
from nnspec.spec.expressions import Binary, Name, Number
from nnspec.spec.tensor_formulas import read

AS_THEY_ARE = (*PLACES, "identity", "dropout", "spatial_dropout", "gaussian_noise", "concat", "cast", "slice", "relu", "pixel_shuffle",
               "pixel_unshuffle", "stop_gradient", "resize", *(f"{kind}{n}d" for kind in ("pad", "crop", "max_pool", "avg_pool", "upsample", "resize")
                                                               for n in (1, 2, 3)))  # fmt: skip


class UnscaledBytes(Rule, number=41, name="unscaled-bytes"):
    """Bytes from 0 to 255 go into the first weights as they are."""

    why = """
        Weights are drawn for inputs of about 1. Two hundred times that makes the first outputs two hundred times too large, activations
        saturate, and a learning rate that suits the other layers is far too high for the first. Source: LeCun, Bottou, Orr, Müller,
        "Efficient backprop", 1998, 4.3. (Image files, and the images of MNIST's format, are 0 to 1 here already.)
        """
    hint = "prepare: [rescale: {scale: 0.00392156862745098}] divides by 255; standardize and a first batch_norm scale too"
    bad = """
        nnspec: 1
        data:
          inline:                                    # <-
            columns: {pixels: [[0, 255, 128, 7], [12, 200, 255, 0], [255, 3, 90, 41], [0, 17, 254, 255]], kind: [a, b, a, b]}
            target: kind
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 2
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data:
          inline:
            columns: {pixels: [[0, 255, 128, 7], [12, 200, 255, 0], [255, 3, 90, 41], [0, 17, 254, 255]], kind: [a, b, a, b]}
            target: kind
          prepare: [rescale: {scale: 0.00392156862745098}]
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 2
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for name, columns in view.spec.built.columns.items():
            data, reader = view.data, weighing(view, name)
            if data is None or reader is None:
                continue
            raw = [column for column in columns if not any(column == prepared and not _keeps(step) for prepared, step in data.prepare)]
            bytes_ = [column for column in raw if self._bytes(view, column, len(raw))]
            if bytes_:
                yield self.at(data.place, f"'{reader.path}' reads bytes as they are: {_listed(bytes_)}", found="whole numbers from 0 to 255",
                              wanted="numbers of about 1")  # fmt: skip
        yield from self._cast(view)

    def _bytes(self, view: View, name: str, beside: int) -> bool:
        """Whether a column has bytes: by its type, or an array or many columns of whole numbers up to 255."""
        data = view.data
        assert data is not None
        column = data.columns[name]
        if column.pixels or column.dtype != "float32":
            return False
        if column.bytes and column.shape:
            return True
        if not column.shape and beside < 16:
            return False
        found = values(data, name)
        numbers = raw_range(data, name)
        if found is None or numbers is None or not (numbers[0] >= 0 and 200 <= numbers[1] <= 255):
            return False
        known = found[np.isfinite(found)]
        return bool((known == np.floor(known)).all())

    def _cast(self, view: View) -> Iterator[Problem]:
        """Whole numbers of an image's shape that ``cast`` makes floats of."""
        for leaf in view.leaves:
            port = leaf.inputs[0] if leaf.entry.kind == "cast" and leaf.inputs else None
            if port is None or port.type is None or port.node not in view.network.inputs or port.type.dtype.is_float:
                continue
            if len(port.shape) == 3 and port.shape[-1] in (1, 3, 4) and (reader := weighing(view, leaf.path)) is not None:
                yield self.at(leaf.place, f"'{reader.path}' reads whole numbers of '{port.node}' as they are", found=f"{port.type.dtype}",
                              wanted="numbers of about 1", hint="math: x / 255 behind it, or batch_norm")  # fmt: skip


class UnscaledFeatures(Rule, number=42, name="unscaled-features"):
    """Numbers of thousands go into the first weights as they are."""

    why = """
        A column of years or prices beside one of ratios takes all of the first layer's gradient: the others learn a thousand times slower,
        and most units saturate or die. Source: LeCun, Bottou, Orr, Müller, "Efficient backprop", 1998, 4.3.
        """
    hint = "prepare: [standardize]"
    bad = """
        nnspec: 1
        data:
          inline:                                    # <-
            columns: {area: [52, 80, 110, 64], built: [1962, 1998, 2015, 1980], price: [0.1, 0.3, 0.7, 0.2]}
            target: price
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 1
        loss: mse
        optimizer: adam
        """
    good = """
        nnspec: 1
        data:
          inline:
            columns: {area: [52, 80, 110, 64], built: [1962, 1998, 2015, 1980], price: [0.1, 0.3, 0.7, 0.2]}
            target: price
          prepare: [standardize]
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 1
        loss: mse
        optimizer: adam
        """

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        if data is None or view.optimizer is None:
            return
        for name, columns in view.spec.built.columns.items():
            reader = weighing(view, name)
            large = [c for c in columns if not data.columns[c].classes and not data.columns[c].bytes and (s := view.spread(c)) is not None
                     and max(abs(s[0]), abs(s[1])) >= 1000]  # fmt: skip
            if reader is not None and large:
                low, high = view.spread(large[0]) or (0.0, 0.0)
                yield self.at(data.place, f"'{reader.path}' reads numbers of thousands as they are: {_listed(large)}",
                              found=f"'{large[0]}' from {low:g} to {high:g}", wanted="numbers of about 1")  # fmt: skip


class SmallVocabulary(Rule, number=47, name="small-vocabulary"):
    """An embedding has fewer rows than its column has classes."""

    why = """
        `vocabulary` is how many classes there are; class number n takes row n. What has no row cannot be looked up. `$data.COLUMN.classes`
        follows the data.
        """
    hint = "vocabulary: $data.COLUMN.classes"
    fixes = True
    bad = """
        nnspec: 1
        data:
          inline: {columns: {street: [oak, elm, ash, oak], price: [1.0, 2.0, 1.5, 1.2]}, target: price}
        layers:
          - embedding: {vocabulary: 2, units: 4}     # <-
          - dense: 1
        loss: mse
        """
    good = """
        nnspec: 1
        data:
          inline: {columns: {street: [oak, elm, ash, oak], price: [1.0, 2.0, 1.5, 1.2]}, target: price}
        layers:
          - embedding: {vocabulary: $data.street.classes, units: 4}
          - dense: 1
        loss: mse
        """

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        for leaf in view.leaves if data is not None else ():
            if not isinstance(leaf.entry, Embedding):
                continue
            columns = view.feeding(leaf.inputs[0].node)
            most = max((len(data.columns[c].classes or ()) for c in columns if data is not None), default=0)
            if leaf.entry.vocabulary < most:
                lacking = f"'{leaf.path}' has no row for {most - leaf.entry.vocabulary} of {most} classes"
                follows = f"$data.{columns[0]}.classes"
                edit = set_key(leaf.place, "vocabulary", follows, "vocabulary", str(leaf.entry.vocabulary))
                yield self.at(at(leaf, "vocabulary"), lacking, found=f"vocabulary: {leaf.entry.vocabulary}", wanted=f"{most}",
                              hint=f"vocabulary: {follows}", edits=(edit,) if len(columns) == 1 else ())  # fmt: skip


def weighing(view: View, path: str) -> Leaf | None:
    """The first layer with weights that an input, or a layer's output, reaches as it is; None where something scales it before."""
    waiting, seen = [path], {path}
    while waiting:
        for use in view.uses.get(waiting.pop(0), ()):
            if isinstance(use.reader.entry, Dense | Kernelled):
                return use.reader
            if (use.reader.entry.kind in AS_THEY_ARE or _shifts(use.reader)) and use.reader.path not in seen:
                seen.add(use.reader.path)
                waiting.append(use.reader.path)
    return None


def _shifts(leaf: Leaf) -> bool:
    """Whether a formula adds a number and no more."""
    tree = read(leaf.entry.formula, NOWHERE) if isinstance(leaf.entry, Math) else None
    return isinstance(tree, Binary) and tree.operator in ("+", "-") and isinstance(tree.left, Name) and isinstance(tree.right, Number)


def _keeps(step: Prepare) -> bool:
    """Whether bytes stay as wide apart as they were."""
    return isinstance(step, RescaleStep) and abs(step.scale) >= 0.5


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


