"""Who in Keras and PyTorch does what a kind of ours does, and the defaults there: cells of the reference, each looked up in the library itself.

``KERAS_BACKEND=torch python -m tests.docs_kin`` writes what the libraries that can be imported say into ``tests/reference/signatures.json``; a test
asks PyTorch again. A class is named as it is written there; ``field: word`` says what a field of ours is called there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent / "reference" / "signatures.json"


class Kin(NamedTuple):
    """A class of Keras's and one of PyTorch's ("" where there is none), and what differs, in a sentence."""

    keras: str = ""
    torch: str = ""
    differs: str = ""


_SAME = "`padding: same` puts an odd place behind, as Keras; PyTorch's `padding=1` pads both sides: at stride 2 they differ."
_START = "Kernels start `glorot_uniform` and biases at 0, as in Keras; PyTorch draws both uniformly within 1 / √fan_in."
_POOL = "PyTorch counts padding in the divisor unless `count_include_pad=False`; here and in Keras it is left out."
_MOMENTUM = "PyTorch's `momentum` is what the new statistics weigh, 1 less ours, and its moving variance is unbiased: `variance: unbiased`."
_NEAREST = "PyTorch's `mode` is `nearest` or `bilinear` with `align_corners=False`: the same places."
_BIAS = "PyTorch's `weight_decay` is added to the gradient, as here; Keras's is decoupled."
_LOGITS = "Whether an output is logits or probabilities is found from the layer that it comes from: no `from_logits`, no second class."
_GAIN = "`gain` multiplies the variance, as `scale` of Keras's `VarianceScaling`; PyTorch's multiplies the bound: write its square."
_EPSILON = "PyTorch's epsilon is smaller."


def _axes(names: Mapping[str, tuple[str, str, str]]) -> dict[str, Kin]:
    """One line for a kind of 1, 2 and 3 axes: ``#`` is the number."""
    return {kind.replace("#", n): Kin(*(part.replace("#", n) for part in parts)) for kind, parts in names.items() for n in "123"}


