"""The works of ``specs/zoo`` in PyTorch: the same networks, with torchvision's names where torchvision has them; channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Module = nn.Module


def mlp(classes: int = 10) -> Module:
    return dense(784, 256, 128, classes)


def mlp_wide(width: int = 1024, depth: int = 4, classes: int = 10) -> Module:
    return dense(*[width] * (depth + 1), classes)


def dense(*sizes: int) -> Module:
    """Linear layers with relu between them."""
    layers: list[Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def lenet5(activation: str = "relu", classes: int = 10) -> Module:
    act: Any = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), act(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, classes))


def conv_bn(i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[Module]:
    return [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]


def vgg_small(width: int = 64, classes: int = 10) -> Module:
    layers: list[Module] = []
    wide = [3, width, 2 * width, 4 * width]
    for i, o in zip(wide, wide[1:], strict=False):
        layers += [*conv_bn(i, o), nn.ReLU(inplace=True), *conv_bn(o, o), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    side = 4  # of an image of 32
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(side * side * wide[-1], wide[-1]), nn.ReLU(inplace=True), nn.Linear(wide[-1], classes))


class Unit(Module):
    """Two convolutions beside a shortcut; torchvision's BasicBlock."""

    expansion = 1

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(i, o, 3, stride)
        self.conv2, self.bn2 = conv_bn(o, o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(*conv_bn(i, o, 1, stride)) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


class Bottleneck(Module):
    """Narrow, 3 x 3, wide; torchvision's Bottleneck, the stride in the middle."""

    expansion = 4

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(i, o, 1)
        self.conv2, self.bn2 = conv_bn(o, o, 3, stride)
        self.conv3, self.bn3 = conv_bn(o, 4 * o, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(*conv_bn(i, 4 * o, 1, stride)) if i != 4 * o else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


class ResNet(Module):
    """A stem, four stages, the mean of what is left, and classes."""

    def __init__(self, block: Callable[[int, int, int], Module], blocks: list[int], width: int, classes: int, small: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(3, width, 3 if small else 7, 1 if small else 2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        channels, grown = width, block.expansion  # type: ignore[attr-defined]
        for n, count in enumerate(blocks):
            units, o = [], width << n
            for j in range(count):
                units.append(block(channels, o, 2 if n and not j else 1))
                channels = grown * o
            setattr(self, f"layer{n + 1}", nn.Sequential(*units))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def resnet18_cifar(width: int = 64, classes: int = 10) -> Module:
    return ResNet(Unit, [2, 2, 2, 2], width, classes, True)


def resnet50(width: int = 64, classes: int = 1000) -> Module:
    return ResNet(Bottleneck, [3, 4, 6, 3], width, classes, False)


class Inverted(Module):
    """Wider, each channel by itself, narrow; added to its input where the shape is the same."""

    def __init__(self, i: int, o: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * i
        grow = [*conv_bn(i, wide, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.conv = nn.Sequential(*grow, *conv_bn(wide, wide, 3, stride, groups=wide), nn.ReLU6(inplace=True), *conv_bn(wide, o, 1))
        self.same = stride == 1 and i == o

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.same else self.conv(x)  # type: ignore[no-any-return]


def mobilenet_v2(width: int = 32, classes: int = 1000, dropout: float = 0.2) -> Module:
    layers: list[Module] = [*conv_bn(3, width, 3, 2), nn.ReLU6(inplace=True)]
    channels = width
    for expansion, o, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for j in range(blocks):
            layers.append(Inverted(channels, o * width // 32, 1 if j else stride, expansion))
            channels = o * width // 32
    layers += [*conv_bn(channels, 40 * width, 1), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(40 * width, classes))


class UNet(Module):
    """Down three times, and up again beside what was seen on the way."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()

        def double(i: int, o: int) -> Module:
            return nn.Sequential(*conv_bn(i, o), nn.ReLU(inplace=True), *conv_bn(o, o), nn.ReLU(inplace=True))

        w = [width, 2 * width, 4 * width, 8 * width]
        self.down = nn.ModuleList(double(i, o) for i, o in zip([3, *w], w, strict=False))
        self.up = nn.ModuleList(nn.ModuleList([nn.ConvTranspose2d(2 * o, o, 2, 2), double(2 * o, o)]) for o in w[2::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = []
        for i, step in enumerate(self.down):
            x = step(nn.functional.max_pool2d(x, 2) if i else x)
            seen.append(x)
        for (rise, join), across in zip(self.up, seen[2::-1], strict=True):  # type: ignore[misc]  # a list of pairs
            x = join(torch.cat([across, rise(x)], 1))
        return self.head(x)  # type: ignore[no-any-return]


def unet_small(width: int = 32, classes: int = 2) -> Module:
    return UNet(width, classes)


TWINS: dict[str, Callable[..., Module]] = {
    f.__name__: f for f in (mlp, lenet5, vgg_small, resnet18_cifar, resnet50, mobilenet_v2, unet_small, mlp_wide)
}
