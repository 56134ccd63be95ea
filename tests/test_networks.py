"""A network from another file stands in a list of layers: cut, frozen, filled, saved with the spec, and checked where it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.errors import NnspecError, SpecError
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train

BASE = """\
nnspec: 1
data: {digits: {}, split: {train: 0.1, test: 0.9}}
vars: {w: 4}
blocks:
  unit:
    args: {filters: required}
    layers:
      - conv2d: {filters: $filters, padding: same}
      - batch_norm: {momentum: 0.5}
      - relu
layers:
  - unit: {filters: $w, repeat: 2}
  - residual: [unit: $w, unit: $w]
  - max_pool2d: 2
  - global_avg_pool2d: {name: features}
  - dense: $data.digit.classes
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.01}}
epochs: 1
"""
NEXT = """\
nnspec: 1
data: {digits: {}, split: {train: 0.1, test: 0.9}}
networks:
  backbone: {spec: base.yaml, until: features, trainable: false, weights: run}
layers:
  - backbone
  - dense: {units: 8, activation: relu, name: head}
  - dense: 10
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.01}}
epochs: 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base spec and a run of it."""
    folder = tmp_path_factory.mktemp("specs")
    (folder / "base.yaml").write_text(BASE)
    model = compile(nnspec.load(folder / "base.yaml"))
    with open_run(folder / "run", "base") as run:
        train(model, folder=run)
    return folder


def load(home: Path, text: str, name: str = "next.yaml", **keys: Any) -> Any:
    (home / name).write_text(text)
    return nnspec.load(home / name, **keys)


def arrays(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    return {path: np.asarray(p).copy() for path, p in model.parameters.items()}


def images(n: int = 5) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(0, 1, (n, 8, 8, 1)).astype(np.float32)


def problem(home: Path, text: str, **keys: Any) -> SpecError:
    with pytest.raises(SpecError) as e:
        compile(load(home, text, **keys))
    return e.value


def test_parameters_go_by_the_network_and_their_path_in_its_spec_and_have_the_run_s_values(home: Path) -> None:
    model, base = compile(load(home, NEXT)), load_model(home / "run")
    theirs = {path: a for path, a in arrays(base).items() if not path.startswith("dense")}
    ours = {path.removeprefix("backbone/"): a for path, a in arrays(model).items() if path.startswith("backbone/")}
    assert ours.keys() == theirs.keys() and "residual_1/layers/unit_2/conv2d_1/kernel" in ours
    for path, a in ours.items():
        np.testing.assert_array_equal(a, theirs[path])


def test_a_cut_network_gives_what_the_whole_one_has_there(home: Path) -> None:
    model = compile(load(home, NEXT + "outputs: [backbone]\n".replace("outputs", "x-outputs")))
    features = compile(load(home, NEXT.replace("  - dense: {units: 8, activation: relu, name: head}\n  - dense: 10\n", "")
                            .replace("loss: cross_entropy\n", "").replace("optimizer: {adam: {learning_rate: 0.01}}\n", ""), "cut.yaml"))  # fmt: skip
    base = compile(loads(BASE + f"outputs: [features]\nweights: {home}/run\n".replace("outputs: [features]\n", "")))
    x = images()
    cut = features.predict(x)
    whole = base.predict(x, raw=True)
    dense = arrays(base)
    np.testing.assert_allclose(cut @ dense["dense_1/kernel"] + dense["dense_1/bias"], whole, rtol=1e-5, atol=1e-6)
    assert model.predict(x).shape == (5, 10)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_network_stays_as_it_was_and_has_no_optimizer_state(home: Path, frozen: bool) -> None:
    model = compile(load(home, NEXT if frozen else NEXT.replace("trainable: false, ", "")))
    before = arrays(model)
    x, y = images(32), np.arange(32) % 10
    for _ in range(3):
        model.train_batch({"image": x, "target": y})
    moved = {path for path, a in arrays(model).items() if not np.array_equal(a, before[path])}
    inside = {path for path in before if path.startswith("backbone/")}
    assert moved == (set(before) - inside if frozen else set(before))
    state = [key for key in model.state() if key.startswith("optimizer/") and "/backbone/" in key]
    assert bool(state) is not frozen
    assert all(p.trainable is False for path, p in model.parameters.items() if path in inside) is frozen


def test_a_frozen_batch_norm_uses_its_moving_statistics_in_training(home: Path) -> None:
    model = compile(load(home, NEXT))
    x, y = images(32), np.arange(32) % 10
    loss = model.train_batch({"image": x, "target": y})["loss"]
    fresh = compile(load(home, NEXT))
    assert loss == pytest.approx(fresh.evaluate({"image": x, "target": y})["loss"], rel=1e-5)


@pytest.mark.parametrize("where", ["entry", "block", "network", "call"])
def test_what_is_frozen_anywhere_does_not_move(home: Path, where: str) -> None:
    text = {
        "entry": BASE.replace("  - max_pool2d: 2", "  - conv2d: {filters: 3, trainable: false, name: still}\n  - max_pool2d: 2"),
        "block": BASE.replace("  - max_pool2d: 2", "  - unit: {filters: 3, trainable: false, name: still}\n  - max_pool2d: 2"),
        "network": NEXT.replace("  backbone: {", "  still: {").replace("  - backbone", "  - still"),
        "call": NEXT.replace("trainable: false, ", "").replace("  - backbone", "  - backbone: {trainable: false, name: still}"),
    }[where]
    model = compile(load(home, text))
    before = arrays(model)
    model.train_batch({"image": images(16), "target": np.arange(16) % 10})
    still = [path for path in before if path.startswith("still/")]
    assert still and all(np.array_equal(before[path], np.asarray(model.parameters[path])) for path in still)
    assert not [key for key in model.state() if key.startswith("optimizer/") and "still/" in key]


def test_a_network_from_a_file_takes_variables_and_inputs_in_place_of_its_own(home: Path) -> None:
    (home / "family.yaml").write_text("""
