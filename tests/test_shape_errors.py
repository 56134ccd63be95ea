"""Where shapes do not meet, the hint says what to write on which line; where one thing alone can be meant, ``--fix`` writes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnspec import cli
from nnspec.compiler import load, loads
from nnspec.errors import NnspecError, Problem

VECTOR = "nnspec: 1\ninputs: {x: {shape: [64]}}\nlayers:\n"
FULL = bool(os.environ.get("NNSPEC_FULL"))
IMAGE = "nnspec: 1\ninputs: {image: {shape: [28, 28, 3]}}\nlayers:\n"
ROWS = "nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [4, 8]}}\nlayers:\n"

# the layers, words of the hint, and the layers after --fix
MENDED = {
    "a residual that strides": (
        IMAGE, "  - residual:\n      layers:  # main\n        - conv2d: {filters: 16, kernel: 3, stride: 2, padding: same, bias: false}\n        - batch_norm\n",
        "shortcut: [conv2d: {filters: 16, kernel: 1, stride: 2}] in the residual of line 4",
        "  - residual:\n      layers:  # main\n        - conv2d: {filters: 16, kernel: 3, stride: 2, padding: same, bias: false}\n        - batch_norm\n"
        "      shortcut: [conv2d: {filters: 16, kernel: 1, stride: 2}]\n"),
    "a residual of other channels": (
        IMAGE, "  - residual: [conv2d: {filters: 16, kernel: 3, padding: same}]  # c\n", "a 1x1 conv2d with 16 filters:",
        "  - residual: {layers: [conv2d: {filters: 16, kernel: 3, padding: same}], shortcut: [conv2d: {filters: 16, kernel: 1}]}  # c\n"),
    "a residual of rows": (
        "nnspec: 1\ninputs: [8]\nlayers:\n", "  - residual: {layers: [dense: 16]}\n", "a dense of 16 units", "  - residual: {layers: [dense: 16], shortcut: [dense: 16]}\n"),
    "a residual that loses its edges": (
        IMAGE, "  - residual:\n      layers:\n        - conv2d: {filters: 3, kernel: 3}\n        - relu\n        - conv2d:\n            filters: 3\n            kernel: 5\n",
        "padding: same on lines 6 and 8 keeps height and width",
        "  - residual:\n      layers:\n        - conv2d: {filters: 3, kernel: 3, padding: same}\n        - relu\n        - conv2d:\n            filters: 3\n            kernel: 5\n"
        "            padding: same\n"),
    "branches of which one loses its edges": (
        IMAGE, "  - branches: {merge: concat, paths: [[conv2d: {filters: 8, kernel: 1}], [conv2d: {filters: 8, kernel: 3}]]}\n", "padding: same on line 4",
        "  - branches: {merge: concat, paths: [[conv2d: {filters: 8, kernel: 1}], [conv2d: {filters: 8, kernel: 3, padding: same}]]}\n"),
    "matrices of which one lies": (ROWS, "  - matmul: {from: [a, b]}\n", "transpose: true", "  - matmul: {from: [a, b], transpose: true}\n"),
    "an equation with letters exchanged": (
        "nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [5, 8]}}\nlayers:\n", "  - einsum: {equation: 'ij,jk->ik', from: [a, b]}\n", "write 'ij,kj->ik'",
        "  - einsum: {equation: \"ij,kj->ik\", from: [a, b]}\n"),
    "axes counted from 1": (IMAGE, "  - permute: [2, 1, 3]\n", "axes count from 0", "  - permute: [1, 0, 2]\n"),
    "an axis counted with the batch": (
        IMAGE, "  - conv2d: {filters: 2, kernel: 1, name: a}\n  - concat: {from: [a, image], axis: 3}\n", "axis: 2",
        "  - conv2d: {filters: 2, kernel: 1, name: a}\n  - concat: {from: [a, image], axis: 2}\n"),
    "conv1d on an image": (IMAGE, "  - conv1d: {filters: 2, kernel: 3}\n", "conv2d goes over 2 axes", "  - conv2d: {filters: 2, kernel: 3}\n"),
    "conv1d without channels": (
        "nnspec: 1\ninputs: [64]\nlayers:\n", "  - conv1d: {filters: 2, kernel: 3}\n", "'- reshape: [64, 1]' before it",
        "  - reshape: [64, 1]\n  - conv1d: {filters: 2, kernel: 3}\n"),
    "units that are not the classes": (
        "nnspec: 1\ndata: digits\nloss: cross_entropy\nlayers:\n", "  - flatten\n  - dense: {units: 12}  # classes\n  - softmax\n", "units: 10 in 'dense_1' on line 6",
        "  - flatten\n  - dense: {units: 10}  # classes\n  - softmax\n"),
    "units alone that are not the classes": (
        "nnspec: 1\ndata: iris\nloss: cross_entropy\nlayers:\n", "  - dense: 12\n", "units: 3 in 'dense_1' on line 5", "  - dense: 3\n"),
    "a residual in lines": (
        IMAGE, "  - residual:\n\n    # main\n    - conv2d:\n        filters: 16\n        kernel: 1\n    # then\n    - tanh  # b\n  # behind\n  - relu\n",
        "shortcut: [conv2d: {filters: 16, kernel: 1}]",
        "  - residual:\n\n    # main\n      layers:\n      - conv2d:\n          filters: 16\n          kernel: 1\n      # then\n      - tanh  # b\n"
        "      shortcut: [conv2d: {filters: 16, kernel: 1}]\n  # behind\n  - relu\n"),
    "a residual in lines further in": (
        IMAGE, "  - residual:\n        - conv2d: {filters: 16, kernel: 1}\n\n", "shortcut",
        "  - residual:\n        layers:\n        - conv2d: {filters: 16, kernel: 1}\n        shortcut: [conv2d: {filters: 16, kernel: 1}]\n\n"),
    "a shortcut without the stride": (
        IMAGE, "  - residual:\n      layers: [conv2d: {filters: 8, kernel: 3, stride: 2, padding: same}, tanh]\n"
        "      shortcut:\n        - conv2d: {filters: 8, kernel: 1}  # s\n        - tanh\n", "stride: 2 in 'residual_1/shortcut/conv2d_1' on line 7",
        "  - residual:\n      layers: [conv2d: {filters: 8, kernel: 3, stride: 2, padding: same}, tanh]\n"
        "      shortcut:\n        - conv2d: {filters: 8, kernel: 1, stride: 2}  # s\n        - tanh\n"),
    "a shortcut of other filters": (
        IMAGE, "  - residual: {layers: [conv2d: {filters: 8, kernel: 1}], shortcut: [conv2d: {filters: 9, kernel: 1}]}\n", "filters: 8 in",
        "  - residual: {layers: [conv2d: {filters: 8, kernel: 1}], shortcut: [conv2d: {filters: 8, kernel: 1}]}\n"),
    "a residual of which one layer is padded by a number": (
        IMAGE, "  - residual: [conv2d: {filters: 3, kernel: 3, padding: 1}, conv2d: {filters: 3, kernel: 3}]\n", "padding: same on line 4",
        "  - residual: [conv2d: {filters: 3, kernel: 3, padding: 1}, conv2d: {filters: 3, kernel: 3, padding: same}]\n"),
    "branches that stride, one of them not padded": (
        IMAGE, "  - branches: {merge: concat, paths: [[max_pool2d: {size: 3, stride: 2, padding: same}], [conv2d: {filters: 4, kernel: 3, stride: 2}]]}\n", "padding: same",
        "  - branches: {merge: concat, paths: [[max_pool2d: {size: 3, stride: 2, padding: same}], [conv2d: {filters: 4, kernel: 3, stride: 2, padding: same}]]}\n"),
    "a gate of other channels": (
        IMAGE, "  - conv2d: {filters: 8, kernel: 1, name: c}\n  - global_avg_pool2d\n  - dense: 6\n  - sigmoid\n  - multiply: {from: [c, sigmoid_1]}\n", "units: 8 in 'dense_1' on line 6",
        "  - conv2d: {filters: 8, kernel: 1, name: c}\n  - global_avg_pool2d\n  - dense: 8\n  - sigmoid\n  - multiply: {from: [c, sigmoid_1]}\n"),
    "matrices of which one is turned for nothing": (
        "nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [8, 5]}}\nlayers:\n", "  - matmul: {from: [a, b], transpose: true}\n", "without transpose they fit",
        "  - matmul: {from: [a, b]}\n"),
    "an equation with the batch": (ROWS, "  - einsum: {equation: 'bij,bkj->bik', from: [a, b]}\n", "the batch has no letter: 'ij,kj->ik'",
        "  - einsum: {equation: \"ij,kj->ik\", from: [a, b]}\n"),
    "axes of PyTorch": (IMAGE, "  - permute: [0, 3, 1, 2]\n", "[2, 0, 1]", "  - permute: [2, 0, 1]\n"),
    "an axis of a norm counted with the batch": (IMAGE, "  - layer_norm: {axes: 3}\n", "axes: [2]", "  - layer_norm: {axes: 2}\n"),
    "a pool over two axes of a sequence": (
        "nnspec: 1\ninputs: {x: {shape: [100, 12]}}\nlayers:\n", "  - conv1d: {filters: 8, kernel: 3}\n  - max_pool2d: 2\n", "max_pool1d",
        "  - conv1d: {filters: 8, kernel: 3}\n  - max_pool1d: 2\n"),
}  # fmt: skip

# the whole spec before and after --fix, where the edit stands elsewhere or what is wrong is no shape
WHOLE = {
    "an embedding of an input that says no dtype": (
        "nnspec: 1\ninputs:\n  ids:\n    shape: [20]  # tokens\nlayers:\n  - embedding: {vocabulary: 9, units: 2}\n",
        "nnspec: 1\ninputs:\n  ids:\n    shape: [20]  # tokens\n    dtype: int64\nlayers:\n  - embedding: {vocabulary: 9, units: 2}\n"),
    "a sum of a list": (f"{ROWS}  - add: [a, b]  # s\n", f"{ROWS}  - add: {{from: [a, b]}}  # s\n"),
    "a concat of a list in lines": (f"{ROWS}  - concat:\n    # both\n    - a\n    - b\n  - relu\n", f"{ROWS}  - concat:\n    # both\n      from:\n      - a\n      - b\n  - relu\n"),
    "a slip in a name": (f"{IMAGE}  - relu: {{name: stem}}\n  - relu: {{from: [sten]}}\n", f"{IMAGE}  - relu: {{name: stem}}\n  - relu: {{from: [stem]}}\n"),
}  # fmt: skip

# only said: more than one thing may be meant
SAID = {
    "an addition of other channels": (IMAGE, "  - conv2d: {filters: 8, kernel: 1, name: a}\n  - add: {from: [a, image]}\n", "conv2d: {filters: 8, kernel: 1, from: image}"),
    "an addition that strides": (
        IMAGE, "  - conv2d: {filters: 8, kernel: 3, stride: 2, padding: same, name: a}\n  - add: {from: [image, a]}\n", "{filters: 8, kernel: 1, stride: 2, from: image}"),
    "a U-Net off by one": (
        "nnspec: 1\ninputs: {image: {shape: [27, 27, 3]}}\nlayers:\n",
        "  - max_pool2d: {size: 2, padding: same}\n  - conv_transpose2d: {filters: 3, kernel: 2, stride: 2, name: up}\n  - concat: {from: [up, image]}\n",
        "crop 'up' (line 5) with crop2d: [0, 1, 0, 1], or pad 'image' (line 2) with pad2d: [0, 1, 0, 1]"),
    "dense on an image": ("nnspec: 1\ndata: digits\nloss: cross_entropy\nlayers:\n", "  - dense: 10\n", "'- flatten' before 'dense_1' on line 5, or global_avg_pool2d"),
    "a kernel larger than its input": (
        "nnspec: 1\ninputs: {image: {shape: [8, 8, 3]}}\nlayers:\n", "  - max_pool2d: 2\n  - conv2d: {filters: 8, kernel: 5}\n", "kernel: 4 or less, or padding: same; line 4 made 4 of 8"),
    "a pool of nothing": (
        "nnspec: 1\ninputs: {image: {shape: [2, 2, 3]}}\nlayers:\n", "  - max_pool2d: 2\n  - max_pool2d: 2\n", "leave it out: nothing is left to pool; line 4 made 1 of 2"),
    "a shape of other size": ("nnspec: 1\ninputs: {x: {shape: [8, 8, 3]}}\nlayers:\n", "  - reshape: [4, 4, 8]\n", "[6, 4, 8] or [4, 6, 8] or [4, 4, 12] holds 192"),
    "an image without channels": ("nnspec: 1\ninputs: {x: {shape: [28, 28]}}\nlayers:\n", "  - conv2d: {filters: 2, kernel: 3}\n", "'- reshape: [28, 28, 1]' before it"),
    "a convolution behind flatten": (IMAGE, "  - flatten\n  - conv2d: {filters: 2, kernel: 3}\n", "put it before 'flatten' of line 4"),
    "a pool behind a pool of everything": (IMAGE, "  - global_avg_pool2d\n  - max_pool2d: 2\n", "put it before 'global_avg_pool2d' of line 4"),
    "matrices of other lengths": (
        "nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [5, 7]}}\nlayers:\n", "  - matmul: {from: [a, b]}\n", "dense: 5 behind the first"),
    "branches of other channels": (
        IMAGE, "  - branches: {merge: add, paths: [[], [conv2d: {filters: 8, kernel: 1}]]}\n", "give the path of 'image' (line 2) a 1x1 conv2d with 8 filters"),
    "groups of other channels": (IMAGE, "  - conv2d: {filters: 30, kernel: 1}\n  - conv2d: {filters: 64, kernel: 1, groups: 4}\n",
        "groups: 2, or filters: 28 or 32 in 'conv2d_1' (line 4)"),
    "groups of other filters": (IMAGE, "  - conv2d: {filters: 32, kernel: 1}\n  - conv2d: {filters: 30, kernel: 1, groups: 4}\n", "groups: 2, or filters: 28 or 32"),
    "groups of a norm": (IMAGE, "  - conv2d: {filters: 48, kernel: 1}\n  - group_norm: 32\n", "groups: 24 or 48, or filters: 32 or 64 in 'conv2d_1' (line 4)"),
    "cells that channels do not fill": (IMAGE, "  - conv2d: {filters: 10, kernel: 1}\n  - pixel_shuffle: 2\n", "filters: 8 or 12 in 'conv2d_1' (line 4): 4 times"),
    "cells that do not fill an image": (IMAGE, "  - pixel_unshuffle: 3\n", "'- crop2d: [0, 1, 0, 1]', or '- pad2d: [1, 1, 1, 1]'"),
    "parts that are not even": (VECTOR, "  - split: 3\n", "parts: 2 or 4, or sizes: [22, 22, 20]"),
    "sizes that do not add up": (VECTOR, "  - split: {sizes: [32, 16]}\n", "[32, 16, 16] or [48, 16] or [32, 32] add up to 64"),
    "a rest that does not come out even": (VECTOR, "  - reshape: [-1, 8, 9]\n", "[-1, 8, 8] holds 64"),
    "two rests": (VECTOR, "  - reshape: [-1, -1]\n", "one -1 at most"),
    "an image in a row": (VECTOR, "  - conv2d: {filters: 2, kernel: 3}\n", "'- reshape: [8, 8, 1]' before it"),
    "channels that stand first": ("nnspec: 1\ninputs: {x: {shape: [3, 32, 32]}}\nlayers:\n", "  - conv2d: {filters: 2, kernel: 5}\n", "shape: [32, 32, 3] for 'x' (line 2)"),
    "a kernel with holes": ("nnspec: 1\ninputs: {x: {shape: [16, 2]}}\nlayers:\n", "  - conv1d: {filters: 2, kernel: 3, dilation: 8}\n", "kernel: 2 or less at a dilation of 8"),
    "a crop of everything": (IMAGE, "  - crop2d: 20\n", "crop2d: 13 or less"),
    "a letter of two lengths": ("nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [5, 7]}}\nlayers:\n", "  - einsum: {equation: 'ij,jk->ik', from: [a, b]}\n",
        "'j' is 8 in 'a' (line 2), 5 in 'b' (line 2): a dense: 5 behind 'a' (line 2), or letters of their own"),
    "fewer terms than inputs": (ROWS, "  - einsum: {equation: 'ij->ji', from: [a, b]}\n", "one term for each input, 2"),
    "a product of which the other axes differ": ("nnspec: 1\ninputs: {a: {shape: [2, 4, 8]}, b: {shape: [3, 8, 4]}}\nlayers:\n", "  - matmul: {from: [a, b]}\n", "[2] and [3]"),
    "axes in the other order": ("nnspec: 1\ninputs: {a: {shape: [4, 8]}, b: {shape: [8, 4]}}\nlayers:\n", "  - multiply: {from: [a, b]}\n", "permute: [1, 0] behind 'b' (line 2)"),
    "a body twice as large": (IMAGE, "  - residual: [conv_transpose2d: {filters: 3, kernel: 2, stride: 2}]\n", "shortcut: [upsample2d: 2]"),
    "a parameter of another shape": (IMAGE, "  - parameter: {shape: [4, 4], name: p}\n  - add: {from: [image, p]}\n", "shape: [28, 28, 3] or [3] in 'p' (line 4)"),
    "rows stacked of other lengths": (IMAGE, "  - conv2d: {filters: 2, kernel: 1, name: a}\n  - stack: {from: [image, a]}\n", "filters: 3 in 'a' on line 4"),
    "a residual in a block": (
        "nnspec: 1\ninputs: {image: {shape: [8, 8, 4]}}\nblocks: {b: {args: {n: 4}, layers: [residual: {layers: [conv2d: {filters: $n, kernel: 1}]}]}}\nlayers:\n",
        "  - b\n  - b: {n: 8}\n", "shortcut: [conv2d: {filters: 8, kernel: 1}]"),
    "a residual that is repeated": (IMAGE, "  - residual: {repeat: 2, layers: [conv2d: {filters: 8, kernel: 1}]}\n", "shortcut: [conv2d: {filters: 8, kernel: 1}]"),
    "units by a formula": ("nnspec: 1\nvars: {n: 12}\ndata: iris\nloss: cross_entropy\nlayers:\n", "  - dense: $n\n", "units: 3 in 'dense_1' on line 6"),
}  # fmt: skip


def problem(text: str) -> Problem:
    with pytest.raises(NnspecError) as e:
        loads(text)
    return next(p for p in e.value.problems if p.rule in ("shape", "NN001"))


def fixed(text: str, tmp_path: Path) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    cli.status(["check", "--fix", str(path)])
    return path.read_text()


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_meant_alone_is_mended(name: str, tmp_path: Path) -> None:
    head, layers, hint, after = MENDED[name]
    assert hint in problem(head + layers).hint
    assert fixed(head + layers, tmp_path) == head + after
    load(tmp_path / "spec.yaml")


@pytest.mark.parametrize("name", WHOLE)
def test_what_stands_elsewhere_is_mended_there(name: str, tmp_path: Path) -> None:
    before, after = WHOLE[name]
    assert fixed(before, tmp_path) == after
    load(tmp_path / "spec.yaml")


@pytest.mark.parametrize("way", range(5))
def test_every_other_byte_stays_and_twice_is_once(way: int, tmp_path: Path) -> None:
    """Ends of lines, byte order marks, last lines without an end, letters of other scripts, tabs in comments and anchors."""
    def dressed(text: str) -> bytes:
        changed = [lambda t: t, lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t.rstrip("\n"),
                   lambda t: t.replace("layers:\n", "x-note: &n\n  a: [1, '\u732b']\n  b: |\n    - Linear: 3\nx-more: *n\nlayers: # \u00fc\t\U0001f40e \n\n", 1)][way](text)  # fmt: skip
        return changed.encode()

    path = tmp_path / "spec.yaml"
    cases = [(head + before, head + after) for head, before, _, after in MENDED.values()] + [*WHOLE.values()]
    for n, (before, after) in enumerate(cases):
        if way and not FULL and n % 5 != way:
            continue
        path.write_bytes(dressed(before))
        cli.status(["check", "--fix", str(path)])
        assert path.read_bytes() == dressed(after), before
        cli.status(["check", "--fix", str(path)])
        assert path.read_bytes() == dressed(after)


def test_a_rest_of_an_axis_without_a_length_is_told() -> None:
    found = problem("nnspec: 1\ninputs: {a: {shape: [n]}}\nlayers:\n  - reshape: [-1, 3]\n")
    assert found.wanted == "a number that 3 divides, whatever the named axes are"


def test_numbers_of_another_kind_are_told_as_such() -> None:
    found = problem("nnspec: 1\ninputs: {a: {shape: [4]}, b: {shape: [4], dtype: int64}}\nlayers:\n  - add: {from: [a, b]}\n")
    assert found.message == "layer 'add_1': dtypes differ"
    assert found.found == "float32 (batch, 4) from 'a' (line 2)  and  int64 (batch, 4) from 'b' (line 2)"


def test_a_number_in_a_name_is_no_slip(tmp_path: Path) -> None:
    text = f"{IMAGE}  - relu: {{name: up_1}}\n  - relu: {{from: up_2}}\n"
    assert fixed(text, tmp_path) == text


@pytest.mark.parametrize("name", SAID)
def test_where_more_may_be_meant_it_is_only_said(name: str, tmp_path: Path) -> None:
    head, layers, hint = SAID[name]
    assert hint in problem(head + layers).hint
    assert fixed(head + layers, tmp_path) == head + layers


def test_an_edit_that_brings_another_error_is_not_written(tmp_path: Path) -> None:
    """The shortcut would mend the sum, and the window behind it would still be too large, which nothing mends."""
    text = IMAGE + "  - residual: {layers: [conv2d: {filters: 16, kernel: 3, stride: 2, padding: same}]}\n  - conv2d: {filters: 3, kernel: 99}\n"
    assert fixed(text, tmp_path) == text
    both = IMAGE + "  - residual: {layers: [dense: 4]}\n  - residual: {layers: [dense: 5]}\n"
    assert fixed(both, tmp_path).count("shortcut") == 2
