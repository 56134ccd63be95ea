"""A column called ``sample_weight`` weighs rows, from a file to the last metric: against PyTorch and scikit-learn in float64."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.compiler import load, loads
from nnspec.data.batches import order
from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.data.epochs import balance
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference; install the extra 'test'")
F = torch.nn.functional

ROWS = 43
RNG = np.random.default_rng(3)
X = RNG.standard_normal((ROWS, 3))
T = RNG.integers(0, 3, ROWS)
W = np.round(RNG.uniform(0, 4, ROWS), 3)
W[::7] = 0.0
ARRAYS = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": T, SAMPLE_WEIGHT: W}
SPEC = """\
nnspec: 1
precision: float64
data:
  npz: {path: rows.npz, target: kind}
  columns: {kind: category}
  split: {train: 0.6, validation: 0.2, test: 0.2}
layers: [dense: {units: 5, activation: tanh}, dense: 3]
loss: cross_entropy
metrics: [accuracy, auc, f1, confusion]
optimizer: {sgd: {learning_rate: 0.3, momentum: 0.9}}
epochs: 3
batch_size: 8
"""


def written(folder: Path, text: str = SPEC, **arrays: Any) -> Path:
    np.savez(folder / "rows.npz", **{**ARRAYS, **arrays})
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


def network(model: Model) -> Any:
    """The same network in PyTorch."""
    kernels = [torch.tensor(np.asarray(p)) for p in model.parameters.values()]
    first, last = torch.nn.Linear(*kernels[0].shape).double(), torch.nn.Linear(*kernels[2].shape).double()
    for layer, k, b in ((first, *kernels[:2]), (last, *kernels[2:])):
        layer.weight.data, layer.bias.data = k.T.clone(), b.clone()
    return torch.nn.Sequential(first, torch.nn.Tanh(), last)


def weights_of(net: Any) -> list[Any]:
    return [p.detach().numpy().T for p in net.parameters()]


def same(model: Model, net: Any, rtol: float = 1e-11) -> None:
    for p, wanted in zip(model.parameters.values(), weights_of(net), strict=True):
        np.testing.assert_allclose(np.asarray(p), wanted, rtol=rtol, atol=1e-13)


def mean(rows: Any, w: Any) -> Any:
    return (rows * w).sum() / w.sum()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_evaluation_and_every_metric_are_those_of_weighted_rows(tmp_path: Path, accumulate: int) -> None:
    """The same batches in PyTorch, each loss the weighted sum over the sum of weights of the whole step; measures by scikit-learn."""
    text = SPEC.replace("momentum: 0.9", f"momentum: 0.9, accumulate: {accumulate}")
    model = compile(load(written(tmp_path, text)))
    net, splits = network(model), dataset(model).splits
    step = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    rows, size = splits["train"].rows, 8 * accumulate
    for epoch in range(3):
        mixed = rows[order(0, epoch, len(rows))]
        for start in range(0, len(rows), size):
            chosen = mixed[start : start + size]
            step.zero_grad()
            each = F.cross_entropy(net(torch.tensor(X[chosen])), torch.tensor(T[chosen]), reduction="none")
            mean(each, torch.tensor(W[chosen])).backward()
            step.step()
    run = model.fit()
    same(model, net)
    for split in ("validation", "test"):
        rows = splits[split].rows
        y, t, w = net(torch.tensor(X[rows])).detach(), T[rows], W[rows]
        p = y.argmax(1).numpy()
        wanted = {"loss": mean(F.cross_entropy(y, torch.tensor(t), reduction="none"), torch.tensor(w)).item(),
                  "accuracy": sk.accuracy_score(t, p, sample_weight=w), "f1": sk.f1_score(t, p, average="macro", sample_weight=w, zero_division=0),
                  "auc": sk.roc_auc_score(t, y.softmax(1).numpy(), multi_class="ovr", sample_weight=w)}
        for name, value in wanted.items():
            assert run.metrics[f"{split}.{name}"] == pytest.approx(value, rel=1e-10), name
        np.testing.assert_allclose(run.tables[f"{split}.confusion"], sk.confusion_matrix(t, p, labels=range(3), sample_weight=w), rtol=1e-12)
    assert model.evaluate()["loss"] == pytest.approx(run.metrics["test.loss"], rel=1e-12)


@pytest.mark.parametrize("source", ["csv", "parquet", "npz", "inline"])
def test_every_source_can_say_what_rows_weigh(tmp_path: Path, source: str) -> None:
    columns = {name: x[:9] for name, x in ARRAYS.items()}
    named = [f"k{k}" for k in columns["kind"]]
    if source == "csv":
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*{**columns, "kind": named}.values(), strict=True))]
        (tmp_path / "rows.csv").write_text("\n".join(lines))
    elif source == "parquet":
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.table({**columns, "kind": named}), tmp_path / "rows.parquet")
    elif source == "npz":
        np.savez(tmp_path / "rows.npz", **{**columns, "kind": np.array(named)})
    values = {**{name: x.tolist() for name, x in columns.items()}, "kind": named}
    what = f"{{columns: {json.dumps(values)}, target: kind}}" if source == "inline" else f"{{path: rows.{source}, target: kind}}"
    text = SPEC.replace("npz: {path: rows.npz, target: kind}", f"{source}: {what}").replace("  columns: {kind: category}\n", "")
    (tmp_path / "spec.yaml").write_text(text.replace("  split: {train: 0.6, validation: 0.2, test: 0.2}\n", ""))
    spec = load(tmp_path / "spec.yaml")
    assert spec.inputs["features"].shape == (3,)
    assert assembled(m := compile(spec), dataset(m).splits["train"]).arrays[SAMPLE_WEIGHT].tolist() == W[:9].tolist()


def test_weights_of_idx_files_and_whole_numbers_count_too(tmp_path: Path) -> None:
    for name, data in (("x", np.arange(16, dtype=np.uint8).reshape(4, 2, 2)), ("y", np.array([0, 1, 0, 1], np.uint8)), ("w", np.array([0, 3, 1, 2], np.uint8))):
        (tmp_path / name).write_bytes(bytes([0, 0, 8, data.ndim]) + b"".join(n.to_bytes(4, "big") for n in data.shape) + data.tobytes())
    (tmp_path / "s.yaml").write_text("nnspec: 1\ndata: {idx: {x: x, y: y, sample_weight: w, target: y}}\nlayers: [flatten, dense: 2]\nloss: cross_entropy\n"
                                     "optimizer: sgd\nepochs: 1\nbatch_size: 4\n")
    model = compile(load(tmp_path / "s.yaml"))
    assert dataset(model).splits["train"].arrays[SAMPLE_WEIGHT].tolist() == [0, 3, 1, 2]
    model.fit()


def test_fit_takes_weights_beside_or_among_the_arrays() -> None:
    text = SPEC.replace(SPEC[SPEC.index("data:"):SPEC.index("layers:")], "inputs: {x: {shape: [3]}}\n").replace("batch_size: 8", "batch_size: 50")
    beside, among, plain = (compile(loads(text)) for _ in range(3))
    net = network(beside)
    step = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for _ in range(3):
        step.zero_grad()
        mean(F.cross_entropy(net(torch.tensor(X)), torch.tensor(T), reduction="none"), torch.tensor(W)).backward()
        step.step()
    beside.fit(X, T, sample_weight=W)
    among.fit({"x": X, SAMPLE_WEIGHT: W.tolist()}, T)
    plain.fit(X, T)
    same(beside, net)
    for one, other in zip(beside.parameters.values(), among.parameters.values(), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert not np.allclose(np.asarray(beside.parameters["dense_1/kernel"]), np.asarray(plain.parameters["dense_1/kernel"]))


@pytest.mark.parametrize(("weights", "words"), [
    (W[:5], r"shape \(5,\)\s+wanted  \(43,\), a number for each row"),
    (np.where(np.arange(ROWS) == 4, -1, W), "-1 in row 4"),
    (np.where(np.arange(ROWS) == 9, np.nan, W), "nan in row 9"),
    (np.where(np.arange(ROWS) == 9, np.inf, W), "inf in row 9"),
    (np.zeros(ROWS), "is 0 in every row"),
    (["much"] * ROWS, "does not hold numbers"),
])
def test_what_is_no_weight_is_refused_with_its_row(weights: Any, words: str) -> None:
    model = compile(loads(SPEC.replace(SPEC[SPEC.index("data:"):SPEC.index("layers:")], "inputs: {x: {shape: [3]}}\n")))
    for call in (lambda: model.fit(X, T, sample_weight=weights), lambda: model.evaluate({"x": X, "target": T, SAMPLE_WEIGHT: weights}),
                 lambda: model.train_batch({"x": X, "target": T, SAMPLE_WEIGHT: weights})):
        with pytest.raises(SpecError, match=words) as caught:
            call()
        assert len(caught.value.problems) == 1


def test_weights_without_rows_or_given_twice_are_refused() -> None:
    model = compile(loads(SPEC.replace(SPEC[SPEC.index("data:"):SPEC.index("layers:")], "inputs: {x: {shape: [3]}}\n")))
    with pytest.raises(SpecError, match="for the rows that it is given"):
        model.fit(sample_weight=W)
    with pytest.raises(SpecError, match="is given twice"):
        model.fit({"x": X, SAMPLE_WEIGHT: W}, T, sample_weight=W)


@pytest.mark.parametrize(("csv", "more", "said"), [
    ("x,y,sample_weight\n1,a,1\n2,b,-0.5\n", "", "rows.csv:3:5: row 2 of column 'sample_weight' is no weight | found   -0.5 | wanted  a finite number of at least 0"),
    ("x,y,sample_weight\n1,a,1\n2,b,much\n", "", "rows.csv:3:5: column 'sample_weight' is numbers, and this is none | found   'much'"),
    ("x,y,sample_weight\n1,a,1\n2,b,\n", "", "rows.csv:3:5: row 2 of column 'sample_weight' has no value"),
    ("x,y,sample_weight\n1,a,0\n2,b,0\n", "", "the rows of the train split weigh nothing | found   2 times 0"),
    ("x,y,sample_weight\n1,a,\n2,b,1\n", ", columns: {sample_weight: {number: {missing: -1}}}", "what is missing in column 'sample_weight' cannot weigh -1"),
    ("x,y,sample_weight\n1,a,1\n2,b,1\n", ", columns: {sample_weight: category}", "column 'sample_weight' says what each row weighs | found   category"),
    ("x,y,sample_weight\n1,a,1\n2,b,1\n", ", prepare: [standardize: [x, sample_weight]]", "standardize cannot change 'sample_weight'"),
])
def test_a_column_that_cannot_weigh_is_one_clear_error(tmp_path: Path, csv: str, more: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(csv)
    (tmp_path / "s.yaml").write_text(f"nnspec: 1\ndata: {{csv: {{path: rows.csv, target: y}}{more}}}\nlayers: [dense: 2]\nloss: cross_entropy\n")
    with pytest.raises(NnspecError) as caught:
        load(tmp_path / "s.yaml")
    text = " | ".join(line.strip() for line in caught.value.render().splitlines())
    assert len(caught.value.problems) == 1, text
    assert all(part in text for part in said.split(" | ")), text


@pytest.mark.parametrize(("more", "said"), [
    ("target: sample_weight", "'sample_weight' is no target"),
    ("inputs: {f: {columns: [x, sample_weight]}}", "wants the column 'sample_weight', which says what each row weighs"),
    ("inputs: {sample_weight: {columns: x}}", "no input is called 'sample_weight'"),
    ("loss: {mse: {target: sample_weight}}", "'sample_weight' is no target"),
    ("data", "no key of data is called 'sample_weight'.*a column called sample_weight"),
])
def test_a_weight_is_neither_feature_nor_target(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("x,y,sample_weight\n1,3,1\n2,4,1\n")
    target = "sample_weight" if more.startswith("target") else "y"
    more = "" if more.startswith("target") else more
    loss = "" if "loss" in more else "loss: mse"
    key, more = (", sample_weight: x", "") if more == "data" else ("", more)
    (tmp_path / "s.yaml").write_text(f"nnspec: 1\ndata: {{csv: {{path: rows.csv, target: {target}}}{key}}}\nlayers: [dense: 1]\n{more}\n{loss}\n")
    with pytest.raises(SpecError, match=f"(?s){said}") as caught:
        load(tmp_path / "s.yaml")
    assert len(caught.value.problems) == 1


def test_a_split_or_fold_of_no_weight_is_refused_before_training(tmp_path: Path) -> None:
    order_by = SPEC.replace("test: 0.2}", "test: 0.2, order: a}")
    late = np.where(X[:, 0] > np.quantile(X[:, 0], 0.7), 0.0, 1.0)
    with pytest.raises(DataError, match="the rows of the test split weigh nothing"):
        load(written(tmp_path, order_by, sample_weight=late))
    by_fold = SPEC.replace("split: {train: 0.6, validation: 0.2, test: 0.2}", "split: {folds: 3, group: g}")
    group = np.arange(ROWS) % 3
    with pytest.raises(DataError, match="the validation split of fold . weigh nothing"):
        load(written(tmp_path, by_fold, sample_weight=np.where(group == 1, 0.0, 1.0), g=group))


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_a_batch_of_no_weight_moves_nothing_and_counts_as_a_step(backend: str) -> None:
    """Rows of weight 0 are as if they were not there, a whole batch of them too: no momentum, no statistics, no decay."""
    text = ("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [3]}}\nlayers: [dense: 4, batch_norm, dense: 3]\nloss: cross_entropy\nmetrics: [accuracy]\n"
            "optimizer: {adam: {learning_rate: 0.1, weight_decay: 0.1}}\nepochs: 2\nbatch_size: 1\n")
    m = compile(loads(text), backend)
    x, w = X[:3], np.array([0.0, 0.0, 2.0])
    seen: list[dict[str, Any]] = []

    class Look(Callback):
        def on_step(self, state: State) -> None:
            seen.append({"moved": state.metrics, **{k: v.copy() for k, v in m.state().items()}})

    train(m, {"train": {"x": x, "target": T[:3], SAMPLE_WEIGHT: w}}, epochs=2, callbacks=[Look()])
    assert m.step == 6
    assert all(np.isfinite(list(look["moved"].values())).all() for look in seen)
    position = int(np.flatnonzero(order(0, 0, 3) == 2)[0])
    for step in range(1, 3):
        still = all(np.array_equal(seen[step][k], seen[step - 1][k]) for k in m.state())
        assert still == (step != position)
    assert np.isfinite(np.asarray(m.parameters["dense_1/kernel"])).all()


def test_class_weights_and_smoothing_are_multiplied_in_and_balanced_counts_weights(tmp_path: Path) -> None:
    text = SPEC.replace("loss: cross_entropy", "loss: {cross_entropy: {class_weights: balanced}}").replace("batch_size: 8", "batch_size: 50")
    model = compile(load(written(tmp_path, text)))
    rows = dataset(model).splits["train"].rows
    classes = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight("balanced", classes=np.arange(3), y=T[rows], sample_weight=W[rows])
    net, x, t, w = network(model), torch.tensor(X[rows]), torch.tensor(T[rows]), torch.tensor(W[rows])
    step = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    c = torch.tensor(classes)
    for _ in range(3):
        step.zero_grad()
        mean(F.cross_entropy(net(x), t, reduction="none"), w * c[t]).backward()
        step.step()
    model.fit()
    assert model.balance is not None
    np.testing.assert_allclose(next(iter(model.balance.values())), classes, rtol=1e-13)
    same(model, net)


def test_several_losses_weigh_the_same_rows(tmp_path: Path) -> None:
    text = SPEC[:SPEC.index("layers:")].replace("target: kind", "target: [kind, c]") + (
        "layers:\n  - dense: {units: 5, activation: tanh, name: h}\n  - dense: {units: 3, name: k}\n  - dense: {units: 1, from: h, name: n}\noutputs: [k, n]\n"
        "loss: [cross_entropy: {from: k, target: kind}, mse: {from: n, target: c, weight: 0.3, reduce: sum}]\nmetrics: [r2: {from: n}]\noptimizer: sgd\n")
    model = compile(load(written(tmp_path, text)))
    s = model.evaluate()
    rows = dataset(model).splits["test"].rows
    out = model.predict(X[rows][:, :2], raw=True)
    each = F.cross_entropy(torch.tensor(out["k"]), torch.tensor(T[rows]), reduction="none").numpy()
    d = (out["n"][:, 0] - X[rows, 2]) ** 2
    wanted = (each * W[rows]).sum() / W[rows].sum() + 0.3 * (d * W[rows]).sum()
    assert s["loss"] == pytest.approx(wanted, rel=1e-12)
    assert s["n.r2"] == pytest.approx(sk.r2_score(X[rows, 2], out["n"][:, 0], sample_weight=W[rows]), rel=1e-11)


def test_masks_and_sequences_weigh_by_the_row(tmp_path: Path) -> None:
    masks, images, w = RNG.integers(0, 3, (6, 4, 5)), RNG.standard_normal((6, 4, 5, 2)), np.array([1.0, 0, 2, 0.5, 0, 3])
    text = ("nnspec: 1\nprecision: float64\ndata: {npz: {path: rows.npz, target: mask}, columns: {mask: {category: {classes: 3}}}}\n"
            "layers: [conv2d: {filters: 3, kernel: 1}]\nloss: cross_entropy\nmetrics: [accuracy, mean_iou]\noptimizer: sgd\n")
    (tmp_path / "s.yaml").write_text(text)
    np.savez(tmp_path / "rows.npz", image=images, mask=masks, sample_weight=w)
    model = compile(load(tmp_path / "s.yaml"))
    rows = assembled(model, dataset(model).splits["train"])
    s = model.score(rows.arrays, 4)
    y = torch.tensor(model.predict(images, raw=True))
    each = F.cross_entropy(y.permute(0, 3, 1, 2), torch.tensor(masks), reduction="none").mean((1, 2))
    assert s["loss"] == pytest.approx(mean(each, torch.tensor(w)).item(), rel=1e-12)
    flat, p, of_each = masks.reshape(-1), y.argmax(-1).numpy().reshape(-1), np.repeat(w, 20)
    assert s["accuracy"] == pytest.approx(sk.accuracy_score(flat, p, sample_weight=of_each), rel=1e-12)
    assert s["mean_iou"] == pytest.approx(sk.jaccard_score(flat, p, average="macro", sample_weight=of_each), rel=1e-12)


def test_balance_draws_rows_and_they_keep_their_weights(tmp_path: Path) -> None:
    text = SPEC.replace("  split:", "  balance: true\n  split:")
    model = compile(load(written(tmp_path, text)))
    net, rows = network(model), dataset(model).splits["train"].rows
    step = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for epoch in range(3):
        mixed = rows[balance(0, epoch, T[rows])]
        for start in range(0, len(rows), 8):
            chosen = mixed[start : start + 8]
            step.zero_grad()
            mean(F.cross_entropy(net(torch.tensor(X[chosen])), torch.tensor(T[chosen]), reduction="none"), torch.tensor(W[chosen])).backward()
            step.step()
    model.fit()
    same(model, net)


def test_mixup_mixes_weights_as_it_mixes_targets(tmp_path: Path) -> None:
    """A column that is what rows weigh and one that is no more than a number are mixed alike."""
    from nnspec.runtime.loading import epochs

    text = SPEC.replace("  split:", "  augment: [mixup: 0.4]\n  split:").replace("target: kind", "target: [kind, copy]").replace(
        "loss: cross_entropy", "loss: [cross_entropy: {target: kind}, mse: {target: copy, from: n, weight: 0.0}]").replace(
        "layers: [dense: {units: 5, activation: tanh}, dense: 3]", "layers: [dense: {units: 3, name: k}, dense: {units: 1, name: n, from: features}]\noutputs: [k, n]").replace(
        "cross_entropy: {", "cross_entropy: {from: k, ").replace("metrics: [accuracy, auc, f1, confusion]\n", "")
    model = compile(load(written(tmp_path, text, copy=W)))
    made = epochs(model, dataset(model))
    assert made is not None
    for batch in made.batches(0):
        np.testing.assert_array_equal(batch.arrays[SAMPLE_WEIGHT], batch.arrays["copy"].reshape(-1))
        assert not set(np.round(batch.arrays[SAMPLE_WEIGHT], 3)) <= set(W)
    model.fit()


def test_folds_measure_weighted_rows(tmp_path: Path) -> None:
    text = SPEC.replace("split: {train: 0.6, validation: 0.2, test: 0.2}", "split: {folds: 3, fold: 2}")
    model = compile(load(written(tmp_path, text)))
    run = model.fit()
    rows = dataset(model).splits["validation"].rows
    p = model.predict(X[rows]).argmax(1)
    assert run.metrics["validation.accuracy"] == pytest.approx(sk.accuracy_score(T[rows], p, sample_weight=W[rows]), rel=1e-12)


class _Stop(Exception):
    pass


class StopAt(Callback):
    def on_step(self, state: State) -> None:
        if state.step == 6:
            raise _Stop


def test_a_weighted_run_resumes_to_the_bit_and_notices_other_weights(tmp_path: Path) -> None:
    spec = load(written(tmp_path, SPEC + "checkpoint: {keep: best, watch: validation.f1, every: 1}\n"))
    with open_run(tmp_path / "whole", "x") as folder:
        whole = compile(spec)
        train(whole, folder=folder)
    with open_run(tmp_path / "parts", "x") as folder, pytest.raises(_Stop):
        train(compile(spec), folder=folder, callbacks=[StopAt()])
    shared = copy.copy(W)
    shared[1] += 1
    np.savez(tmp_path / "rows.npz", **{**ARRAYS, SAMPLE_WEIGHT: shared})
    with open_run(tmp_path / "parts", "x", resume=True) as folder, pytest.raises(SpecError, match="other rows"):
        train(compile(load(tmp_path / "spec.yaml")), folder=folder, resume=True)
    written(tmp_path, spec.text)
    with open_run(tmp_path / "parts", "x", resume=True) as folder:
        parts = compile(spec)
        train(parts, folder=folder, resume=True)
    for name, value in whole.state().items():
        np.testing.assert_array_equal(parts.state()[name], value)


def test_a_saved_run_evaluates_with_weights_and_predicts_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path), tmp_path / "run"
    assert status(["run", str(path), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert status(["evaluate", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert again["test.loss"] == pytest.approx(told["test.loss"], rel=1e-12) and again["test.auc"] == pytest.approx(told["test.auc"], rel=1e-12)
    assert status(["predict", str(out), "0.1,0.2,0.3"]) == 0
    (tmp_path / "with.csv").write_text("a,b,c,sample_weight\n0.1,0.2,0.3,7\n")
    assert status(["predict", str(out), str(tmp_path / "with.csv")]) == 0
    assert load_model(out).predict(X).shape == (ROWS, 3)
