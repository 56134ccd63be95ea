"""Networks whose modules are called as in the code that is published with them, so that their state dicts have the names of published files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Called(nn.Module):
    """Modules by their names, and what is done with them."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.does = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *x: Tensor) -> Any:
        return self.does(self, *x)


def one(name: str, module: nn.Module) -> nn.Module:
    return Called(lambda m, x: getattr(m, name)(x), **{name: module})


def normed(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


def dcgan_generator(w: int = 64) -> nn.Module:
    rows: list[nn.Module] = []
    for i, (a, b) in enumerate(((100, 8 * w), (8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w))):
        rows += [nn.ConvTranspose2d(a, b, 4, 2 if i else 1, 1 if i else 0, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return one("main", nn.Sequential(*rows, nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False), nn.Tanh()))


def dcgan_discriminator(w: int = 64) -> nn.Module:
    rows: list[nn.Module] = [nn.Conv2d(3, w, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for a in (w, 2 * w, 4 * w):
        rows += [nn.Conv2d(a, 2 * a, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * a), nn.LeakyReLU(0.2)]
    return one("main", nn.Sequential(*rows, nn.Conv2d(8 * w, 1, 4, bias=False), nn.Sigmoid()))


def patchgan(w: int = 64, norm: str = "instance", channels: int = 3) -> nn.Module:
    rows: list[nn.Module] = [nn.Conv2d(channels, w, 4, 2, 1), nn.LeakyReLU(0.2)]
    for a, stride in ((w, 2), (2 * w, 2), (4 * w, 1)):
        rows += [nn.Conv2d(a, 2 * a, 4, stride, 1, bias=norm != "batch"), normed(norm, 2 * a), nn.LeakyReLU(0.2)]
    return one("model", nn.Sequential(*rows, nn.Conv2d(8 * w, 1, 4, 1, 1)))


def cyclegan_resnet(w: int = 64, blocks: int = 9) -> nn.Module:
    def block(n: int) -> nn.Module:
        inner = [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n), nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n)]
        return Called(lambda m, x: x + m.conv_block(x), conv_block=nn.Sequential(*inner))

    rows = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), nn.InstanceNorm2d(w), nn.ReLU()]
    for n in (w, 2 * w):
        rows += [nn.Conv2d(n, 2 * n, 3, 2, 1), nn.InstanceNorm2d(2 * n), nn.ReLU()]
    rows += [block(4 * w) for _ in range(blocks)]
    for n in (4 * w, 2 * w):
        rows += [nn.ConvTranspose2d(n, n // 2, 3, 2, 1, 1), nn.InstanceNorm2d(n // 2), nn.ReLU()]
    return one("model", nn.Sequential(*rows, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh()))


def pix2pix_unet(w: int = 64, norm: str = "batch") -> nn.Module:
    def level(outer: int, inner: int, within: nn.Module | None) -> nn.Module:
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias), *([normed(norm, inner), within] if within else [])]
        up = [nn.ReLU(), nn.ConvTranspose2d(2 * inner if within else inner, outer, 4, 2, 1, bias=bias), normed(norm, outer)]
        return Called(lambda m, x: torch.cat([x, m.model(x)], 1), model=nn.Sequential(*down, *up))

    bias, net = norm != "batch", None
    for outer, inner in ((8 * w, 8 * w),) * 4 + ((4 * w, 8 * w), (2 * w, 4 * w), (w, 2 * w)):
        net = level(outer, inner, net)
    assert net is not None
    top = nn.Sequential(nn.Conv2d(3, w, 4, 2, 1, bias=bias), net, nn.ReLU(), nn.ConvTranspose2d(2 * w, 3, 4, 2, 1), nn.Tanh())
    return one("model", one("model", top))


