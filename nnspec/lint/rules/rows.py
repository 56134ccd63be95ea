"""Rules about which rows train, in which order, and what is measured on which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint import rowsets
from nnspec.lint.columns import values
from nnspec.lint.rule import Rule
from nnspec.lint.view import View, walk
from nnspec.spec.edits import remove_key
from nnspec.spec.source import Mapping


class NoShuffle(Rule, number=43, name="no-shuffle"):
    """Training rows are not shuffled, or are divided by their class."""

    why = """
        Rows that stand by class make batches of one class each: every step unlearns the others. And rows that are divided in the order of
        their class leave the last classes to validation alone. Source: Bengio, "Practical recommendations for gradient-based training of
        deep architectures", 2012, 3.1.3; Bottou, "Stochastic gradient descent tricks", 2012.
        """
    hint = "leave shuffle out: every epoch has an order of its own, which the seed decides"
    fixes = True
    bad = """
        nnspec: 1
        data:
          iris: {}
          prepare: [standardize]
          shuffle: false                             # <-
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 20
        batch_size: 16
        """
    good = """
        nnspec: 1
        data:
          iris: {}
          prepare: [standardize]
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        optimizer: adam
        epochs: 20
        batch_size: 16
        """

    def find(self, view: View) -> Iterator[Problem]:
        data, optimizer = view.data, view.optimizer
        if data is None or optimizer is None:
            return
        size = view.document.settings.batch_size * optimizer.accumulate
        textbook = all(target.term.kind == "perceptron" for target in view.losses)
        if not data.loading.shuffle and data.split.order is None and not textbook and (view.rows or 0) > size:
            yield self.at(view.place("data", "shuffle"), "every epoch takes the training rows in the order of the source", found="shuffle: false",
                          wanted="shuffle: true", edits=(remove_key(view.place("data", "shuffle"), "shuffle"),))  # fmt: skip
        if data.split.order is not None and data.split.order in data.targets:
            yield self.at(view.place("data", "split", "order"), f"the rows are divided in the order of the target '{data.split.order}'",
                          found="the last values validate, and never train", wanted="a date, or no order",
                          hint="leave order out: rows are drawn; stratify keeps classes in proportion")  # fmt: skip


class ValidationInTraining(Rule, number=44, name="validation-in-training"):
    """Rows that validate or test are among those that train."""

    why = """
        What is measured on rows that were learned says how well they were learned by heart. It happens where two splits name the same files, or
        where rows stand in a table more than once. `group` keeps rows together that belong together. Source: Kaufman, Rosset, Perlich,
        "Leakage in data mining", 2011.
        """
    hint = "name other files, or divide the rows: split: {validation: 0.2}"
    bad = """
        nnspec: 1
        data:
          inline:
            columns:
              x: [[1.5, 2], [1.5, 2], [0.3, 1], [0.3, 1], [2.2, 4], [2.2, 4], [0.9, 3], [0.9, 3], [1.1, 5], [1.1, 5]]
              y: [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
            target: y
          split: {train: 0.7, validation: 0.3}       # <-
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy
        """
    good = """
        nnspec: 1
        data:
          inline:
            columns:
              x: [[1.5, 2], [0.4, 6], [0.3, 1], [1.7, 3], [2.2, 4], [0.6, 2], [0.9, 3], [1.4, 1], [1.1, 5], [2.8, 0]]
              y: [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
            target: y
          split: {train: 0.7, validation: 0.3}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        root = view.document.root
        node = root.pairs.get("data") if root is not None else None
        if view.data is None or node is None:
            return
        told: set[str] = set()
        for place, split, first, shared, total in rowsets.shared_files(node, view.document.folder):
            if split in told:
                continue  # images and labels of the same rows
            told.add(split)
            which = "the same files" if shared == total else f"{shared} of {total} files"
            yield self.at(place, f"'{split}' has {which} as '{first}'", found=f"{split} and {first} name them", wanted="files of its own")
        for split, copies, rows in rowsets.copies(view.data):
            if split in told:
                continue
            named = [n.keys[split] for n in walk(node) if isinstance(n, Mapping) and split in n.pairs and "train" in n.pairs]
            drawn = not named or (isinstance(node, Mapping) and "split" in node.pairs)
            what = f"{copies} of {rows} rows of '{split}' are copies of rows that train"
            yield self.at(view.place("data", "split") if drawn else named[0], what, wanted="each row in one split",
                          hint="leave copies out of the table, or keep them together: split: {group: COLUMN}")  # fmt: skip

class AccuracyOfRare(Rule, number=45, name="accuracy-of-rare"):
    """One class has nine rows in ten, and accuracy alone tells how well that goes."""

    why = """
        A network that always answers the frequent class is right nine times in ten and of no use; nothing in the loss makes the rare class
        count. Source: He, Garcia, "Learning from imbalanced data", 2009.
        """
    hint = "metrics f1, recall or auc; class_weights: balanced in the loss, or balance: true in data"
    bad = """
        nnspec: 1
        data:
          inline:
            columns:
              x: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
              state: [good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, bad]
            target: state
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 2
        loss: cross_entropy
        metrics: [accuracy]                          # <-
        """
    good = """
        nnspec: 1
        data:
          inline:
            columns:
              x: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
              state: [good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, good, bad]
            target: state
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 2
        loss: {cross_entropy: {class_weights: balanced}}
        metrics: [accuracy, f1]
        """

    def find(self, view: View) -> Iterator[Problem]:
        data, metrics = view.data, view.spec.built.metrics
        if data is None or data.balance is not None or data.weighted or not metrics or any(m.term.kind != "accuracy" for m in metrics):
            return
        for target in metrics:
            name = target.columns[0] if len(target.columns) == 1 else ""
            column = data.columns.get(name)
            if column is None or column.kind != "category" or not column.classes or column.shape:
                continue
            loss = next((x.term.of for x in view.losses if x.columns == target.columns), None)
            if loss is None or getattr(loss, "class_weights", None) is not None or loss.kind in ("focal", "dice", "hinge", "perceptron"):
                continue
            found = values(data, name)
            if found is None or len(found) < 20:
                continue
            number, most = Counter(found.tolist()).most_common(1)[0]
            if most >= 0.9 * len(found) and most < len(found):
                yield self.at(target.term.place, f"accuracy alone: class '{column.classes[int(number)]}' has {most / len(found):.0%} of the rows",
                              wanted="f1, recall or auc beside it")  # fmt: skip


class MirroredDigits(Rule, number=46, name="mirrored-digits"):
    """Digits are mirrored, as no digit is written."""

    why = """
        An augmentation may only do what leaves the class: a mirrored 2 is no 2, and a 6 upside down is a 9. Source: Shorten, Khoshgoftaar, "A
        survey on image data augmentation for deep learning", 2019, on the safety of an augmentation.
        """
    hint = "leave flip out; small rotations, shifts and scales keep a digit what it is"
    bad = """
        nnspec: 1
        data:
          digits: {}
          augment:
            - flip: horizontal                       # <-
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data:
          digits: {}
          augment:
            - rotate: 10
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        if data is None or data.source != "digits" or not any("digit" in target.columns for target in view.losses):
            return
        for n, augmented in enumerate(data.augment):
            step = augmented.step
            if step.kind == "flip" or (step.kind == "rotate" and float(getattr(step, "degrees", 0)) > 90):
                yield self.at(view.place("data", "augment", n, step.kind), f"{step.kind} makes of digits what is none", found=step.kind)