LAYERS: dict[str, Kin] = {
    **_axes({
        "conv#d": ("layers.Conv#D", "nn.Conv#d", f"{_SAME} {_START} Kernels are `(k…, in / groups, filters)`, as in Keras; PyTorch's `(filters, in / groups, k…)`."),
        "conv_transpose#d": ("layers.Conv#DTranspose", "nn.ConvTranspose#d", f"With a number for `padding` sizes are PyTorch's, with `valid` and `same` Keras's. {_START}"),
        "max_pool#d": ("layers.MaxPooling#D", "nn.MaxPool#d", "`same` as in Keras; a number as in PyTorch. Sizes are rounded down (`ceil_mode=False`)."),
        "avg_pool#d": ("layers.AveragePooling#D", "nn.AvgPool#d", _POOL),
        "global_avg_pool#d": ("layers.GlobalAveragePooling#D", "nn.AdaptiveAvgPool#d", "PyTorch: `nn.AdaptiveAvgPool#d(1)` and `nn.Flatten()`."),
        "global_max_pool#d": ("layers.GlobalMaxPooling#D", "nn.AdaptiveMaxPool#d", "PyTorch: `nn.AdaptiveMaxPool#d(1)` and `nn.Flatten()`; it gives the gradient to the first of equals."),
        "adaptive_avg_pool#d": ("", "nn.AdaptiveAvgPool#d", "The same windows as PyTorch's."),
        "pad#d": ("layers.ZeroPadding#D", "nn.ConstantPad#d", "`mode: reflect` is PyTorch's `ReflectionPad#d`, `mode: edge` its `ReplicationPad#d`; PyTorch counts sides from the last axis: left, right, top, bottom."),
        "crop#d": ("layers.Cropping#D", "", "PyTorch: slicing, or `F.pad` by negative numbers."),
        "upsample#d": ("layers.UpSampling#D", "nn.Upsample", _NEAREST),
    }),
    "depthwise_conv1d": Kin("layers.DepthwiseConv1D", "nn.Conv1d", f"PyTorch: `groups` as many as channels. {_SAME} {_START}"),
    "depthwise_conv2d": Kin("layers.DepthwiseConv2D", "nn.Conv2d", f"PyTorch: `groups` as many as channels. {_SAME} {_START}"),
    "depthwise_conv3d": Kin("", "nn.Conv3d", f"PyTorch: `groups` as many as channels. {_SAME} {_START}"),
    "separable_conv1d": Kin("layers.SeparableConv1D", "", f"PyTorch: `nn.Conv1d` with groups, then one of kernel 1. {_START}"),
    "separable_conv2d": Kin("layers.SeparableConv2D", "", f"PyTorch: `nn.Conv2d` with groups, then one of kernel 1. {_START}"),
    "dense": Kin("layers.Dense", "nn.Linear", f"{_START} The kernel is `(in, units)`, as in Keras; PyTorch's `weight` is its transpose."),
    "embedding": Kin("layers.Embedding", "nn.Embedding", "Starts uniform within ±0.05, as in Keras; PyTorch's is normal with deviation 1: `init: {embedding: {normal: {deviation: 1.0}}}`."),
    "batch_norm": Kin("layers.BatchNormalization", "nn.BatchNorm2d", _MOMENTUM),
    "layer_norm": Kin("layers.LayerNormalization", "nn.LayerNorm", "PyTorch's `normalized_shape` are lengths, `axes` here are numbers of axes."),
    "group_norm": Kin("layers.GroupNormalization", "nn.GroupNorm", "Keras makes 32 groups unless told."),
    "instance_norm": Kin("", "nn.InstanceNorm2d", "PyTorch learns no scale and shift unless `affine=True`. Keras: `GroupNormalization(groups=-1)`."),
    "rms_norm": Kin("layers.RMSNormalization", "nn.RMSNorm", "PyTorch's `eps=None` is the smallest step of the dtype, 1.2e-7 in single precision."),
    "local_response_norm": Kin("", "nn.LocalResponseNorm", "The same arithmetic and defaults as PyTorch's, over the last axis."),
    "dropout": Kin("layers.Dropout", "nn.Dropout", "Keras's `rate` has no default."),
    "spatial_dropout": Kin("layers.SpatialDropout2D", "nn.Dropout2d", "One kind for 1, 2 and 3 axes."),
    "gaussian_noise": Kin("layers.GaussianNoise", ""),
    "drop_path": Kin("", "", "torchvision: `ops.StochasticDepth(rate, \"row\")`; timm: `DropPath`."),
    "flatten": Kin("layers.Flatten", "nn.Flatten", "PyTorch's order is channels, height, width: `weights: {layout: torch}` reorders what stands behind."),
    "reshape": Kin("layers.Reshape", "nn.Unflatten", "PyTorch: `x.view(n, …)`, with the batch."),
    "permute": Kin("layers.Permute", "torch.permute", "Keras counts axes from 1, PyTorch counts the batch as 0; here 0 is the first behind the batch."),
    "transpose": Kin("", "torch.transpose", "PyTorch counts the batch as axis 0."),
    "add": Kin("layers.Add", "torch.add"), "subtract": Kin("layers.Subtract", "torch.sub"), "multiply": Kin("layers.Multiply", "torch.mul"),
    "average": Kin("layers.Average", ""), "maximum": Kin("layers.Maximum", "torch.maximum"), "minimum": Kin("layers.Minimum", "torch.minimum"),
    "concat": Kin("layers.Concatenate", "torch.cat", "Keras and PyTorch count the batch as axis 0, PyTorch joins along it unless told."),
    "dot": Kin("layers.Dot", "", "Keras counts the batch as axis 0 and gives `axes` no default."),
    "stack": Kin("ops.stack", "torch.stack", "Both count the batch as axis 0."),
    "split": Kin("ops.split", "torch.split", "PyTorch's number is the size of a part, Keras's and ours how many there are."),
    "matmul": Kin("ops.matmul", "torch.matmul"), "einsum": Kin("ops.einsum", "torch.einsum", "Both write the batch's letter, here it is implied."),
    "gather": Kin("ops.take", "torch.index_select", "Both count the batch as axis 0."),
    "one_hot": Kin("ops.one_hot", "nn.functional.one_hot", "PyTorch counts the classes where it is not told, and refuses numbers beyond them."),
    "top_k": Kin("ops.top_k", "torch.topk"), "where": Kin("ops.where", "torch.where"), "cast": Kin("ops.cast", ""),
    "squeeze": Kin("ops.squeeze", "torch.squeeze"), "unsqueeze": Kin("ops.expand_dims", "torch.unsqueeze"),
    "reduce_mean": Kin("ops.mean", "torch.mean"), "reduce_sum": Kin("ops.sum", "torch.sum"), "reduce_max": Kin("ops.max", "torch.amax"),
    "reduce_min": Kin("ops.min", "torch.amin"),
    "pixel_shuffle": Kin("", "nn.PixelShuffle", "The same order of channels; TensorFlow's `depth_to_space` has another."),
    "pixel_unshuffle": Kin("", "nn.PixelUnshuffle", "The same order of channels; TensorFlow's `space_to_depth` has another."),
    "grid_sample": Kin("", "nn.functional.grid_sample", "`align: corners` is `align_corners=True`."),
    "resize2d": Kin("layers.Resizing", "nn.functional.interpolate", "`align: corners` is `align_corners=True`; PyTorch's `mode` is `nearest` unless told, ours bilinear, as Keras."),
    "resize1d": Kin("", "nn.functional.interpolate"), "resize3d": Kin("", "nn.functional.interpolate"), "resize": Kin("", "nn.functional.interpolate"),
    "stop_gradient": Kin("ops.stop_gradient", "", "PyTorch: `x.detach()`."), "slice": Kin("", "", "Both: `x[:, start:stop:step]`."),
    "parameter": Kin("Variable", "nn.Parameter", "Keras: `self.add_weight(shape=…)` in a layer of your own."),
    "normal": Kin("random.normal", "torch.randn"), "uniform": Kin("random.uniform", "torch.rand"), "bernoulli": Kin("", "torch.bernoulli"),
    "activation": Kin("layers.Activation", ""), "math": Kin("layers.Lambda", "", "No Python: a formula."),
    "non_max_suppression": Kin("", "", "torchvision: `ops.batched_nms`."), "roi_align": Kin("", "", "torchvision: `ops.roi_align`."),
    # activations
    "relu": Kin("activations.relu", "nn.ReLU"), "relu6": Kin("activations.relu6", "nn.ReLU6"),
    "leaky_relu": Kin("layers.LeakyReLU", "nn.LeakyReLU", "Keras's layer has 0.3, its function 0.2; ours is PyTorch's."),
    "prelu": Kin("layers.PReLU", "nn.PReLU", "Keras learns an alpha for each element and starts at 0; PyTorch one for all and starts at 0.25: `shared: true`."),
    "elu": Kin("layers.ELU", "nn.ELU"), "celu": Kin("activations.celu", "nn.CELU"), "selu": Kin("activations.selu", "nn.SELU"),
    "gelu": Kin("activations.gelu", "nn.GELU", "PyTorch's `approximate` is `none` or `tanh`."), "silu": Kin("activations.silu", "nn.SiLU"),
    "mish": Kin("activations.mish", "nn.Mish"), "softplus": Kin("activations.softplus", "nn.Softplus"), "softsign": Kin("activations.softsign", "nn.Softsign"),
    "sigmoid": Kin("activations.sigmoid", "nn.Sigmoid"), "tanh": Kin("activations.tanh", "nn.Tanh"), "softmax": Kin("layers.Softmax", "nn.Softmax"),
    "log_softmax": Kin("activations.log_softmax", "nn.LogSoftmax"), "log_sigmoid": Kin("activations.log_sigmoid", "nn.LogSigmoid"),
    "hard_sigmoid": Kin("activations.hard_sigmoid", "nn.Hardsigmoid"), "hard_silu": Kin("activations.hard_silu", "nn.Hardswish"),
    "hard_tanh": Kin("activations.hard_tanh", "nn.Hardtanh"), "hard_shrink": Kin("activations.hard_shrink", "nn.Hardshrink"),
    "soft_shrink": Kin("activations.soft_shrink", "nn.Softshrink"), "tanh_shrink": Kin("activations.tanh_shrink", "nn.Tanhshrink"),
    "identity": Kin("activations.linear", "nn.Identity"), "exponential": Kin("activations.exponential", "torch.exp"), "arctan": Kin("ops.arctan", "torch.atan"),
}  # fmt: skip

