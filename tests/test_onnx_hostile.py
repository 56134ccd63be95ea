"""Models that ask for too much, lie about themselves or are damaged: one clear error each, soon, and without the memory that they ask for."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.errors import DataError

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from nnspec.interop.onnx_backend import Backend, Prepared  # noqa: E402  # it needs onnx
from nnspec.interop.onnx_read import parse_model  # noqa: E402
from tests.onnx_cases import node_cases  # noqa: E402

MUTANTS = 2000 if os.environ.get("NNSPEC_FULL") else 120
HUGE = 1 << 40
F = TensorProto.FLOAT


def model(nodes: list[Any], opset: int = 21, functions: list[Any] | None = None, **constants: Any) -> Any:
    """Nodes from ``x``, of shape (1, 4, 8, 8), to ``y``."""
    held = [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", F, (1, 4, 8, 8))], [helper.make_tensor_value_info("y", F, None)], held)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=domains, functions=functions or [], ir_version=10)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def node(kind: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), ["y"], **attributes)


ONE = numpy_helper.from_array(ints(1))
ASKS_FOR_MUCH = {
    "tile": model([node("Tile", "x", "n")], n=ints(1, 1, HUGE, HUGE)),
    "expand": model([node("Expand", "x", "n")], n=ints(HUGE, 4, 8, 8)),
    "fill": model([node("ConstantOfShape", "n")], n=ints(HUGE)),
    "range": model([node("Range", "a", "b", "c")], a=np.int64(0), b=np.int64(HUGE), c=np.int64(1)),
    "pad": model([node("Pad", "x", "n")], n=ints(0, 0, 0, HUGE, 0, 0, 0, 0)),
    "pad with the edge": model([node("Pad", "x", "n", mode="edge")], n=ints(0, 0, 0, HUGE, 0, 0, 0, 0)),
    "resize to lengths": model([node("Resize", "x", "", "", "n")], n=ints(1, 4, HUGE, 8)),
    "resize by scales": model([node("Resize", "x", "", "n")], n=np.array([1, 1, 1e6, 1e6], np.float32)),
    "resize by too little": model([node("Resize", "x", "", "n", mode="linear", antialias=1)], n=np.array([1, 1, 1e-9, 1], np.float32)),
    "one hot": model([node("OneHot", "i", "n", "v")], i=ints(1, 2), n=np.int64(HUGE), v=np.zeros(2, np.float32)),
    "pads of a window": model([node("MaxPool", "x", kernel_shape=[1, 1], pads=[HUGE, 0, HUGE, 0], strides=[HUGE, 1])]),
    "a window of holes": model([node("LpPool", "x", kernel_shape=[HUGE, 1], dilations=[2, 1], pads=[HUGE, 0, HUGE, 0])]),
    "transposed strides": model([node("ConvTranspose", "x", "w", strides=[HUGE, 1])], w=np.zeros((4, 1, 1, 1), np.float32)),
    "blocks of an image": model([node("Col2Im", "c", "s", "b")], c=np.zeros((1, 4, 9), np.float32), s=ints(HUGE, HUGE), b=ints(2, 2)),
    "a gigabyte again and again": model(
        [helper.make_node("ConstantOfShape", ["n"], ["a0"]), *(helper.make_node("Abs", [f"a{i}"], [f"a{i + 1}"]) for i in range(9)), node("ReduceSum", "a9")],
        n=ints(1 << 28)),
    "a shape of a quarter of a billion lengths": model([helper.make_node("ConstantOfShape", ["n"], ["s"], value=ONE), node("Reshape", "x", "s")],
                                                       n=ints(1 << 28)),
    "a slice backwards": model([helper.make_node("ConstantOfShape", ["n"], ["a"]), node("Slice", "a", "b", "c", "d", "e")],
                               n=ints(1 << 28), b=ints(-1), c=ints(-HUGE), d=ints(0), e=ints(-1)),
    "what is not zero": model([helper.make_node("ConstantOfShape", ["n"], ["a"], value=ONE), node("NonZero", "a")], n=ints(1 << 28)),
    "sums of much that takes no memory": model(
        [helper.make_node("ConstantOfShape", ["n"], ["a"]), *(helper.make_node("ReduceMax", ["a"], [f"b{i}"]) for i in range(2000)), node("Add", "b0", "b1")],
        n=ints(1 << 28)),
    "scatter of the largest": model([node("ScatterElements", "a", "i", "b", reduction="max")], a=np.zeros(1 << 14, np.float32),
                                    i=np.zeros(1 << 13, np.int64), b=np.zeros(1 << 13, np.float32)),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKS_FOR_MUCH)
def test_what_asks_for_too_much_is_refused_before_there_is_memory_for_it(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        Prepared(ASKS_FOR_MUCH[name]).run([np.zeros((1, 4, 8, 8), np.float32)])
    assert len(caught.value.problems) == 1 and "node " in str(caught.value)
    assert time.perf_counter() - start < 20


def called(name: str, *nodes: Any) -> Any:
    return helper.make_function("own", name, ["x"], ["y"], list(nodes), [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)])


def own(name: str, x: str, y: str) -> Any:
    return helper.make_node(name, [x], [y], domain="own")


def test_functions_that_call_themselves_or_one_another_without_end_are_refused() -> None:
    endless = called("f", own("f", "x", "y"))
    bomb = [called("g0", helper.make_node("Relu", ["x"], ["y"]))]
    for i in range(1, 12):
        chain = [own(f"g{i - 1}", "x" if k == 0 else f"t{k}", "y" if k == 9 else f"t{k + 1}") for k in range(10)]
        bomb.append(called(f"g{i}", *chain))
    for functions, name, said in (([endless], "f", "too deep"), (bomb, "g11", "too many nodes")):
        made = model([own(name, "x", "y")], functions=functions)
        with pytest.raises(DataError, match=said):
            Prepared(made).run([np.zeros((1, 4, 8, 8), np.float32)])


def test_a_function_of_the_model_s_own_is_written_out_with_its_attributes() -> None:
    body = helper.make_node("LeakyRelu", ["x"], ["y"])
    body.attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    f = helper.make_function("own", "bent", ["x"], ["y"], [body], [helper.make_opsetid("", 21)], attributes=["slope"])
    call = helper.make_node("bent", ["x"], ["y"], domain="own", slope=0.5)
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
    (y,) = Prepared(model([call], functions=[f])).run([x])
    np.testing.assert_allclose(y, np.where(x < 0, 0.5 * x, x), rtol=1e-6)


def test_a_tensor_in_another_file_is_not_opened_from_within_a_function_either(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.ones(4, np.float32).tobytes())
    t = TensorProto(name="t", data_type=F, dims=[4], data_location=TensorProto.EXTERNAL)
    t.external_data.add(key="location", value=str(tmp_path / "secret"))
    f = called("f", helper.make_node("Constant", [], ["y"], value=t))
    made = model([own("f", "x", "y")], functions=[f])
    for give in (Backend.prepare, lambda m: Prepared(m).run([np.zeros((1, 4, 8, 8), np.float32)])):
        with pytest.raises(DataError, match="lies in another file, and none is opened"):
            give(made)


def test_damaged_models_of_every_operator_give_one_clear_error_each() -> None:
    rng, every, refused = np.random.default_rng(11), [c for c in node_cases() if c.data_sets], 0
    for i in rng.permutation(len(every))[:MUTANTS] if len(every) > MUTANTS else rng.integers(0, len(every), MUTANTS):
        case = every[i]
        content = bytearray(case.model.SerializeToString())
        for _ in range(int(rng.integers(1, 4))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        try:
            with np.errstate(all="ignore"):
                inputs = [numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for a in case.data_sets[0][0]]
                Backend.prepare(parse_model(bytes(content))).run(inputs)
        except DataError as e:
            refused += 1
            assert len(e.problems) == 1, case.name
        except Exception as e:
            raise AssertionError(f"{case.name}: {type(e).__name__}: {e}") from e
    assert refused > MUTANTS // 8


def test_what_the_checker_finds_wrong_names_the_node_where_it_is() -> None:
    for wrong, said in ((helper.make_node("Relu", ["x"], ["y"], name="first", slope=3), r"slope for operator Relu \(.*first"),
                        (helper.make_node("Relu", ["none"], ["y"], name="first"), "'none' of node: name: first"),
                        (helper.make_node("Sys\x1b[2Jtem", ["x"], ["y"], name="first"), r"\(.*first")):
        made = model([wrong])
        made.graph.output[0].type.tensor_type.shape.SetInParent()
        with pytest.raises(DataError, match=said) as caught:
            Backend.prepare(made)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "int64", "uint64"])
@pytest.mark.parametrize(("name", "bits"), [("And", np.bitwise_and), ("Or", np.bitwise_or), ("Xor", np.bitwise_xor)])
def test_numbers_meet_bit_by_bit_in_every_whole_type(name: str, bits: Any, kind: str) -> None:
    rng, ends = np.random.default_rng(3), np.iinfo(kind)
    a, b = (np.append(rng.integers(ends.min, ends.max, 40, kind, True), np.array([ends.min, ends.max, 0, *more], kind)) for more in ((ends.max,), (ends.min,)))
    t = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph([helper.make_node(f"Bitwise{name}", ["a", "b"], ["y"])], "g", [helper.make_tensor_value_info("a", t, [44]),
                              helper.make_tensor_value_info("b", t, [44, 1])], [helper.make_tensor_value_info("y", t, [44, 44])])  # fmt: skip
    (y,) = Prepared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)).run([a, b[:, None]])
    assert y.dtype == kind
    np.testing.assert_array_equal(y, bits(a, b[:, None]))


def test_a_window_of_thousands_of_places_apart_from_one_another_is_seen_axis_by_axis() -> None:
    x = np.random.default_rng(4).standard_normal((1, 4, 150, 140)).astype(np.float32)
    made = model([node("MaxPool", "x", kernel_shape=[70, 60], dilations=[2, 2], strides=[3, 2])])
    (y,) = Prepared(made).run([x])
    wanted = [[x[:, :, i : i + 139 : 2, j : j + 119 : 2].max((2, 3)) for j in range(0, 140 - 118, 2)] for i in range(0, 150 - 138, 3)]
    np.testing.assert_array_equal(y, np.moveaxis(np.array(wanted), (0, 1), (2, 3)))
