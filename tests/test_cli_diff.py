"""``nnspec diff``: what was put in does not change what is behind it, spelling is no difference, and everything that is one is told."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from nnspec.cli import status
from nnspec.compiler import Spec, load, loads
from nnspec.layers.layer import Entry
from nnspec.view.described import value_text
from nnspec.view.differences import Differences, differences

FULL = bool(os.environ.get("NNSPEC_FULL"))
ZOO = Path(__file__).resolve().parent.parent / "specs" / "zoo"
HEAD = "nnspec: 1\ninputs: {image: {shape: [12, 12, 3]}}\n"
STACK = """\
layers:
  - conv2d: {filters: 4, kernel: 3}
  - relu
  - conv2d: {filters: 8, kernel: 3}
  - relu
  - flatten
  - dense: 10
"""
BLOCKS = """\
blocks:
  unit: {args: {filters: required}, layers: [{conv2d: {filters: $filters, kernel: 3, padding: same}}, batch_norm, relu]}
  stage: {args: {filters: required, units: required}, layers: [{unit: {filters: $filters, repeat: $units}}, max_pool2d: 2]}
"""


def of(text: str) -> Spec:
    return loads(HEAD + text)


def diff(a: str, b: str) -> Differences:
    return differences(of(a), of(b))


def paths(rows: list[dict[str, Any]]) -> list[str]:
    return [row["path"] for row in rows]


def told(found: Differences) -> set[str]:
    """The parts of the layers that differ."""
    return {part for part, rows in found.layers.items() if rows}


def test_other_spellings_are_no_difference() -> None:
    short = "layers: [conv2d: {filters: 4, kernel: 3, activation: relu}, flatten, dense: 10]\nloss: cross_entropy\noptimizer: adam\nbatch_size: 32\n"
    long = """\
vars: {width: 2}   # a comment
layers:
  - conv2d: {kernel: [3, 3], filters: $(2 * width), stride: 1, padding: valid, activation: {relu: {}}}
  - flatten: {}
  - dense: {units: 10, bias: true, activation: identity}