def unet(w: int = 64, channels: int = 3, classes: int = 2, levels: int = 4, norm: bool = True) -> nn.Module:
    def double(a: int, b: int) -> nn.Module:
        pairs = ((nn.Conv2d(n, b, 3, padding=1, bias=not norm), *([nn.BatchNorm2d(b)] if norm else []), nn.ReLU()) for n in (a, b))
        return one("double_conv", nn.Sequential(*(layer for pair in pairs for layer in pair)))

    def join(m: Any, x: Tensor, seen: Tensor) -> Any:
        return m.conv(torch.cat([seen, m.up(x)], 1))

    def forward(m: Any, x: Tensor) -> Any:
        seen = [m.inc(x)]
        for i in range(levels):
            seen.append(getattr(m, f"down{i + 1}")(seen[-1]))
        x = seen.pop()
        for i in range(levels):
            x = getattr(m, f"up{i + 1}")(x, seen.pop())
        return m.outc(x)

    parts: dict[str, nn.Module] = {"inc": double(channels, w)}
    for i in range(levels):
        a, b = w * 2**i, w * 2 ** (levels - i)
        parts[f"down{i + 1}"] = one("maxpool_conv", nn.Sequential(nn.MaxPool2d(2), double(a, 2 * a)))
        parts[f"up{i + 1}"] = Called(join, up=nn.ConvTranspose2d(b, b // 2, 2, 2), conv=double(b, b // 2))
    return Called(forward, **parts, outc=one("conv", nn.Conv2d(w, classes, 1)))


def unet_plus_plus(w: int = 32, supervised: bool = False) -> nn.Module:
    def block(a: int, b: int) -> nn.Module:
        return Called(lambda m, x: m.bn2(m.conv2(m.bn1(m.conv1(x)).relu())).relu(), conv1=nn.Conv2d(a, b, 3, padding=1), bn1=nn.BatchNorm2d(b),
                      conv2=nn.Conv2d(b, b, 3, padding=1), bn2=nn.BatchNorm2d(b))  # fmt: skip

    def forward(m: Any, x: Tensor) -> Any:
        at: dict[tuple[int, int], Tensor] = {}
        for j in range(5):
            for i in range(5 - j):
                if j:
                    below = F.interpolate(at[i + 1, j - 1], scale_factor=2, mode="bilinear", align_corners=True)
                    x = torch.cat([*(at[i, k] for k in range(j)), below], 1)
                elif i:
                    x = F.max_pool2d(at[i - 1, 0], 2)
                at[i, j] = getattr(m, f"conv{i}_{j}")(x)
        return getattr(m, "final4" if supervised else "final")(at[0, 4])

    sizes = [w * 2**i for i in range(5)]
    parts = {f"conv{i}_{j}": block(sizes[i] * j + sizes[i + 1] if j else sizes[i - 1] if i else 3, sizes[i]) for j in range(5) for i in range(5 - j)}
    return Called(forward, **parts, **{n: nn.Conv2d(w, 1, 1) for n in (["final1", "final2", "final3", "final4"] if supervised else ["final"])})


def srresnet(w: int = 64, blocks: int = 16) -> nn.Module:
    def conv(out: int = w, bias: bool = False) -> nn.Module:
        return nn.Conv2d(w, out, 3, padding=1, bias=bias)

    trunk = [Called(lambda m, x: x + m.rcb(x), rcb=nn.Sequential(conv(), nn.BatchNorm2d(w), nn.PReLU(), conv(), nn.BatchNorm2d(w))) for _ in range(blocks)]
    twice = [one("upsample_block", nn.Sequential(conv(4 * w, True), nn.PixelShuffle(2), nn.PReLU())) for _ in range(2)]

    def forward(m: Any, x: Tensor) -> Any:
        x = m.conv1(x)
        return m.conv3(m.upsampling(x + m.conv2(m.trunk(x))))

    return Called(forward, conv1=nn.Sequential(nn.Conv2d(3, w, 9, padding=4), nn.PReLU()), trunk=nn.Sequential(*trunk),
                  conv2=nn.Sequential(conv(), nn.BatchNorm2d(w)), upsampling=nn.Sequential(*twice), conv3=nn.Conv2d(w, 3, 9, padding=4))  # fmt: skip


INCEPTIONS = {"3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64), "4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64),
              "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64), "4f": (256, 160, 320, 32, 128, 128),
              "5b": (256, 160, 320, 32, 128, 128), "5c": (384, 192, 384, 48, 128, 128)}  # fmt: skip


def i3d(thin: int = 1, classes: int = 400) -> nn.Module:
    def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        ends: list[int] = []
        for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
            total = max(k - (n % s or s), 0)
            ends = [total // 2, total - total // 2, *ends]
        return F.pad(x, ends)

    def unit(a: int, b: int, kernel: int = 1, stride: int = 1) -> nn.Module:
        return Called(lambda m, x: m.bn(m.conv3d(padded(x, (kernel,) * 3, (stride,) * 3))).relu(),
                      conv3d=nn.Conv3d(a, b, kernel, stride, bias=False), bn=nn.BatchNorm3d(b, eps=1e-3))  # fmt: skip

    def pooled(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        return F.max_pool3d(padded(x, kernel, stride), kernel, stride)

    def mixed(a: int, sizes: tuple[int, ...]) -> nn.Module:
        b0, b1a, b1b, b2a, b2b, b3b = sizes
        return Called(lambda m, x: torch.cat([m.b0(x), m.b1b(m.b1a(x)), m.b2b(m.b2a(x)), m.b3b(pooled(x, (3, 3, 3), (1, 1, 1)))], 1), b0=unit(a, b0),
                      b1a=unit(a, b1a), b1b=unit(b1a, b1b, 3), b2a=unit(a, b2a), b2b=unit(b2a, b2b, 3), b3b=unit(a, b3b))  # fmt: skip

    first, third = 64 // thin, 192 // thin
    parts = {"Conv3d_1a_7x7": unit(3, first, 7, 2), "Conv3d_2b_1x1": unit(first, first), "Conv3d_2c_3x3": unit(first, third, 3)}
    channels = third
    for name, wide in INCEPTIONS.items():
        sizes = tuple(n // thin for n in wide)
        parts[f"Mixed_{name}"], channels = mixed(channels, sizes), sizes[0] + sizes[2] + sizes[4] + sizes[5]

    def forward(m: Any, x: Tensor) -> Any:
        x = pooled(m.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = pooled(m.Conv3d_2c_3x3(m.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = pooled(m.Mixed_3c(m.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        for name in ("4b", "4c", "4d", "4e", "4f"):
            x = getattr(m, f"Mixed_{name}")(x)
        x = m.Mixed_5c(m.Mixed_5b(pooled(x, (2, 2, 2), (2, 2, 2))))
        return m.logits(F.avg_pool3d(x, (2, 7, 7), 1)).squeeze(3).squeeze(3)

    return Called(forward, **parts, logits=one("conv3d", nn.Conv3d(channels, classes, 1)))


class Spread(nn.Module):
    """``graph @ (x @ weight) + bias``: the kernel as (in, out), or within a linear layer as (out, in)."""

    def __init__(self, a: int, b: int, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        if linear:
            self.lin = nn.Linear(a, b, bias=False)
        else:
            self.weight = nn.Parameter(torch.empty(a, b))
        self.bias = nn.Parameter(torch.empty(b))

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        return graph @ (self.lin(x) if self.linear else x @ self.weight) + self.bias


def gcn(words: int, hidden: int = 16, classes: int = 7, linear: bool = False) -> nn.Module:
    names = ("conv1", "conv2") if linear else ("gc1", "gc2")
    parts = dict(zip(names, (Spread(words, hidden, linear), Spread(hidden, classes, linear)), strict=True))
    return Called(lambda m, x, graph: getattr(m, names[1])(getattr(m, names[0])(x, graph).relu(), graph), **parts)


def vae() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        seen = m.fc1(x).relu()
        mean = m.fc21(seen)
        return m.fc4(m.fc3(mean).relu()).sigmoid(), mean, m.fc22(seen)

    sizes = {"fc1": (784, 400), "fc21": (400, 20), "fc22": (400, 20), "fc3": (20, 400), "fc4": (400, 784)}
    return Called(forward, **{name: nn.Linear(*size) for name, size in sizes.items()})


def alexnet(w: int = 96, hidden: int = 4096, classes: int = 1000, caffe: bool = False) -> nn.Module:
    def norm() -> list[nn.Module]:
        return [nn.LocalResponseNorm(5, 1e-4, 0.75, 2), nn.MaxPool2d(3, 2)]

    wide = 8 * w // 3
    convs = [nn.Conv2d(3, w, 11, 4), nn.Conv2d(w, wide, 5, padding=2, groups=2), nn.Conv2d(wide, 4 * w, 3, padding=1),
             nn.Conv2d(4 * w, 4 * w, 3, padding=1, groups=2), nn.Conv2d(4 * w, wide, 3, padding=1, groups=2)]  # fmt: skip
    dense = [nn.Linear(36 * wide, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, classes)]
    if caffe:
        def forward(m: Any, x: Tensor) -> Any:
            for i in range(1, 6):
                x = getattr(m, f"conv{i}")(x).relu()
                x = F.max_pool2d(F.local_response_norm(x, 5, 1e-4, 0.75, 2) if i < 3 else x, 3, 2) if i in (1, 2, 5) else x
            return m.fc8(m.fc7(m.fc6(x.flatten(1)).relu()).relu())

        return Called(forward, **{f"conv{i}": c for i, c in enumerate(convs, 1)}, **{f"fc{i}": d for i, d in enumerate(dense, 6)})
    a, b, c, d, e = convs
    features = nn.Sequential(a, nn.ReLU(), *norm(), b, nn.ReLU(), *norm(), c, nn.ReLU(), d, nn.ReLU(), e, nn.ReLU(), nn.MaxPool2d(3, 2))
    f, g, h = dense
    classifier = nn.Sequential(nn.Dropout(), f, nn.ReLU(), nn.Dropout(), g, nn.ReLU(), h)
    return Called(lambda m, x: m.classifier(m.features(x).flatten(1)), features=features, classifier=classifier)


def lenet5(activation: type[nn.Module], pool: type[nn.Module], row: bool) -> nn.Module:
    convs, dense = [nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)], [nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)]
    act: Any = activation()
    half: Any = pool(2)
    if row:
        return nn.Sequential(convs[0], act, half, convs[1], act, half, nn.Flatten(), dense[0], act, dense[1], act, dense[2])
    parts = dict(zip(("conv1", "conv2", "fc1", "fc2", "fc3"), [*convs, *dense], strict=True))
    return Called(lambda m, x: m.fc3(act(m.fc2(act(m.fc1(half(act(m.conv2(half(act(m.conv1(x)))))).flatten(1)))))), **parts)


def resnet18_cifar(w: int = 64, classes: int = 10) -> nn.Module:
    def unit(a: int, b: int, stride: int) -> nn.Module:
        shortcut = [nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)] if stride > 1 else []
        return Called(lambda m, x: (m.bn2(m.conv2(m.bn1(m.conv1(x)).relu())) + m.shortcut(x)).relu(), conv1=nn.Conv2d(a, b, 3, stride, 1, bias=False),
                      bn1=nn.BatchNorm2d(b), conv2=nn.Conv2d(b, b, 3, 1, 1, bias=False), bn2=nn.BatchNorm2d(b), shortcut=nn.Sequential(*shortcut))  # fmt: skip

    layers = {f"layer{i + 1}": nn.Sequential(unit(w * 2 ** max(i - 1, 0), w * 2**i, 2 if i else 1), unit(w * 2**i, w * 2**i, 1)) for i in range(4)}

    def forward(m: Any, x: Tensor) -> Any:
        return m.linear(m.layer4(m.layer3(m.layer2(m.layer1(m.bn1(m.conv1(x)).relu())))).mean((2, 3)))

    return Called(forward, conv1=nn.Conv2d(3, w, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(w), **layers, linear=nn.Linear(8 * w, classes))


def vgg_small(w: int = 64, classes: int = 10) -> nn.Module:
    features: list[nn.Module] = []
    for a, b in ((3, w), (w, 2 * w), (2 * w, 4 * w)):
        for n in (a, b):
            features += [nn.Conv2d(n, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        features.append(nn.MaxPool2d(2))
    classifier = nn.Sequential(nn.Linear(64 * w, 4 * w), nn.ReLU(), nn.Linear(4 * w, classes))
    return Called(lambda m, x: m.classifier(m.features(x).flatten(1)), features=nn.Sequential(*features), classifier=classifier)
