"""The Python API: parameters, steps, gradients, predictions, evaluation, saving; and what it refuses."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.errors import DataError, NumbersError, ResourceError, SpecError
from nnspec.runtime.session import Model, compile

TEXT = """nnspec: 1
seed: 3
inputs: {image: {shape: [6, 6, 2]}}
layers:
  - conv2d: {filters: 4, kernel: 3, padding: same, bias: false}
  - batch_norm: {momentum: 0.9}
  - relu
  - dropout: 0.25
  - flatten
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 1e-2}}
"""
RNG = np.random.default_rng(0)
FEEDS = {"image": RNG.standard_normal((10, 6, 6, 2)).astype(np.float32), "target": RNG.integers(0, 3, 10)}
SPECS = Path(__file__).parent.parent / "specs" / "quickstart"


def model(text: str = TEXT, **options: object) -> Model:
    return compile(loads(text), **options)  # type: ignore[arg-type]


def test_parameters_are_named_by_path_in_the_order_of_the_spec() -> None:
    m = model()
    assert list(m.parameters) == ["conv2d_1/kernel", "batch_norm_1/gamma", "batch_norm_1/beta", "batch_norm_1/moving_mean",
                                  "batch_norm_1/moving_variance", "dense_1/kernel", "dense_1/bias"]
    p = m.parameters["conv2d_1/kernel"]
    assert (p.role, p.layer, p.shape, p.dtype, p.trainable) == ("kernel", "conv2d", (3, 3, 2, 4), np.float32, True)
    assert not m.parameters["batch_norm_1/moving_mean"].trainable


def test_assign_changes_one_parameter_alone_and_checks_the_shape() -> None:
    m = model()
    before = {n: np.asarray(p) for n, p in m.parameters.items()}
    m.parameters["dense_1/bias"].assign([1, 2, 3])
    for name, p in m.parameters.items():
        np.testing.assert_array_equal(np.asarray(p), [1, 2, 3] if name == "dense_1/bias" else before[name])
    with pytest.raises(SpecError, match="does not fit"):
        m.parameters["dense_1/bias"].assign([1, 2])


def test_what_asarray_gives_is_a_copy() -> None:
    m = model()
    np.asarray(m.parameters["dense_1/bias"])[:] = 7
    assert not np.asarray(m.parameters["dense_1/bias"]).any()


def test_initial_values_depend_on_the_seed_and_the_path_alone() -> None:
    a, b, c = model(), model(TEXT.replace("  - dropout: 0.25\n", "")), model(seed=4)
    np.testing.assert_array_equal(np.asarray(a.parameters["dense_1/kernel"]), np.asarray(b.parameters["dense_1/kernel"]))
    assert (np.asarray(a.parameters["dense_1/kernel"]) != np.asarray(c.parameters["dense_1/kernel"])).all()


def test_training_is_deterministic() -> None:
    runs = []
    for _ in range(2):
        m = model()
        losses = [m.train_batch(FEEDS)["loss"] for _ in range(4)]
        runs.append((losses, m.state()))
    assert runs[0][0] == runs[1][0]
    for name, array in runs[0][1].items():
        np.testing.assert_array_equal(array, runs[1][1][name])


def test_the_compiled_step_equals_the_interpreted_one_dropout_included() -> None:
    a, b = model(precision="float64"), model(backend="interpret", precision="float64")
    for _ in range(3):
        x, y = a.train_batch(FEEDS), b.train_batch(FEEDS)
        assert x == pytest.approx(y, rel=1e-11)
    for name, array in a.state().items():
        np.testing.assert_allclose(array, b.state()[name], rtol=1e-9, atol=1e-12)


def test_gradients_change_nothing() -> None:
    m = model()
    before = m.state()
    gradients = m.gradients(FEEDS)
    assert set(gradients) == {n for n, p in m.parameters.items() if p.trainable}
    for name, array in m.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("optimizer", ["{sgd: {learning_rate: 0.1, momentum: 0.9}}", "{adam: {learning_rate: 1e-2, clip_norm: 0.5}}"])
def test_a_padded_batch_equals_an_exact_one(optimizer: str) -> None:
    text = TEXT.replace("  - dropout: 0.25\n", "").replace("{adam: {learning_rate: 1e-2}}", optimizer)
    exact, padded = model(text, precision="float64"), model(text + "batch_size: 16\n", precision="float64")
    for _ in range(4):
        assert exact.train_batch(FEEDS) == pytest.approx(padded.train_batch(FEEDS), rel=1e-12)
    for name, array in exact.state().items():
        np.testing.assert_allclose(array, padded.state()[name], rtol=1e-10, atol=1e-13)


def test_predictions_do_not_depend_on_the_number_of_rows() -> None:
    m = model()
    x = RNG.standard_normal((300, 6, 6, 2)).astype(np.float32)
    whole = m.predict(x)
    assert whole.shape == (300, 3)
    np.testing.assert_allclose(np.concatenate([m.predict(x[:1]), m.predict(x[1:])]), whole, rtol=1e-5, atol=1e-7)


def test_evaluation_weighs_every_row_alike() -> None:
    m = model()
    x, t = RNG.standard_normal((259, 6, 6, 2)), RNG.integers(0, 3, 259)
    p = m.predict(x)
    scores = m.evaluate({"image": x, "target": t})
    assert scores["accuracy"] == pytest.approx((p.argmax(1) == t).mean(), abs=1e-12)
    assert scores["loss"] == pytest.approx(-np.log(p[np.arange(259), t].astype(np.float64)).mean(), rel=1e-5)


@pytest.mark.parametrize(("feeds", "words"), [
    ({"image": FEEDS["image"]}, "'target' is not fed"),
    ({**FEEDS, "imagge": 1}, "nothing is called 'imagge'"),
    ({**FEEDS, "target": FEEDS["target"][:4]}, "differ in their number of rows"),
    ({**FEEDS, "target": FEEDS["target"] + 3}, "holds a number that nothing has"),
    ({**FEEDS, "image": FEEDS["image"][:, :5]}, r"shape \(10, 5, 6, 2\)"),
    ({**FEEDS, "image": FEEDS["image"][0]}, "a batch has its rows first"),
    ({**FEEDS, "image": np.array(["a"] * 10)}, "does not hold numbers"),
    ({**FEEDS, "target": FEEDS["target"] + 0.5}, "not whole"),
    ({"image": FEEDS["image"][:0], "target": FEEDS["target"][:0]}, "no rows"),
    ({**FEEDS, "sample_weight": np.zeros(10)}, "sample_weight"),
])
def test_wrong_feeds_are_refused(feeds: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        model().train_batch(feeds)


def test_a_step_that_would_ruin_the_weights_is_not_taken_and_names_the_layer() -> None:
    m = model(TEXT.replace("{adam: {learning_rate: 1e-2}}", "{sgd: {learning_rate: 1e25}}"))
    before = m.state()
    with pytest.raises(NumbersError, match="was not taken") as e:
        for _ in range(5):
            before = m.state()
            m.train_batch(FEEDS)
    assert "layer" in str(e.value) or "update" in str(e.value)
    for name, array in m.state().items():
        np.testing.assert_array_equal(array, before[name])
        assert np.isfinite(array).all()


def test_nan_in_the_input_is_named() -> None:
    m = model()
    bad = FEEDS["image"].copy()
    bad[3, 0, 0, 0] = np.nan
    with pytest.raises(NumbersError, match="'image' is fed a number that is NaN"):
        m.train_batch({**FEEDS, "image": bad})


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_third_step_allocates_at_most_64_kb(precision: str) -> None:
    m = model(precision=precision)
    for _ in range(2):
        m.train_batch(FEEDS)
    ready = next(r for k, r in m.programs._kept.items() if k[0] == "train")
    tracemalloc.start()
    ready.run.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64 * 1024


def test_a_batch_that_does_not_fit_is_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.runtime.memory.available", lambda: 3_000_000)
    m = model()
    tracemalloc.start()
    with pytest.raises(ResourceError, match=r"batch_size: \d+ fits") as e:
        m.train_step({"image": np.zeros((1000, 6, 6, 2), np.float32), "target": np.zeros(1000, np.int64)}, 0.1, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
    assert "largest: " in str(e.value)
    fits = int(str(e.value).split("batch_size: ")[1].split()[0])
    m.train_step({"image": np.zeros((fits, 6, 6, 2), np.float32), "target": np.zeros(fits, np.int64)}, 0.1, fits)


def test_parameters_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.runtime.memory.available", lambda: 1000)
    with pytest.raises(ResourceError, match="dense_1/kernel"):
        model()


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    m = model()
    m.train_batch(FEEDS)
    m.save(tmp_path / "model")
    again = nnspec.load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(FEEDS["image"]), m.predict(FEEDS["image"]))
    assert m.train_batch(FEEDS) == again.train_batch(FEEDS)  # the optimizer's state and the step count are there too


def test_fit_takes_inputs_alone_where_no_loss_has_a_target_of_its_own() -> None:
    text = "nnspec: 1\nepochs: 3\nbatch_size: 4\ninputs: {x: {shape: [6]}}\nlayers: [dense: 2, dense: 6]\nloss: {mse: {target: x}}\noptimizer: {sgd: 0.1}\n"
    x, m = np.random.default_rng(0).standard_normal((10, 6)), model(text)
    before = m.evaluate({"x": x})["loss"]
    m.fit(x)
    assert m.evaluate({"x": x})["loss"] < before
    m.fit({"x": x})
    with pytest.raises(SpecError, match="no loss of this model compares with a target of its own"):
        m.fit(x, x)  # it was ignored


def test_fit_without_targets_that_are_needed_is_refused() -> None:
    with pytest.raises(SpecError, match="fit takes both inputs and targets, or neither"):
        model().fit(FEEDS["image"])
    with pytest.raises(SpecError, match="'target' is not fed by anything"):
        model().fit({"image": FEEDS["image"]})


def test_physical_units_come_back_where_the_target_was_prepared(tmp_path: Path) -> None:
    m = compile(nnspec.load(SPECS / "regression.yaml", set={"epochs": 30}))
    run = m.fit(out=tmp_path / "run")
    x = np.linspace(-2.5, 2.5, 7)[:, None]
    y = m.predict(x)
    truth = 20 + 10 * np.sin(2 * x) + 3 * x
    assert np.abs(y - truth).mean() < 5
    loaded = nnspec.load_model(tmp_path / "run")
    np.testing.assert_array_equal(loaded.predict(x), y)
    raw = m.predict(x, raw=True)
    assert np.abs(raw).max() < 3
    assert 0.5 < run.metrics["validation.mae"] < 5


def test_the_spec_api() -> None:
    spec = nnspec.load(SPECS / "residual.yaml", set={"vars.width": 8})
    assert str(spec.inputs["image"]) == "float32[8 x 8 x 1]"
    assert spec.graph.nodes["conv_bn_1/conv2d_1"]["shape"] == (8, 8, 8)
    assert loads(spec.text).text == spec.text
    total = sum(n for _, n in spec.graph.nodes(data="parameters"))
    assert total == sum(int(np.prod(p.shape)) for p in compile(spec).parameters.values())


def test_a_target_goes_by_its_column_s_name_too() -> None:
    m = compile(nnspec.load(SPECS / "digits_mlp.yaml"))
    x, t = RNG.uniform(0, 1, (5, 8, 8, 1)), RNG.integers(0, 10, 5)
    assert m.evaluate({"image": x, "digit": t}) == m.evaluate({"image": x, "target": t})


def test_a_number_too_large_for_the_precision_is_refused() -> None:
    with pytest.raises(SpecError, match="does not fit float32"):
        model().train_batch({**FEEDS, "image": FEEDS["image"].astype(np.float64) + 1e39})


def test_a_wrong_data_file_is_the_data_s_fault_alone(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n3,oops\n")
    spec = tmp_path / "s.yaml"
    spec.write_text("nnspec: 1\ndata: {csv: {path: rows.csv, target: y}, columns: {y: number}}\nlayers: [dense: 1]\nloss: mse\n")
    with pytest.raises(DataError, match=r"rows.csv:3:3"):
        nnspec.load(spec)
    spec.write_text(spec.read_text().replace("dense: 1", "dense: x"))
    with pytest.raises(SpecError, match="whole number"):
        nnspec.load(spec)


def test_threads_that_ask_one_model_get_each_their_own_answer() -> None:
    m = model()
    asked = [np.random.default_rng(i).standard_normal((32, 6, 6, 2)).astype(np.float32) for i in range(4)]
    wanted = [m.predict(x).tobytes() for x in asked]
    before, scores = m.state(), m.evaluate(FEEDS)
    with ThreadPoolExecutor(6) as threads:
        found = [threads.submit(lambda i=i: m.predict(asked[i % 4]).tobytes()) for i in range(400)]
        others = [threads.submit(m.evaluate, FEEDS) for _ in range(20)]
        gradients = [threads.submit(m.gradients, FEEDS) for _ in range(20)]
    assert sum(f.result() != wanted[i % 4] for i, f in enumerate(found)) == 0
    assert all(f.result() == scores for f in others)
    assert len({tuple(g.tobytes() for g in f.result().values()) for f in gradients}) == 1
    assert all((a == m.state()[k]).all() for k, a in before.items())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python says that a fork leaves threads behind: that is the question
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes by fork here")
def test_a_forked_process_waits_for_no_thread_that_it_does_not_have() -> None:
    m = model()
    wanted, inside, leave = m.predict(FEEDS["image"]), Event(), Event()

    def asks() -> None:
        with m.programs.lock:
            inside.set()
            leave.wait()

    other = Thread(target=asks)
    other.start()
    inside.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if (m.predict(FEEDS["image"]) == wanted).all() else 1)
    leave.set()
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copied", "pickled"])
def test_a_copy_of_a_model_has_memory_of_its_own(copied: Callable[[Model], Model]) -> None:
    m = model()
    x = np.random.default_rng(0).standard_normal((2, 10, 6, 6, 2)).astype(np.float32)
    m.predict(x[1])
    m.train_batch(FEEDS)
    start = m.state()
    other = copied(m)
    assert all((a == other.state()[k]).all() for k, a in start.items())
    assert other.train_batch(FEEDS) == m.train_batch(FEEDS)
    assert all((a == m.state()[k]).all() for k, a in other.state().items())
    m.train_batch(FEEDS)
    m.restore(start)
    np.testing.assert_array_equal(m.predict(x[0]), copied(m).predict(x[0]))
    assert not (other.predict(x[0]) == m.predict(x[0])).all()


def test_counts_of_steps_add_up_and_what_was_saved_of_them_stays() -> None:
    m, one = model(), model()
    arrays, _ = m.feeds(FEEDS)
    tally, each = m.tally(), []
    saved, kept = {}, {}
    for n in range(4):
        m.train_step(arrays, 1e-2, 10, tally=tally)
        own = one.tally()
        one.train_step(arrays, 1e-2, 10, tally=own)
        each.append(own.state())
        if n == 2:
            saved = tally.state()
            kept = {name: array.copy() for name, array in saved.items()}
    assert {name: float(a) for name, a in saved.items()} == {name: float(a) for name, a in kept.items()}
    assert {name: float(a) for name, a in tally.state().items()} == {name: float(sum(e[name] for e in each)) for name in each[0]}


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_class_numbers_of_any_whole_type_are_held_to_the_classes(dtype: type[np.signedinteger]) -> None:
    m = model()
    m.train_batch({**FEEDS, "target": FEEDS["target"].astype(dtype)})
    with pytest.raises(SpecError, match="holds a number that nothing has"):
        m.train_batch({**FEEDS, "target": np.full(10, 3, dtype)})
    if np.issubdtype(dtype, np.signedinteger):
        with pytest.raises(SpecError, match="holds a number that nothing has"):
            m.train_batch({**FEEDS, "target": np.full(10, -1, dtype)})


def test_what_the_caller_asks_of_numpy_s_warnings_is_neither_changed_nor_followed() -> None:
    m = model()
    with np.errstate(all="raise"):
        m.train_batch(FEEDS)
        m.predict(np.full((2, 6, 6, 2), 1e30, np.float32))
        assert set(np.geterr().values()) == {"raise"}
