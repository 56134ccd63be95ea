"""``ignore``: a class that counts for nothing, against PyTorch's ``ignore_index`` and scikit-learn on the places that are left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.compiler import load, loads
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference; install the extra 'test'")
F = torch.nn.functional

RNG = np.random.default_rng(5)
ROWS, H, W, CLASSES = 6, 4, 5, 3
X = RNG.standard_normal((ROWS, H, W, 2))
T = RNG.integers(0, CLASSES, (ROWS, H, W))
VOID = RNG.uniform(size=T.shape) < 0.3
VOID[2] = True  # a row of nothing else
WEIGHTS = [0.5, 2.0, 1.25]
METRICS = "[accuracy, mean_iou, f1, {top_k: 2}, confusion, auc]"


def model(loss: str, units: int = CLASSES, more: str = "", backend: str = "numpy", activation: str = "identity") -> Model:
    return compile(loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [{H}, {W}, 2]}}}}\nlayers: [conv2d: {{filters: {units}, kernel: 1, activation: {activation}}}]\n"
                         f"loss: {loss}\noptimizer: {{sgd: {{learning_rate: 0.5}}}}\n{more}\n"), backend)


def theirs(m: Model) -> tuple[Any, Any]:
    """The kernel with its gradient to come, and the scores (rows, classes, height, width)."""
    k = torch.tensor(np.asarray(m.parameters["conv2d_1/kernel"])[0, 0], requires_grad=True)
    return k, (torch.tensor(X) @ k + torch.tensor(np.asarray(m.parameters["conv2d_1/bias"]))).permute(0, 3, 1, 2)


@pytest.mark.parametrize("number", [255, -100, 1])
@pytest.mark.parametrize("fields", ["", "smoothing: 0.1", f"class_weights: {WEIGHTS}", f"class_weights: {WEIGHTS}, smoothing: 0.2", "reduce: sum"])
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_cross_entropy_and_its_gradient_are_pytorchs(number: int, fields: str, backend: str) -> None:
    t = np.where(VOID, number, T)
    m = model(f"{{cross_entropy: {{ignore: {number}{', ' if fields else ''}{fields}}}}}", backend=backend)
    k, y = theirs(m)
    weight = torch.tensor(WEIGHTS, dtype=torch.float64) if "class_weights" in fields else None
    smoothing = float(fields.rpartition("smoothing: ")[2]) if "smoothing" in fields else 0.0
    value = F.cross_entropy(y, torch.tensor(t), weight, ignore_index=number, label_smoothing=smoothing, reduction="sum" if "sum" in fields else "mean")
    value.backward()
    feeds = {"x": X, "target": t}
    assert m.evaluate(feeds)["loss"] == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(m.gradients(feeds)["conv2d_1/kernel"][0, 0], k.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_sample_weights_and_micro_batches_divide_by_what_counts() -> None:
    t, w = np.where(VOID, 255, T), np.array([1.0, 0.5, 3, 2, 0, 0.25])
    whole, parts = model("{cross_entropy: {ignore: 255}}"), model("{cross_entropy: {ignore: 255}}", more="batch_size: 2")
    parts = compile(loads(parts.spec.text.replace("learning_rate: 0.5", "learning_rate: 0.5, accumulate: 3")))
    _, y = theirs(whole)
    each = F.cross_entropy(y, torch.tensor(t), ignore_index=255, reduction="none").detach().numpy()
    feeds = {"x": X, "target": t, "sample_weight": w}
    wanted = (each.sum((1, 2)) * w).sum() / ((~VOID).sum((1, 2)) * w).sum()
    assert whole.train_batch(feeds)["loss"] == pytest.approx(wanted, rel=1e-12)
    assert parts.train_batch(feeds)["loss"] == pytest.approx(wanted, rel=1e-12)
    for name, p in whole.parameters.items():
        np.testing.assert_allclose(np.asarray(parts.parameters[name]), np.asarray(p), rtol=1e-12, atol=1e-14)


def test_a_batch_of_nothing_but_void_adds_nothing() -> None:
    m = model("{cross_entropy: {ignore: 255}}", more="metrics: [accuracy]")
    before = np.asarray(m.parameters["conv2d_1/kernel"]).copy()
    assert m.train_batch({"x": X, "target": np.full(T.shape, 255)}) == {"loss": 0.0, "accuracy": 0.0}
    np.testing.assert_array_equal(np.asarray(m.parameters["conv2d_1/kernel"]), before)


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_leave_out_what_the_loss_ignores(weighted: bool) -> None:
    t, w = np.where(VOID, 255, T), RNG.uniform(0.1, 2, ROWS) if weighted else np.ones(ROWS)
    m = model("{cross_entropy: {ignore: 255}}", more=f"metrics: {METRICS}")
    arrays, own = m.feeds({"x": X, "target": t, "sample_weight": w})
    s = m.score(arrays, 4, own)
    y = m.predict(X)
    seen, each = ~VOID.reshape(-1), np.repeat(w, H * W)
    labels, scores, w = T.reshape(-1)[seen], y.reshape(-1, CLASSES)[seen], each[seen]
    guesses = scores.argmax(1)
    wanted = {"accuracy": sk.accuracy_score(labels, guesses, sample_weight=w), "mean_iou": sk.jaccard_score(labels, guesses, average="macro", sample_weight=w),
              "f1": sk.f1_score(labels, guesses, average="macro", sample_weight=w), "auc": sk.roc_auc_score(labels, scores, multi_class="ovr", sample_weight=w),
              "top_k": sk.top_k_accuracy_score(labels, scores, k=2, sample_weight=w)}
    for name, value in wanted.items():
        assert s[name] == pytest.approx(value, rel=1e-12), name
    np.testing.assert_allclose(s.tables["confusion"], sk.confusion_matrix(labels, guesses, sample_weight=w), rtol=1e-12)


def test_masks_of_yes_and_no_have_void_too() -> None:
    """One unit: a binary cross entropy, focal and dice over the places that count."""
    t = np.where(VOID, 255, T > 1)
    seen = torch.tensor(~VOID)
    for loss, of in (("binary_cross_entropy", lambda y, t: F.binary_cross_entropy_with_logits(y[seen], t[seen])),
                     ("focal", lambda y, t: (F.binary_cross_entropy_with_logits(y, t, reduction="none") * (torch.sigmoid(y) - t).abs() ** 2)[seen].mean()),
                     ("dice", lambda y, t: (1 - (2 * (torch.sigmoid(y) * t * seen).sum((1, 2)) + 1) / ((torch.sigmoid(y) * seen).sum((1, 2)) + (t * seen).sum((1, 2)) + 1)).mean())):
        m = model(f"{{{loss}: {{ignore: 255}}}}", 1, "metrics: [accuracy, mean_iou, auc, recall]")
        k, y = theirs(m)
        value = of(y[:, 0], torch.tensor((T > 1).astype(float)))
        value.backward()
        feeds = {"x": X, "target": t}
        s = m.evaluate(feeds)
        assert s["loss"] == pytest.approx(value.item(), rel=1e-12), loss
        np.testing.assert_allclose(m.gradients(feeds)["conv2d_1/kernel"][0, 0], k.grad.numpy(), rtol=1e-10, atol=1e-13)
        labels, scores = (T > 1)[~VOID], y.detach().numpy()[:, 0][~VOID]
        assert s["accuracy"] == pytest.approx(sk.accuracy_score(labels, scores > 0), rel=1e-12)
        assert s["auc"] == pytest.approx(sk.roc_auc_score(labels, scores), rel=1e-12)
        assert s["recall"] == pytest.approx(sk.recall_score(labels, scores > 0), rel=1e-12)


@pytest.mark.parametrize("fields", ["", f", class_weights: {WEIGHTS}", ", gamma: 1, smoothing: 0.1"])
def test_focal_and_dice_of_several_classes_leave_void_out(fields: str) -> None:
    t, seen, hot = np.where(VOID, 255, T), torch.tensor(~VOID), F.one_hot(torch.tensor(T), CLASSES).permute(0, 3, 1, 2).double()
    c = torch.tensor(WEIGHTS if "class_weights" in fields else [1.0] * 3, dtype=torch.float64)
    smooth = 0.1 if "smoothing" in fields else 0.0
    m = model(f"{{focal: {{ignore: 255{fields}}}}}")
    _, y = theirs(m)
    p, shares = y.softmax(1), hot * (1 - smooth) + smooth / 3
    each = -(shares * c[:, None, None] * (1 - p) ** (1 if "gamma" in fields else 2) * p.log()).sum(1)
    own = c[torch.tensor(T)]
    assert m.evaluate({"x": X, "target": t})["loss"] == pytest.approx((each[seen].sum() / own[seen].sum()).item(), rel=1e-12)
    m = model(f"{{dice: {{ignore: 255{fields.replace('gamma: 1, ', '')}}}}}")
    _, y = theirs(m)
    p, here = y.softmax(1), seen[:, None]
    common, both = (p * shares * here).sum((2, 3)), ((p + shares) * here).sum((2, 3))
    wanted = ((1 - (2 * common + 1) / (both + 1)) * c).mean(1).mean() / c.mean()
    assert m.evaluate({"x": X, "target": t})["loss"] == pytest.approx(wanted.item(), rel=1e-12)


def test_numbers_that_are_neither_a_class_nor_ignored_are_refused() -> None:
    m = model("{cross_entropy: {ignore: 255}}")
    for wrong in (254, -1, 3):
        with pytest.raises(SpecError, match="holds a number that nothing has"):
            m.train_batch({"x": X, "target": np.where(VOID, wrong, T)})
    with pytest.raises(SpecError, match="does not fit"):
        m.train_batch({"x": X, "target": np.eye(CLASSES)[T]})


# Classes with names

SPEC = """\
nnspec: 1
precision: float64
data:
  npz: {path: rows.npz, target: mask}
  columns: {mask: category}
  split: {train: 0.5, test: 0.5}