loss: [cross_entropy: {smoothing: 0.0}]
optimizer: {adam: {learning_rate: 1e-3}}
"""
    assert diff(short, long).equal


def test_every_shipped_spec_equals_its_canonical_spelling() -> None:
    files = sorted(p for p in ZOO.glob("*.yaml") if p.name != "index.yaml")
    for file in files if FULL else random.Random(7).sample(files, 5):
        spec = load(file)
        found = differences(spec, loads(spec.text))
        assert found.equal, (file.name, found.to_json())


@pytest.mark.parametrize("index", range(7))
def test_a_layer_that_is_put_in_is_all_that_differs(index: int) -> None:
    lines = STACK.splitlines()
    more = "\n".join([*lines[: index + 1], "  - dropout: 0.5", *lines[index + 1 :]])
    found = diff(STACK, more)
    assert paths(found.layers["added"]) == ["dropout_1"]
    assert told(found) == {"added"}
    assert found.settings.keys() == ({"outputs"} if index == 6 else set())
    back = diff(more, STACK)
    assert paths(back.layers["removed"]) == ["dropout_1"] and told(back) == {"removed"}


def test_layers_behind_one_of_their_kind_are_only_called_otherwise() -> None:
    found = diff(STACK, STACK.replace("  - flatten", "  - conv2d: {filters: 8, kernel: 1}\n  - relu\n  - flatten").replace("kernel: 3}\n  - relu\n  - conv2d: {filters: 8, kernel: 1", "kernel: 1"))
    assert told(found) == {"changed"}
    found = diff(STACK, STACK.replace("layers:", "layers:\n  - conv2d: {filters: 3, kernel: 1}"))
    assert paths(found.layers["added"]) == ["conv2d_1"]
    assert [(r["a"], r["b"]) for r in found.layers["renamed"]] == [("conv2d_1", "conv2d_2"), ("conv2d_2", "conv2d_3")]
    assert told(found) == {"added", "renamed"}


def test_a_changed_field_is_told_with_what_follows_from_it() -> None:
    found = diff(STACK, STACK.replace("filters: 8, kernel: 3", "filters: 16, kernel: 3"))
    rows = {row["b"]: row for row in found.layers["changed"]}
    assert rows["conv2d_2"]["fields"] == {"filters": {"a": "8", "b": "16"}}
    assert rows["conv2d_2"]["shape"] == {"a": [8, 8, 8], "b": [8, 8, 16]}
    assert rows["dense_1"]["fields"] == {} and rows["dense_1"]["parameters"] == {"a": 8 * 8 * 8 * 10 + 10, "b": 8 * 8 * 16 * 10 + 10}
    assert told(found) == {"changed"}


def test_a_default_is_marked_where_the_other_states_something_else() -> None:
    found = diff(STACK, STACK.replace("dense: 10", "dense: {units: 10, bias: false, init: {kernel: zeros}, learning_rate: 0.1x}"))
    (row,) = found.layers["changed"]
    assert row["fields"] == {
        "bias": {"a": "true", "b": "false", "default": "a"},
        "learning_rate": {"a": "1x", "b": "0.1x", "default": "a"},
        "init.kernel": {"a": "glorot_uniform", "b": "zeros", "default": "a"},
    }


def test_copies_of_a_block_are_counted() -> None:
    two, four = (BLOCKS + f"layers: [stage: {{repeat: {{filters: [4, 8], units: [2, {n}]}}}}, flatten, dense: 3]" for n in (2, 4))
    found = diff(two, four)
    assert found.layers["repeated"] == [{"a": "stage_2", "b": "stage_2", "of": "unit", "count": {"a": 2, "b": 4}}]
    assert paths(found.layers["added"]) == ["stage_2/unit_3", "stage_2/unit_4"]
    assert told(found) == {"repeated", "added"}


def test_what_is_put_into_a_block_is_still_itself() -> None:
    flat = "layers: [{conv2d: {filters: 4, kernel: 3, padding: same}}, batch_norm, relu, {conv2d: {filters: 6, kernel: 3, padding: same}}, batch_norm, relu]"
    found = diff(flat, BLOCKS.replace("$units}}, max_pool2d: 2", "$units}}") + "layers: [unit: 4, unit: 6, {stage: {when: false, filters: 1, units: 1}}]")
    assert told(found) == {"renamed"}
    assert [row["b"] for row in found.layers["renamed"]][:2] == ["unit_1/conv2d_1", "unit_1/batch_norm_1"]


BRANCHED = "layers: [{conv2d: {filters: 4, kernel: 1, name: left, from: image}}, {conv2d: {filters: 4, kernel: 1, name: right, from: image}}, {%s: {from: [%s]}}]"


def test_the_order_of_what_is_joined_is_a_difference_and_that_of_what_is_added_none() -> None:
    found = diff(BRANCHED % ("concat", "left, right"), BRANCHED % ("concat", "right, left"))
    assert found.layers["rewired"] == [{"a": "concat_1", "b": "concat_1", "from": {"a": ["left", "right"], "b": ["right", "left"]}}]
    assert diff(BRANCHED % ("add", "left, right"), BRANCHED % ("add", "right, left")).equal


def test_a_layer_that_reads_another_is_told() -> None:
    one = "layers: [{dense: {units: 3, name: a}}, {dense: {units: 3, name: b}}, {dense: {units: 3, name: c, from: %s}}, {add: {from: [a, b, c]}}]"
    found = diff(one % "b", one % "a")
    assert found.layers["rewired"] == [{"a": "c", "b": "c", "from": {"a": ["b"], "b": ["a"]}}]
    assert told(found) == {"rewired"}


def test_a_skip_around_a_layer_does_not_rewire_what_is_behind_it() -> None:
    plain = "layers: [{dense: {units: 3, name: a}}, {dense: {units: 3, name: b}}, relu]"
    found = diff(plain, plain.replace("relu", "{add: {from: [a, b]}}, relu"))
    assert told(found) == {"added"} and paths(found.layers["added"]) == ["add_1"]


def test_another_kind_in_a_layer_s_place_is_a_change() -> None:
    found = diff("layers: [flatten, dense: 4, relu, dense: 2]", "layers: [flatten, dense: 4, gelu, dense: 2]")
    (row,) = found.layers["changed"]
    assert (row["a"], row["b"], row["became"]) == ("relu_1", "gelu_1", "gelu")


def test_settings_are_compared_with_their_defaults() -> None:
    base = STACK + "loss: cross_entropy\n"
    found = diff(base + "optimizer: adam\n", base + "optimizer: {adam: {learning_rate: 0.01, beta1: 0.9}}\nschedule: {cosine: {warmup: 2}}\nepochs: 4\n")
    assert found.settings["optimizer.learning_rate"] == {"a": "0.001", "b": "0.01", "default": "a"}
    assert "optimizer.beta1" not in found.settings
    assert found.settings["schedule"] == {"a": None, "b": "cosine"} and found.settings["schedule.warmup"]["b"] == "2"
    assert found.settings["epochs"] == {"a": "null", "b": "4", "default": "a"}
    found = diff(base + "optimizer: adam\n", base.replace("cross_entropy", "{cross_entropy: {smoothing: 0.1}}") + "optimizer: {sgd: {momentum: 0.5}}\n")
    assert found.settings["optimizer"] == {"a": "adam", "b": "sgd"}
    assert found.settings["optimizer.momentum"] == {"a": None, "b": "0.5"}
    assert found.settings["loss.smoothing"] == {"a": "0", "b": "0.1", "default": "a"}


@pytest.mark.parametrize("kind", sorted(Entry.registry))
def test_a_default_that_is_stated_equals_one_that_is_not(kind: str) -> None:
    """What validation makes of a stated default is what the default is."""
    member = Entry.registry[kind]
    defaults = {name: f.get_default(call_default_factory=True) for name, f in member.model_fields.items() if not f.is_required()}
    for name, value in defaults.items():
        if value is None or name == "name":
            continue
        bare = member.model_construct()
        try:
            made = member.__pydantic_validator__.validate_assignment(bare, name, value)
        except Exception:  # needs other fields, or is frozen: covered by the shipped specs
            continue
        assert value_text(getattr(made, name)) == value_text(getattr(bare, name))


def test_a_random_stack_without_one_layer_lacks_that_one_alone() -> None:
    draw = random.Random(3)
    for _ in range(40 if FULL else 8):
        rows = [draw.choice([f"dense: {{units: {n}}}", "relu", f"dropout: 0.{n}", "layer_norm", "tanh"]) for n in range(1, 9)]
        at = draw.randrange(len(rows))
        text, less = ("layers: [flatten, " + ", ".join(f"{{{r}}}" if ":" in r else r for r in held) + "]" for held in (rows, rows[:at] + rows[at + 1 :]))
        found = diff(text, less)
        assert len(found.layers["removed"]) == 1 and not found.layers["added"] and not found.layers["rewired"]
        assert found.layers["removed"][0]["kind"] == rows[at].split(":")[0]


def test_long_lists_are_aligned_quickly() -> None:
    rows = [f"{{dense: {{units: {1 + n % 7}, activation: {'relu' if n % 3 else 'tanh'}}}}}" for n in range(400)]
    text, other = ("layers: [flatten, " + ", ".join(held) + "]" for held in (rows, [*rows[:200], "{dense: {units: 50}}", *rows[205:]]))
    found = diff(text, other)
    assert len(found.layers["removed"]) - len(found.layers["added"]) == 4
    assert len(found.layers["removed"]) <= 5


# The command


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def nnspec(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = status(["diff", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    for name, units in (("a", 4), ("b", 8)):
        (tmp_path / f"{name}.yaml").write_text(
            f"nnspec: 1\ndata: iris\nlayers: [dense: {{units: {units}, activation: relu}}, dense: {{units: 3, name: head}}]\n"
            "loss: cross_entropy\noptimizer: adam\nepochs: 1\n"
        )
    return nnspec


def test_status_is_that_of_diff(tmp_path: Path, call: Any) -> None:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    code, out, _ = call(a, a)
    assert code == 0 and "no difference" in out
    code, out, err = call(a, b)
    assert code == 1 and err == ""
    assert "~ dense_1 (dense)  units 4 → 8" in out and "35 → 67" in out and "\x1b" not in out
    assert call(a, tmp_path / "none.yaml")[0] == 2
    assert call(a)[0] == 2 and call(a, b, a)[0] == 2


def test_one_spec_is_compared_with_itself_under_set(tmp_path: Path, call: Any) -> None:
    code, out, _ = call(tmp_path / "a.yaml", "--set", "optimizer.adam.learning_rate=0.01")
    assert code == 1 and "optimizer.learning_rate  0.001 (default) → 0.01" in out
    code, out, _ = call(tmp_path / "a.yaml", tmp_path / "b.yaml", "--set", "layers.dense_1.units=5")
    assert code == 0


def test_json_holds_all_of_it(tmp_path: Path, call: Any) -> None:
    code, out, _ = call(tmp_path / "a.yaml", tmp_path / "b.yaml", "--json")
    content = json.loads(out)
    assert code == 1 and content["equal"] is False
    assert content["totals"]["parameters"] == {"a": 35, "b": 67}
    assert content["totals"]["memory"]["b"] > content["totals"]["memory"]["a"] > 0
    assert [row["b"] for row in content["layers"]["changed"]] == ["dense_1", "head"]


def test_a_run_is_compared_with_the_spec_it_came_from(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(20)))
    spec = tmp_path / "line.yaml"
    spec.write_text("nnspec: 1\ndata: {csv: {path: rows.csv, target: y}}\nlayers: [dense: 1]\nloss: mse\noptimizer: sgd\nepochs: 1\n")
    assert status(["run", str(spec), "--out", str(tmp_path / "run")]) == 0
    assert call(tmp_path / "run", spec)[:2] == (0, call(tmp_path / "run", spec)[1])
    code, out, _ = call(tmp_path / "run", spec, "--set", "epochs=3")
    assert code == 0  # of both
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "line.yaml").write_text(spec.read_text())
    (other / "rows.csv").write_text(rows.read_text())
    assert call(spec, other / "line.yaml")[0] == 0
    assert call(tmp_path / "elsewhere", spec)[0] == 3


def test_names_cannot_drive_a_terminal() -> None:
    from nnspec.view.differences_text import lines

    found = diff("layers: [flatten, dense: 1]", "layers: [flatten, dense: 2]")
    text = "\n".join(line.plain for line in lines(found, ("a\x1b[31m.yaml", "b\n.yaml"), (1, 1)))
    assert "\x1b" not in text and "a\ufffd[31m.yaml" in text


