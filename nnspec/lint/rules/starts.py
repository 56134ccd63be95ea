"""The rule about the numbers that layers start from."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.layers.initializers import Constant, Initializer, Ones, Zeros
from nnspec.layers.normalization import Normalisation
from nnspec.lint.rule import Rule
from nnspec.lint.rules.dead import FLAT_AT_ZERO, THROUGH
from nnspec.lint.view import ACTIVATIONS, View, activation, at, bare
from nnspec.network.graph import Leaf
from nnspec.records import dataclass

FAR = 20.0  # from there on sigmoid and tanh have slopes of 1e-9, and sums of a few weights do not come back
FLAT_FAR = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh")
UP_TO_WEIGHTS = (*THROUGH, "batch_norm", "layer_norm", *ACTIVATIONS)


@dataclass(frozen=True)
class Start:
    """What is wrong with a start, what was found, and what is wanted."""

    message: str
    found: str
    wanted: str


class EqualWeights(Rule, number=15, name="equal-weights"):
    """Hidden units that start alike stay alike, or never start."""

    why = """
        With a kernel of zeros every unit of a hidden layer gives 0, and behind relu, whose gradient at 0 is 0, none ever moves. With two
        layers of one number each all units get the same gradient and stay copies of one. Initial values are drawn to break that symmetry.
        A bias of -1000 before relu, or of 1000 before sigmoid, leaves no gradient either, whatever the kernel is.
        Source: Goodfellow, Bengio, Courville, "Deep learning", 2016, 8.4. (The last layer of a network or of a residual branch may begin at 0.)
        """
    hint = "leave init of the kernel out, or write he_normal or glorot_uniform"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, init: {kernel: zeros}}   # <-
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, init: {kernel: he_normal}}
          - dense: {units: 3, init: {kernel: zeros}}
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        told: dict[str, tuple[Leaf, Start, list[str]]] = {}  # by the first layer of a chain: what is wrong, and those behind it
        first: dict[str, str] = {}
        for leaf in view.leaves:
            start = self._start(view, leaf)
            if start is None:
                continue
            before = view.before(leaf, UP_TO_WEIGHTS)
            first[leaf.path] = first.get(before.path, leaf.path) if before is not None else leaf.path
            told.setdefault(first[leaf.path], (leaf, start, []))[2].append(leaf.path)
        for leaf, start, paths in told.values():
            rest = ", ".join(f"'{path}'" for path in paths[1:4]) + (", …" if len(paths) > 4 else "")
            yield self.at(at(leaf, "init"), start.message + (f"; and so {rest} behind it" if rest else ""), found=start.found, wanted=start.wanted)

    def _start(self, view: View, leaf: Leaf) -> Start | None:
        """What is wrong with the numbers that a layer starts from."""
        weighs = isinstance(leaf.entry, Dense | Kernelled)
        if not leaf.init or leaf.frozen or leaf.path != leaf.weights or not (weighs or isinstance(leaf.entry, Normalisation)):
            return None
        names = ("kernel", "bias") if weighs else ("gamma", "beta")
        scale, shift = _constant(leaf.init.get(names[0])), _constant(leaf.init.get(names[1]), 0.0)
        readers = view.readers(leaf, THROUGH) or []
        acts = {a.kind for a in (activation(leaf), *(activation(r) for r in readers if bare(r))) if a is not None}
        alone = bool(acts) and (activation(leaf) is not None or all(bare(r) for r in readers))
        act = "/".join(sorted(acts))
        if alone and shift is not None and acts <= set(FLAT_AT_ZERO) and shift <= (0.0 if scale == 0 else -FAR):
            what = "gives 0" if scale == 0 else f"starts at {shift:g}"
            number = f"{names[0]}: 0" if scale == 0 else f"{names[1]}: {shift:g}"
            return Start(f"'{leaf.path}' {what} and never moves: {act} has no gradient {'at' if scale == 0 else 'below'} 0", number,
                         f"a {names[0]} that is drawn" if scale == 0 and weighs else "a start near 0" if scale != 0 else "1, or a beta above 0")
        if alone and readers and shift is not None and abs(shift) >= FAR and acts <= set(FLAT_FAR):
            return Start(f"'{leaf.path}' starts at {shift:g} and hardly moves: {act} is flat there", f"{names[1]}: {shift:g}", "a start near 0")
        if weighs and scale is not None and view.shape(leaf.path)[-1:] != (1,) and self._alike(view, leaf):
            return Start(f"all units of '{leaf.path}' start alike, and so do those behind them: they stay copies of one", f"kernel: {scale:g}",
                         "a kernel that is drawn")  # fmt: skip
        return None

    def _alike(self, view: View, leaf: Leaf) -> bool:
        """Whether all that reads a layer has kernels of one number."""
        behind = view.readers(leaf, UP_TO_WEIGHTS)
        return bool(behind) and all(isinstance(r.entry, Dense | Kernelled) and _constant(r.init.get("kernel")) is not None for r in behind or ())


def _constant(init: Initializer | None, otherwise: float | None = None) -> float | None:
    """The one number that an initialiser gives, if it gives one."""
    match init:
        case None:
            return otherwise
        case Zeros():
            return 0.0
        case Ones():
            return 1.0
        case Constant():
            return float(init.value)
    return None
