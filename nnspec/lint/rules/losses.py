"""Rules about what a loss and a metric compare."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint.columns import values
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, activation


class SquaredSoftmax(Rule, number=6, name="squared-softmax"):
    """A squared or absolute error of softmax hardly learns from what is wrong for certain."""

    why = """
        Where softmax is sure of the wrong class its own gradient is nearly 0, and the error's is at most 2: the rows that are most wrong
        teach least. Cross entropy cancels that factor, and is the likelihood of the classes. Source: Golik, Doetsch, Ney, "Cross-entropy
        vs. squared error training", Interspeech 2013; Bishop, "Pattern recognition and machine learning", 2006, 4.3.
        """
    hint = "loss: cross_entropy, which reads softmax or logits"
    bad = """
        nnspec: 1
        data: {iris: {}, prepare: [one_hot: species, standardize]}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 3, activation: softmax}
        loss: mse                                    # <-
        """
    good = """
        nnspec: 1
        data: {iris: {}, prepare: [standardize]}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 3, activation: softmax}
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            if not target.term.of.numbers:
                continue
            leaf = view.last(target.port)
            made = activation(leaf) if leaf is not None else None
            if leaf is not None and made is not None and made.kind == "softmax" and view.shape(leaf.path)[-1:] != (1,):
                yield self.at(target.term.place, f"{target.term.kind} of the softmax in '{leaf.path}'", wanted="cross_entropy")


class MetricOfAnotherTask(Rule, number=8, name="metric-of-another-task"):
    """A metric of classes measures an output that is a number."""

    why = """
        `accuracy` of an output whose loss compares numbers asks on which side of 1/2 both lie. Of prices or temperatures that says
        nothing: it is 1 where every price is above 1/2.
        """
    hint = "mae, rmse or r2 measure numbers"
    bad = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [1.5, 4.0, 7.5, 12.0]}, target: y}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 1
        loss: mse
        metrics: [mae, accuracy]                     # <-
        """
    good = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [1.5, 4.0, 7.5, 12.0]}, target: y}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 1
        loss: mse
        metrics: [mae, r2]
        """

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        for target in view.spec.built.metrics:
            if target.term.kind not in ("accuracy", "precision", "recall", "f1", "auc", "confusion", "top_k") or data is None:
                continue
            loss = view.spec.built.answering(target.port)
            columns = [data.columns[name] for name in target.columns if name in data.columns]
            if loss is None or not loss.term.of.numbers or not columns or not all(c.plain_number for c in columns):
                continue
            spread = view.spread(columns[0].name)
            held = values(data, columns[0].name)
            if held is not None and len(set(held.ravel()[:10_000].tolist())) <= 2:
                continue  # two classes as numbers
            if spread is None or not (spread[0] >= -1e-9 and spread[1] <= 1 + 1e-9):
                yield self.at(target.term.place, f"{target.term.kind} of '{columns[0].name}', which is a number",
                              found=f"the loss {loss.term.kind} compares numbers", wanted="mae, rmse or r2")  # fmt: skip


class WeightlessLoss(Rule, number=10, name="weightless-loss"):
    """A loss of weight 0 teaches nothing."""

    why = "A term that is multiplied by 0 adds nothing to the loss and has no gradient; what only it reads does not learn."
    hint = "leave it out, or give it a weight; a metric measures without teaching"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss:
          cross_entropy: {weight: 0}                 # <-
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss:
          cross_entropy: {weight: 0.5}
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            if target.term.weight == 0:
                yield self.at(target.term.place, f"'{target.term.kind}' has weight 0", wanted="a weight above 0")

