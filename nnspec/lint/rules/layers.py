"""Rules about layers that undo each other, repeat each other, or do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.layers.convolution import Convolution
from nnspec.layers.dense import Dense
from nnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm
from nnspec.lint.ranges import NOT_NEGATIVE
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, activation, at, bare
from nnspec.network.graph import Leaf
from nnspec.spec.edits import set_key

DROPS = ("dropout", "spatial_dropout")
POOLS = ("max_pool1d", "max_pool2d", "max_pool3d")
# what is added to a channel before them is added behind, too
SHIFTED = (*POOLS, *(f"{kind}{n}d" for kind in ("avg_pool", "upsample", "resize", "crop") for n in (1, 2, 3)), "flatten", "identity")
MERGED = ("add", "subtract", "average", "concat")


class LinearAfterLinear(Rule, number=11, name="linear-after-linear"):
    """Two linear layers follow each other with nothing in between."""

    why = """
        A product of two matrices is a matrix: without an activation between them two dense layers can say nothing that one could not, and
        are harder to train. (A first layer narrower than what it reads and what it feeds is a factor of low rank, and is not reported; nor
        are factors of a convolution along one axis.)
        """
    hint = "give the first an activation, such as relu, or leave one of them out"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 128                               # <-
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 128, activation: relu}
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if activation(leaf) is not None or not isinstance(leaf.entry, Dense | Convolution) or leaf.frozen or leaf.path != leaf.weights:
                continue
            readers = view.readers(leaf, (*NOTHING, *DROPS) if isinstance(leaf.entry, Dense) else ("identity", *DROPS))
            if readers is None or len(readers) != 1 or readers[0].frozen:
                continue
            (after,) = readers
            if _factors(leaf) and isinstance(after.entry, type(leaf.entry)) and not self._narrow(view, leaf, after) and _factors(after):
                yield self.at(leaf.place, f"nothing stands between '{leaf.path}' and '{after.path}', and both are linear",
                              wanted="an activation in between")  # fmt: skip

    def _narrow(self, view: View, leaf: Leaf, after: Leaf) -> bool:
        """Whether the first is narrower than both sides: a factor of low rank, which is meant."""
        width, before, behind = view.shape(leaf.path)[-1], leaf.inputs[0].shape[-1], view.shape(after.path)[-1]
        if not (isinstance(width, int) and isinstance(before, int) and isinstance(behind, int)):
            return True
        if isinstance(leaf.entry, Dense) and leaf.inputs[0].shape[:-1] == () and view.shape(leaf.path) != after.inputs[0].shape:
            return True  # its places were regrouped in between
        return width < min(before, behind)


def _factors(leaf: Leaf) -> bool:
    """A dense layer, or a convolution that is no factor of one: every axis of its kernel longer than 1."""
    entry = leaf.entry
    return not isinstance(entry, Convolution) or (min(entry.kernel) > 1 and entry.groups == 1)


class BiasBeforeBatchNorm(Rule, number=12, name="bias-before-batch-norm"):
    """A bias right before batch norm, or instance norm, does nothing."""

    why = """
        Batch norm subtracts each channel's mean, and with it whatever the layer before has added to the channel; its own `beta` takes the
        place of a bias. The bias stays where it began, and costs memory and time. Instance norm does the same of each image's channel, and
        group norm where a group is a channel. Source: Ioffe, Szegedy, "Batch normalization", 2015, 3.2.
        """
    hint = "write bias: false on the layer before the norm"
    fixes = True
    bad = """
        nnspec: 1
        data: digits
        layers:
          - conv2d: {filters: 16, kernel: 3}         # <-
          - batch_norm
          - relu
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - conv2d: {filters: 16, kernel: 3, bias: false}
          - batch_norm
          - relu
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if not getattr(leaf.entry, "bias", False) or activation(leaf) is not None or leaf.frozen or leaf.path != leaf.weights:
                continue
            if not any(p.name == "bias" and p.trainable for p in leaf.params):
                continue
            readers = self._readers(view, leaf)
            if readers and all(_takes_means(r) for r in readers):
                was = "true" if "bias" in leaf.keys else ""
                edit = set_key(leaf.place, "bias", "false", leaf.entry.primary or "", was)
                yield self.at(at(leaf, "bias"), f"the bias of '{leaf.path}' is taken away again by '{readers[0].path}'", found="bias: true",
                              wanted="bias: false", edits=() if view.document.weights else (edit,))  # fmt: skip

    def _readers(self, view: View, leaf: Leaf, merges: int = 1) -> list[Leaf] | None:
        """Who reads a layer's channels, each with its shift: through pools, and through one sum or join that is no shortcut's."""
        found: list[Leaf] = []
        for reader in view.readers(leaf, SHIFTED) or ():
            entry = reader.entry
            kept = entry.kind == "reshape" and view.shape(reader.path)[-1:] == reader.inputs[0].shape[-1:]
            joined = entry.kind in MERGED and view.network.calls.get(reader.path, ("",))[0] != "residual" and getattr(entry, "axis", -1) in (
                -1, len(view.shape(leaf.path)) - 1)  # fmt: skip
            if kept or (joined and merges):
                behind = self._readers(view, reader, merges - joined)
                if not behind:
                    return None
                found += behind
            else:
                found.append(reader)
        return found


