"""Examples of the reference which cannot be found by trying: entries with inputs that fit, data with files that are there, and small numbers by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nnspec
from nnspec.compiler import loads
from nnspec.layers.activations import Activation
from nnspec.training.schedules import Schedule

MAPS, BOXES = "[8, 8, 4]", "[5, 4]"
# a layer's entry as it stands under ``layers``, and the inputs that it reads: name to shape, or to (shape, dtype)
LAYERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "crop3d": ("crop3d: 1", {"x": "[4, 8, 8, 4]"}),
    "grid_points": ("grid_points: {stride: 8}", {"x": MAPS}),
    "anchor_boxes": ("anchor_boxes: {image: [64, 64], sizes: [[32]]}", {"x": MAPS}),
    "default_boxes": ("default_boxes: {image: [64, 64], scales: [0.2, 0.5]}", {"x": MAPS}),
    "decode_distances": ("decode_distances: {from: {distances: d, points: p}}", {"d": BOXES, "p": "[5, 2]"}),
    "convert_boxes": ("convert_boxes: {source: xyxy, target: cxcywh}", {"x": BOXES}),
    "clip_boxes": ("clip_boxes: [64, 64]", {"x": BOXES}),
    "decode_boxes": ("decode_boxes: {from: {deltas: d, anchors: a}}", {"d": BOXES, "a": BOXES}),
    "einsum": ('einsum: {equation: "ij,jk->ik", from: [a, b]}', {"a": "[3, 4]", "b": "[4, 5]"}),
    "matmul": ("matmul: {from: [a, b], transpose: true}", {"a": "[3, 4]", "b": "[5, 4]"}),
    "parameter": ("parameter: {shape: [4, 8], init: normal}", {}),
    "constant": ("constant: [[1, 2], [3, 4.5]]", {}),
    "normal": ("normal: [16]", {}), "uniform": ("uniform: {shape: [16], minimum: -1}", {}), "bernoulli": ("bernoulli: {shape: [16], probability: 0.2}", {}),
    "gaussian_noise": ("gaussian_noise: 0.1", {"x": "[8]"}),
    "group_norm": ("group_norm: 2", {"x": MAPS}),
    "grid_sample": ("grid_sample: {from: [image, grid]}", {"image": MAPS, "grid": "[5, 6, 2]"}),
    "sparse_matmul": ("sparse_matmul: {from: {matrix: a, x: h}}", {"a": "[20, 3]", "h": "[6, 8]"}),
    "graph_dense": ("graph_dense: {units: 16, from: [h, a]}", {"h": "[6, 8]", "a": "[20, 3]"}),
    "roi_align": ("roi_align: {size: 7, from: {map: f, boxes: b}}", {"f": "[32, 32, 4]", "b": BOXES}),
    "multiscale_roi_align": ("multiscale_roi_align: {size: 7, image: [64, 64], from: [p3, p4, b]}", {"p3": MAPS, "p4": "[4, 4, 4]", "b": BOXES}),
    "resize1d": ("resize1d: 9", {"x": "[6, 8]"}), "resize2d": ("resize2d: {scale: 1.5}", {"x": MAPS}), "resize3d": ("resize3d: {scale: 2}", {"x": "[2, 4, 4, 3]"}),
    "resize": ("resize: {size: [5, 7]}", {"x": MAPS}),
    "split": ("split: 2", {"x": "[6, 8]"}), "stack": ("stack: {from: [x, y]}", {"x": "[8]", "y": "[8]"}),
    "gather": ("gather: {indices: 0, axis: 0}", {"x": "[6, 8]"}),
    "one_hot": ("one_hot: 10", {"x": ("[6]", "int32")}), "cast": ("cast: float32", {"x": ("[8]", "int32")}),
    "permute": ("permute: [2, 0, 1]", {"x": MAPS}),
    "non_max_suppression": ("non_max_suppression: {maximum: 3, from: {boxes: b, scores: s}}", {"b": BOXES, "s": "[5, 2]"}),
    "best_boxes": ("best_boxes: {maximum: 3, from: {boxes: b, scores: s}}", {"b": BOXES, "s": "[5]"}),
    "slice": ("slice: {start: 1, stop: -1}", {"x": "[6, 8]"}), "reshape": ("reshape: [2, -1]", {"x": "[6, 4]"}),
    "squeeze": ("squeeze", {"x": "[1, 8, 1]"}), "unsqueeze": ("unsqueeze: 0", {"x": "[8]"}), "flatten": ("flatten", {"x": MAPS}),
    "concat": ("concat: {from: [x, y]}", {"x": "[6, 8]", "y": "[6, 2]"}), "dot": ("dot: {from: [x, y]}", {"x": "[3, 4]", "y": "[5, 4]"}),
    "reduce_mean": ("reduce_mean: {axes: 0, keep: true}", {"x": "[6, 8]"}), "reduce_max": ("reduce_max: 0", {"x": "[6, 8]"}),
    "batch_norm": ("batch_norm", {"x": MAPS}), "instance_norm": ("instance_norm", {"x": MAPS}), "layer_norm": ("layer_norm", {"x": "[6, 8]"}),
    "spatial_dropout": ("spatial_dropout: 0.2", {"x": MAPS}), "dropout": ("dropout: 0.2", {"x": "[8]"}), "local_response_norm": ("local_response_norm: 5", {"x": MAPS}),
    "math": ('math: "x * sigmoid(x)"', {"x": "[8]"}), "multiply": ("multiply: {from: [x, gate]}", {"x": MAPS, "gate": "[1, 1, 4]"}),
}  # fmt: skip

# what stands under ``data`` (sources and types of columns), as it is written beside the files of ``files``
DATA: Mapping[str, str] = {
    "csv": "csv: {path: houses.csv, target: price}", "digits": "digits", "iris": "iris",
    "files": "files: {image: \"img/*.png\", mask: {path: \"mask/*.png\", as: labels}, target: mask}",
    "idx": "idx: {image: images.idx, label: labels.idx, target: label}", "image_folder": "image_folder: {path: photos, size: 32}",
    "inline": "inline: {columns: {x: [[0, 0], [0, 1]], y: [0, 1]}, target: y}", "npz": "npz: {path: arrays.npz, target: y}",
    "parquet": "parquet: {path: houses.parquet, target: price}",
    "category": "csv: {path: houses.csv, target: price}\ncolumns: {street: {category: {missing: most_frequent}}}",
    "number": "csv: {path: rooms.csv, target: price}\ncolumns: {rooms: {number: {missing: median}}}",
    "drop": "csv: {path: houses.csv, target: price}\ncolumns: {id: drop}",
    "image": "csv: {path: pictures.csv, target: kind}\ncolumns: {file: {image: {size: 32}}}",
    "split": "iris\nsplit: {train: 0.6, validation: 0.2, test: 0.2, stratify: species}", "loading": "digits\nworkers: 0\nbalance: true",
}  # fmt: skip
# what stands under ``prepare`` or ``augment``, over iris and digits
PREPARE: Mapping[str, str] = {
    "min_max": "min_max", "standardize": "standardize", "rescale": "rescale: {scale: 0.1}", "one_hot": "one_hot: species",
}  # fmt: skip
AUGMENT: Mapping[str, str] = {
    "brightness": "brightness: 0.1", "contrast": "contrast: 0.2", "crop": "crop: 1", "cutout": "cutout: 2", "flip": "flip: horizontal", "mixup": "mixup",
    "noise": "noise: 0.05", "rotate": "rotate: 10", "scale": "scale: 0.1",
}  # fmt: skip


def number(x: float) -> str:
    return f"{x:.4g}" if abs(x) > 1e-12 else "0"


def numbers(values: Any) -> str:
    return ", ".join(number(float(v)) for v in np.ravel(values))


@cache
def activations() -> dict[str, str]:
    """What each activation makes of five numbers, from one network that has all of them."""
    kinds = sorted(Activation.activations)
    layers = ", ".join(f"{{{k}: {{from: x, name: at_{k}}}}}" for k in kinds)
    text = f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [5]}}}}\nlayers: [{layers}]\noutputs: [{', '.join(f'at_{k}' for k in kinds)}]\n"
    out = nnspec.compile(loads(text)).predict(np.array([[-2.0, -0.5, 0.0, 0.5, 2.0]]), raw=True)
    return {k: f"`-2, -0.5, 0, 0.5, 2` become `{numbers(out[f'at_{k}'][0])}`." for k in kinds}


# output and target of a row or more, and the loss as it is written
LOSSES: Mapping[str, tuple[str, Any, Any, str]] = {
    "mse": ("mse", [[1.0, 3.0]], [[0.0, 1.0]], ""), "mae": ("mae", [[1.0, 3.0]], [[0.0, 1.0]], ""), "huber": ("huber: 1", [[0.5, 3.0]], [[0.0, 1.0]], ""),
    "hinge": ("hinge", [[0.25]], [[1.0]], ""), "cross_entropy": ("cross_entropy", [[2.0, 1.0, 0.0]], [0], ""),
    "binary_cross_entropy": ("binary_cross_entropy", [[2.0]], [[1.0]], ""), "focal": ("focal: 2", [[2.0]], [[1.0]], ""),
    "kl_divergence": ("kl_divergence", [[0.5, 0.5]], [[0.25, 0.75]], ""), "dice": ("dice", [[[2.0], [-2.0]]], [[[1.0], [0.0]]], ""),
    "perceptron": ("perceptron", [[0.5]], [[0.0]], "step"), "value": ("value: {from: x}", [[1.0, 3.0]], None, ""),
}  # fmt: skip


@cache
def loss(kind: str) -> str:
    written, output, target, last = LOSSES[kind]
    shape = list(np.shape(output)[1:])
    text = f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: {shape}}}}}\nlayers: [{last or 'identity'}]\nloss: {{{written}}}\n".replace("{mse}", "mse")
    given = {"x": np.array(output)} | ({} if target is None else {"target": np.array(target)})
    value = nnspec.compile(loads(text)).evaluate(given)["loss"]
    said = "" if target is None else f", target `{target[0]}`"
    return f"Output `{output[0]}`{said}: `{number(value)}`."


METRICS = (("accuracy", "top_k: 2", "auc", "f1", "precision", "recall", "mean_iou"), ("mae", "mse", "rmse", "r2"))
SCORES, LABELS = [[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [1.0, 2.0, 0.0]], [0, 2, 1, 2]
ANSWERS, TRUTHS = [[1.0], [2.0], [4.0], [5.0]], [[1.0], [3.0], [3.0], [5.0]]


@cache
def metrics() -> dict[str, str]:
    """What every metric says of four rows."""
    out: dict[str, str] = {}
    for kinds, loss_, x, y in ((METRICS[0], "cross_entropy", SCORES, LABELS), (METRICS[1], "mse", ANSWERS, TRUTHS)):
        listed = ", ".join(f"{{{k}}}" if ":" in k else k for k in kinds)
        text = f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [{len(x[0])}]}}}}\nlayers: [identity]\nloss: {loss_}\nmetrics: [{listed}]\n"
        told = nnspec.compile(loads(text)).evaluate({"x": np.array(x), "target": np.array(y)})
        for k in kinds:
            said = f"Scores `{SCORES}` of classes `{LABELS}`" if x is SCORES else f"Outputs `{[v[0] for v in ANSWERS]}`, targets `{[v[0] for v in TRUTHS]}`"
            out[k.split(":")[0]] = f"{said}: `{number(float(told[k.split(':')[0]]))}`{' for ' + '`' + k + '`' if ':' in k else ''}."
    return out | {"confusion": "`nnspec evaluate` prints the table, and `nnspec view` draws it."}


@cache
def optimizer(kind: str) -> str:
    """Three steps over ``p^2 / 2`` from 1."""
    text = f"""
