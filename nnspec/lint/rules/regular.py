"""Rules about what should keep a network from learning by heart: dropout, norms, decay."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.layers.dropout import Dropped
from nnspec.layers.normalization import BatchNorm, Normalisation, RmsNorm
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, noisy, weightless
from nnspec.spec.edits import remove_key
from nnspec.training.stretches import Stretches


class DropoutBeforeOutput(Rule, number=21, name="dropout-before-output"):
    """Dropout stands between the last layer and the loss."""

    why = """
        Dropout on the output sets scores to 0 and scales up the others: the loss compares the target with numbers that the network did not
        say, and their noise is no regularisation of anything behind them, for nothing is. It belongs before the last layer. Source:
        Srivastava et al., "Dropout", 2014, where input and hidden units are dropped, never outputs.
        """
    hint = "put it before the last layer, or leave it out"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 10
          - dropout: 0.3                             # <-
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dropout: 0.3
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            waiting = [leaf] if (leaf := view.last(target.port)) is not None and target.term.of.targeted else []
            while waiting:
                leaf = waiting.pop()
                if noisy(leaf):
                    yield self.at(leaf.place, f"'{leaf.path}' changes the output itself before the loss reads it", found=leaf.entry.kind,
                                  wanted="dropout before the last layer")  # fmt: skip
                elif leaf.entry.kind == "concat" or (leaf.entry.kind == "math" and len(leaf.inputs) == 1):
                    waiting += [last for port in leaf.inputs if (last := view.last(port)) is not None]
                    continue
                elif not weightless(leaf):
                    continue
                if (before := view.before(leaf)) is not None:
                    waiting.append(before)


class DropoutRate(Rule, number=22, name="dropout-rate"):
    """Dropout leaves a fifth of the numbers or less."""

    why = """
        `rate` is the share that is set to 0. In some older programs the number beside dropout was the share that is kept: `keep_prob: 0.9`
        there is `dropout: 0.1` here. Of nine in ten that fall a layer learns next to nothing.
        """
    hint = "write the share that falls: of keep_prob 0.8 that is 0.2"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dropout: 0.9                             # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dropout: 0.1
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if isinstance(leaf.entry, Dropped) and leaf.entry.rate >= 0.8:
                yield self.at(leaf.place, f"'{leaf.path}' leaves {1 - leaf.entry.rate:.0%} of its input", found=f"rate: {leaf.entry.rate:g}",
                              wanted="a rate below 0.8")  # fmt: skip


class DropoutBeforeBatchNorm(Rule, number=23, name="dropout-before-batch-norm"):
    """Batch norm right behind dropout normalises by a variance that inference does not have."""

    why = """
        In training dropout raises the variance of what it passes on, in inference it does nothing: the moving variance that batch norm has
        kept is then wrong, and with it every number behind. Source: Li, Chen, Hu, Yang, "Understanding the disharmony between dropout and
        batch normalization by variance shift", CVPR 2019.
        """
    hint = "put dropout behind batch norm and its activation"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dropout: 0.5                             # <-
          - batch_norm
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, bias: false}
          - batch_norm
          - relu
          - dropout: 0.5
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if isinstance(leaf.entry, Dropped) and leaf.entry.rate and leaf.entry.kind != "drop_path" and not leaf.frozen:
                for reader in view.readers(leaf) or ():
                    if isinstance(reader.entry, BatchNorm) and not reader.frozen:
                        yield self.at(leaf.place, f"'{leaf.path}' shifts the variance that '{reader.path}' keeps", wanted="dropout behind it")


class FrozenKeys(Rule, number=26, name="frozen-keys"):
    """What says how a layer learns stands on a layer that does not."""

    why = """
        A layer that is frozen has no gradient, so a rate of its own changes nothing; and penalties of frozen weights are no part of the
        loss.
        """
    hint = "leave it out, or let the layer move"
    fixes = True
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, trainable: false, learning_rate: 0.1x}   # <-
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, learning_rate: 0.1x}
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        if isinstance(view.document.schedule, Stretches):
            return  # one of them may let it move
        for leaf in view.leaves:
            for key in ("regularize", "learning_rate"):
                if leaf.frozen and key in leaf.keys and leaf.params and "trainable" in leaf.keys:  # not one that a call freezes
                    yield self.at(leaf.keys[key], f"'{key}' of '{leaf.path}' does nothing: it is frozen", found="trainable: false",
                                  edits=(remove_key(leaf.keys[key], key),))  # fmt: skip


class NormTwice(Rule, number=27, name="norm-twice"):
    """A norm follows a norm of its own kind."""

    why = "What has mean 0 and variance 1 already is normalised once more: it costs time, and its scale and shift could be one."
    hint = "leave one of them out"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, bias: false}
          - batch_norm
          - batch_norm                               # <-
          - relu
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, bias: false}
          - batch_norm
          - relu
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            source = view.before(leaf, ("identity",)) if isinstance(leaf.entry, Normalisation | RmsNorm) else None
            if source is not None and source.entry.kind == leaf.entry.kind and view.readers(source, ("identity",)) == [leaf]:
                yield self.at(leaf.place, f"'{leaf.path}' normalises what '{source.path}' has normalised", found=f"{leaf.entry.kind} twice")


