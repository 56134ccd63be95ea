"""What the strangers of ``strangers.py`` are made of in PyTorch, channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

Module = nn.Module


def lines(sizes: Sequence[int], activation: Any = nn.ReLU, norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers, and between them what else is asked for."""
    layers: list[Module] = []
    for a, b in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), activation(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def conv(i: int, o: int, kernel: int, stride: int = 1, bias: bool = True) -> Module:
    return nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=bias)


def convolved(i: int, o: int, kernel: int, stride: int = 1) -> list[Module]:
    """With instance norm and relu."""
    return [conv(i, o, kernel, stride), nn.InstanceNorm2d(o, affine=True), nn.ReLU()]


class Pooled(Module):
    """The mean over some axes."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.mean(self.axes)


class Swap(Module):
    """Channels before times."""

    def forward(self, x: Any) -> Any:
        return x.transpose(1, 2)


class Text(Module):
    """Vectors for words, and what reads them."""

    def __init__(self, words: int, units: int, rest: Module) -> None:
        super().__init__()
        self.table, self.rest = nn.Embedding(words, units), rest

    def forward(self, x: Any) -> Any:
        return self.rest(self.table(x))


class Table(Module):
    """Numbers beside a vector for each category."""

    def __init__(self, sizes: Sequence[tuple[int, int]], rest: Module) -> None:
        super().__init__()
        self.tables, self.rest = nn.ModuleList(nn.Embedding(*s) for s in sizes), rest

    def forward(self, numbers: Any, *classes: Any) -> Any:
        return self.rest(torch.cat([*(e(c) for e, c in zip(self.tables, classes, strict=True)), numbers], 1))


class Two(Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(conv(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.told = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.h = nn.Sequential(nn.Linear(1024 + 32, 64), nn.ReLU())
        self.kind, self.size = nn.Linear(64, 4), nn.Linear(64, 1)

    def forward(self, image: Any, numbers: Any) -> Any:
        h = self.h(torch.cat([self.seen(image), self.told(numbers)], 1))
        return self.kind(h), self.size(h)


class Siamese(Module):
    """The squared difference of what one network makes of two images."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                                  nn.Linear(800, 64), nn.Tanh())
        self.head = nn.Linear(64, 1)

    def forward(self, left: Any, right: Any) -> Any:
        return self.head((self.look(left) - self.look(right)).square())


class Plus(nn.Sequential):
    """Added to its input."""

    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class Concat(nn.ModuleList):
    """Paths beside one another."""

    def __init__(self, *paths: Module) -> None:
        super().__init__(paths)

    def forward(self, x: Any) -> Any:
        return torch.cat([path(x) for path in self], 1)


class Scaled(Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(channels, narrow, 1), nn.ReLU(), conv(narrow, channels, 1), nn.Sigmoid())

    def forward(self, x: Any) -> Any:
        return x * self.gate(x)


class Blocks(Module):
    """ConvNeXt's block: a wide window of each channel, then two dense layers over channels."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.wide, self.norm = nn.Conv2d(n, n, 7, 1, 3, groups=n), nn.LayerNorm(n, 1e-6)
        self.rest = lines([n, 4 * n, n], nn.GELU)

    def forward(self, x: Any) -> Any:
        return x + self.rest(self.norm(self.wide(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Dense3(Module):
    """Every layer sees what all before it made."""

    def __init__(self, width: int, growth: int, depth: int) -> None:
        super().__init__()
        self.stem = conv(3, width, 3, bias=False)
        wide = [width + growth * n for n in range(depth + 1)]
        self.steps = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), conv(w, growth, 3, bias=False)) for w in wide[:-1])
        self.end = nn.Sequential(nn.BatchNorm2d(wide[-1]), nn.ReLU(), Pooled(2, 3), nn.Linear(wide[-1], 10))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        for step in self.steps:
            x = torch.cat([x, step(x)], 1)
        return self.end(x)


class Masses(Plus):
    """ResNeXt's bottleneck: its 3 x 3 in groups."""

    def __init__(self, n: int, groups: int) -> None:
        super().__init__(conv(n, n, 1, bias=False), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, n, 3, 1, 1, groups=groups, bias=False), nn.BatchNorm2d(n), nn.ReLU(),
                         conv(n, n, 1, bias=False), nn.BatchNorm2d(n))  # fmt: skip

    @staticmethod
    def stem(i: int, o: int) -> list[Module]:
        return [conv(i, o, 3, 2, bias=False), nn.BatchNorm2d(o), nn.ReLU()]


class Mixer(Module):
    """MLP-Mixer: dense layers over places, then over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 64, 4, 4)
        self.first, self.second, self.last = (nn.LayerNorm(64) for _ in range(3))
        self.places, self.channels, self.head = lines([64, 128, 64], nn.GELU), lines([64, 256, 64], nn.GELU), nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = x + self.places(self.first(x).transpose(1, 2)).transpose(1, 2)
        return self.head(self.last(x + self.channels(self.second(x))).mean(1))