LOSSES: dict[str, Kin] = {
    "cross_entropy": Kin("losses.SparseCategoricalCrossentropy", "nn.CrossEntropyLoss", _LOGITS),
    "binary_cross_entropy": Kin("losses.BinaryCrossentropy", "nn.BCEWithLogitsLoss", _LOGITS),
    "mse": Kin("losses.MeanSquaredError", "nn.MSELoss"), "mae": Kin("losses.MeanAbsoluteError", "nn.L1Loss"),
    "huber": Kin("losses.Huber", "nn.HuberLoss", "PyTorch's `SmoothL1Loss(beta)` is this divided by beta."),
    "hinge": Kin("losses.Hinge", "", "PyTorch: `clamp(1 - t * y, min=0).mean()`; its `HingeEmbeddingLoss` is another."),
    "kl_divergence": Kin("losses.KLDivergence", "nn.KLDivLoss", "PyTorch's takes logarithms of the output, and its `mean` divides by elements, not by rows."),
    "focal": Kin("losses.BinaryFocalCrossentropy", "", "torchvision: `ops.sigmoid_focal_loss(alpha=0.25, gamma=2)`; no `alpha` here unless told."),
    "dice": Kin("losses.Dice", "", "Keras's `smooth` is 0, but for 1e-7 in the divisor."),
    "value": Kin("", "", "Keras: `self.add_loss(x)`; PyTorch: `loss = loss + x.mean()`."),
}  # fmt: skip

