"""Words that are not ours: those of Keras and PyTorch, with our own; and those that a later version brings."""

from __future__ import annotations

import re
from collections.abc import Collection

from nnspec.errors import Place, Problem

FOREIGN: dict[str, str] = {
    # layers
    "GCNConv": "graph_dense", "GraphConv": "graph_dense", "graph_conv": "graph_dense", "spmm": "sparse_matmul",
    "Linear": "dense", "linear": "dense", "fc": "dense", "fully_connected": "dense", "Dense": "dense", "InnerProduct": "dense",
    "conv": "conv2d", "convolution": "conv2d", "Convolution2D": "conv2d",
    "dwconv": "depthwise_conv2d", "separable_conv": "separable_conv2d", "sepconv": "separable_conv2d", "deconv": "conv_transpose2d",
    "deconvolution": "conv_transpose2d", "conv_transpose": "conv_transpose2d", "maxpool": "max_pool2d", "avgpool": "avg_pool2d",
    "global_avg_pool": "global_avg_pool2d", "global_max_pool": "global_max_pool2d",
    "Upsample": "upsample2d", "upsampling": "upsample2d", "interpolate": "resize2d", "Resizing": "resize2d",
    "Interpolate": "resize2d", "PixelShuffle": "pixel_shuffle", "pixelshuffle": "pixel_shuffle", "depth_to_space": "pixel_shuffle",
    "PixelUnshuffle": "pixel_unshuffle", "space_to_depth": "pixel_unshuffle", "GridSample": "grid_sample",
    "BatchNormalization": "batch_norm", "BatchNorm2d": "batch_norm", "BatchNorm1d": "batch_norm", "batchnorm": "batch_norm",
    "batch_normalization": "batch_norm", "bn": "batch_norm", "LayerNormalization": "layer_norm", "LayerNorm": "layer_norm",
    "layer_normalization": "layer_norm", "Dropout": "dropout", "Flatten": "flatten", "Reshape": "reshape", "Permute": "permute",
    "Embedding": "embedding", "Concatenate": "concat", "concatenate": "concat", "cat": "concat", "Add": "add", "Multiply": "multiply",
    "GroupNormalization": "group_norm", "GroupNorm": "group_norm", "groupnorm": "group_norm", "InstanceNorm2d": "instance_norm",
    "InstanceNorm1d": "instance_norm", "RMSNormalization": "rms_norm", "RMSNorm": "rms_norm", "rmsnorm": "rms_norm",
    "LocalResponseNorm": "local_response_norm", "lrn": "local_response_norm", "LRN": "local_response_norm", "GaussianNoise": "gaussian_noise",
    "SpatialDropout1D": "spatial_dropout", "SpatialDropout2D": "spatial_dropout", "SpatialDropout3D": "spatial_dropout",
    "Dropout2d": "spatial_dropout", "Dropout1d": "spatial_dropout", "Dropout3d": "spatial_dropout", "dropout2d": "spatial_dropout",
    "DropPath": "drop_path", "StochasticDepth": "drop_path", "stochastic_depth": "drop_path", "droppath": "drop_path", "Minimum": "minimum",
    "Maximum": "maximum", "Average": "average", "Subtract": "subtract", "Dot": "dot", "expand_dims": "unsqueeze", "Squeeze": "squeeze",
    "mean": "reduce_mean", "sum": "reduce_sum", "max": "reduce_max", "min": "reduce_min", "ReduceMean": "reduce_mean", "OneHot": "one_hot",
    "onehot": "one_hot", "topk": "top_k", "TopK": "top_k", "Einsum": "einsum", "EinsumDense": "einsum", "take": "gather", "index_select": "gather",
    "chunk": "split", "Parameter": "parameter", "add_weight": "parameter", "detach": "stop_gradient", "StopGradient": "stop_gradient",
    "nms": "non_max_suppression", "NMS": "non_max_suppression", "NonMaxSuppression": "non_max_suppression", "batched_nms": "non_max_suppression",
    "RoIAlign": "roi_align", "ROIAlign": "roi_align", "RoiAlign": "roi_align", "MultiScaleRoIAlign": "multiscale_roi_align",
    "AnchorGenerator": "anchor_boxes", "anchors": "anchor_boxes", "DefaultBoxGenerator": "default_boxes", "prior_boxes": "default_boxes",
    "box_convert": "convert_boxes", "clip_boxes_to_image": "clip_boxes", "BoxCoder": "decode_boxes",
    "astype": "cast", "Lambda": "math", "lambda": "math",
    "randn": "normal", "rand": "uniform", "random_normal": "normal", "random_uniform": "uniform", "narrow": "slice",
    "Sequential": "write the layers as a list under 'layers'", "Input": "declare it under 'inputs'", "input": "declare it under 'inputs'",
    "Activation": "activation", "skip": "residual", "shortcut": "residual", "parallel": "branches",
    # activations
    "ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu", "ELU": "elu", "SELU": "selu", "GELU": "gelu", "SiLU": "silu", "swish": "silu",
    "Swish": "silu", "Mish": "mish", "Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "logistic": "sigmoid",
    "none": "identity", "Identity": "identity", "heaviside": "step", "atan": "arctan", "hardswish": "hard_silu", "hard_swish": "hard_silu",
    # keys of layers
    "out_channels": "filters", "in_channels": "leave it out: it is inferred", "out_features": "units", "in_features": "leave it out: it is inferred",
    "kernel_size": "kernel", "strides": "stride", "dilation_rate": "dilation", "use_bias": "bias", "pool_size": "size", "num_groups": "groups",
    "p": "rate", "prob": "rate", "eps": "epsilon", "num_embeddings": "vocabulary", "input_dim": "vocabulary", "output_dim": "units",
    "embedding_dim": "units", "num_features": "leave it out: it is inferred", "negative_slope": "slope", "dim": "axis", "target_shape": "shape",
    "input_shape": "declare it under 'inputs'", "kernel_initializer": "init: {kernel: …}", "bias_initializer": "init: {bias: …}",
    "stddev": "deviation", "std": "deviation", "drop_prob": "rate",
    "depth_multiplier": "multiplier", "inputs": "from", "nonlinearity": "activation", "act": "activation", "channels": "filters",
    "center": "center", "interpolation": "method", "scale_factor": "factor of upsample2d, scale of resize2d", "upscale_factor": "factor",
    "downscale_factor": "factor", "align_corners": "align: corners", "padding_mode": "padding of grid_sample, mode of pad2d",
    "cropping": "size", "padding": "size", "size": "factor",
    "data_format": "leave it out: channels stand last",
    "affine": "scale and center", "num_units": "units", "neurons": "units", "nodes": "units", "n_units": "units",
    # initialisers
    "xavier_uniform": "glorot_uniform", "xavier_normal": "glorot_normal", "xavier": "glorot_uniform", "glorot": "glorot_uniform",
    "kaiming_uniform": "he_uniform", "kaiming_normal": "he_normal", "kaiming": "he_normal", "he": "he_normal", "HeNormal": "he_normal",
    "HeUniform": "he_uniform", "GlorotUniform": "glorot_uniform", "GlorotNormal": "glorot_normal", "LecunNormal": "lecun_normal",
    "LecunUniform": "lecun_uniform", "TruncatedNormal": "truncated_normal", "zero": "zeros", "one": "ones",
    # losses
    "CrossEntropyLoss": "cross_entropy", "categorical_crossentropy": "cross_entropy", "sparse_categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy", "nll_loss": "cross_entropy", "NLLLoss": "cross_entropy", "softmax_cross_entropy": "cross_entropy",
    "binary_crossentropy": "binary_cross_entropy", "BCELoss": "binary_cross_entropy", "BCEWithLogitsLoss": "binary_cross_entropy",
    "bce": "binary_cross_entropy", "MSELoss": "mse", "mean_squared_error": "mse", "l2": "mse",
    "CategoricalCrossentropy": "cross_entropy", "SparseCategoricalCrossentropy": "cross_entropy", "BinaryCrossentropy": "binary_cross_entropy",
    "MultiLabelSoftMarginLoss": "binary_cross_entropy", "MeanSquaredError": "mse", "L1Loss": "mae", "l1_loss": "mae", "l1": "mae",
    "MeanAbsoluteError": "mae", "SmoothL1Loss": "huber", "smooth_l1": "huber", "smooth_l1_loss": "huber", "HuberLoss": "huber", "Huber": "huber",
    "Hinge": "hinge", "hinge_loss": "hinge", "KLDivLoss": "kl_divergence", "KLDivergence": "kl_divergence", "kl_div": "kl_divergence",
    "kld": "kl_divergence", "kullback_leibler_divergence": "kl_divergence", "FocalLoss": "focal", "focal_loss": "focal",
    "sigmoid_focal_loss": "focal", "BinaryFocalCrossentropy": "focal", "CategoricalFocalCrossentropy": "focal", "Dice": "dice",
    "DiceLoss": "dice", "dice_loss": "dice", "add_loss": "value", "label_smoothing": "smoothing", "class_weight": "class_weights",
    "pos_weight": "class_weights", "ignore_index": "ignore", "ignore_class": "ignore",
    "reduction": "reduce", "loss_weight": "weight", "loss_weights": "weight",
    # optimizers and their keys
    "Adam": "adam", "AdamW": "adamw", "SGD": "sgd", "RMSprop": "rmsprop", "RMSProp": "rmsprop", "Adagrad": "adagrad", "Adadelta": "adadelta",
    "Adamax": "adamax", "AdaMax": "adamax", "NAdam": "nadam", "Nadam": "nadam", "Lion": "lion", "Momentum": "sgd: {momentum: 0.9}",
    "alpha": "rho", "initial_accumulator_value": "leave it out: it starts at 0", "ams_grad": "amsgrad", "dampening": "leave it out: it is 0",
    "global_clipnorm": "clip_norm", "max_grad_norm": "clip_norm", "clip_grad_norm": "clip_norm", "clip_grad_value": "clip_value",
    "gradient_accumulation_steps": "accumulate", "accumulate_grad_batches": "accumulate", "iter_size": "accumulate", "use_ema": "average",
    "ema": "average", "ema_momentum": "average", "ema_decay": "average", "swa": "average",
    "lr": "learning_rate", "rate": "learning_rate", "beta_1": "beta1",
    "beta_2": "beta2", "betas": "beta1 and beta2", "clipnorm": "clip_norm", "clipvalue": "clip_value", "gradient_clip": "clip_norm",
    "decay": "weight_decay", "l2_penalty": "weight_decay",
    # schedules and metrics
    "CosineAnnealingLR": "cosine", "cosine_decay": "cosine", "StepLR": "step", "gamma": "factor", "step_size": "every", "T_max": "length",
    "eta_min": "minimum", "CosineDecay": "cosine", "MultiStepLR": "multistep", "PiecewiseConstantDecay": "multistep", "milestones": "at",
    "boundaries": "at", "ExponentialLR": "exponential", "ExponentialDecay": "exponential", "decay_rate": "factor", "PolynomialLR": "polynomial",
    "PolynomialDecay": "polynomial", "LinearLR": "linear", "end_learning_rate": "to", "end_factor": "to", "total_iters": "length",
    "decay_steps": "length", "warmup_steps": "warmup", "ConstantLR": "constant", "LambdaLR": "a list of stretches",
    "SequentialLR": "a list of stretches", "ReduceLROnPlateau": "plateau", "reduce_on_plateau": "plateau",
    "monitor": "watch", "min_lr": "minimum", "min_delta": "change", "threshold": "change", "wait": "patience", "unfreeze": "trainable",
    "duration": "length", "acc": "accuracy", "Accuracy": "accuracy", "BinaryAccuracy": "accuracy", "binary_accuracy": "accuracy",
    "CategoricalAccuracy": "accuracy", "categorical_accuracy": "accuracy", "SparseCategoricalAccuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy", "TopKCategoricalAccuracy": "top_k", "SparseTopKCategoricalAccuracy": "top_k",
    "top_k_accuracy": "top_k", "Precision": "precision", "Recall": "recall", "sensitivity": "recall", "F1Score": "f1",
    "f1_score": "f1", "fscore": "f1", "AUC": "auc", "AUROC": "auc", "roc_auc": "auc", "roc_auc_score": "auc", "ConfusionMatrix": "confusion",
    "confusion_matrix": "confusion", "MeanIoU": "mean_iou", "miou": "mean_iou", "iou": "mean_iou", "IoU": "mean_iou", "jaccard": "mean_iou",
    "JaccardIndex": "mean_iou", "R2Score": "r2", "r2_score": "r2", "R2": "r2", "RootMeanSquaredError": "rmse",
    "root_mean_squared_error": "rmse", "top5": "top_k", "mean_absolute_error": "mae",
    # top
    "model": "layers", "network": "layers", "architecture": "layers", "dataset": "data", "batch": "batch_size", "batchsize": "batch_size",
    "num_epochs": "epochs", "max_epochs": "epochs", "n_epochs": "epochs", "epoch": "epochs", "criterion": "loss", "objective": "loss",
    "optim": "optimizer", "optimiser": "optimizer", "lr_scheduler": "schedule", "scheduler": "schedule", "random_seed": "seed",
    "max_memory": "memory", "memory_limit": "memory", "memory_budget": "memory", "gradient_checkpointing": "memory", "recompute": "memory",
    "version": "nnspec", "variables": "vars", "params": "vars", "imports": "include", "metric": "metrics", "dtype": "precision",
    "patience": "early_stopping", "pretrained": "weights", "state_dict": "weights", "base_model": "networks",
    "requires_grad": "trainable", "freeze": "trainable: false",
    "expects": "expect", "expectations": "expect", "assert": "expect", "thresholds": "expect",
    "grid": "sweep", "search": "sweep", "hyperparameters": "sweep", "n_trials": "trials",
}

