"""Metrics over a whole split equal scikit-learn's, whatever the batches; they resume in the middle of an epoch to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.compiler import loads
from nnspec.errors import DataError, SpecError
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import Model, compile
from nnspec.runtime.tally import Scores
from nnspec.runtime.trainer import train

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference; install the extra 'test'")
EXAMPLES = settings(max_examples=60 if os.environ.get("NNSPEC_FULL") else 8)
AVERAGES = ("macro", "micro", "weighted")
CLASSES = ("accuracy, {top_k: 2}, confusion, mean_iou, auc" + "".join(
    f", {kind}: {{average: {a}, name: {kind}_{a}}}" for a in AVERAGES for kind in ("precision", "recall", "f1")))


def listed(names: str) -> str:
    return "[" + names + "]"


def model(units: int, loss: str, metrics: str, shape: str = "", precision: str = "float64", backend: str = "numpy") -> Model:
    """A network that gives what it is fed, so that predictions are random numbers."""
    text = (f"nnspec: 1\nprecision: {precision}\ninputs: {{y: {{shape: [{shape}{units}]}}}}\nlayers: [identity]\n"
            f"loss: {loss}\nmetrics: {listed(metrics)}\n")
    return compile(loads(text), backend=backend)


def scored(m: Model, y: Any, t: Any, w: Any, chunk: int) -> Scores:
    """Scores over pieces of ``chunk`` rows, of which the last is ragged."""
    arrays, weights = m.feeds({"y": y, "target": t, "sample_weight": w})
    return m.score(arrays, chunk, weights)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def averaged(kind: str) -> Callable[..., Any]:
    return {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[kind]


def drawn(data: st.DataObject) -> tuple[np.random.Generator, int, int, Any]:
    rows = data.draw(st.integers(2, 40), label="rows")
    rng = np.random.default_rng(data.draw(st.integers(0, 999), label="seed"))
    w = rng.uniform(0.1, 3, rows) if data.draw(st.booleans(), label="weighted") else None
    return rng, rows, data.draw(st.integers(1, rows), label="chunk"), w


@EXAMPLES
@given(st.data())
def test_measures_of_classes_equal_scikit_learns(data: st.DataObject) -> None:
    rng, rows, chunk, w = drawn(data)
    n = data.draw(st.integers(2, 5), label="classes")
    digits = data.draw(st.sampled_from([1, 9]), label="digits")
    y, t = np.round(rng.standard_normal((rows, n)), digits), rng.integers(0, n, rows)
    s = scored(model(n, "cross_entropy", CLASSES), y, t, w, chunk)
    p = y.argmax(1)
    close(s["accuracy"], sk.accuracy_score(t, p, sample_weight=w))
    if digits == 9:  # of equal scores ours takes the first, scikit-learn the last
        close(s["top_k"], sk.top_k_accuracy_score(t, y, k=2, labels=range(n), sample_weight=w) if n > 2 else 1.0)
    close(s.tables["confusion"], sk.confusion_matrix(t, p, labels=range(n), sample_weight=w))
    close(s["mean_iou"], sk.jaccard_score(t, p, average="macro", sample_weight=w, zero_division=0))
    for kind in ("precision", "recall", "f1"):
        for a in AVERAGES:
            close(s[f"{kind}_{a}"], averaged(kind)(t, p, average=a, sample_weight=w, zero_division=0))
    shares = np.exp(y - y.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    areas = [sk.roc_auc_score(t == i, shares[:, i], sample_weight=w) for i in range(n) if 0 < (t == i).sum() < rows]
    close(s["auc"], np.mean(areas) if areas else np.nan)
    if len(areas) == n > 2:
        close(s["auc"], sk.roc_auc_score(t, shares, multi_class="ovr", average="macro", labels=range(n), sample_weight=w))


@EXAMPLES
@given(st.data())
def test_measures_of_yes_and_no_equal_scikit_learns(data: st.DataObject) -> None:
    rng, rows, chunk, w = drawn(data)
    y, t = np.round(rng.standard_normal((rows, 1)), 1), rng.integers(0, 2, rows)
    threshold = data.draw(st.sampled_from([0.2, 0.5, 0.7]), label="threshold")
    names = [f"{kind}: {{threshold: {threshold}, average: {a}, name: {kind}_{a}}}" for a in (*AVERAGES, "binary") for kind in ("precision", "recall", "f1")]
    s = scored(model(1, "binary_cross_entropy", f"accuracy, auc, confusion: {{threshold: {threshold}}}, mean_iou: {{threshold: {threshold}}}, {', '.join(names)}"),
               y, t, w, chunk)
    p = (1 / (1 + np.exp(-y[:, 0])) > threshold).astype(int)
    close(s["accuracy"], sk.accuracy_score(t, y[:, 0] > 0, sample_weight=w))
    close(s.tables["confusion"], sk.confusion_matrix(t, p, labels=[0, 1], sample_weight=w))
    close(s["mean_iou"], sk.jaccard_score(t, p, average="macro", sample_weight=w, zero_division=0))
    for kind in ("precision", "recall", "f1"):
        for a in (*AVERAGES, "binary"):
            close(s[f"{kind}_{a}"], averaged(kind)(t, p, average=a, sample_weight=w, zero_division=0))
    close(s["auc"], sk.roc_auc_score(t, y[:, 0], sample_weight=w) if 0 < t.sum() < rows else np.nan)


@EXAMPLES
@given(st.data())
def test_measures_of_labels_that_go_together_equal_scikit_learns(data: st.DataObject) -> None:
    rng, rows, chunk, w = drawn(data)
    y, t = rng.standard_normal((rows, 3)), rng.integers(0, 2, (rows, 3))
    names = [f"{kind}: {{average: {a}, name: {kind}_{a}}}" for a in AVERAGES for kind in ("precision", "recall", "f1")]
    s = scored(model(3, "binary_cross_entropy", f"accuracy, auc, mean_iou, {', '.join(names)}"), y, t, w, chunk)
    p = (y > 0).astype(int)
    close(s["accuracy"], np.average((p == t).mean(1), weights=w))
    close(s["mean_iou"], sk.jaccard_score(t, p, average="macro", sample_weight=w, zero_division=0))
    for kind in ("precision", "recall", "f1"):
        for a in AVERAGES:
            close(s[f"{kind}_{a}"], averaged(kind)(t, p, average=a, sample_weight=w, zero_division=0))
    if all(0 < t[:, i].sum() < rows for i in range(3)):
        close(s["auc"], sk.roc_auc_score(t, y, average="macro", sample_weight=w))


@EXAMPLES
@given(st.data())
def test_measures_of_numbers_equal_scikit_learns(data: st.DataObject) -> None:
    rng, rows, chunk, w = drawn(data)
    n, offset = data.draw(st.integers(1, 3), label="units"), data.draw(st.sampled_from([0.0, 1000.0]), label="offset")
    y, t = rng.standard_normal((rows, n)) + offset, rng.standard_normal((rows, n)) + offset
    s = scored(model(n, "mse", "mae, mse, rmse, r2"), y, t, w, chunk)
    close(s["mae"], sk.mean_absolute_error(t, y, sample_weight=w))
    close(s["mse"], sk.mean_squared_error(t, y, sample_weight=w))
    close(s["rmse"], np.sqrt(sk.mean_squared_error(t, y, sample_weight=w)))
    np.testing.assert_allclose(s["r2"], sk.r2_score(t, y, sample_weight=w), rtol=1e-10 if offset else 1e-12)


def test_pixels_are_measured_one_by_one() -> None:
    rng = np.random.default_rng(0)
    y, t, w = rng.standard_normal((7, 4, 5, 3)), rng.integers(0, 3, (7, 4, 5)), rng.uniform(0.5, 2, 7)
    s = scored(model(3, "cross_entropy", "accuracy, mean_iou, confusion, f1, auc", shape="4, 5, "), y, t, w, 3)
    p, flat, weights = y.argmax(-1).ravel(), t.ravel(), np.repeat(w, 20)
    close(s["accuracy"], sk.accuracy_score(flat, p, sample_weight=weights))
    close(s["mean_iou"], sk.jaccard_score(flat, p, average="macro", sample_weight=weights))
    close(s["f1"], sk.f1_score(flat, p, average="macro", sample_weight=weights))
    close(s.tables["confusion"], sk.confusion_matrix(flat, p, sample_weight=weights))
    shares = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    close(s["auc"], sk.roc_auc_score(flat, shares.reshape(-1, 3), multi_class="ovr", sample_weight=weights))


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_in_single_precision_they_are_those_of_the_very_predictions(backend: str) -> None:
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((600, 4)).astype(np.float32), rng.integers(0, 4, 600)
    s = scored(model(4, "cross_entropy", CLASSES, precision="float32", backend=backend), y, t, None, 256)
    close(s["f1_macro"], sk.f1_score(t, y.argmax(1), average="macro"))
    wide = y.astype(np.float64)
    shares = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    close(s["auc"], sk.roc_auc_score(t, shares, multi_class="ovr"))
    r = model(1, "mse", "r2, mae", precision="float32", backend=backend)
    close(scored(r, y[:, :1], y[:, 1], None, 256)["r2"], sk.r2_score(y[:, 1].astype(float), y[:, 0].astype(float)))


def test_two_classes_may_have_a_threshold() -> None:
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((50, 2)), rng.integers(0, 2, 50)
    s = scored(model(2, "cross_entropy", "recall: {threshold: 0.8, average: binary}, f1: {average: binary}"), y, t, None, 50)
    sure = 1 / (1 + np.exp(y[:, 0] - y[:, 1])) > 0.8
    close(s["recall"], sk.recall_score(t, sure))
    close(s["f1"], sk.f1_score(t, y.argmax(1)))


def test_what_is_undefined_is_zero_or_not_a_number_as_documented() -> None:
    y, t = np.full((4, 1), -1.0), np.zeros(4, int)
    s = scored(model(1, "binary_cross_entropy", "precision, recall, f1, auc, r2, mean_iou"), y, t, None, 4)
    assert (s["precision"], s["recall"], s["f1"], s["mean_iou"]) == (0.0, 0.0, 0.0, 1.0)
    assert np.isnan(s["auc"])
    assert s["r2"] == sk.r2_score(t, y[:, 0]) == 0.0
    assert scored(model(1, "mse", "r2"), y, y, None, 4)["r2"] == 1.0


@pytest.mark.parametrize("number", [0.1, -1 / 3, 1e6 + 0.1])
def test_equal_targets_have_no_spread_though_their_mean_is_rounded(number: float) -> None:
    t = np.full((37, 1), number)
    assert scored(model(1, "mse", "r2"), t + 1, t, None, 7)["r2"] == 0.0
    assert scored(model(1, "mse", "r2"), t, t, np.linspace(0, 1, 37), 7)["r2"] == 1.0


def test_the_sum_of_a_split_is_no_mean_of_its_pieces() -> None:
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((10, 3)), rng.integers(0, 3, 10)
    weights = "class_weights: [1, 5, 0.2]"
    for reduce in ("mean", "sum", "none"):
        m = model(3, f"{{cross_entropy: {{{weights}, reduce: {reduce}}}}}", "accuracy")
        whole = scored(m, y, t, None, 10)["loss"]
        close(scored(m, y, t, None, 3)["loss"], whole)


# In training

IRIS = ("nnspec: 1\ndata: {iris: {}, split: {train: 0.7, validation: 0.3, stratify: species}, prepare: [standardize: [sepal_length, sepal_width, "
        "petal_length, petal_width]]}\nlayers: [dense: 8, relu, dense: 3]\nloss: cross_entropy\nmetrics: [accuracy, f1, auc, confusion, recall: {average: weighted}]\n"
        "optimizer: {adam: 0.01}\nepochs: 3\nbatch_size: 16\n")


def test_a_training_epoch_is_measured_as_one_split() -> None:
    """With a learning rate of 0 the epoch sees the weights that evaluation sees."""
    m = compile(loads(IRIS.replace("adam: 0.01", "sgd: 0.0")))
    run = m.fit(epochs=1)
    wanted = m.score(assembled(m, dataset(m).splits["train"]).arrays)
    for name, value in wanted.items():
        assert run.metrics[f"train.{name}"] == pytest.approx(value, rel=1e-6)
    assert set(run.tables) == {"validation.confusion"} and np.sum(run.tables["validation.confusion"]) == 45


class _Stop(Exception):
    pass


def test_a_run_resumed_within_an_epoch_measures_to_the_bit(tmp_path: Path) -> None:
    from nnspec.runtime.callbacks import Callback, State

    class StopAt(Callback):
        def on_step(self, state: State) -> None:
            if state.step == 11:
                raise _Stop

    text = IRIS + "checkpoint: {keep: best, watch: validation.f1, every: 5}\n"
    with open_run(tmp_path / "whole", "x") as folder:
        whole = train(compile(loads(text)), folder=folder)
    with open_run(tmp_path / "parts", "x") as folder, pytest.raises(_Stop):
        train(compile(loads(text)), folder=folder, callbacks=[StopAt()])
    with open_run(tmp_path / "parts", "x", resume=True) as folder:
        again = train(compile(loads(text)), folder=folder, resume=True)
    keys = [k for k in whole.history[0] if k != "seconds"]
    assert [[h[k] for k in keys] for h in again.history] == [[h[k] for k in keys] for h in whole.history]
    assert again.tables == whole.tables


def test_a_checkpoint_with_counts_of_another_network_is_refused() -> None:
    m = compile(loads(IRIS))
    tally = m.tally()
    with pytest.raises(DataError, match="which this network does not"):
        tally.restore({"accuracy/hits": np.zeros(3)})
    tally.restore({"f1/hits": np.zeros(2), "f1/guessed": np.zeros(2), "f1/actual": np.zeros(2), "f1/mass": np.zeros(())})
    arrays = assembled(m, dataset(m).splits["train"]).arrays
    with pytest.raises(DataError, match="not those of this network"):
        m.train_step(arrays, 0.1, 105, tally=tally)


# Names

TWO = ("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers:\n  - dense: {units: 3, name: species}\n  - dense: {units: 1, from: x, name: size}\noutputs: [species, size]\n"
       "loss: [cross_entropy: {from: species, target: a}, mse: {from: size, target: b, weight: 0.5}]\noptimizer: sgd\n")


def test_several_outputs_are_measured_by_their_names_against_what_their_losses_compare_with() -> None:
    m = compile(loads(TWO + "metrics: [accuracy: {from: species}, mae: {from: size}, r2: {from: size, name: fit}]\n"))
    rng = np.random.default_rng(0)
    x, a, b = rng.standard_normal((9, 4)), rng.integers(0, 3, 9), rng.standard_normal(9)
    s = m.evaluate({"x": x, "a": a, "b": b})
    out = m.predict(x, raw=True)
    assert set(s) == {"loss", "species.loss", "size.loss", "species.accuracy", "size.mae", "fit"}
    assert s["species.accuracy"] == pytest.approx((out["species"].argmax(1) == a).mean())
    assert s["size.mae"] == pytest.approx(np.abs(out["size"][:, 0] - b).mean(), rel=1e-6)
    assert s["loss"] == pytest.approx(s["species.loss"] + 0.5 * s["size.loss"], rel=1e-6)


def names(metrics: str) -> list[str]:
    spec = loads("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [{dense: {units: 5, name: a}}, {dense: {units: 5, name: b}}]\n"
                 f"loss: cross_entropy\nmetrics: {metrics}\n")
    return [t.term.name for t in spec.built.metrics]


def test_metrics_of_one_output_are_called_by_their_kind() -> None:
    assert names("[accuracy, f1]") == ["accuracy", "f1"]
    assert names("accuracy") == ["accuracy"]
    assert names("[accuracy: {from: b}, f1]") == ["accuracy", "f1"]
    assert names("[accuracy: {from: b}, accuracy: {from: a, target: t}]") == ["b.accuracy", "a.accuracy"]
    assert names("[top_k: 1, top_k: 2, top_k: {k: 3, name: top3}]") == ["top_k_1", "top_k_2", "top3"]


def test_early_stopping_and_checkpoints_watch_them_by_name() -> None:
    text = ("nnspec: 1\ndata: {inline: {columns: {x: [1, 2, 3, 4], a: [no, yes, no, yes], b: [1, 2, 1, 3]}, target: [a, b]}, split: {train: 0.5, validation: 0.5}}\n"
            "inputs: {x: {columns: x}}\nlayers:\n  - dense: {units: 2, name: kind}\n  - dense: {units: 1, from: x, name: size}\noutputs: [kind, size]\n"
            "loss: [cross_entropy: {from: kind, target: a}, mse: {from: size, target: b}]\nmetrics: [accuracy: {from: kind}, mae: {from: size}, confusion: {from: kind}]\n"
            "optimizer: sgd\nepochs: 2\nearly_stopping: {patience: 1, watch: validation.size.mae}\ncheckpoint: {watch: WATCH}\n")
    for watch in ("validation.kind.accuracy", "validation.size.loss"):
        assert compile(loads(text.replace("WATCH", watch))).fit().best is not None
    with pytest.raises(SpecError, match="'validation.kind.confusion', which is not measured"):
        loads(text.replace("WATCH", "validation.kind.confusion"))
