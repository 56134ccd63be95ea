"""Rules about what convolutions and pools look at."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nnspec.errors import Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.layers.pooling import Pooling
from nnspec.layers.transposed import Transposed
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, at
from nnspec.network.graph import Leaf


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