nnspec: 1
vars: {width: 64, deep: false}
inputs: {image: {shape: [224, 224, 3]}}
layers: [conv2d: {filters: $width, kernel: 3}, dense: {when: $deep, units: 5}, global_avg_pool2d, dense: 1000]
""", "utf-8")
    text = """
nnspec: 1
vars: {half: 8}
inputs: {photo: {shape: [16, 16, 3]}}
networks:
  backbone: {spec: family.yaml, vars: {width: $half, deep: true}, inputs: {image: {shape: [16, 16, 3]}}, until: global_avg_pool2d}
layers: [backbone, dense: 2]
"""
    spec = load(home, text)
    assert {p: q.param.shape for p, q in spec.built.network.parameters.items() if p.endswith("kernel")} == {
        "backbone/conv2d_1/kernel": (3, 3, 3, 8), "backbone/dense_1/kernel": (8, 5), "dense_1/kernel": (5, 2)}
    (home / "written.yaml").write_text(spec.text, "utf-8")
    assert nnspec.load(home / "written.yaml").built.network.parameters.keys() == spec.built.network.parameters.keys()
    for wrong, said in (("width: $half", "did you mean 'width'?"), ("image: {shape", "did you mean 'image'?")):
        assert said in str(problem(home, text.replace(wrong, wrong.replace("width", "widht").replace("image", "imag"))))
    assert "does not fit" in str(problem(home, text.replace("vars: {width: $half, deep: true}", "vars: 3")))
    assert "declare the network with inputs: {image: …}" in str(problem(home, text.replace("inputs: {image: {shape: [16, 16, 3]}}, ", "")))


@pytest.mark.parametrize(
    ("until", "layers"),
    [("unit_1", 3), ("unit_2", 6), ("residual_1", 13), ("max_pool2d_1", 14), ("features", 15), ("unit_2/conv2d_1", 4),
     ("residual_1/layers/unit_1", 9), ("residual_1/layers/unit_2/batch_norm_1", 11)],
)  # fmt: skip
def test_a_network_is_cut_behind_a_name_a_kind_and_number_or_a_path(home: Path, until: str, layers: int) -> None:
    spec = load(home, NEXT.replace("until: features", f"until: {until}").replace("  - dense: {units: 8", "  - flatten\n  - dense: {units: 8"))
    assert len([n for n in spec.built.network.nodes if n.startswith("backbone/")]) == layers
    compile(spec)


def test_a_cut_at_nothing_names_the_nearest(home: Path) -> None:
    e = problem(home, NEXT.replace("until: features", "until: featurs"))
    assert len(e.problems) == 1 and "did you mean 'features'?" in str(e) and "next.yaml:4" in str(e)


def test_inputs_are_compared_with_those_the_other_spec_states(home: Path) -> None:
    (home / "stated.yaml").write_text("nnspec: 1\ninputs: [16, width, 3]\nlayers: [conv2d: 4, global_avg_pool2d]\n")
    text = NEXT.replace("base.yaml, until: features, trainable: false, weights: run", "stated.yaml")
    e = problem(home, text)
    assert "8 x 8 x 1" in str(e) and "16 x width x 3 for 'image'" in str(e) and "next.yaml:6" in str(e)


def test_a_network_of_two_inputs_takes_them_in_order(home: Path) -> None:
    (home / "two.yaml").write_text(
        "nnspec: 1\ninputs: {a: {shape: [3]}, b: {shape: [2]}}\nlayers: [dense: {units: 4, from: b}, concat: {from: [a, dense_1]}]\n"
    )
    text = "nnspec: 1\ninputs: {p: {shape: [2]}, q: {shape: [3]}}\nnetworks: {both: two.yaml}\nlayers: [both: {from: [q, p]}]\n"
    assert load(home, text).built.network.outputs[0].shape == (7,)
    assert "takes 2 inputs" in str(problem(home, text.replace("[q, p]", "[q]")))
    assert "wants another input" in str(problem(home, text.replace("[q, p]", "[p, q]")))


def test_several_outputs_of_a_network_are_read_by_name(home: Path) -> None:
    (home / "ends.yaml").write_text(
        "nnspec: 1\ninputs: [4]\nlayers: [dense: {units: 3, name: low}, dense: {units: 2, name: high}, dense: 9]\noutputs: [low, high]\n"
    )
    text = "nnspec: 1\ninputs: [4]\nnetworks: {net: ends.yaml}\nlayers: [net, concat: {from: [net.low, net.high]}]\n"
    spec = load(home, text)
    assert spec.built.network.outputs[0].shape == (5,)
    assert not [n for n in spec.built.network.nodes if "dense" in n], "what no output needs is left out"


def test_a_network_called_twice_has_one_set_of_weights(home: Path) -> None:
    text = NEXT.replace("  - backbone\n", "  - backbone\n  - backbone: {from: image, name: again}\n  - subtract: {from: [backbone, again]}\n")
    model, once = compile(load(home, text)), compile(load(home, NEXT))
    assert set(model.parameters) == set(once.parameters)
    answers = model.predict(images(), raw=True)
    np.testing.assert_allclose(answers, np.broadcast_to(answers[:1], answers.shape), atol=1e-6)  # the difference is zero


def test_a_saved_model_holds_its_network_and_needs_no_other_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    text = NEXT.replace("weights: run", f"weights: {home}/run")
    (tmp_path / "next.yaml").write_text(text)
    model = compile(nnspec.load(tmp_path / "next.yaml"))
    model.save(tmp_path / "model")
    (tmp_path / "base.yaml").unlink()
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(images()), model.predict(images()))
    assert again.spec.text == model.spec.text, "written the same when it is read again"


def test_a_run_with_a_network_resumes_from_its_folder(home: Path, tmp_path: Path) -> None:
    def run(spec: Any, epochs: int, resume: bool = False) -> Model:
        model = compile(spec, weights=not resume)
        with open_run(tmp_path / "out", "x", resume) as folder:
            train(model, folder=folder, epochs=epochs, resume=resume)
        return model

    run(load(home, NEXT), 1)
    resumed = run(nnspec.load(tmp_path / "out" / "spec.yaml"), 2, resume=True)
    whole = compile(load(home, NEXT))
    train(whole, epochs=2)
    for path, a in arrays(whole).items():
        np.testing.assert_array_equal(a, np.asarray(resumed.parameters[path]))


def test_the_folder_of_a_run_is_a_spec_too_and_knows_its_data(home: Path) -> None:
    model = compile(load(home, NEXT.replace("spec: base.yaml, until: features", "spec: run")))
    assert "backbone/dense_1/kernel" in model.parameters
    assert compile(loads(model.spec.text)).spec.text == model.spec.text


def test_a_network_that_reads_data_it_does_not_have_is_told_so(home: Path) -> None:
    e = problem(home, NEXT.replace("until: features, ", ""))
    assert "base.yaml:16" in str(e) and "give the folder of its run" in str(e)


def test_networks_stand_within_networks(home: Path) -> None:
    (home / "middle.yaml").write_text(
        "nnspec: 1\ninputs: [8, 8, 1]\nnetworks: {inner: {spec: base.yaml, until: features, weights: run}}\nlayers: [inner, dense: 6]\n"
    )
    model = compile(load(home, NEXT.replace("base.yaml, until: features, trainable: false, weights: run", "middle.yaml")))
    np.testing.assert_array_equal(
        np.asarray(model.parameters["backbone/inner/unit_1/conv2d_1/kernel"]), np.asarray(load_model(home / "run").parameters["unit_1/conv2d_1/kernel"])
    )
    assert loads(model.spec.text).text == model.spec.text


def test_a_network_written_out_sees_the_blocks_and_variables_of_its_file() -> None:
    spec = loads("""