METRICS: dict[str, Kin] = {
    "accuracy": Kin("metrics.SparseCategoricalAccuracy", "", "PyTorch: `(scores.argmax(-1) == labels).float().mean()`."),
    "auc": Kin("metrics.AUC", "", "Keras counts at 200 thresholds, here every row's score counts, as in scikit-learn's `roc_auc_score`."),
    "f1": Kin("metrics.F1Score", "", "scikit-learn's `f1_score`."), "precision": Kin("metrics.Precision", "", "scikit-learn's `precision_score`."),
    "recall": Kin("metrics.Recall", "", "scikit-learn's `recall_score`."), "mae": Kin("metrics.MeanAbsoluteError", ""), "mse": Kin("metrics.MeanSquaredError", ""),
    "rmse": Kin("metrics.RootMeanSquaredError", ""), "r2": Kin("metrics.R2Score", "", "scikit-learn's `r2_score`."), "mean_iou": Kin("metrics.MeanIoU", ""),
    "top_k": Kin("metrics.SparseTopKCategoricalAccuracy", ""), "confusion": Kin("", "", "scikit-learn's `confusion_matrix`."),
}  # fmt: skip

OPTIMIZERS: dict[str, Kin] = {
    "sgd": Kin("optimizers.SGD", "optim.SGD", "PyTorch's velocity does not hold the rate, as here; Keras's does: they differ where the rate changes."),
    "adam": Kin("optimizers.Adam", "optim.Adam", f"{_EPSILON} {_BIAS} Keras adds epsilon before the correction of v."),
    "adamw": Kin("optimizers.AdamW", "optim.AdamW", f"{_EPSILON} Keras's decay is 0.004, as here, PyTorch's 0.01."),
    "rmsprop": Kin("optimizers.RMSprop", "optim.RMSprop", "PyTorch's `alpha` is our `rho`. Keras has epsilon inside the root."),
    "adagrad": Kin("optimizers.Adagrad", "optim.Adagrad", "Keras starts the sum at 0.1, PyTorch and we at 0."),
    "adadelta": Kin("optimizers.Adadelta", "optim.Adadelta"), "adamax": Kin("optimizers.Adamax", "optim.Adamax"),
    "nadam": Kin("optimizers.Nadam", "optim.NAdam", "Keras has no `momentum_decay`: its momentum grows as if that were 1."), "lion": Kin("optimizers.Lion", ""),
}  # fmt: skip

SCHEDULES: dict[str, Kin] = {
    "constant": Kin("", "", "PyTorch: none; `optim.lr_scheduler.ConstantLR` is a stretch at a share of the rate."),
    "cosine": Kin("optimizers.schedules.CosineDecay", "optim.lr_scheduler.CosineAnnealingLR", "PyTorch goes up again past `T_max`; Keras's `alpha` is a share of the rate, our `minimum` a rate, as PyTorch's."),
    "exponential": Kin("optimizers.schedules.ExponentialDecay", "optim.lr_scheduler.ExponentialLR", "PyTorch steps once an epoch; here at every step."),
    "linear": Kin("", "optim.lr_scheduler.LinearLR", "PyTorch's factors are shares of the rate, our `to` is a rate."),
    "multistep": Kin("optimizers.schedules.PiecewiseConstantDecay", "optim.lr_scheduler.MultiStepLR"),
    "plateau": Kin("callbacks.ReduceLROnPlateau", "optim.lr_scheduler.ReduceLROnPlateau", "PyTorch cuts one epoch later for the same patience, and its `threshold` is a share unless `threshold_mode=\"abs\"`."),
    "polynomial": Kin("optimizers.schedules.PolynomialDecay", "optim.lr_scheduler.PolynomialLR", "Keras ends at 1e-4."),
    "step": Kin("", "optim.lr_scheduler.StepLR", "Keras: `ExponentialDecay(staircase=True)`."),
}  # fmt: skip

