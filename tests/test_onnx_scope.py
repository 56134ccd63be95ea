"""An operator of ONNX's that has no layer is one clear line with the node's name and its operator, whatever it is given."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from nnspec.errors import NnspecError

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper  # noqa: E402  # it needs onnx

from nnspec.cli import main  # noqa: E402  # it needs onnx
from nnspec.interop.onnx_raise import raised  # noqa: E402  # it needs onnx
from nnspec.interop.onnx_read import parse_model  # noqa: E402  # it needs onnx
from tests.onnx_cases import node_cases  # noqa: E402  # it needs onnx

FULL = bool(os.environ.get("NNSPEC_FULL"))
OPERATORS = {s.name: s for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
REFUSED = {
    "recurrent layers": ("GRU", "LSTM", "RNN"),
    "loops": ("Loop", "Scan"),
    "numbers that are drawn": ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    "sequences of tensors": ("ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
                             "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"),  # fmt: skip
    "text": ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"),
    "models in whole numbers with scales": ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear"),
    "files of images": ("ImageDecoder",),
    "this operator": ("BitCast", "DFT", "Det", "MaxRoiPool", "MelWeightMatrix", "STFT", "TfIdfVectorizer"),
}


def model(nodes: list[Any], shape: list[int], opset: int = onnx.defs.onnx_opset_version(), initializer: Any = ()) -> Any:
    made = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializer)  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 5)])


def body(kind: str) -> Any:
    one = helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], kind, [one], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])])


def of(kind: str, name: str = "/inner/it") -> Any:
    """A node of that operator, with as few inputs and attributes as it takes."""
    schema = OPERATORS[kind]
    values: dict[str, Any] = {"INT": 1, "INTS": [1, 1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": "IDF", "STRINGS": ["a"], "GRAPH": body(kind)}
    needed = {n: values[str(a.type).rpartition(".")[2]] for n, a in schema.attributes.items() if a.required}
    return helper.make_node(kind, ["x"] * max(schema.min_input, 0), ["y"], name=name, **needed)


def refused(made: Any) -> str:
    """The one line of a model that is not raised."""
    with pytest.raises(NnspecError) as e:
        raised(made, "m.onnx", "m")
    (problem,) = e.value.problems
    assert "\n" not in problem.message
    return problem.message


@pytest.mark.parametrize(("kind", "why"), [(kind, why) for why, kinds in REFUSED.items() for kind in kinds])
def test_an_operator_without_a_layer_is_one_line_with_the_node_and_the_operator(kind: str, why: str) -> None:
    for shape in ([2, 3, 4, 5], []):
        assert re.fullmatch(rf"m\.onnx: node 0 \({kind}\) '/inner/it': {why}.* (is|are) not in this version", refused(model([of(kind)], shape)))


def test_every_operator_of_the_standard_is_read_or_listed() -> None:
    listed, found = {kind for kinds in REFUSED.values() for kind in kinds}, set()
    for kind in OPERATORS:
        try:
            raised(model([of(kind)], [2, 3, 4, 5]), "m.onnx", "m")
        except NnspecError as e:
            (problem,) = e.problems
            assert "not fit together" not in problem.message or kind in problem.message
            found |= {kind} if re.search(rf"node 0 \({kind}\) '/inner/it': [^(]*not in this version$", problem.message) and problem.found else set()
    assert found == listed


def test_operators_of_other_domains_and_those_that_stand_beside_are_told() -> None:
    tree = helper.make_node("Binarizer", ["x"], ["t"], domain="ai.onnx.ml", name="first")
    nodes = [tree, helper.make_node("Det", ["t"], ["d"]), helper.make_node("LSTM", ["d", "d", "d"], ["l"], hidden_size=1), helper.make_node("Det", ["l"], ["y"])]
    with pytest.raises(NnspecError) as e:
        raised(model(nodes, [2, 3, 3]), "m.onnx", "m")
    (problem,) = e.value.problems
    assert problem.message == "m.onnx: node 0 (Binarizer) 'first': this operator is not in this version"
    assert problem.found == "ai.onnx.ml.Binarizer, Det (2), LSTM"
    assert refused(model([of("Det", "a\x1b[2J")], [2, 3, 3])) == "m.onnx: node 0 (Det): this operator is not in this version"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_layer_of_pytorch_s_is_told_by_its_name(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Encoder(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is looked for
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = torch.nn.Linear(3, 4), getattr(torch.nn, kind)(4, 5, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.inner(self.first(x))[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Encoder().eval(), (torch.zeros(2, 6, 3),), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17)
    with pytest.raises(SystemExit) as e:
        main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "out")])
    assert e.value.code
    told = capsys.readouterr().err
    assert re.search(rf"node \d+ \({kind}\) '/inner/{kind}': recurrent layers are not in this version", told)
    assert told.count("not in this version") == 1 and not (tmp_path / "out").exists()


CASES = sorted((c for c in node_cases() if c.model and len(c.model.graph.node) == 1), key=lambda c: c.name)


def test_a_case_of_onnx_s_own_is_raised_or_one_line_that_says_where() -> None:
    for case in CASES if FULL else Random(5).sample(CASES, len(CASES) // 10):
        node = case.model.graph.node[0]
        node.name = "/inner/it"
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                raised(parse_model(case.model.SerializeToString(), "m.onnx"), "m.onnx", "m")
        except NnspecError as e:
            (problem,) = e.problems
            where = re.escape(f"node 0 ({node.op_type}) '/inner/it'")
            assert re.match(rf"m\.onnx: ({where}|the (in|out)put '|the model cannot be raised)", problem.message), (case.name, problem.message)
            assert "KeyError" not in problem.found, (case.name, problem.found)


def test_a_model_without_an_axis_of_rows_is_told_what_is_missing() -> None:
    with pytest.raises(NnspecError) as e:
        raised(model([helper.make_node("Unsqueeze", ["x", "axes"], ["u"], name="/transform/Unsqueeze"), helper.make_node("Relu", ["u"], ["y"])],
                     [3, 8, 8], initializer=[onnx.numpy_helper.from_array(np.array([0]), "axes")]), "m.onnx", "m")  # fmt: skip
    (problem,) = e.value.problems
    assert problem.message.startswith("m.onnx: node 0 (Unsqueeze) '/transform/Unsqueeze': a reshape of (3, 8, 8) to (1, 3, 8, 8) mixes rows")
    assert "the first axis of every input counts rows" in problem.hint
