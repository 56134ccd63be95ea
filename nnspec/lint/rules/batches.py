"""Rules about how many rows a step takes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nnspec.errors import Problem
from nnspec.layers.normalization import BatchNorm
from nnspec.lint.rule import Rule
from nnspec.lint.view import View


class BatchNormOfFew(Rule, number=24, name="batch-norm-of-few"):
    """Batch norm over one or two numbers a channel says nothing of them."""

    why = """
        Of one number the mean is the number itself: batch norm gives `beta`, whatever came in, and nothing before it learns. Of two it gives
        -1 and 1. It counts rows times places: vectors want batches of a dozen rows or more; a single row wants layer_norm or group_norm.
        Source: Wu, He, "Group normalization", 2018.
        """
    hint = "a larger batch_size, or layer_norm"
    bad = """
        nnspec: 1
        data: iris
        layers:
          - dense: {units: 16, bias: false}
          - batch_norm                               # <-
          - relu
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 5
        batch_size: 1
        """
    good = """
        nnspec: 1
        data: iris
        layers:
          - dense: {units: 16, bias: false}
          - batch_norm
          - relu
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 5
        batch_size: 32
        """

    def find(self, view: View) -> Iterator[Problem]:
        size = view.document.settings.batch_size
        if view.optimizer is None or size > 2:
            return
        for leaf in view.leaves:
            places = leaf.inputs[0].shape[:-1] if leaf.inputs and leaf.inputs[0].type else ()
            if isinstance(leaf.entry, BatchNorm) and not leaf.frozen and all(isinstance(n, int) for n in places):
                count = size * prod(int(n) for n in places if isinstance(n, int))
                if count <= 2:
                    said = f"{count} number{'s' if count > 1 else ''} a channel"
                    yield self.at(leaf.place, f"'{leaf.path}' has {said} to take a mean and a variance of",
                                  found=f"batch_size: {size}", wanted="a dozen or more")  # fmt: skip


class BatchBeyondRows(Rule, number=60, name="batch-beyond-rows"):
    """A batch has more places than there are rows."""

    why = """
        An epoch is then one step, and its batch is filled up with rows that count for nothing and are computed all the same. Fifty epochs are
        fifty steps, which is few: learning rates that are known to work are those of thousands. Source: Masters, Luschi, "Revisiting small
        batch training for deep neural networks", 2018.
        """
    hint = "a batch_size of 32 or so; of very few rows, as many as there are"
    bad = """
        nnspec: 1
        data: {iris: {}, prepare: [standardize]}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 50
        batch_size: 512                              # <-
        """
    good = """
        nnspec: 1
        data: {iris: {}, prepare: [standardize]}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 50
        batch_size: 16
        """

    def find(self, view: View) -> Iterator[Problem]:
        settings, rows = view.document.settings, view.rows
        if view.optimizer is not None and rows is not None and "batch_size" in settings.model_fields_set and settings.batch_size > rows + 1:
            yield self.at(view.place("batch_size"), f"a batch has {settings.batch_size:,} places, and {rows:,} rows train",
                          found=f"batch_size: {settings.batch_size}", wanted=f"at most {rows:,}")  # fmt: skip