# what Keras and PyTorch write for each number of axes: NAME1D and NAME1d, or with the number before the last word
_BY_AXES: dict[str, tuple[str, ...]] = {
    "conv": ("Conv", "Convolution"), "depthwise_conv": ("DepthwiseConv",), "separable_conv": ("SeparableConv", "SeparableConvolution"),
    "conv_transpose": ("ConvTranspose", "conv_transposed", "deconv", "Deconvolution"),
    "max_pool": ("MaxPool", "MaxPooling", "max_pooling"), "avg_pool": ("AvgPool", "AveragePooling", "average_pooling", "AvgPooling", "average_pool"),
    "global_avg_pool": ("GlobalAveragePooling", "GlobalAvgPool", "global_average_pooling"),
    "adaptive_avg_pool": ("AdaptiveAvgPool", "AdaptiveAveragePooling"),
    "pad": ("ZeroPadding", "zero_padding", "ConstantPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "Padding", "padding"),
    "crop": ("Cropping", "cropping", "CenterCrop"), "upsample": ("UpSampling", "up_sampling", "Upsample", "UpsamplingNearest", "UpsamplingBilinear"),
    "global_max_pool": ("GlobalMaxPooling", "GlobalMaxPool", "AdaptiveMaxPool", "global_max_pooling"),
}
FOREIGN |= {f"{word}{axes}{d}": f"{own}{axes}d" for own, words in _BY_AXES.items() for word in words for axes in (1, 2, 3) for d in "Dd"}
FOREIGN |= {f"Conv{axes}DTranspose": f"conv_transpose{axes}d" for axes in (1, 2, 3)}
FOREIGN |= {name.lower(): own for name, own in FOREIGN.items() if own[-2:] in ("1d", "2d", "3d") and name.lower() != own}


# what a word is among those that are known somewhere else: the kernel of a pool is its size
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "kernel_size": ("size",), "kernel": ("size",), "ksize": ("kernel", "size"), "window": ("kernel", "size"), "pool": ("size",),
    "output_size": ("size",), "p": ("probability",), "linear": ("identity",), "units": ("filters",), "filters": ("units",), "alpha": ("slope",),
    "num_filters": ("filters",), "n_filters": ("filters",), "hidden_size": ("units",), "out_dim": ("units",), "dilations": ("dilation",),
    "num_heads": ("heads",), "n_heads": ("heads",),
}  # fmt: skip