nnspec: 1
precision: float64
inputs: {{x: {{shape: [1]}}}}
layers: [parameter: {{shape: [1], name: p, init: 1.0}}, math: {{formula: p * p / 2, from: {{p: p}}, name: l}}, add: {{from: [x, l]}}]
loss: value
optimizer: {{{kind}: 0.1}}
"""
    model = nnspec.compile(loads(text))
    told = []
    for _ in range(3):
        model.train_batch({"x": np.zeros((1, 1))})
        told.append(float(np.asarray(next(iter(model.parameters.values())))[0]))
    return f"`{kind}: 0.1` moves p = 1 over the loss `p^2 / 2` to `{numbers(told)}`."


SCHEDULES: Mapping[str, str] = {"constant": "{}", "step": "every: 4", "multistep": "at: [2, 5]", "exponential": "factor: 0.5", "plateau": "", "linear": "", "cosine": "",
                                "polynomial": "power: 2"}  # fmt: skip


def schedule(kind: str) -> str:
    """The rate at the beginning of some epochs of ten."""
    given: dict[str, dict[str, Any]] = {"step": {"every": 4}, "multistep": {"at": (2, 5)}, "exponential": {"factor": 0.5}, "polynomial": {"power": 2.0}}
    made = Schedule.registry[kind](**given.get(kind, {}))
    entry = f"{kind}: {{{SCHEDULES[kind]}}}" if kind in given else kind
    if kind == "plateau":
        return "`plateau: {patience: 3, factor: 0.5}` halves the rate after three epochs without a better `validation.loss`."
    rates = [made.rate(epoch * 20, 0.1, 20, 200) for epoch in (0, 2, 5, 8, 10)]
    return f"`{entry}` of a rate 0.1 over 10 epochs: `{numbers(rates)}` at epochs 0, 2, 5, 8 and 10."


@cache
def initializer(kind: str) -> str:
    """The least, the largest and the deviation of a kernel of 64 x 32."""
    entry = f"{{{kind}: 0.1}}" if kind == "constant" else kind
    model = nnspec.compile(loads(f"nnspec: 1\ninputs: {{x: {{shape: [64]}}}}\nlayers: [dense: {{units: 32, init: {{kernel: {entry}}}}}]\n"), seed=0)
    k = np.asarray(model.parameters["dense_1/kernel"])
    return f"`init: {{kernel: {entry}}}` of a kernel 64 x 32: from `{k.min():.3g}` to `{k.max():.3g}`, deviation `{k.astype(float).std():.2g}`."


def files(folder: Path) -> Iterator[str]:
    """Writes the files that the examples of data read; gives the kinds that need an extra which is not there."""
    rows = "\n".join(f"{i},{50 + i},{'high' if i % 2 else 'low'},{i % 4},{100 + 3 * i}" for i in range(12))
    (folder / "houses.csv").write_text(f"id,area,street,rooms,price\n{rows}\n", "utf-8")
    (folder / "rooms.csv").write_text("rooms,price\n3,100\n,90\n4,120\n", "utf-8")
    np.savez(folder / "arrays.npz", x=np.arange(24.0).reshape(12, 2), y=np.arange(12.0))
    (folder / "images.idx").write_bytes(bytes([0, 0, 8, 3]) + b"".join(int(n).to_bytes(4, "big") for n in (12, 4, 4)) + bytes(range(192)))
    (folder / "labels.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 12]) + bytes([0, 1] * 6))
    try:
        from PIL import Image
    except ImportError:
        yield from ("files", "image_folder", "image")
    else:
        for name in ("img/a", "img/b", "photos/cat/1", "photos/dog/1"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (10, 20, 30)).save(folder / f"{name}.png")
        (folder / "mask").mkdir(exist_ok=True)
        for name in "ab":
            Image.new("L", (40, 40), 1 if name == "a" else 0).save(folder / f"mask/{name}.png")
        (folder / "pictures.csv").write_text("file,kind\nimg/a.png,x\nimg/b.png,y\n", "utf-8")
    try:
        import pyarrow.parquet as pq
        from pyarrow import table
    except ImportError:
        yield "parquet"
    else:
        pq.write_table(table({"area": [50.0, 60.0], "price": [100.0, 130.0]}), folder / "houses.parquet")
