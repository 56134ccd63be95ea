"""Rules about what a loss and a metric compare."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint.columns import values
from nnspec.lint.ranges import told
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, activation

CLASS = re.compile(r"(?i)(.*_)?(label|labels|class|classes|category|species|digit|kind|genre|class_?(id|no|number)|label_?id)$")


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


class BeyondProbability(Rule, number=9, name="beyond-probability"):
    """A loss of probabilities compares with numbers beyond 0 to 1."""

    why = """
        Binary cross entropy is -t log p - (1 - t) log(1 - p): of a target of -1, or of 12, it has no least value, and falls without end as
        the logit grows. Targets are 0 and 1, or probabilities. A standardized target, and one of -1 and 1, is neither.
        """
    hint = "targets of 0 and 1; of numbers mse, or prepare: [min_max: COLUMN]"
    bad = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [-1, 1, 1, -1]}, target: y}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy                   # <-
        """
    good = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [0, 1, 1, 0]}, target: y}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            if target.term.kind not in ("binary_cross_entropy", "focal", "dice"):
                continue
            ranges = {name: view.spread(name) for name in target.columns if view.data is not None and not view.data.columns[name].classes}
            if target.number is not None:
                ranges["target"] = (target.number, target.number)
            for name, numbers in ranges.items():
                if numbers is not None and (numbers[0] < -0.01 or numbers[1] > 1.01):
                    yield self.at(target.term.place, f"{target.term.kind} of '{name}', which is no probability", found=f"numbers {told(numbers)}",
                                  wanted="numbers from 0 to 1")  # fmt: skip
                    break


class ClassesAsAmounts(Rule, number=18, name="classes-as-amounts"):
    """The numbers of classes are compared as amounts."""

    why = """
        A squared error of class numbers says that class 4 is nearer to class 3 than to class 0, and that between 0 and 2 lies 1: a row that
        may be either is taken for what it is not. Cross entropy asks for each class by itself. (Of ranks, such as grades, an error of
        numbers can be meant.)
        """
    hint = "say under data columns: {COLUMN: category}, and take cross_entropy with a unit for each class"
    bad = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], species: [0, 1, 2, 1]}, target: species}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 1
        loss: mse                                    # <-
        """
    good = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], species: [0, 1, 2, 1]}, target: species}
          columns: {species: category}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: $data.species.classes
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            name = target.columns[0] if len(target.columns) == 1 and target.term.of.numbers else ""
            column = view.data.columns.get(name) if view.data is not None else None
            if view.data is None or column is None or not column.plain_number or not CLASS.match(name):
                continue
            held = values(view.data, name)
            known = sorted(set(held.tolist())) if held is not None else []
            prepared = any(c == name for c, _ in view.data.prepare)
            if not prepared and 3 <= len(known) <= 100 and known[0] in (0, 1) and known == [known[0] + n for n in range(len(known))]:
                yield self.at(target.term.place, f"{target.term.kind} takes the classes of '{name}' for amounts", found=f"{len(known)} whole numbers",
                              wanted=f"cross_entropy, with dense: {len(known)}",
                              hint=f"say under data columns: {{{name}: category}}, and take cross_entropy with a unit for each class")  # fmt: skip
