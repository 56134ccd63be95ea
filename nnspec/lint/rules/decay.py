"""Rules about what pulls weights towards 0."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Place, Problem
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, at
from nnspec.training.optimizer import KERNELS
from nnspec.training.optimizers import Optimizer, Sgd


class DecayTooStrong(Rule, number=54, name="decay-too-strong"):
    """Weight decay, or an l2 penalty, is stronger than what the rows teach."""

    why = """
        Decoupled decay multiplies weights by 1 - rate x decay at every step, a plain one adds decay x weight to the gradient. At a tenth
        a step weights fall to a half within seven steps, and no gradient brings them back in time. Usual products are 1e-6 to 1e-4.
        Adam and its kin divide by the gradient's size, with a plain decay in it: from about 1/2 on that is most of the gradient, and
        every step goes towards 0. `regularize: {kernel: {l2: n}}` is a plain decay of 2 n. Measured on the shipped digits with adam: 97%
        without, 93% at a decay of 0.03, 57% at 0.3, 20% at 1. Source: Loshchilov, Hutter, "Decoupled weight decay regularization", 2017.
        """
    hint = "weight_decay of 1e-4 to 1e-2 for sgd, of 0.004 to 0.1 for adamw"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          sgd: {learning_rate: 0.1, momentum: 0.9, weight_decay: 0.5}   # <-
        epochs: 5
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          sgd: {learning_rate: 0.1, momentum: 0.9, weight_decay: 5e-4}
        epochs: 5
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer = view.optimizer
        if optimizer is None:
            return
        place = view.place("optimizer", optimizer.kind, "weight_decay")
        yield from self._told(optimizer, place, optimizer.weight_decay.rate, "weight_decay", optimizer.decoupled)
        for leaf in view.leaves:
            worst = max((penalty.l2 for penalty in leaf.regularize.values()), default=0.0) if not leaf.frozen and leaf.own else 0.0
            yield from self._told(optimizer, at(leaf, "regularize"), 2 * worst, "l2", False)

    def _told(self, optimizer: Optimizer, place: Place, decay: float, word: str, decoupled: bool) -> Iterator[Problem]:
        part = optimizer.learning_rate * decay / (1.0 - float(getattr(optimizer, "momentum", 0.0)))
        found = f"{word}: {decay / 2 if word == 'l2' else decay:g}"
        if (decoupled or isinstance(optimizer, Sgd)) and part >= 0.1:
            yield self.at(place, f"weights lose {part:.0%} of themselves at each step", found=f"{found}, learning_rate: {optimizer.learning_rate:g}",
                          wanted="far less")  # fmt: skip
        elif not decoupled and not isinstance(optimizer, Sgd) and decay >= 0.5:
            yield self.at(place, f"{optimizer.kind} follows the decay, and no longer what rows teach", found=found, wanted="1e-4 or so",
                          hint="a far smaller one; adamw decays weights beside the gradient")  # fmt: skip


class DecayTwice(Rule, number=25, name="decay-twice"):
    """A kernel decays by `regularize` and by the optimizer's `weight_decay`."""

    why = """
        Both pull weights towards 0: an l2 penalty has the gradient 2 l2 w, a weight decay w. Together they decay by the sum, and
        whoever tunes one of them sees the other's effect.
        """
    hint = "keep one of them: weight_decay of the optimizer for all kernels, or regularize for single layers"
    bad = """
        nnspec: 1
        data: iris
        layers:
          - dense: {units: 16, activation: relu, regularize: {kernel: {l2: 1e-4}}}   # <-
          - dense: 3
        loss: cross_entropy
        optimizer: {adamw: {weight_decay: 0.01}}
        epochs: 5
        """
    good = """
        nnspec: 1
        data: iris
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        optimizer: {adamw: {weight_decay: 0.01}}
        epochs: 5
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer = view.optimizer
        if optimizer is None or not optimizer.weight_decay.rate or "weight_decay" not in optimizer.model_fields_set:
            return
        for leaf in view.leaves:
            for param in leaf.own:
                penalty = leaf.regularize.get(param.name)
                decays = optimizer.weight_decay.only != "kernels" or param.role in KERNELS
                if penalty is not None and penalty.l2 and decays and not leaf.frozen:
                    yield self.at(at(leaf, "regularize"), f"'{param.name}' of '{leaf.path}' decays twice",
                                  found=f"l2: {penalty.l2:g}, and weight_decay: {optimizer.weight_decay.rate:g}", wanted="one of them")  # fmt: skip
