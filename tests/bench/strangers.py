"""Networks that no spec here has: each as a spec and in PyTorch, as somebody who knows neither's kernels writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tests.bench.strange_modules import (
    Blocks,
    Concat,
    Dense3,
    Masses,
    Mixer,
    Plus,
    Pooled,
    Scaled,
    Siamese,
    Swap,
    Table,
    Text,
    Two,
    conv,
    convolved,
    lines,
)  # fmt: skip

F = nn.functional
Loss = Callable[..., Any]


@dataclass(frozen=True)
class Stranger:
    """A network: the entries of its spec, its twin, and what both are trained with. ``below`` bounds the whole numbers it is fed."""

    spec: str
    twin: Callable[[], nn.Module]
    batch: int
    loss: Loss
    moves: tuple[str, Mapping[str, Any]] = ("Adam", {})  # PyTorch's optimizer
    below: Mapping[str, int] = field(default_factory=dict)
    clip: float = 0.0
    decay: float = 0.0  # l2 of the kernels in the loss
    counted: bool = False  # accuracy, step by step


def bce(y: Any, t: Any) -> Any:
    return F.binary_cross_entropy_with_logits(y, t.float().reshape(y.shape))


def both(y: Any, t: Any, u: Any) -> Any:
    return F.cross_entropy(y[0], t) + 0.5 * F.huber_loss(y[1], u.reshape(y[1].shape))


def weighed(y: Any, t: Any) -> Any:
    return F.cross_entropy(y, t, weight=torch.tensor([1.0, 2.0, 3.0]))


def smooth(y: Any, t: Any) -> Any:
    return F.cross_entropy(y, t, label_smoothing=0.1)


def squares(y: Any, t: Any) -> Any:
    return F.mse_loss(y, t.reshape(y.shape))


BN = "batch_norm: {momentum: 0.9, epsilon: 1e-5, variance: unbiased}"
CE, ADAM = "cross_entropy", "adam: 1e-3"


def text(inputs: str, layers: str, loss: str, optimizer: str = ADAM, more: str = "") -> str:
    """A spec; ``layers`` are its entries, one a line."""
    entries = "\n".join(f"  {row}" if row.startswith(" ") else f"  - {row}" for row in layers.replace("BN", BN).strip("\n").split("\n"))
    return f"nnspec: 1\nname: stranger\ninputs: {inputs}\n{more}layers:\n{entries}\nloss: {loss}\noptimizer: {{{optimizer}}}\n"


def perceptron(shape: str, sizes: list[int], activation: str, loss: str, optimizer: str = ADAM, end: str = "", more: str = "") -> str:
    last = f"dense: {{units: {sizes[-1]}{end}}}"
    rows = [f"dense: {{units: {n}, activation: {activation}}}" for n in sizes[:-1]]
    return text(f"{{x: {{shape: {shape}}}}}", "\n".join([*rows, last]), loss, optimizer, more)


ACCURACY = "metrics: [accuracy]\n"
IMAGE = "{image: {shape: [%d, %d, %d]}}"

STRANGERS: dict[str, Stranger] = {
    "xor": Stranger(perceptron("[2]", [16, 1], "tanh", "binary_cross_entropy", end=", activation: sigmoid"), lambda: lines([2, 16, 1], nn.Tanh), 4, bce),
    "one_row": Stranger(perceptron("[30]", [64, 2], "relu", CE, "sgd: {learning_rate: 0.01, momentum: 0.9}"), lambda: lines([30, 64, 2]), 1,
                        F.cross_entropy, ("SGD", {"momentum": 0.9})),
    "regression": Stranger(perceptron("[13]", [64, 64, 1], "relu", "mse", more="metrics: [mae]\n"), lambda: lines([13, 64, 64, 1]), 32, squares),
    "l2_clipped": Stranger(
        text("{x: {shape: [20]}}", "dense: {units: 128, activation: relu, regularize: {kernel: {l2: 1e-4}}}\n"
             "dense: {units: 64, activation: relu, regularize: {kernel: {l2: 1e-4}}}\ndense: 3", "{cross_entropy: {class_weights: [1, 2, 3]}}",
             "sgd: {learning_rate: 0.01, momentum: 0.9, clip_norm: 1.0}", ACCURACY),
        lambda: lines([20, 128, 64, 3]), 8, weighed, ("SGD", {"momentum": 0.9}), clip=1.0, decay=1e-4, counted=True),
    "mlp_512": Stranger(perceptron("[784]", [512, 512, 10], "relu", CE, more=ACCURACY), lambda: lines([784, 512, 512, 10]), 128, F.cross_entropy, counted=True),
    "many_rows": Stranger(perceptron("[64]", [128, 64, 10], "gelu", CE, "adamw: 1e-3", more=ACCURACY), lambda: lines([64, 128, 64, 10], nn.GELU), 1024,
                          F.cross_entropy, ("AdamW", {}), counted=True),
    "mlp_normed": Stranger(
        text("{x: {shape: [100]}}", "\n".join(["dense: 1000\nBN\nrelu\ndropout: 0.3"] * 3 + ["dense: 5"]), CE, "adamw: {learning_rate: 1e-3, weight_decay: 0.01}"),
        lambda: lines([100, 1000, 1000, 1000, 5], nn.ReLU, norm=True, dropout=0.3), 256, F.cross_entropy, ("AdamW", {"weight_decay": 0.01})),
    "tabular": Stranger(
        text("{numbers: {shape: [20]}, " + ", ".join(f"c{i}: {{shape: [], dtype: int64}}" for i in range(12)) + "}",
             "\n".join(f"embedding: {{from: c{i}, vocabulary: {40 + 80 * i}, units: {4 + i}, name: e{i}}}" for i in range(12))
             + "\nconcat: {from: [" + ", ".join(f"e{i}" for i in range(12)) + ", numbers]}\ndense: {units: 256, activation: relu}\n"
             "dense: {units: 128, activation: relu}\ndense: {units: 1, activation: sigmoid}", "binary_cross_entropy"),
        lambda: Table([(40 + 80 * i, 4 + i) for i in range(12)], lines([20 + sum(4 + i for i in range(12)), 256, 128, 1])), 1024, bce,
        below={f"c{i}": 40 + 80 * i for i in range(12)}),
    "two_and_two": Stranger(
        text("{image: {shape: [16, 16, 1]}, numbers: {shape: [8]}}",
             "conv2d: {from: image, filters: 16, kernel: 3, padding: same, activation: relu}\nmax_pool2d: 2\nflatten: {name: seen}\n"
             "dense: {from: numbers, units: 32, activation: relu, name: told}\nconcat: {from: [seen, told]}\ndense: {units: 64, activation: relu, name: h}\n"
             "dense: {units: 4, name: kind}\ndense: {from: h, units: 1, name: size}",
             "[cross_entropy: {from: kind, target: kind}, huber: {from: size, target: size, weight: 0.5}]", more="outputs: [kind, size]\n"),
        Two, 64, both),
    "siamese": Stranger(
        text("{left: {shape: [28, 28, 1]}, right: {shape: [28, 28, 1]}}",
             "look: {from: left, name: one}\nlook: {from: right, name: other, share: one}\nsubtract: {from: [one, other], name: apart}\n"
             "multiply: {from: [apart, apart]}\ndense: {units: 1, activation: sigmoid}", "binary_cross_entropy",
             more="blocks:\n  look:\n    layers:\n      - conv2d: {filters: 16, kernel: 5, activation: relu}\n      - max_pool2d: 2\n"
             "      - conv2d: {filters: 32, kernel: 3, activation: relu}\n      - max_pool2d: 2\n      - flatten\n      - dense: {units: 64, activation: tanh}\n"),
        Siamese, 64, bce),
    "dense_autoencoder": Stranger(perceptron("[784]", [256, 32, 256, 784], "relu", "{mse: {target: x}}", end=", activation: sigmoid"),
                                  lambda: nn.Sequential(lines([784, 256, 32, 256, 784]), nn.Sigmoid()), 128, squares),
    "conv_autoencoder": Stranger(
        text(IMAGE % (28, 28, 1), "conv2d: {filters: 16, kernel: 3, stride: 2, padding: 1, activation: relu}\n"
             "conv2d: {filters: 32, kernel: 3, stride: 2, padding: 1, activation: relu}\nconv_transpose2d: {filters: 16, kernel: 2, stride: 2, activation: relu}\n"
             "conv_transpose2d: {filters: 1, kernel: 4, stride: 2, padding: 1, activation: sigmoid}", "{mse: {target: image}}"),
        lambda: nn.Sequential(conv(1, 16, 3, 2), nn.ReLU(), conv(16, 32, 3, 2), nn.ReLU(), nn.ConvTranspose2d(32, 16, 2, 2), nn.ReLU(),
                              nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid()), 64, squares),
    "upsampled": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 24, kernel: 3, padding: 1, activation: elu}\navg_pool2d: 2\nconv2d: {filters: 48, kernel: 3, padding: 1, activation: elu}\n"
             "upsample2d: 2\nconv2d: {filters: 24, kernel: 3, padding: 1, activation: elu}\nconv2d: {filters: 3, kernel: 1}", "{huber: {target: image}}", "rmsprop: 1e-3"),
        lambda: nn.Sequential(conv(3, 24, 3), nn.ELU(), nn.AvgPool2d(2), conv(24, 48, 3), nn.ELU(), nn.Upsample(scale_factor=2), conv(48, 24, 3), nn.ELU(), conv(24, 3, 1)),
        32, lambda y, t: F.huber_loss(y, t), ("RMSprop", {"alpha": 0.9})),
    "text_mean": Stranger(
        text("{words: {shape: [200], dtype: int64}}", "embedding: {vocabulary: 10000, units: 64}\nglobal_avg_pool1d\ndense: {units: 32, activation: relu}\ndense: 2", CE),
        lambda: Text(10000, 64, nn.Sequential(Pooled(1), lines([64, 32, 2]))), 32, F.cross_entropy, below={"words": 10000}),
    "text_conv": Stranger(
        text("{words: {shape: [100], dtype: int64}}", "embedding: {vocabulary: 5000, units: 64}\nconv1d: {filters: 128, kernel: 5, activation: relu}\nglobal_max_pool1d\n"
             "dropout: 0.5\ndense: 4", CE),
        lambda: Text(5000, 64, nn.Sequential(Swap(), nn.Conv1d(64, 128, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Dropout(), nn.Linear(128, 4))),
        32, F.cross_entropy, below={"words": 5000}),
    "series": Stranger(
        text("{series: {shape: [128, 9]}}", "conv1d: {filters: 32, kernel: 7, padding: 3, bias: false}\nBN\nrelu\nmax_pool1d: 2\nconv1d: {filters: 64, kernel: 5, padding: 2, bias: false}\n"
             "BN\nrelu\nmax_pool1d: 2\nconv1d: {filters: 64, kernel: 3, padding: 1, activation: relu}\nglobal_avg_pool1d\ndense: 6", CE, "nadam: 1e-3"),
        lambda: nn.Sequential(nn.Conv1d(9, 32, 7, 1, 3, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(32, 64, 5, 1, 2, bias=False),
                              nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(64, 64, 3, 1, 1), nn.ReLU(), Pooled(2), nn.Linear(64, 6)),
        64, F.cross_entropy, ("NAdam", {})),
    "digits": Stranger(
        text(IMAGE % (8, 8, 1), "conv2d: {filters: 16, kernel: 3, padding: 1, activation: relu}\nconv2d: {filters: 32, kernel: 3, padding: 1, activation: relu}\nmax_pool2d: 2\n"
             "flatten\ndense: {units: 64, activation: relu}\ndense: 10", CE, more=ACCURACY),
        lambda: nn.Sequential(conv(1, 16, 3), nn.ReLU(), conv(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), lines([512, 64, 10])), 32, F.cross_entropy, counted=True),
    "five_by_five": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 32, kernel: 5, padding: 2, activation: relu}\navg_pool2d: 2\nconv2d: {filters: 64, kernel: 5, padding: 2, activation: relu}\n"
             "avg_pool2d: 2\nflatten\ndense: {units: 128, activation: relu}\ndense: 10", "{cross_entropy: {smoothing: 0.1}}", "sgd: {learning_rate: 0.01, momentum: 0.9, nesterov: true}"),
        lambda: nn.Sequential(conv(3, 32, 5), nn.ReLU(), nn.AvgPool2d(2), conv(32, 64, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), lines([4096, 128, 10])),
        32, smooth, ("SGD", {"momentum": 0.9, "nesterov": True})),
    "seven_by_seven": Stranger(
        text(IMAGE % (64, 64, 3), "conv2d: {filters: 24, kernel: 7, stride: 2, padding: 3, activation: {leaky_relu: 0.1}}\navg_pool2d: {size: 3, stride: 2}\n"
             "conv2d: {filters: 48, kernel: 5, padding: 2, activation: elu}\nmax_pool2d: 2\nconv2d: {filters: 96, kernel: 3, padding: 1, activation: {leaky_relu: 0.1}}\n"
             "global_avg_pool2d\ndense: 10", CE),
        lambda: nn.Sequential(conv(3, 24, 7, 2), nn.LeakyReLU(0.1), nn.AvgPool2d(3, 2), conv(24, 48, 5), nn.ELU(), nn.MaxPool2d(2), conv(48, 96, 3), nn.LeakyReLU(0.1),
                              Pooled(2, 3), nn.Linear(96, 10)), 16, F.cross_entropy),
    "group_normed": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 32, kernel: 3, padding: 1}\ngroup_norm: {groups: 8, epsilon: 1e-5}\nsilu\nmax_pool2d: 2\nconv2d: {filters: 64, kernel: 3, padding: 1}\n"
             "group_norm: {groups: 8, epsilon: 1e-5}\nsilu\nmax_pool2d: 2\nconv2d: {filters: 64, kernel: 3, padding: 1}\ngroup_norm: {groups: 8, epsilon: 1e-5}\ngelu\n"
             "global_avg_pool2d\ndense: 10", CE, "adamw: 1e-3"),
        lambda: nn.Sequential(conv(3, 32, 3), nn.GroupNorm(8, 32), nn.SiLU(), nn.MaxPool2d(2), conv(32, 64, 3), nn.GroupNorm(8, 64), nn.SiLU(), nn.MaxPool2d(2),
                              conv(64, 64, 3), nn.GroupNorm(8, 64), nn.GELU(), Pooled(2, 3), nn.Linear(64, 10)), 32, F.cross_entropy, ("AdamW", {})),
    "instance_normed": Stranger(
        text(IMAGE % (64, 64, 3), "conv2d: {filters: 16, kernel: 7, padding: 3}\ninstance_norm: {epsilon: 1e-5}\nrelu\nconv2d: {filters: 32, kernel: 3, stride: 2, padding: 1}\n"
             "instance_norm: {epsilon: 1e-5}\nrelu\nresidual:\n    layers: [conv2d: {filters: 32, kernel: 3, padding: 1}, instance_norm: {epsilon: 1e-5}, relu, "
             "conv2d: {filters: 32, kernel: 3, padding: 1}, instance_norm: {epsilon: 1e-5}]\nconv_transpose2d: {filters: 16, kernel: 4, stride: 2, padding: 1}\n"
             "instance_norm: {epsilon: 1e-5}\nrelu\nconv2d: {filters: 3, kernel: 7, padding: 3, activation: tanh}", "{mae: {target: image}}"),
        lambda: nn.Sequential(*convolved(3, 16, 7), *convolved(16, 32, 3, 2), Plus(*convolved(32, 32, 3), *convolved(32, 32, 3)[:2]), nn.ConvTranspose2d(32, 16, 4, 2, 1),
                              nn.InstanceNorm2d(16, affine=True), nn.ReLU(), conv(16, 3, 7), nn.Tanh()), 4, lambda y, t: F.l1_loss(y, t)),
    "convnext": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 48, kernel: 2, stride: 2}\nresidual:\n    repeat: 3\n    layers: [depthwise_conv2d: {kernel: 7, padding: 3}, "
             "layer_norm: {epsilon: 1e-6}, dense: {units: 192, activation: gelu}, dense: 48]\nglobal_avg_pool2d\nlayer_norm\ndense: 10", CE, "adamw: 1e-3"),
        lambda: nn.Sequential(nn.Conv2d(3, 48, 2, 2), *(Blocks(48) for _ in range(3)), Pooled(2, 3), nn.LayerNorm(48), nn.Linear(48, 10)), 16, F.cross_entropy, ("AdamW", {})),
    "squeezed": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 32, kernel: 3, padding: 1, bias: false}\nBN\nrelu\n"
             "branches: {merge: multiply, paths: [[], [global_avg_pool2d: {keep: true}, conv2d: {filters: 8, kernel: 1, activation: relu}, "
             "conv2d: {filters: 32, kernel: 1, activation: sigmoid}]]}\nmax_pool2d: 2\nconv2d: {filters: 64, kernel: 3, padding: 1, bias: false}\nBN\nrelu\n"
             "branches: {merge: multiply, paths: [[], [global_avg_pool2d: {keep: true}, conv2d: {filters: 16, kernel: 1, activation: relu}, "
             "conv2d: {filters: 64, kernel: 1, activation: sigmoid}]]}\nglobal_avg_pool2d\ndense: 10", CE, "sgd: {learning_rate: 0.01, momentum: 0.9}"),
        lambda: nn.Sequential(conv(3, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Scaled(32, 8), nn.MaxPool2d(2), conv(32, 64, 3, bias=False),
                              nn.BatchNorm2d(64), nn.ReLU(), Scaled(64, 16), Pooled(2, 3), nn.Linear(64, 10)), 32, F.cross_entropy, ("SGD", {"momentum": 0.9})),
    "inception": Stranger(
        text(IMAGE % (28, 28, 1), "conv2d: {filters: 32, kernel: 3, padding: 1, activation: relu}\nmax_pool2d: 2\nbranches: {merge: concat, paths: ["
             "[conv2d: {filters: 16, kernel: 1, activation: relu}], [conv2d: {filters: 16, kernel: 1, activation: relu}, conv2d: {filters: 32, kernel: 3, padding: 1, activation: relu}], "
             "[conv2d: {filters: 8, kernel: 1, activation: relu}, conv2d: {filters: 16, kernel: 5, padding: 2, activation: relu}], "
             "[max_pool2d: {size: 3, stride: 1, padding: 1}, conv2d: {filters: 16, kernel: 1, activation: relu}]]}\nglobal_avg_pool2d\ndense: 10", CE, more=ACCURACY),
        lambda: nn.Sequential(conv(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), Concat(
            nn.Sequential(conv(32, 16, 1), nn.ReLU()), nn.Sequential(conv(32, 16, 1), nn.ReLU(), conv(16, 32, 3), nn.ReLU()),
            nn.Sequential(conv(32, 8, 1), nn.ReLU(), conv(8, 16, 5), nn.ReLU()), nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(32, 16, 1), nn.ReLU())),
            Pooled(2, 3), nn.Linear(80, 10)), 32, F.cross_entropy, counted=True),
    "densenet": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 24, kernel: 3, padding: 1, bias: false}\nbranches: {repeat: 6, merge: concat, paths: [[], [BN, relu, "
             "conv2d: {filters: 12, kernel: 3, padding: 1, bias: false}]]}\nBN\nrelu\nglobal_avg_pool2d\ndense: 10", CE, "sgd: {learning_rate: 0.01, momentum: 0.9, nesterov: true}"),
        lambda: Dense3(24, 12, 6), 32, F.cross_entropy, ("SGD", {"momentum": 0.9, "nesterov": True})),
    "dilated": Stranger(
        text(IMAGE % (64, 64, 3), "conv2d: {filters: 24, kernel: 3, padding: 1, bias: false}\nBN\nrelu\n" + "\n".join(
            f"conv2d: {{filters: 32, kernel: 3, padding: {d}, dilation: {d}, bias: false}}\nBN\nrelu" for d in (2, 4, 8)) + "\nconv2d: {filters: 5, kernel: 1}", CE),
        lambda: nn.Sequential(conv(3, 24, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU(), *(m for i, d in ((24, 2), (32, 4), (32, 8)) for m in (
            nn.Conv2d(i, 32, 3, 1, d, d, bias=False), nn.BatchNorm2d(32), nn.ReLU())), conv(32, 5, 1)), 4, F.cross_entropy),
    "volumes": Stranger(
        text("{volume: {shape: [16, 16, 16, 1]}}", "conv3d: {filters: 16, kernel: 3, padding: 1, activation: relu}\nmax_pool3d: 2\nconv3d: {filters: 32, kernel: 3, padding: 1, activation: relu}\n"
             "max_pool3d: 2\nglobal_avg_pool3d\ndense: 4", CE),
        lambda: nn.Sequential(nn.Conv3d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool3d(2), Pooled(2, 3, 4), nn.Linear(32, 4)),
        8, F.cross_entropy),
    "resnext": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 64, kernel: 3, stride: 2, padding: 1, bias: false}\nBN\nrelu\nresidual:\n    repeat: 3\n    layers: [conv2d: {filters: 64, kernel: 1, bias: false}, BN, relu, "
             "conv2d: {filters: 64, kernel: 3, padding: 1, groups: 8, bias: false}, BN, relu, conv2d: {filters: 64, kernel: 1, bias: false}, BN]\nrelu\nglobal_avg_pool2d\ndense: 10", CE,
             "sgd: {learning_rate: 0.01, momentum: 0.9}"),
        lambda: nn.Sequential(*Masses.stem(3, 64), *(Masses(64, 8) for _ in range(3)), nn.ReLU(), Pooled(2, 3), nn.Linear(64, 10)), 32, F.cross_entropy, ("SGD", {"momentum": 0.9})),
    "mixer": Stranger(
        text(IMAGE % (32, 32, 3), "conv2d: {filters: 64, kernel: 4, stride: 4}\nreshape: [64, 64]\nresidual: {layers: [layer_norm, permute: [1, 0], dense: {units: 128, activation: gelu}, dense: 64, permute: [1, 0]]}\n"
             "residual: {layers: [layer_norm, dense: {units: 256, activation: gelu}, dense: 64]}\nlayer_norm\nglobal_avg_pool1d\ndense: 10", CE, "adamw: 1e-3"),
        Mixer, 32, F.cross_entropy, ("AdamW", {})),
    "photographs": Stranger(
        text(IMAGE % (128, 128, 3), "\n".join(f"conv2d: {{filters: {n}, kernel: 3, padding: 1, bias: false}}\nBN\nrelu\nmax_pool2d: 2" for n in (16, 32, 64, 64))
             + "\nglobal_avg_pool2d\ndense: 3", CE),
        lambda: nn.Sequential(*(m for i, o in ((3, 16), (16, 32), (32, 64), (64, 64)) for m in (conv(i, o, 3, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))),
                              Pooled(2, 3), nn.Linear(64, 3)), 8, F.cross_entropy),
}  # fmt: skip