INITIALIZERS: dict[str, Kin] = {
    "constant": Kin("initializers.Constant", "nn.init.constant_"), "zeros": Kin("initializers.Zeros", "nn.init.zeros_"),
    "ones": Kin("initializers.Ones", "nn.init.ones_"), "normal": Kin("initializers.RandomNormal", "nn.init.normal_"),
    "uniform": Kin("initializers.RandomUniform", "nn.init.uniform_"),
    "truncated_normal": Kin("initializers.TruncatedNormal", "nn.init.trunc_normal_", "PyTorch cuts at ±2 whatever the deviation; here and in Keras at two deviations."),
    "glorot_uniform": Kin("initializers.GlorotUniform", "nn.init.xavier_uniform_", f"{_GAIN}"),
    "glorot_normal": Kin("initializers.GlorotNormal", "nn.init.xavier_normal_", f"PyTorch's normal is not truncated. {_GAIN}"),
    "he_uniform": Kin("initializers.HeUniform", "nn.init.kaiming_uniform_", "PyTorch's `a` is the slope of a leaky relu, 0 as here."),
    "he_normal": Kin("initializers.HeNormal", "nn.init.kaiming_normal_", "PyTorch's normal is not truncated."),
    "lecun_uniform": Kin("initializers.LecunUniform", ""), "lecun_normal": Kin("initializers.LecunNormal", ""),
    "orthogonal": Kin("initializers.Orthogonal", "nn.init.orthogonal_"),
}  # fmt: skip

FAMILIES: Mapping[str, Mapping[str, Kin]] = {
    "layer": LAYERS, "loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "initializer": INITIALIZERS,
}  # fmt: skip

# our fields in their words: by kind.field or field, Keras's candidates and PyTorch's
WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "filters": (("filters",), ("out_channels",)), "kernel": (("kernel_size",), ("kernel_size",)), "stride": (("strides",), ("stride",)),
    "padding": (("padding",), ("padding", "padding_mode")), "dilation": (("dilation_rate",), ("dilation",)), "groups": (("groups",), ("groups", "num_groups")),
    "activation": (("activation",), ()), "bias": (("use_bias",), ("bias",)), "multiplier": (("depth_multiplier",), ()),
    "output_padding": (("output_padding",), ("output_padding",)), "units": (("units", "output_dim"), ("out_features", "embedding_dim")),
    "vocabulary": (("input_dim",), ("num_embeddings",)), "size": (("pool_size", "padding", "cropping", "size"), ("kernel_size", "output_size", "padding", "size")),
    "local_response_norm.size": ((), ("size",)), "local_response_norm.k": ((), ("k",)),
    "factor": (("size", "factor", "decay_rate"), ("upscale_factor", "downscale_factor", "scale_factor", "gamma", "factor")),
    "keep": (("keepdims",), ("keepdim",)), "axes": (("axes", "axis", "dims"), ("dim", "dims")), "axis": (("axis",), ("dim",)),
    "momentum": (("momentum",), ("momentum",)), "epsilon": (("epsilon",), ("eps",)), "scale": (("scale",), ("affine", "elementwise_affine", "scale_factor")),
    "center": (("center",), ("affine",)), "alpha": (("alpha", "alpha_initializer"), ("alpha", "init")), "beta": ((), ("beta",)),
    "rate": (("rate",), ("p",)), "deviation": (("stddev",), ("std",)), "mean": (("mean",), ("mean",)), "value": (("value",), ("val",)),
    "minimum": (("minval", "min_lr"), ("a", "low", "eta_min", "min_lr")), "maximum": (("maxval",), ("b",)), "slope": (("negative_slope",), ("negative_slope",)),
    "approximate": (("approximate",), ("approximate",)), "threshold": (("threshold", "thresholds"), ("lambd",)), "gain": (("gain",), ("gain",)),
    "normalize": (("normalize",), ()), "k": (("k",), ()), "classes": (("num_classes",), ("num_classes",)), "method": (("interpolation",), ("mode",)),
    "align": ((), ("align_corners",)), "reduce": (("reduction",), ("reduction",)), "smoothing": (("label_smoothing",), ("label_smoothing",)),
    "class_weights": ((), ("weight",)), "ignore": (("ignore_class",), ("ignore_index",)), "delta": (("delta",), ("delta",)), "gamma": (("gamma",), ()),
    "average": (("average",), ()), "learning_rate": (("learning_rate",), ("lr",)), "weight_decay": (("weight_decay",), ("weight_decay",)),
    "clip_norm": (("global_clipnorm",), ()), "clip_value": (("clipvalue",), ()), "accumulate": (("gradient_accumulation_steps",), ()),
    "nesterov": (("nesterov",), ("nesterov",)), "beta1": (("beta_1",), ("betas",)), "beta2": (("beta_2",), ("betas",)), "amsgrad": (("amsgrad",), ("amsgrad",)),
    "rho": (("rho",), ("rho", "alpha")), "centered": (("centered",), ("centered",)), "momentum_decay": ((), ("momentum_decay",)),
    "length": (("decay_steps",), ("T_max", "total_iters")), "every": (("decay_steps",), ("step_size",)), "at": (("boundaries",), ("milestones",)),
    "power": (("power",), ("power",)), "to": (("end_learning_rate",), ("end_factor",)), "watch": (("monitor",), ()), "patience": (("patience",), ("patience",)),
    "change": (("min_delta",), ("threshold",)), "cooldown": (("cooldown",), ("cooldown",)), "warmup": (("warmup_steps",), ()),
    "probability": ((), ()), "dtype": (("dtype",), ()), "indices": (("indices",), ("index",)), "parts": (("indices_or_sections",), ()),
    "sizes": ((), ("split_size_or_sections",)), "mode": ((), ()), "shape": (("target_shape", "shape"), ("unflattened_size", "size")),
    "conv_transpose1d.activation": (("activation",), ()), "smooth": (("smooth",), ()), "equation": (("subscripts",), ("equation",)),
    "shared": (("shared_axes",), ("num_parameters",)), "pad1d.size": (("padding",), ("padding",)), "optimizer.average": (("use_ema",), ()),
}  # fmt: skip