layers: [conv2d: {filters: UNITS, kernel: 1}]
loss: {cross_entropy: {ignore: NAME, class_weights: balanced}}
metrics: [accuracy, mean_iou: {target: mask}, confusion]
optimizer: sgd
epochs: 1
batch_size: 2
"""
NAMES = np.array(["road", "sky", "tree"])


def of_data(folder: Path, name: str, units: int, void: int) -> tuple[Model, np.ndarray]:
    """Four classes in order of their names; ``void`` says where the ignored one stands among them."""
    names = np.insert(NAMES.astype("U8"), void, name)
    np.savez(folder / "rows.npz", image=X, mask=names[np.where(VOID, void, T + (void <= T))])
    (folder / "s.yaml").write_text(SPEC.replace("UNITS", str(units)).replace("NAME", name))
    return compile(load(folder / "s.yaml")), T


@pytest.mark.parametrize(("name", "void"), [("a_void", 0), ("s_void", 1), ("z_void", 3)])
def test_without_a_unit_the_classes_behind_move_up(tmp_path: Path, name: str, void: int) -> None:
    """Wherever the void class stands among the names, the same three units are taught the same."""
    from nnspec.runtime.loading import dataset

    m, t = of_data(tmp_path, name, 3, void)
    m.fit()
    rows = dataset(m).splits
    assert m.classes() == tuple(NAMES)
    counts = np.bincount(t[rows["train"].rows][~VOID[rows["train"].rows]])
    assert m.balance is not None
    np.testing.assert_allclose(next(iter(m.balance.values())), counts.sum() / (3 * counts), rtol=1e-13)
    test = rows["test"].rows
    guesses, labels = m.predict(X[test]).argmax(-1)[~VOID[test]], t[test][~VOID[test]]
    s = m.evaluate()
    assert s["accuracy"] == pytest.approx(sk.accuracy_score(labels, guesses), rel=1e-12)
    assert s["mean_iou"] == pytest.approx(sk.jaccard_score(labels, guesses, average="macro"), rel=1e-12)
    np.testing.assert_array_equal(s.tables["confusion"], sk.confusion_matrix(labels, guesses, labels=range(3)))


def test_with_a_unit_it_keeps_its_number(tmp_path: Path) -> None:
    m, _ = of_data(tmp_path, "s_void", 4, 1)
    assert m.classes() == ("road", "s_void", "sky", "tree")
    m.fit()
    assert m.balance is not None and next(iter(m.balance.values()))[1] == 0


def test_masks_in_files_name_their_void_by_its_value_and_evaluate_shows_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    for folder, pixels in (("img", np.where(VOID, 90, T * 100)), ("mask", np.where(VOID, 255, T))):
        (tmp_path / folder).mkdir()
        for i, picture in enumerate(pixels):
            image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "s.yaml").write_text('nnspec: 1\ndata: {files: {image: "img/*.png", mask: {path: "mask/*.png", as: labels}, target: mask}, split: {train: 0.5, test: 0.5}}\n'
                                     "layers: [conv2d: {filters: 3, kernel: 1}]\nloss: [cross_entropy: {ignore: 255}, dice: {ignore: 255}]\nmetrics: [mean_iou, confusion]\n"
                                     "optimizer: {adam: 0.1}\nepochs: 2\nbatch_size: 2\n")
    assert status(["run", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert status(["evaluate", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "255" not in out.partition("confusion")[2] and 0 <= told["test.mean_iou"] <= 1


@pytest.mark.parametrize(("text", "said"), [
    (SPEC.replace("NAME", "viod").replace("UNITS", "3"), "'ignore' names 'viod', which is no class of the target"),
    (SPEC.replace("NAME", "255").replace("UNITS", "3"), "'ignore' names '255', which is no class of the target"),
    (SPEC.replace("NAME", "void").replace("UNITS", "7"), "has 7 units, the target has 3 classes"),
    (SPEC.replace("ignore: NAME", "ignore_index: 255").replace("UNITS", "4"), "'ignore'"),
    (SPEC.replace("NAME", "void").replace("UNITS", "3").replace("  split", "  augment: [mixup]\n  split"), "cannot take the shares of classes that mixup makes"),
    ("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 3]\nloss: {cross_entropy: {ignore: void}}\n", "the target has no names for its classes"),
    ("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 3]\nloss: {cross_entropy: {ignore: 1, target: 1}}\n", "leaves everything out"),
    ("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 3]\nloss: {cross_entropy: {ignore: 1.5}}\n", "a class's name, or its number"),
    ("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 3]\nloss: {mse: {ignore: 1}}\n", "'ignore'"),
    ("nnspec: 1\ndata: {inline: {columns: {x: [1, 2], y: [a, void]}, target: y}}\nlayers: [dense: 1]\nloss: {binary_cross_entropy: {ignore: void}}\n", "one class is left"),
])
def test_what_cannot_be_ignored_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    np.savez(tmp_path / "rows.npz", image=X, mask=np.append(NAMES, "void")[np.where(VOID, 3, T)])
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "s.yaml")
    assert len(caught.value.problems) == 1 and said in caught.value.render(), caught.value.render()


@pytest.mark.parametrize("step", ["rotate: 40", "scale: 0.5", "crop: 2"])
@pytest.mark.parametrize(("name", "void"), [("a_void", 0), ("s_void", 1), ("z_void", 3)])
def test_what_comes_from_outside_of_a_mask_is_void(tmp_path: Path, step: str, name: str, void: int) -> None:
    """Beside an image of ones, moved along: where it is 0 nothing counts, and what is inside is moved as without a void."""
    from nnspec.runtime.loading import dataset, epochs

    names = np.insert(NAMES.astype("U8"), void, name)
    masks = np.resize(T + (void <= T), (ROWS, 9, 9))
    masks[:, 3:5, 4] = void
    np.savez(tmp_path / "rows.npz", image=np.ones((ROWS, 9, 9, 1)), mask=names[masks])
    text = SPEC.replace("UNITS", "3").replace("  split: {train: 0.5, test: 0.5}\n", f"  augment: [{step}]\n")
    found = []
    for ignore in (f"ignore: {name}, ", ""):
        (tmp_path / "s.yaml").write_text(text.replace("ignore: NAME, ", ignore).replace("filters: 3", "filters: 3" if ignore else "filters: 4"))
        m = compile(load(tmp_path / "s.yaml"))
        made = epochs(m, dataset(m))
        assert made is not None
        found.append([b.arrays for b in made.batches(0)])
    outside = 0
    for with_void, plain in zip(*found, strict=True):
        inside = plain["image"][..., 0] == 1
        far = plain["image"][..., 0] == 0
        outside += far.sum()
        np.testing.assert_array_equal(with_void["target"][inside], plain["target"][inside])
        assert (with_void["target"][far] == void).all() and (plain["target"][far] == 0).all()
    assert outside