def own_word(name: str, known: Collection[str]) -> str:
    """Our word for one of Keras or PyTorch, among those that are known here; else what is said of it, or nothing."""
    word = FOREIGN.get(name) or FOREIGN.get(name.lower(), "")
    return word if word in known else next((w for w in ELSEWHERE.get(name, ()) if w in known), word)


def ours(name: str, known: Collection[str]) -> str:
    """The hint for a word of Keras or PyTorch, where it has a word of ours among those that are known here; else nothing."""
    word = own_word(name, known)
    return f"in nnspec this is '{word}'" if word in known else f"in nnspec: {word}" if " " in word else ""


_SOON = "it belongs to a later version; leave it out for now"
LATER: dict[str, str] = dict.fromkeys((
    # layers
    "lstm", "gru", "rnn", "bidirectional",
    "multi_head_attention", "gradient", "across_batch", "scan",
    # keys of entries
    "masked",
    # losses, optimizers, schedules
    "perceptual",
    # top
    "phases", "determinism", "generate", "predict",
), _SOON)

LATER_VALUES: tuple[str, ...] = ()
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def name_problem(name: str, place: Place, what: str) -> list[Problem]:
    """A problem where ``name`` is not a letter or _ and then letters, digits, _ and -; at most 100 of them."""
    if NAME.match(name) and len(name) <= 100:
        return []
    a = "an" if what[0] in "aeiou" else "a"
    return [Problem(f"'{name[:60]}' cannot be the name of {a} {what}", place, wanted="a letter or _, then letters, digits, _ and -; at most 100",
                    rule="bad-name")]