nnspec: 1
vars: {w: 5}
inputs: [4]
blocks: {two: {args: {units: required}, layers: [dense: $units, relu]}}
networks:
  net: {inputs: {x: {shape: [4]}}, layers: [two: $w, dense: 3], until: two_1}
layers: [net, dense: 2]
""")
    assert [n for n in spec.built.network.nodes if n.startswith("net/")] == ["net/two_1/dense_1", "net/two_1/relu_1"]
    assert loads(spec.text).text == spec.text


def test_weights_of_the_whole_spec_come_after_those_of_its_networks(home: Path) -> None:
    first = compile(load(home, NEXT.replace("nnspec: 1", "nnspec: 1\nseed: 3")))
    first.write("backbone/unit_1/conv2d_1/bias", np.full(4, 7, np.float32))
    first.save(home / "saved")
    second = compile(load(home, NEXT + "weights: saved\n"))
    for path, a in arrays(first).items():
        np.testing.assert_array_equal(a, np.asarray(second.parameters[path]))
    third = compile(load(home, NEXT + "weights: {from: saved, rename: {head: other}, strict: false}\n"))
    assert not np.array_equal(np.asarray(third.parameters["head/kernel"]), np.asarray(first.parameters["head/kernel"]))


def test_a_weight_behind_the_cut_is_left_out_and_one_before_it_is_not(home: Path) -> None:
    from safetensors.numpy import save_file

    held = arrays(load_model(home / "run"))
    save_file(held, home / "all.safetensors")
    compile(load(home, NEXT.replace("weights: run", "weights: all.safetensors")))
    save_file({**held, "unit_1/conv2d_1/scale": np.ones(4, np.float32)}, home / "more.safetensors")
    assert "unit_1/conv2d_1/scale" in str(problem(home, NEXT.replace("weights: run", "weights: more.safetensors")))
    del held["unit_1/conv2d_1/bias"]
    save_file(held, home / "less.safetensors")
    assert "unit_1/conv2d_1/bias" in str(problem(home, NEXT.replace("weights: run", "weights: less.safetensors")))


WRONG = {
    "missing": ("spec: base.yaml", "spec: nowhere.yaml", "the spec of a network is not there"),
    "itself": ("spec: base.yaml", "spec: next.yaml", "this is a cycle"),
    "outside": ("spec: base.yaml", "spec: ../outside.yaml", "lies outside of the spec's folder"),
    "unknown key": ("until: features", "untill: features", "did you mean 'until'?"),
    "neither": ("spec: base.yaml, ", "", "does not fit"),
    "unused": ("  - backbone\n", "  - flatten\n", "network 'backbone' is never used"),
    "arguments": ("  - backbone\n", "  - backbone: {width: 3}\n", "takes no arguments"),
    "init": ("  - backbone\n", "  - backbone: {init: {kernel: zeros}}\n", "'init' on 'backbone'"),
    "a layer's name": ("backbone", "flatten", "'flatten' is a layer already"),
    "trainable": ("trainable: false", "trainable: 3", "'trainable' of network 'backbone' does not fit"),
    "a number as until": ("until: features", "until: 3", "'until' of network 'backbone' does not fit"),
    "weights": ("weights: run", "weights: [run]", "'weights' of network 'backbone' does not fit"),
    "no spec": ("spec: base.yaml", "spec: list.yaml", "this file is no spec"),
    "misspelt call": ("  - backbone\n", "  - backbon\n", "did you mean 'backbone'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_network_is_one_clear_error(case: str, home: Path) -> None:
    old, new, said = WRONG[case]
    (home.parent / "outside.yaml").write_text(BASE)
    (home / "list.yaml").write_text("[1, 2]\n")
    assert old in NEXT
    text = str(problem(home, NEXT.replace(old, new)))
    assert said in text, text


def test_folders_are_allowed_by_name(home: Path) -> None:
    (home.parent / "outside.yaml").write_text(BASE)
    load(home, NEXT.replace("spec: base.yaml", "spec: ../outside.yaml"), allow_include=(home.parent,))


def test_files_that_name_each_other_are_a_cycle(home: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (home / f"{one}.yaml").write_text(f"nnspec: 1\ninputs: [4]\nnetworks: {{net: {other}.yaml}}\nlayers: [net, dense: 3]\n")
    with pytest.raises(SpecError, match="a.yaml -> b.yaml -> a.yaml"):
        nnspec.load(home / "a.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("batch_norm: {momentum: 0.5}", "batch_norm: {momentum: 5}", 9), ("  - unit: {filters: $w", "  - unit: {filters: $v", 12), ("layers:\n  - unit", "layer:\n  - unit", 1)],
)
def test_what_is_wrong_in_the_other_file_is_said_of_that_file(home: Path, old: str, new: str, line: int) -> None:
    assert old in BASE
    (home / "bad.yaml").write_text(BASE.replace(old, new))
    e = problem(home, NEXT.replace("spec: base.yaml", "spec: bad.yaml"))
    assert [(Path(p.place.file).name, p.place.line) for p in e.problems if p.place] == [("bad.yaml", line)], str(e)


def test_a_drawing_shows_the_network_as_a_container(home: Path) -> None:
    from nnspec.view.svg import draw

    graph = load(home, NEXT).graph
    assert graph.nodes["backbone/unit_1/conv2d_1"]["frames"] == ("backbone", "backbone/unit_1")
    assert ">backbone<" in draw(graph)


def test_every_prefix_of_a_spec_with_networks_is_a_clear_error_or_right(home: Path) -> None:
    for end in range(0, len(NEXT), 7):
        try:
            load(home, NEXT[:end], "prefix.yaml")
        except NnspecError as e:
            assert e.problems
