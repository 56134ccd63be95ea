"""Chains of thousands of layers are raised in a time that grows as they do, and as the blocks that shorter ones are raised to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper

from nnspec.errors import DataError
from nnspec.interop.raising.blocks import Blocks  # it needs onnx
from nnspec.interop.raising.draft import Entry
from nnspec.interop.raising.repeats import repeats
from nnspec.interop.raising.tree import Call, Layer
from nnspec.runtime.imported import import_onnx


def layer(kind: str, weights: bool = True, **fields: Any) -> Layer:
    return Layer(kind, fields, Entry(kind, {}, [], {"kernel": np.zeros(1)} if weights else {}))


def seconds(n: int, make: Any) -> float:
    start = time.process_time()
    assert Blocks([]).compress([make(i) for i in range(n)])
    return time.process_time() - start


@pytest.mark.parametrize("make", [lambda i: layer("relu", weights=False), lambda i: layer("conv2d", filters=i % 97, kernel=1 + i % 5)],
                         ids=["equal ones without weights", "ones that all differ"])
def test_a_chain_of_thousands_is_looked_through_in_seconds(make: Any) -> None:
    assert seconds(3000, make) < 15


def test_windows_that_repeat_are_found_as_by_looking_at_each() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        items = [layer("conv2d", filters=int(f), kernel=3) if f else layer("relu", weights=False) for f in rng.integers(0, 3, 24)]
        marks = [(x.kind, str(x.fields)) for x in items]
        found = {(i, p): k for i, p, k in repeats(items, exact=False)}
        for p in range(1, 13):
            for i in range(len(items) - 2 * p + 1):
                kinds = [m[0] for m in marks]
                k = 1
                while kinds[i + k * p : i + (k + 1) * p] == kinds[i : i + p]:
                    k += 1
                assert found.get((i, p), 1) == (k if items[i].kind == "conv2d" else 1)


def test_equal_neighbours_become_one_that_repeats() -> None:
    (call,) = Blocks([]).compress([layer("conv2d", filters=4, kernel=3) for _ in range(400)])
    assert isinstance(call, Call) and len(call.copies) == 400


def test_an_input_of_more_axes_than_an_array_has_is_one_error(tmp_path: Path) -> None:
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", *[1] * 70]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [made])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString())
    with pytest.raises(DataError, match=r"m\.onnx: the input 'x' has too many axes"):
        import_onnx(tmp_path / "m.onnx", tmp_path / "out")


@pytest.mark.parametrize(("node", "said"), [
    (helper.make_node("Concat", ["x"] * 3000, ["y"], axis=1), r"node 0 \(Concat\) takes at most \d+ inputs"),
    (helper.make_node("Gather", ["x", "far"], ["y"], axis=1), r"node 0 \(Gather\): slice does not fit"),
    (helper.make_node("Add", ["x", "thin"], ["y"]), "'thin' is a sparse tensor, which is not in this version"),
])  # fmt: skip
def test_what_no_layer_says_is_told_of_the_node(node: Any, said: str, tmp_path: Path) -> None:
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", 4]) for n in "xy")
    graph = helper.make_graph([node], "g", [given], [made], [helper.make_tensor("far", TensorProto.INT64, [1], [99])])
    if "thin" in node.input:
        values, places = helper.make_tensor("thin", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("at", TensorProto.INT64, [1], [0])
        graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString())
    with pytest.raises(DataError, match=said):
        import_onnx(tmp_path / "m.onnx", tmp_path / "out")
