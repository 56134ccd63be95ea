"""What each key of a spec is, in a line, and an example of each kind: for editors and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# by kind.key, family.key or key, the most exact first
KEYS: Mapping[str, str] = {
    # at the top
    "nnspec": "The version of the language: 1.", "name": "What it is called; paths of parameters and runs go by it.",
    "description": "Words for people.",
    "seed": "Initial weights, splits, dropout and order: all of it follows from this number.", "epochs": "How often training goes through the data.",
    "batch_size": "How many rows a training step takes.",
    "precision": "What is computed with: `float32`, `float64`, or 16 bits in products (`mixed_…`).",
    "math": "What may be reordered: `fast`, `strict` (nothing), or `tf32` on a GPU.", "memory": "The most that a training step may take: `512MB`.",
    "threads": "How many threads compute; by default one a core.", "vars": "Names for formulas: `$width`, and `--set vars.width=12`.",
    "early_stopping": "`5` stops after five epochs without a better `validation.loss`.",
    "checkpoint": "Which weights are kept: `{keep: best, watch: …}`.",
    "expect": "What the spec expects of itself: `nnspec test` holds it to that.", "sweep": "Values to try: `{over: {key: [a, b]}, trials: 20}`.",
    "data": "Where the rows come from, their columns, split and preparation.",
    "inputs": "Names and shapes of inputs, channels last, without the batch.",
    "layers": "The network: each entry takes the one above it.", "blocks": "Lists of layers with a name and arguments, used like a layer.",
    "include": "Files whose blocks are brought in.", "outputs": "The names of outputs; by default the last layer.",
    "loss": "What training makes small: one, or several that are summed.", "metrics": "What else is measured.", "optimizer": "How weights are moved.",
    "schedule": "How the learning rate goes over time.", "weights": "Weights to begin with: a run, a model, or a safetensors file.",
    "networks": "Whole networks to build on: files, cut `until` a layer.",
    # of every entry
    "from": "The input(s) by name, instead of the entry above.", "repeat": "How many copies one after another; or lists that are walked.",
    "when": "A formula; the entry is left out where it is false.", "trainable": "`false` freezes it and all inside.",
    "init": "Initial values by parameter: `{kernel: he_normal, bias: 0.1}`.", "only": "Whether it is there in `training` or in `inference` alone.",
    "share": "The entry whose weights it uses.", "regularize": "Penalties by parameter: `{kernel: {l2: 1e-4}}`.",
    "entry.learning_rate": "`0.1x` scales the optimizer's rate here, a number replaces it.", "paths": "Lists of layers, side by side over one input.",
    "merge": "How the paths become one: `concat`, `add`, `multiply`, `average`, `maximum` or `none`.",
    "shortcut": "The layers around the residual; by default none: the input itself.",
    # layers
    "units": "How many numbers a row becomes.", "filters": "How many channels come out.",
    "kernel": "The size of the kernel: a number, or one an axis.",
    "stride": "How far it moves: a number, or one an axis.", "dilation": "How far the kernel's places are apart.",
    "padding": "`valid` (none), `same` (stride 1 keeps the size), a number for all sides, or one a side.",
    "groups": "Into how many groups channels fall.",
    "bias": "Whether a bias is added.", "activation": "The function applied to what comes out: a name, or `{leaky_relu: 0.2}`.",
    "multiplier": "How many channels come of each.", "output_padding": "How many places are added at the far ends.",
    "size": "How large: a number, or one an axis.", "pad.size": "How much is added: a number for all sides, or one a side.",
    "crop1d.size": "How much is taken off: a number for both ends, or one an end.",
    "local_response_norm.size": "How many neighbouring channels count.",
    **dict.fromkeys(("crop2d.size", "crop3d.size"), "How much is taken off: a number for all sides, or one a side."),
    "max_pool.size": "The window: a number, or one an axis.", "avg_pool.size": "The window: a number, or one an axis.",
    "max_pool.stride": "How far the window moves; by default its size.", "avg_pool.stride": "How far the window moves; by default its size.",
    "reshape.shape": "Lengths of axes, the batch not counted; one may be -1: what is left.",
    "grid_sample.padding": "What lies outside of the image: `zeros`, or the place at its `border`.", "crop.padding": "Pixels of 0 on each side.",
    "rate": "The share that is dropped, from 0 to 1.", "vocabulary": "How many words (whole numbers from 0) there are.",
    "shape": "Lengths of axes, the batch not counted.", "axes": "Axes, counted from 0 without the batch.",
    "axis": "An axis, counted from 0 without the batch.",
    "momentum": "How much of the step before goes on.", "batch_norm.momentum": "How much of the moving statistics a step keeps.",
    "epsilon": "A small number that keeps a divisor from 0.",
    "scale": "Whether a factor is learned for each channel.", "resize.scale": "How many times the size becomes.",
    "roi_align.scale": "What corners are multiplied by, to be places of the map.",
    "center": "Whether a shift is learned for each channel.",
    "prepare.scale": "What every value is multiplied by.", "variance": "Which variance the moving statistics keep: of the rows, or unbiased.",
    "elu.alpha": "How far below 0 it goes: to -alpha.", "celu.alpha": "How far below 0 it goes: to -alpha.",
    "prelu.alpha": "The slope below 0 that learning begins with.", "local_response_norm.alpha": "How much the neighbours' squares count.",
    "focal.alpha": "What yes counts (no counts `1 - alpha`), or a list with a number a class.",
    "mixup.alpha": "Beta(alpha, alpha): small is mostly one row.",
    "beta": "The power of the divisor.", "local_response_norm.k": "What is added to the sum.", "top_k.k": "How many of the largest.",
    "slope": "The slope below 0.", "threshold": "What is nearer to 0 becomes 0.",
    "metric.threshold": "From which probability on the answer is yes: 0.5.",
    "factor": "How many times as long each axis becomes.", "pixel_shuffle.factor": "How many times as high and wide.",
    "pixel_unshuffle.factor": "How many rows and columns become channels.", "schedule.factor": "What the rate is multiplied by.",
    "method": "How places between places are read: `nearest`, `bilinear`, ….",
    "align": "What lies on each other: `centers` of places, or `corners`.", "keep": "Whether axes of length 1 stay.",
    "mode": "What lies outside: `constant`, `edge` or `reflect`.",
    "transpose": "Whether the last two axes of the second are swapped.", "equation": "Einstein's: `ij,jk->ik`.",
    "formula": "A formula over tensors: `x * sigmoid(x)`.",
    "normalize": "Whether lengths are divided by: the cosine.", "of": "The activation.", "value": "The value.", "dtype": "The type of its elements.",
    "parts": "How many parts.", "sizes": "The sizes.", "start": "The first place.", "stop": "The place behind the last.",
    "step": "Every how many places.",
    "classes": "The classes.", "indices": "Which places.", "rows": "How many rows the result has.", "probability": "How likely, from 0 to 1.",
    "mean": "The mean.", "deviation": "The standard deviation.", "minimum": "The least value.", "schedule.minimum": "The least rate.",
    "maximum": "How many at most.", "uniform.maximum": "Up to which value.",
    "approximate": "Whether tanh stands for the error function.", "shared": "Whether one alpha serves all channels.",
    "image": "The size of the image.",
    "ratios": "Heights over widths of boxes.", "scales": "Sizes of boxes, as shares of the image.", "steps": "How far boxes are apart.",
    "offset": "What is added.", "limit": "The largest growth of a box.", "source": "How boxes are written now.",
    "target": "What is to be answered: a column, or several.",
    "convert_boxes.target": "How boxes are written then.", "iou_threshold": "Boxes that share more than this are one.",
    "score_threshold": "Boxes with a smaller score are left out.", "minimum_size": "Boxes smaller than this are left out.",
    "candidates": "How many boxes are looked at.", "per_class": "Whether classes are looked at apart.",
    "best_class": "Whether only a box's best class counts.",
    "first_label": "The number of the first class.", "group_sizes": "How many boxes each group has.",
    "aligned": "Whether places are shifted by half a pixel.",
    "sampling_ratio": "How many points are read in each cell, along each axis.", "canonical_level": "The level of a box of canonical size.",
    "canonical_size": "The size of a box that is read from the canonical level.",
    # losses, metrics, optimizers, schedules
    "term.weight": "What it is multiplied by: a number, or a schedule.", "term.from": "The output that it reads; by default the only one.",
    "term.target": "What it compares with: a column, several, an input, or a number.",
    "smoothing": "The share of the target that is spread over all classes.",
    "class_weights": "A weight for each class, or `balanced`.", "reduce": "How elements become one number: `mean`, `sum` or `none`.",
    "ignore": "A class number that counts for nothing.", "gamma": "How much less what is easy counts.", "delta": "Where the square becomes a line.",
    "smooth": "What is added above and below.", "average": "How classes become one number; by default `binary` for yes and no, else `macro`.",
    "optimizer.average": "How slowly the average of the weights moves that is evaluated and saved; by default there is none.",
    "learning_rate": "How far a step goes.", "weight_decay": "How much weights shrink: a rate, or `{rate: 0.01, only: kernels}`.",
    "clip_norm": "The largest norm of all gradients together.", "clip_value": "The largest value of a gradient.",
    "accumulate": "How many steps' gradients make one update.",
    "nesterov": "Whether the step looks ahead.", "beta1": "How slowly the mean of gradients moves.",
    "beta2": "How slowly that of their squares does.",
    "amsgrad": "Whether the largest of these is kept.", "rho": "How slowly the mean of squares moves.", "centered": "Whether the mean is taken off.",
    "momentum_decay": "How the momentum grows.", "warmup": "How long the rate grows from nearly 0: epochs, or `500 steps`.",
    "length": "How long it goes: epochs, or `500 steps`.", "every": "After how many epochs each.", "at": "After which epochs.",
    "power": "The power of what is left.",
    "weightdecay.rate": "What of a parameter is added to its gradient.", "weightdecay.only": "`kernels`: biases and norms are left alone.",
    "exponential.every": "How long until the factor has been applied once.", "stretch.epochs": "How many epochs it lasts.",
    "stretch.trainable": "What moves in it, and nothing else: paths of entries, or patterns with `*`.",
    "stretch.learning_rate": "The optimizer's rate in it.",
    "to": "The rate that it ends at.", "watch": "What is watched: `validation.loss`.", "patience": "How many epochs it waits.",
    "change": "How much counts as better.",
    "cooldown": "How many epochs it rests after a cut.", "gain": "What the variance is multiplied by.",
    "orthogonal.gain": "What the rows or columns are multiplied by.",
    # data
    "columns": "The columns.", "path": "A path relative to the spec, or one a split.", "header": "Whether the first line names columns.",
    "separator": "What stands between cells.", "decimal": "The decimal mark.", "missing": "What stands for a missing cell.",
    "channels": "`gray` or `rgb`.",
    "root": "The folder that paths begin in.", "range": "The least and the largest value.", "by": "How far it may be changed.",
    "degrees": "How far it may be turned.",
    "train": "The share of rows to learn from; by default what the others leave.", "validation": "The share to watch.",
    "test": "The share for the end.",
    "stratify": "A category whose classes are equally frequent in every split.", "folds": "Into how many parts: a training each.",
    "fold": "Which of these alone.",
    "order": "A column by which rows are sorted instead of drawn.", "group": "A column whose equal values stay in one part.",
    "workers": "Threads that read ahead.", "cache": "How much memory decoded images may take.", "balance": "Whether all classes come equally often.",
    "shuffle": "Whether training rows come in a new order in every epoch.", "layout": "Whose names and axes a file has.",
    "rename": "New names for those in the file, by patterns.", "strict": "Whether all must fit.",
    "except": "Patterns of what stays as it was initialised.",
    "checkpoint.every": "After how many steps it saves within an epoch; by default only behind it.",
    "earlystopping.change": "How much counts as better.",
    "direction": "Along which axis.", "fill": "What stands where nothing is.",
}  # fmt: skip

# what a key that must be given may be, in an example
VALUES: Mapping[str, Any] = {
    "units": 64, "filters": 32, "kernel": 3, "size": 2, "rate": 0.5, "vocabulary": 1000, "shape": [8, 8], "axes": [1, 0], "axis": 0, "groups": 4,
    "factor": 2, "equation": "ij,jk->ik", "formula": "x * sigmoid(x)", "of": "relu", "value": 1.0, "dtype": "float32", "parts": 2, "classes": 10,
    "indices": [0], "rows": 10, "k": 5, "image": [224, 224], "stride": 16, "sizes": [32], "ratios": [1.0], "scales": [0.2], "steps": [8],
    "source": "xyxy", "target": "cxcywh", "maximum": 100, "iou_threshold": 0.5, "scale": 2, "every": 10, "at": [30, 60], "to": 0.0, "length": 10,
    "patience": 5, "watch": "validation.loss", "to_range": [0, 1], "degrees": 15, "by": 0.2, "threshold": 0.5, "deviation": 0.1, "columns": ["area"],
}  # fmt: skip


def about(key: str, kind: str = "", family: str = "") -> str:
    """What a key is, in a line; nothing where it is not said."""
    first = kind.split("1d")[0].split("2d")[0].split("3d")[0]
    return next((KEYS[k] for k in (f"{kind}.{key}", f"{first}.{key}", f"{family}.{key}", key) if k in KEYS), "")


def described(properties: Mapping[str, Any], kind: str = "", family: str = "") -> dict[str, Any]:
    """The properties of a mapping, each with what it is where it does not say so itself."""
    return {key: {**value, "description": text} if (text := about(key, kind, family)) and "description" not in value else dict(value)
            for key, value in properties.items()}  # fmt: skip


def example(kind: str, primary: str | None, needed: list[str], family: str = "") -> Any:
    """What may stand after ``kind:``, as short as it can be: the primary value, the keys that are needed, or nothing."""
    values = {key: VALUES.get(f"{kind}.{key}", VALUES.get(f"{family}.{key}", VALUES.get(key))) for key in needed}
    if any(value is None for value in values.values()):
        return None
    return values[primary] if primary is not None and needed == [primary] else values or None
