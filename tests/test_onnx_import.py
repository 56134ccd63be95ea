"""ONNX models as graphs of ours: ONNX's own node cases, what we export read back, and files that are damaged."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.errors import DataError
from nnspec.runtime.export import onnx_model
from nnspec.runtime.session import compile
from tests.drawn import shipped
from tests.onnx_cases import node_cases

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from nnspec.interop.onnx_backend import Backend  # noqa: E402  # it needs onnx
from nnspec.interop.onnx_read import parse_model, read_model  # noqa: E402

NOT_PASSED = Path(__file__).parent / "golden" / "onnx_not_passed.json"
MUTANTS = 2000 if os.environ.get("NNSPEC_FULL") else 150


def array(given: Any) -> Any:
    return onnx.numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else given


def same(found: Any, wanted: Any, case: Any) -> None:
    assert len(found) == len(wanted)
    for y, t in zip(found, wanted, strict=True):
        np.testing.assert_allclose(y, t, rtol=case.rtol, atol=case.atol)
        assert y.dtype == t.dtype and y.shape == t.shape


def sixteen(case: Any) -> bool:
    """Whether the answers are those of 16 bits but for a few units of the last place."""
    for inputs, wanted in case.data_sets:
        for y, t in zip(Backend.prepare(case.model).run([array(a) for a in inputs]), map(array, wanted), strict=True):
            units = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(t.dtype.name)
            if units is None or not np.allclose(y.astype(float), t.astype(float), rtol=4 * units, atol=4 * units * np.abs(t.astype(float)).max()):
                return False
    return True


def said(error: DataError) -> str:
    """Why a case is not run, without the numbers of its nodes."""
    (problem,) = error.problems
    what = re.sub(r"node \d+ ", "", problem.message.removeprefix("model: "))
    if "has a type that is not in this version" in what:
        return f"the type {problem.found} is none of ours"
    if "this operator is not in this version" in what:
        return f"the operator {problem.found} is not in this version"
    return what if "not fit together" not in what else f"{what}: {problem.found}"


def test_onnx_s_own_cases_pass_but_those_listed_with_reasons() -> None:
    failed: dict[str, list[str]] = {}
    for case in node_cases():
        try:
            with np.errstate(all="ignore"):
                prepared = Backend.prepare(case.model)
                for inputs, wanted in case.data_sets:
                    same(prepared.run([array(a) for a in inputs]), [array(a) for a in wanted], case)
        except DataError as e:
            failed.setdefault(said(e), []).append(case.name)
        except AssertionError as e:
            if sixteen(case):
                failed.setdefault("steps between are not rounded to 16 bits: the answers differ by a few units of the last place", []).append(case.name)
                continue
            failed.setdefault("wrong: " + " ".join(str(e).split())[:200], []).append(case.name)
    if os.environ.get("NNSPEC_WRITE_GOLDEN"):
        NOT_PASSED.write_text(json.dumps(failed, indent=1, sort_keys=True) + "\n")
    listed = json.loads(NOT_PASSED.read_text())
    assert not [why for why in failed if why.startswith(("wrong", "does not fit"))]
    assert {name for names in failed.values() for name in names} == {name for names in listed.values() for name in names}


@pytest.mark.parametrize("name", ["digits_cnn", "residual", "houses", "denoising_autoencoder"])
def test_what_is_exported_is_read_back_with_equal_answers(name: str) -> None:
    model = compile(nnspec.load(shipped(name)))
    (entry, t), = model.spec.built.network.inputs.items()
    x = np.random.default_rng(0).standard_normal((3, *t.shape[1:])).astype(np.float32)
    made = parse_model(onnx_model(model, raw=True).SerializeToString())
    (found,) = Backend.prepare(made).run([x])
    np.testing.assert_allclose(found, model.predict({entry: x}, raw=True), rtol=1e-4, atol=1e-5)


def test_damaged_files_give_one_clear_error_each(tmp_path: Path) -> None:
    model = compile(nnspec.load(shipped("digits_cnn"), set={}))
    content = onnx_model(model).SerializeToString()
    rng = np.random.default_rng(7)
    x = np.zeros((1, 8, 8, 1), np.float32)
    refused = 0
    for i in range(MUTANTS):
        mutant = bytearray(content)
        if i % 5 == 0:
            mutant = mutant[: int(rng.integers(len(mutant)))]
        else:
            for _ in range(int(rng.integers(1, 4))):  # nodes, names and shapes stand at the beginning and the end
                at = int(rng.integers(3000)) if rng.random() < 0.6 else len(mutant) - 1 - int(rng.integers(3000))
                mutant[at] = int(rng.integers(256))
        path = tmp_path / "mutant.onnx"
        path.write_bytes(bytes(mutant))
        try:
            with np.errstate(all="ignore"):
                Backend.prepare(read_model(path)).run([x])
        except DataError as e:
            refused += 1
            assert len(e.problems) == 1
    assert refused > MUTANTS // 4


def test_a_tensor_in_another_file_is_not_opened(tmp_path: Path) -> None:
    made = onnx_model(compile(nnspec.load(shipped("iris"))))
    t = made.graph.initializer[0]
    t.ClearField("raw_data")
    t.data_location = onnx.TensorProto.EXTERNAL
    t.external_data.add(key="location", value="../secret")
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(DataError, match="lies in another file, and none is opened"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_onnx_gives_one_clear_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(DataError, match=r"m\.onnx: not a"):
        read_model(tmp_path / "m.onnx")
    with pytest.raises(DataError, match="there is no such file"):
        read_model(tmp_path / "none.onnx")
