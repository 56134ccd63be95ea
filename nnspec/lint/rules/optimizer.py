"""Rules about the optimizer: its rate, its decay, its averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, prod

from nnspec.errors import Place, Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.lint.rule import Rule
from nnspec.lint.view import ACTIVATIONS, NOTHING, View, activation
from nnspec.network.targets import Target
from nnspec.training.optimizer import KERNELS
from nnspec.training.optimizers import Optimizer, Sgd
from nnspec.training.schedule import Schedule
from nnspec.training.schedules import Plateau
from nnspec.training.stretches import Stretches

# the learning rate from which on an optimizer that divides by the gradients' size moves every weight by more than a weight's own size
MOST: Mapping[str, float] = {"adam": 0.5, "adamw": 0.5, "nadam": 0.5, "adamax": 0.5, "rmsprop": 0.5, "lion": 0.1, "adagrad": 5.0, "adadelta": 100.0}
WITH_ACTIVATION = (*NOTHING, *ACTIVATIONS)
BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "softmax", "step", "arctan")


class LearningRateTooHigh(Rule, number=51, name="learning-rate-too-high"):
    """No network survives the learning rate."""

    why = """
        Adam and its kin move every weight by about the learning rate at each step, whatever the gradient: weights are a few hundredths
        large, so that a rate of 1 replaces them by noise. Of sgd, where the gradient's size counts, momentum multiplies the rate by
        1 / (1 - momentum). Rates that are known to work are 1e-4 to 1e-2 for adam, and 1e-3 to 1 for sgd; larger ones for larger batches.
        Measured: two hidden layers of relu read the shipped digits to 96% with adam at 0.05, to 54% at 0.1, and not at all from 0.2 on;
        of tanh to 35% at 0.1, and not at all from 0.2 on. With `reduce: sum` a rate counts as often as a batch has rows.
        """
    hint = "begin with the optimizer's own rate (leave learning_rate out), and change it by factors of 3"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {learning_rate: 1.0}                 # <-
        epochs: 5
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {learning_rate: 1e-3}
        epochs: 5
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer, schedule = view.optimizer, view.document.schedule
        if optimizer is None or any(target.term.kind == "perceptron" for target in view.losses):
            return
        parts = schedule.parts if isinstance(schedule, Stretches) else ()
        if not parts or any(part.own.learning_rate is None for part in parts):
            yield from self._told(view, optimizer, optimizer.learning_rate, rate_place(view))
        for n, part in enumerate(parts):
            if part.own.learning_rate is not None:
                yield from self._told(view, optimizer, part.own.learning_rate, view.place("schedule", n, "learning_rate"))
        if isinstance(schedule, Schedule) and not isinstance(schedule, Plateau) and (view.epochs() or 0) > 0:
            steps = view.steps or 1000
            last = schedule.rate(steps * (view.epochs() or 1), optimizer.learning_rate, steps, steps * (view.epochs() or 1))
            key = next((key for key in ("to", "minimum", "factor") if key in schedule.model_fields_set), "")
            if last > optimizer.learning_rate:
                yield from self._told(view, optimizer, last, view.place("schedule", schedule.kind, key), "the schedule comes to ")
        for leaf in view.leaves:
            if not leaf.frozen and leaf.own and "learning_rate" in leaf.keys:
                rate = leaf.rate.value * (optimizer.learning_rate if leaf.rate.scaled else 1.0)
                if not leaf.rate.scaled or leaf.rate.value > 1:
                    yield from self._told(view, optimizer, rate, leaf.keys["learning_rate"])

    def _told(self, view: View, optimizer: Optimizer, rate: float, place: Place, by: str = "") -> Iterator[Problem]:
        most = self._most(view, optimizer)
        if most is not None and rate >= most:
            beside = f", momentum: {optimizer.momentum:g}" if isinstance(optimizer, Sgd) and optimizer.momentum else ""
            yield self.at(place, f"{optimizer.kind} does not survive this learning rate", found=f"{by}learning_rate: {rate:g}{beside}",
                          wanted=f"much less than {most:.2g}; {optimizer.kind}'s own is {type(optimizer)().learning_rate:g}")  # fmt: skip

    def _most(self, view: View, optimizer: Optimizer) -> float | None:
        if not isinstance(optimizer, Sgd):
            most = MOST.get(optimizer.kind)
            return most if most is None or self._hidden(view) < 2 else 0.4 * most  # measured: from 0.2 on two hidden layers read no digits
        kinds = {made.kind for leaf in view.leaves if (made := activation(leaf)) is not None}
        bounded = kinds <= set(BOUNDED)  # nothing can grow without bounds behind sigmoid and tanh
        most = 100.0 if bounded else min(10.0, 50.0 * (1.0 - optimizer.momentum))
        rows = view.document.settings.batch_size * optimizer.accumulate
        most *= max(1.0, rows / 256)
        if any(getattr(target.term.of, "reduce", "") == "sum" for target in view.losses):
            most /= rows  # the gradient of a sum is as many times that of a mean
        if optimizer.clip_norm is not None:
            return most / min(1.0, optimizer.clip_norm)
        return min([most, *(self._parabola(view, target, optimizer) for target in view.losses)]) if optimizer.clip_value is None else most

    def _parabola(self, view: View, target: Target, optimizer: Sgd) -> float:
        """Of a squared error of a plain dense layer the rate beyond which its bias alone swings ever wider; infinite of all others.

        In a bias ``b`` the mean over ``k`` numbers of ``(b - t)^2`` has the second derivative 2 / k, and heavy-ball momentum ``m`` is stable
        up to 2 (1 + m) / (2 / k). Nesterov's is stable up to less.
        """
        leaf, weight, shape = view.last(target.port), target.term.weight, view.shape(target.port.node)
        if target.term.kind != "mse" or getattr(target.term.of, "reduce", "") != "mean" or not isinstance(weight, int | float) or weight <= 0:
            return inf
        if leaf is None or leaf.frozen or leaf.rate.value != 1 or not isinstance(leaf.entry, Dense) or not leaf.entry.bias or activation(leaf):
            return inf
        units = prod(n if isinstance(n, int) else inf for n in shape)
        return 1.001 * (1.0 + optimizer.momentum) * units / weight

    def _hidden(self, view: View) -> int:
        """How many hidden layers have units of sixteen weights or more: a sum of so many steps at once is far from what it was."""
        return sum(isinstance(leaf.entry, Dense | Kernelled) and not leaf.frozen and view.readers(leaf, WITH_ACTIVATION) is not None and any(
            p.role in KERNELS and prod(p.shape[:-1]) >= 16 for p in leaf.params) for leaf in view.leaves)  # fmt: skip


class NothingMoves(Rule, number=52, name="nothing-moves"):
    """The learning rate is 0, or too small to change a number."""

    why = """
        A float32 has 24 bits: what is less than a ten-millionth of a weight is lost when it is added. With a rate of 0 or of 1e-10 a run
        computes gradients and changes nothing.
        """
    hint = "leave learning_rate out to have the optimizer's own, or leave the optimizer out"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {learning_rate: 0}                   # <-
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
          adam: {learning_rate: 1e-4}
        epochs: 5
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer, schedule = view.optimizer, view.document.schedule
        if optimizer is None or isinstance(schedule, Stretches) or (isinstance(optimizer, Sgd) and optimizer.learning_rate > 0):
            return
        own = any(not leaf.rate.scaled and leaf.rate.value and leaf.own for leaf in view.leaves)
        if optimizer.learning_rate < 1e-9 and not own:
            yield self.at(rate_place(view), "no weight moves at this learning rate", found=f"learning_rate: {optimizer.learning_rate:g}",
                          wanted=f"{optimizer.kind}'s own is {type(optimizer)().learning_rate:g}")  # fmt: skip


class BetasExchanged(Rule, number=53, name="betas-exchanged"):
    """Adam forgets squares of gradients sooner than gradients."""

    why = """
        The mean of gradients (`beta1`, 0.9) follows them, the mean of squares (`beta2`, 0.999) scales over a longer time. The other way
        round a step is an old gradient over a new size, which has no bound: convergence asks for beta1 below the root of beta2. Source:
        Kingma, Ba, "Adam", 2014, theorem 4.1; Reddi, Kale, Kumar, "On the convergence of Adam and beyond", 2018.
        """
    hint = "beta1: 0.9 and beta2: 0.999 are the usual ones"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {beta1: 0.999, beta2: 0.9}           # <-
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
          adam: {beta1: 0.9, beta2: 0.98}
        epochs: 5
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer = view.optimizer
        first, second = getattr(optimizer, "beta1", None), getattr(optimizer, "beta2", None)
        if optimizer is not None and optimizer.kind != "lion" and first is not None and second is not None and first >= second**0.5:
            yield self.at(view.place("optimizer", optimizer.kind, "beta1"), "beta1 is too near to 1 beside beta2",
                          found=f"beta1: {first:g}, beta2: {second:g}", wanted=f"beta1 below {second**0.5:.3g}")  # fmt: skip


class AverageOfTheStart(Rule, number=59, name="average-of-the-start"):
    """The average of the weights reaches back further than the run."""

    why = """
        `average: 0.9999` is a mean over the last 10,000 steps or so. In a run of fewer it is mostly the first weights, and it is the average
        that answers, is measured and is saved.
        """
    hint = "an average of 0.99 for hundreds of steps, 0.999 for thousands"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {average: 0.9999}                    # <-
        epochs: 10
        batch_size: 128
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer:
          adam: {average: 0.9}
        epochs: 10
        batch_size: 128
        """

    def find(self, view: View) -> Iterator[Problem]:
        optimizer, epochs, steps = view.optimizer, view.epochs(), view.steps
        if optimizer is not None and optimizer.average is not None and epochs and steps and steps * epochs < 1.0 / (1.0 - optimizer.average):
            yield self.at(view.place("optimizer", optimizer.kind, "average"), f"the average reaches over {1 / (1 - optimizer.average):,.0f} steps",
                          found=f"a run of {steps * epochs:,} steps", wanted="an average that forgets the start")  # fmt: skip


def rate_place(view: View) -> Place:
    """Where the learning rate stands, or the optimizer."""
    optimizer = view.optimizer
    return view.place("optimizer", optimizer.kind if optimizer else "", "learning_rate")