def _takes_means(leaf: Leaf) -> bool:
    """Whether a norm subtracts each channel's own mean."""
    entry = leaf.entry
    if leaf.only:
        return False
    if isinstance(entry, GroupNorm):
        return entry.groups == leaf.inputs[0].shape[-1] and len(leaf.inputs[0].shape) > 1
    return isinstance(entry, InstanceNorm) or (isinstance(entry, BatchNorm) and not leaf.frozen)


class HiddenSoftmax(Rule, number=16, name="hidden-softmax"):
    """A hidden layer ends with softmax."""

    why = """
        The units of a softmax add up to 1: where one rises the others fall, and a layer of 64 passes on little more than which of them was
        largest, with gradients of a size of 1/64. Between layers relu or gelu stand; softmax makes the answer, or the weights of an attention
        or of a mixture (which are multiplied with something, and are not reported).
        """
    hint = "relu between layers; softmax at the end alone"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: softmax}  # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: {units: 10, activation: softmax}
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            made = activation(leaf)
            readers = view.readers(leaf, (*NOTHING, *DROPS)) if made is not None and made.kind == "softmax" else None
            if readers and all(isinstance(r.entry, Dense | Convolution) for r in readers):
                yield self.at(at(leaf, "activation"), f"softmax between layers: '{readers[0].path}' reads what '{leaf.path}' makes",
                              wanted="relu, or another activation for hidden layers")  # fmt: skip


class DeepSigmoids(Rule, number=17, name="deep-sigmoids"):
    """Five hidden layers or more in a row end with sigmoid."""

    why = """
        The slope of sigmoid is at most 1/4: through five of them a gradient has a thousandth of its size at best, and the first layers do not
        learn. Source: Hochreiter, 1991; Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
        where sigmoid networks of four and five hidden layers stand still.
        """
    hint = "relu or tanh in hidden layers, or a norm or a residual between them"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 32, activation: sigmoid, repeat: 6}   # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 32, activation: relu, repeat: 6}
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        depth: dict[str, tuple[int, Leaf]] = {}  # how many sigmoids stand one behind another up to here, and the first of them
        for leaf in view.leaves:
            made = activation(leaf)
            if made is None or made.kind != "sigmoid" or view.readers(leaf, (*NOTHING, *DROPS)) is None:
                continue
            source = view.before(leaf, (*NOTHING, *DROPS))
            if bare(leaf) and source is not None and activation(source) is None:
                source = view.before(source, (*NOTHING, *DROPS))
            elif bare(leaf):
                continue
            if not bare(leaf) and not isinstance(leaf.entry, Dense | Convolution):
                continue
            n, first = depth.get(source.path, (0, leaf)) if source is not None else (0, leaf)
            depth[leaf.path] = (n + 1, first)
            if n + 1 == 5:
                yield self.at(first.place, f"from '{first.path}' to '{leaf.path}' five sigmoids follow each other", wanted="relu or tanh")


class ActivationTwice(Rule, number=13, name="activation-twice"):
    """An activation follows itself, or cannot change what it is given."""

    why = """
        relu of what is not negative changes nothing; a second sigmoid or tanh squeezes what was squeezed, and gradients once more. It
        happens where an entry has an `activation` and a layer of that name follows.
        """
    hint = "leave one of the two out"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - relu                                     # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            made = activation(leaf)
            if made is None or not bare(leaf) or made.kind in ("softmax", "log_softmax"):
                continue
            source = view.before(leaf, (*NOTHING, *DROPS, *POOLS))
            first = activation(source) if source is not None else None
            if source is None or first is None:
                continue
            if first.kind == made.kind:
                yield self.at(leaf.place, f"'{leaf.path}' is {made.kind} of what is {made.kind} already", found=f"{first.kind} in '{source.path}'")
            elif made.kind == "relu" and first.kind in NOT_NEGATIVE:
                yield self.at(leaf.place, f"'{leaf.path}' changes nothing: {first.kind} is never below 0", found=f"{first.kind} in '{source.path}'")
