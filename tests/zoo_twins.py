"""Generators and networks of dense prediction as their authors publish them in PyTorch, filled by the rule of the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.reference.fingerprint import fill


def filled(net: nn.Module) -> nn.Module:
    """Every parameter and statistic by its role and shape alone, in double precision."""
    net = net.double().eval()
    for module in net.modules():
        held = [*module.named_parameters(recurse=False), *((n, b) for n, b in module.named_buffers(recurse=False) if "running" in n)]
        for name, tensor in held:
            tensor.data.copy_(torch.from_numpy(fill(role(type(module).__name__, name), tuple(tensor.shape))))
    return net


def role(kind: str, name: str) -> str:
    if "BatchNorm" in kind:
        return {"weight": "bn_gamma", "bias": "bn_beta", "running_mean": "bn_mean", "running_var": "bn_var"}[name]
    if name == "bias":
        return "bias"
    return "prelu" if kind == "PReLU" else "convT_kernel" if "Transpose" in kind else "conv_kernel" if "Conv" in kind else "dense_kernel"


class Around(nn.Module):
    """``x + layers(x)``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return x + self.layers(x)


class Beside(Around):
    """``x`` and ``layers(x)``, one behind the other."""

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.layers(x)], 1)


def srresnet(width: int, blocks: int) -> nn.Module:
    def conv(bias: bool = False, more: int = 1) -> nn.Module:
        return nn.Conv2d(width, more * width, 3, padding=1, bias=bias)

    inner = [Around(conv(), nn.BatchNorm2d(width), nn.PReLU(), conv(), nn.BatchNorm2d(width)) for _ in range(blocks)]
    twice = [layer for _ in range(2) for layer in (conv(True, 4), nn.PixelShuffle(2), nn.PReLU())]
    return nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU(), Around(*inner, conv(), nn.BatchNorm2d(width)), *twice,
                         nn.Conv2d(width, 3, 9, padding=4))


def pix2pix_unet(width: int, norm: str) -> nn.Module:
    def level(out: int, inside: int, within: nn.Module | None) -> nn.Module:
        normed = [nn.BatchNorm2d(n) if norm == "batch" else nn.InstanceNorm2d(n) for n in (inside, out)]
        down, up = nn.Conv2d(out, inside, 4, 2, 1, bias=bias), nn.ConvTranspose2d(2 * inside if within else inside, out, 4, 2, 1, bias=bias)
        middle = [normed[0], within] if within else []
        return Beside(nn.LeakyReLU(0.2), down, *middle, nn.ReLU(), up, normed[1])

    bias, w, net = norm != "batch", width, None
    for out, inside in ((8 * w, 8 * w),) * 4 + ((4 * w, 8 * w), (2 * w, 4 * w), (w, 2 * w)):
        net = level(out, inside, net)
    assert net is not None
    return nn.Sequential(nn.Conv2d(3, w, 4, 2, 1, bias=bias), net, nn.ReLU(), nn.ConvTranspose2d(2 * w, 3, 4, 2, 1), nn.Tanh())


def double(channels: int, filters: int, norm: bool, bias: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for n in (channels, filters):
        layers += [nn.Conv2d(n, filters, 3, padding=1, bias=bias), *([nn.BatchNorm2d(filters)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.down = nn.ModuleList(double(a, b, norm, not norm) for a, b in zip([3, *widths], widths, strict=False))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in widths[3::-1])
        self.up = nn.ModuleList(double(2 * n, n, norm, not norm) for n in widths[3::-1])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: Any) -> Any:
        seen: list[Any] = []
        for i, layer in enumerate(self.down):
            x = layer(nn.functional.max_pool2d(x, 2) if i else x)
            seen.append(x)
        for layer, rise, across in zip(self.up, self.rise, seen[3::-1], strict=True):
            x = layer(torch.cat([across, rise(x)], 1))
        return self.last(x)


class UNetPlusPlus(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        w = [width * 2**i for i in range(5)]
        self.nodes = nn.ModuleDict({f"{i}{j}": double((w[i] * j + w[i + 1]) if j else (w[i - 1] if i else 3), w[i], True, True)
                                    for j in range(5) for i in range(5 - j)})  # fmt: skip
        self.up, self.last = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.Conv2d(width, 1, 1)

    def forward(self, x: Any) -> Any:
        at: dict[tuple[int, int], Any] = {}
        for j in range(5):
            for i in range(5 - j):
                before = torch.cat([at[i, k] for k in range(j)] + [self.up(at[i + 1, j - 1])], 1) if j else nn.functional.max_pool2d(at[i - 1, 0], 2) if i else x
                at[i, j] = self.nodes[f"{i}{j}"](before)
        return self.last(at[0, 4])


def patchgan(width: int, norm: str, channels: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, stride in enumerate((2, 2, 1)):
        a, b = width * 2**i, width * 2 ** (i + 1)
        layers += [nn.Conv2d(a, b, 4, stride, 1, bias=norm != "batch"), nn.BatchNorm2d(b) if norm == "batch" else nn.InstanceNorm2d(b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def dcgan_discriminator(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for i in range(3):
        layers += [nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2 ** (i + 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False), nn.Sigmoid())


class Unit(nn.Module):
    """A convolution (or a pool) over time, rows and columns with TensorFlow's padding, as I3D has it."""

    def __init__(self, layer: nn.Module, channels: int = 0) -> None:
        super().__init__()
        self.layer = layer
        self.after = nn.Sequential(nn.BatchNorm3d(channels, eps=1e-3), nn.ReLU()) if channels else nn.Identity()

    def forward(self, x: Any) -> Any:
        each = lambda v: v if isinstance(v, tuple) else (v,) * 3  # noqa: E731
        ends: list[int] = []
        for n, k, s in zip(x.shape[2:], each(self.layer.kernel_size), each(self.layer.stride), strict=True):
            total = max(k - (n % s or s), 0)
            ends = [total // 2, total - total // 2, *ends]
        return self.after(self.layer(nn.functional.pad(x, ends)))


class Paths(nn.ModuleList):
    def forward(self, x: Any) -> Any:
        return torch.cat([path(x) for path in self], 1)


def i3d(thin: int, classes: int) -> nn.Module:
    channels = 3

    def conv(a: int, b: int, kernel: int = 1, stride: int = 1) -> nn.Module:
        return Unit(nn.Conv3d(a, b, kernel, stride, bias=False), b)

    layers: list[nn.Module] = []
    pools = {"1": Unit(nn.MaxPool3d((1, 3, 3), (1, 2, 2))), "3": Unit(nn.MaxPool3d(3, 2)), "2": Unit(nn.MaxPool3d(2, 2))}
    for entry in ([64, 7, 2], "1", [64, 1, 1], [192, 3, 1], "1", (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), "3", (192, 96, 208, 16, 48, 64),
                  (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), "2",
                  (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)):  # fmt: skip
        if isinstance(entry, str):
            layers.append(pools[entry])
        elif isinstance(entry, list):
            layers.append(conv(channels, entry[0] // thin, *entry[1:]))
            channels = entry[0] // thin
        else:
            a, b0, b, c0, c, d = (n // thin for n in entry)
            layers.append(Paths([conv(channels, a), nn.Sequential(conv(channels, b0), conv(b0, b, 3)), nn.Sequential(conv(channels, c0), conv(c0, c, 3)),
                                 nn.Sequential(Unit(nn.MaxPool3d(3, 1)), conv(channels, d))]))
            channels = a + b + c + d
    return nn.Sequential(*layers, nn.AvgPool3d((2, 7, 7), 1), nn.Conv3d(channels, classes, 1), nn.Flatten(2))