def _find(library: str, name: str) -> Any:
    """What stands under a name of ``keras`` or ``torch``."""
    parts = name.split(".")
    for cut in range(len(parts), -1, -1):
        try:
            found: Any = importlib.import_module(".".join([library, *parts[:cut]]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise LookupError(name)


def asked(library: str) -> dict[str, dict[str, str]]:
    """The parameters of every class that is named above, with their defaults ("" where there is none), as the library has them."""
    names = sorted({getattr(kin, library) for kins in FAMILIES.values() for kin in kins.values()} - {""})
    return {name: asked_one(library, name) for name in names}


def asked_one(library: str, name: str) -> dict[str, str]:
    """The parameters of one of them."""
    try:
        parameters = [*inspect.signature(_find(library, name)).parameters.values()]
    except ValueError:  # written in C
        return {}
    return {p.name: "" if p.default is inspect.Parameter.empty else _value(p.default) for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}  # fmt: skip


def _value(value: Any) -> str:
    return repr(value) if isinstance(value, (bool, int, float, str, tuple, list, type(None))) else type(value).__name__


def known(library: str) -> dict[str, dict[str, str]]:
    """The same, as it was written down."""
    return json.loads(FILE.read_text("utf-8"))[library] if FILE.exists() else {}  # type: ignore[no-any-return]


def cell(library: str, kin: Kin, kind: str, field: str, family: str = "") -> str:
    """``momentum=0.1``: the field's word and default there; nothing where it has none."""
    parameters = known(library).get(getattr(kin, library), {})
    words = next((WORDS[key] for key in (f"{kind}.{field}", f"{family}.{field}", field) if key in WORDS), ((), ()))
    word = next((w for w in words[library == "torch"] if w in parameters), "")
    if not word:
        return ""
    default = parameters[word]
    return f"`{word}={default}`" if default else f"`{word}`"


if __name__ == "__main__":
    stored = {library: known(library) for library in ("keras", "torch")}
    FILE.write_text(json.dumps({lib: asked(lib) if importlib.util.find_spec(lib) else told for lib, told in stored.items()}, indent=1, sort_keys=True) + "\n", "utf-8")
