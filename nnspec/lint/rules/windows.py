"""Rules about what convolutions and pools look at."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nnspec.errors import Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.layers.pooling import Pooling
from nnspec.layers.reduction import ReduceMax, ReduceMean
from nnspec.layers.transposed import Transposed
from nnspec.lint.fields import Fields, fields
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, at
from nnspec.network.graph import Leaf

GLOBAL = ("global_avg_pool2d", "global_avg_pool3d", "global_max_pool2d", "global_max_pool3d")  # of a sequence, a few words may decide
SMALLEST = 16  # sides below it are small enough for whatever looks at them


def over_all(leaf: Leaf) -> bool:
    """Whether a layer makes one number a channel of an image: by its kind, or by axes or a window that take all of it."""
    entry = leaf.entry
    if entry.kind in GLOBAL:
        return True
    if not leaf.inputs or leaf.inputs[0].type is None or len(leaf.inputs[0].shape) not in (3, 4):
        return False
    sides = leaf.inputs[0].shape[:-1]
    if isinstance(entry, ReduceMean | ReduceMax) and entry.axes is not None:
        return {a % (len(sides) + 1) for a in entry.axes} == set(range(len(sides)))
    return isinstance(entry, Pooling) and tuple(entry.size) == tuple(sides)


class ReceptiveField(Rule, number=31, name="receptive-field"):
    """What decides about a place, or about an image, sees only a small part of it."""

    why = """
        Without pools, strides or dilation a convolution of 3 x 3 widens what is seen by two pixels: three of them see 7 x 7. An object of
        half the image is then judged by its texture alone, and a mean over all places only counts such opinions. Source: Luo, Li,
        Urtasun, Zemel, "Understanding the effective receptive field", 2016; Araujo, Norris, Sim, "Computing receptive fields", Distill 2019.
        """
    hint = "more convolutions, a stride or a pool between them, or dilation"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [64, 64, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - global_avg_pool2d                        # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [64, 64, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - global_avg_pool2d
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        losses = [target for target in view.losses if target.term.of.classes or target.term.of.two]
        if not losses:
            return
        seen = fields(view)
        below = view.network.ancestors(target.port.node for target in losses)
        for leaf in view.leaves:
            if over_all(leaf) and leaf.path in below and leaf.inputs and self._answers(view, leaf):
                yield from self._small(leaf, seen.get(leaf.inputs[0].node), 1 / 4, "the mean over all places is of what each sees")
        for target in losses:
            end = view.by_path.get(target.port.node)
            if end is not None and len(target.port.shape) == 3 and target.port.shape[-3] != 1:
                yield from self._small(end, seen.get(end.path), 1 / 8, "each place is judged by what it sees")

    def _answers(self, view: View, leaf: Leaf) -> bool:
        """Whether what is pooled goes on by nothing but means and maxima, and they are no gate beside the places themselves."""
        source = view.source(leaf)
        readers = view.readers(source, ("identity", "dropout")) if source is not None else None
        return readers is not None and all(over_all(reader) for reader in readers)

    def _small(self, leaf: Leaf, seen: Fields, least: float, what: str) -> Iterator[Problem]:
        if not seen:
            return
        for size, side, _ in seen:
            if side >= SMALLEST and size < least * side:
                shown = " x ".join(f"{n:g}" for n, _, _ in seen)
                whole = " x ".join(f"{n}" for _, n, _ in seen)
                yield self.at(leaf.place, f"'{leaf.path}': {what}, and that is {shown} of {whole}", found=f"a receptive field of {shown}",
                              wanted=f"at least {least * side:.0f} of {side}")  # fmt: skip
                return


class KernelBeyondInput(Rule, number=32, name="kernel-beyond-input"):
    """Most weights of a kernel meet nothing but padding."""

    why = """
        A kernel of 3 x 3 over a map of 1 x 1 multiplies eight of its nine weights by padding: they never learn. It happens where a network
        made for images of 224 x 224 is given 32 x 32, and its strides have left nothing.
        """
    hint = "fewer strides and pools before it, larger images, or kernel: 1"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [8, 8, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 8
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}   # <-
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [8, 8, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            entry = leaf.entry
            if not isinstance(entry, Kernelled) or isinstance(entry, Transposed) or leaf.inputs[0].type is None:
                continue
            sides, after = leaf.inputs[0].shape[-entry.axes - 1 : -1], view.shape(leaf.path)[-entry.axes - 1 : -1]
            ends = entry.around(entry.padding)
            for n, m, k, s, d, pad in zip(sides, after, entry.kernel, entry.stride, entry.dilation, ends if ends != "same" else [None] * entry.axes,
                                          strict=True):  # fmt: skip
                if not isinstance(n, int) or not isinstance(m, int) or (k - 1) * d < n:
                    continue
                low = max((m - 1) * s + (k - 1) * d + 1 - n, 0) // 2 if pad is None else pad[0]
                met = sum(any(0 <= o * s + t * d - low < n for o in range(m)) for t in range(k))
                if met * 2 < k:
                    yield self.at(at(leaf, "kernel"), f"of {k} weights along an axis '{leaf.path}' uses {met}: its input has {n}",
                                  found=f"kernel: {k}" + (f", dilation: {d}" if d > 1 else ""),
                                  wanted=f"an input of {k // 2 + 1} or more")  # fmt: skip
                    break


class WindowsWithGaps(Rule, number=33, name="windows-with-gaps"):
    """Places between two windows are never looked at."""

    why = """
        A stride longer than the window steps over what lies in between, always at the same places. (A kernel of 1 with a stride, which takes
        every other place on purpose, is not reported.)
        """
    hint = "a stride no longer than the window"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [28, 28, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, activation: relu}
          - max_pool2d: {size: 2, stride: 4}         # <-
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [28, 28, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, activation: relu}
          - max_pool2d: {size: 3, stride: 2}
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            for size, reach, stride in _windows(leaf):
                if size > 1 and reach < stride:
                    yield self.at(at(leaf, "stride"), f"'{leaf.path}' steps over {stride - reach} of {stride} places",
                                  found=f"stride: {stride}, a window of {reach}", wanted=f"a stride of at most {reach}")  # fmt: skip
                    break


class RowsThrownAway(Rule, number=34, name="rows-thrown-away"):
    """A third of an image or nearly so lies beyond the last window."""

    why = """
        Windows that do not divide what they move over leave its right and lower end out: `max_pool2d: 5` over 9 places sees the first five.
        """
    hint = "padding: same, or a size and a stride that divide the input"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [9, 9, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 5                            # <-
          - flatten
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [9, 9, 1]}}
        layers:
          - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 3
          - flatten
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            if getattr(leaf.entry, "padding", "same") != "valid" or leaf.inputs[0].type is None:
                continue
            axes = getattr(leaf.entry, "axes", 0)
            sides = leaf.inputs[0].shape[-axes - 1 : -1]
            for n, (size, reach, stride) in zip(sides, _windows(leaf), strict=False):
                left = (n - reach) % stride if isinstance(n, int) and n >= 8 and size > 1 else 0
                if isinstance(n, int) and left >= 0.3 * n:
                    yield self.at(leaf.place, f"'{leaf.path}' leaves {left} of {n} places out", found=f"a window of {reach}, stride {stride}")
                    break


class HugeDense(Rule, number=35, name="huge-dense"):
    """Nearly all parameters lie in one dense layer behind flatten."""

    why = """
        A dense layer over a flattened map has a weight for each place, channel and unit: 64 channels of 56 x 56 and 256 units are 51 million. It
        learns rows by heart, and where things stand. A mean over all places has none. Source: Lin, Chen, Yan, "Network in network", 2013.
        """
    hint = "pool further before flatten, or global_avg_pool2d in its place"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [112, 112, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - flatten
          - dense: {units: 256, activation: relu}    # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [112, 112, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 5, padding: same, stride: 4, activation: relu}
          - conv2d: {filters: 64, kernel: 3, padding: same, stride: 2, activation: relu}
          - conv2d: {filters: 64, kernel: 5, padding: same, stride: 2, activation: relu}
          - global_avg_pool2d
          - dense: {units: 256, activation: relu}
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        total = sum(data["parameters"] for data in view.network.nodes.values())
        for leaf in view.leaves:
            own = view.network.nodes[leaf.path]["parameters"]
            if not isinstance(leaf.entry, Dense) or own < 10_000_000 or own < 0.95 * total:
                continue
            flat = view.source(leaf)
            while flat is not None and flat.entry.kind in ("dropout", "identity"):
                flat = view.source(flat)
            shape = flat.inputs[0].shape if flat is not None and flat.entry.kind in ("flatten", "reshape") else ()
            source = view.before(flat, (*NOTHING, "dropout", "relu", "batch_norm", "activation")) if flat is not None and len(shape) == 3 else None
            if source is not None and prod(n for n in shape[:-1] if isinstance(n, int)) >= 100 and isinstance(source.entry, Kernelled | Pooling):
                yield self.at(leaf.place, f"'{leaf.path}' has {own / total:.0%} of all parameters", found=f"{own:,} of {total:,}",
                              wanted="a smaller map before flatten")  # fmt: skip


def _windows(leaf: Leaf) -> list[tuple[int, int, int]]:
    """Size, reach and stride of each axis of a convolution or a pool."""
    entry = leaf.entry
    if isinstance(entry, Pooling):
        return [(k, k, s) for k, s in zip(entry.size, entry.stride or entry.size, strict=True)]
    if isinstance(entry, Kernelled) and not isinstance(entry, Transposed):
        return [(k, (k - 1) * d + 1, s) for k, s, d in zip(entry.kernel, entry.stride, entry.dilation, strict=True)]
    return []
