"""Metrics of random predictions over batches that do not divide the rows, against scikit-learn."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import sklearn.metrics as sk

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import pick

Rng = np.random.Generator
AVERAGES = ("macro", "micro", "weighted")
SCORES = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}


def sigmoid(y: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-y))


def scores(rng: Rng, shape: tuple[int, ...], ties: bool) -> np.ndarray:
    """Random scores: with ties, all alike, of the sizes that saturate."""
    y = rng.standard_normal(shape) * pick(rng, 1.0, 1.0, 8.0, 0.01)
    return np.round(y, pick(rng, 0, 1)) if ties else y


def area(hot: np.ndarray, s: np.ndarray, w: np.ndarray) -> float:
    seen = hot[w > 0]
    return float(sk.roc_auc_score(hot, s, sample_weight=w)) if 0 < seen.sum() < len(seen) else float("nan")


def mean_of(areas: list[float]) -> float:
    known = [a for a in areas if a == a]
    return float(np.mean(known)) if known else float("nan")


def judge(how: str, rng: Rng, backend: str = "numpy") -> tuple[str, list[str]]:
    """The spec, and what differs."""
    rows, batch = int(rng.integers(1, 50) if rng.random() < 0.8 else rng.integers(257, 700)), int(rng.integers(1, 20))
    ties = bool(rng.random() < 0.4)
    w = rng.random(rows) * (rng.random(rows) < 0.8) if rng.random() < 0.5 else None
    if w is not None and not w.sum():
        w = None
    full = np.ones(rows) if w is None else w
    places = pick(rng, (), (), (3,), (2, 3)) if how in ("classes", "numbers") else ()
    n = int(rng.integers(2, 6)) if how == "classes" else 1 if how == "yes" else int(rng.integers(2, 4)) if how == "labels" else int(rng.integers(1, 4))
    threshold = pick(rng, 0.5, 0.3, 0.8) if how == "yes" else 0.5
    shape = (rows, *places, n)
    y = scores(rng, shape, ties)
    wanted: dict[str, Any] = {}
    flat_w = np.repeat(full, int(np.prod(places, dtype=int)))
    names: list[Any] = []
    activation = "identity"

    def ask(kind: str, value: Any, **fields: Any) -> None:
        name = f"m{len(names)}"
        names.append({kind: {**fields, "name": name}})
        wanted[name] = value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "numbers":
            t = rng.standard_normal(shape) * pick(rng, 1.0, 1e3) + pick(rng, 0.0, 1e4)
            y = t + rng.standard_normal(shape) * pick(rng, 1.0, 0.0, 1e-3, 30.0)
            if rng.random() < 0.15:
                t = np.full(shape, pick(rng, 2.5, 0.1, -1 / 3))
            a, b = t.reshape(-1, n), y.reshape(-1, n)
            ask("mae", sk.mean_absolute_error(a, b, sample_weight=flat_w))
            ask("mse", sk.mean_squared_error(a, b, sample_weight=flat_w))
            ask("rmse", np.sqrt(sk.mean_squared_error(a, b, sample_weight=flat_w)))
            if len(a) > 1 and (flat_w > 0).sum() > 1:
                flat = t.min() == t.max()  # scikit-learn itself is undone by a mean that is rounded
                ask("r2", float((a == b).all(0).mean()) if flat else sk.r2_score(a, b, sample_weight=flat_w))
            loss, given = "mse", t[..., 0] if n == 1 and not places and rng.random() < 0.5 else t
        elif how == "classes":
            p = 0.2 if rng.random() < 0.3 else 1.0
            ids = rng.integers(0, max(1, round(n * p)), shape[:-1])  # often classes that nothing is
            void = pick(rng, 255, -1, int(rng.integers(n))) if rng.random() < 0.3 else None
            ids = ids if void is None else np.where(rng.random(ids.shape) < 0.3, void, ids)
            counts = ids.reshape(-1) != void  # what is ignored is as if it were not there
            if not counts.any() or not (flat_w * counts).any():
                void, counts, ids = None, np.ones(ids.size, bool), np.where(ids == void, 0, ids)
            flat_w = flat_w[counts]
            a, b = ids.reshape(-1)[counts], y.reshape(-1, n).argmax(-1)[counts]
            seen = flat_w > 0
            ask("accuracy", sk.accuracy_score(a, b, sample_weight=flat_w))
            ask("confusion", sk.confusion_matrix(a, b, labels=range(n), sample_weight=flat_w))
            present = np.union1d(a[seen], b[seen])
            ask("mean_iou", sk.jaccard_score(a, b, labels=present, average="macro", sample_weight=flat_w, zero_division=0))
            for kind, f in SCORES.items():
                for average in AVERAGES:
                    ask(kind, f(a, b, labels=present, average=average, sample_weight=flat_w, zero_division=0), average=average)
                if n == 2:
                    ask(kind, f(a, b, pos_label=1, average="binary", sample_weight=flat_w, zero_division=0), average="binary")
            if not ties:
                k = int(rng.integers(1, n + 1))
                best = np.argsort(-y.reshape(-1, n)[counts], -1)[:, :k]
                ask("top_k", np.average((best == a[:, None]).any(-1), weights=flat_w), k=k)
            ask("auc", lambda p: mean_of([area(a == i, p.reshape(-1, n)[counts, i], flat_w) for i in range(n)]))
            activation, loss = pick(rng, "softmax", "identity"), pick(rng, "cross_entropy", "focal")
            given = np.eye(n)[ids] if void is None and rng.random() < 0.3 else ids
            if void is not None:
                loss = json.dumps({loss: {"ignore": void}})
        else:
            t = (rng.random((rows, n)) < pick(rng, 0.5, 0.1, 0.0, 1.0)).astype(int)
            said = (sigmoid(y) > threshold).astype(int) if threshold != 0.5 else (y > 0).astype(int)
            ask("accuracy", np.average((t == (y > 0)).mean(1), weights=full))
            cut = {"threshold": threshold} if threshold != 0.5 else {}
            if how == "yes":
                a, b = t[:, 0], said[:, 0]
                seen = full > 0
                present = np.union1d(a[seen], b[seen])
                ask("confusion", sk.confusion_matrix(a, b, labels=[0, 1], sample_weight=full), **cut)
                ask("mean_iou", sk.jaccard_score(a, b, labels=present, average="macro", sample_weight=full, zero_division=0), **cut)
                ask("auc", area(a, y[:, 0], full))
                for kind, f in SCORES.items():
                    for average in AVERAGES:
                        ask(kind, f(a, b, labels=present, average=average, sample_weight=full, zero_division=0), average=average, **cut)
                    ask(kind, f(a, b, average="binary", sample_weight=full, zero_division=0), **cut)
            else:
                ask("mean_iou", sk.jaccard_score(t, said, average="macro", sample_weight=full, zero_division=0))
                ask("auc", mean_of([area(t[:, i], y[:, i], full) for i in range(n)]))
                for kind, f in SCORES.items():
                    for average in AVERAGES:
                        ask(kind, f(t, said, average=average, sample_weight=full, zero_division=0), average=average)
            activation, loss = pick(rng, "sigmoid", "identity"), pick(rng, "binary_cross_entropy", "binary_cross_entropy")
            if activation == "sigmoid" and ties is False:
                y = np.clip(y, -30, 30)  # beyond it the probabilities are ties that the logits are not
            given = t[:, 0] if how == "yes" and rng.random() < 0.5 else t
    text = "\n".join(["nnspec: 1", "name: judged", f"inputs: {{y: {{shape: {list(shape[1:])}}}}}", f"layers: [{activation}]", f"loss: {loss}",
                      f"metrics: {json.dumps(names)}", f"batch_size: {batch}", ""])
    model = nnspec.compile(loads(text), backend=backend, precision="float64")
    found = model.evaluate({"y": y, "target": given} | ({} if w is None else {"sample_weight": w}))
    tables = found.tables
    wrong = []
    for entry in names:
        ((kind, fields),) = entry.items()
        name = fields["name"]
        if callable(wanted[name]):  # of equal scores the softmax may differ in its last bit: its own are ranked
            wanted[name] = wanted[name](model.predict(y))
        ours, theirs = np.asarray(tables[name] if name in tables else found[name], float), np.asarray(wanted[name], float)
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True):
            wrong.append(f"{kind} {fields}: {ours.tolist()}, wanted {theirs.tolist()}")
    return f"{text}rows {rows}, weights {w}, targets {np.asarray(given).tolist()}", wrong


KINDS = ("classes", "yes", "labels", "numbers")
