"""Graphs of layers made by hand, as the network makes them: small, framed, branchy, deep, and with hostile names."""

from __future__ import annotations

from typing import Any

import networkx


class Builder:
    """Adds layers one after another; the kind numbers itself within its frame."""

    def __init__(self, name: str = "network") -> None:
        self.graph: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph(name=name, outputs=())
        self.numbers: dict[tuple[str, ...], int] = {}

    def input(self, name: str, *shape: object, dtype: str = "float32") -> str:
        return self._node(name, "input", name, shape, 0, 0, {}, (), dtype)

    def layer(
        self, kind: str, sources: str | list[str], shape: tuple[object, ...], parameters: int = 0, flops: int = 0,
        frames: tuple[str, ...] = (), trainable: int | None = None, name: str = "", output: str = "", **fields: object,
    ) -> str:  # fmt: skip
        around = frames[-1] if frames else ""
        number = self.numbers[around, kind] = self.numbers.get((around, kind), 0) + 1
        name = name or f"{kind}_{number}"
        path = f"{around}/{name}" if around else name
        self._node(path, kind, name, shape, parameters, flops, fields, frames, "float32", trainable)
        for key, source in enumerate([sources] if isinstance(sources, str) else sources):
            data = self.graph.nodes[source]
            self.graph.add_edge(source, path, key=key, output=output, shape=data["shape"], dtype=data["dtype"])
        return path

    def _node(
        self, path: str, kind: str, name: str, shape: tuple[object, ...], parameters: int, flops: int,
        fields: dict[str, object], frames: tuple[str, ...], dtype: str, trainable: int | None = None,
    ) -> str:  # fmt: skip
        self.graph.add_node(
            path, kind=kind, name=name, shape=shape, dtype=dtype, parameters=parameters, flops=flops, fields=fields,
            trainable=parameters if trainable is None else trainable, frames=frames, params=(), place=None,
            line=len(self.graph) + 5,
        )  # fmt: skip
        return path

    def done(self, *outputs: str) -> networkx.MultiDiGraph[Any]:
        self.graph.graph["outputs"] = outputs
        return self.graph

    def conv_bn(self, source: str, frames: tuple[str, ...], name: str, size: int, filters: int, relu: bool = True, **fields: Any) -> str:
        inner = (*frames, f"{frames[-1]}/{name}" if frames else name)
        shape = (size, size, filters)
        x = self.layer("conv2d", source, shape, 9 * filters * filters, 18 * filters * filters * size * size, inner,
                       **{"filters": filters, "kernel": 3, "padding": "same", "bias": False, **fields})  # fmt: skip
        x = self.layer("batch_norm", x, shape, 4 * filters, 4 * filters * size, inner, trainable=2 * filters)
        return self.layer("relu", x, shape, 0, size * size * filters, inner) if relu else x

    def bottleneck(self, source: str, frames: tuple[str, ...], name: str, size: int, filters: int, project: bool) -> str:
        block = (*frames, f"{frames[-1]}/{name}" if frames else name)
        residual = (*block, f"{block[-1]}/residual_1")
        x = self.conv_bn(source, residual, "conv_bn_1", size, filters, kernel=1, stride=2 if project else 1)
        x = self.conv_bn(x, residual, "conv_bn_2", size, filters)
        x = self.conv_bn(x, residual, "conv_bn_3", size, 4 * filters, relu=False, kernel=1)
        short = self.conv_bn(source, residual, "shortcut", size, 4 * filters, relu=False) if project else source
        x = self.layer("add", [x, short], (size, size, 4 * filters), 0, size * size, residual)
        return self.layer("relu", x, (size, size, 4 * filters), 0, size * size, block)


def mlp() -> networkx.MultiDiGraph[Any]:
    """Five layers in a row."""
    b = Builder("digits_mlp")
    x = b.input("image", 8, 8, 1)
    x = b.layer("flatten", x, (64,))
    x = b.layer("dense", x, (128,), 8320, 16384, units=128, activation="relu")
    x = b.layer("dropout", x, (128,), rate=0.5)
    x = b.layer("dense", x, (64,), 8256, 16384, trainable=0, units=64, activation="relu")
    return b.done(b.layer("dense", x, (10,), 650, 1280, units=10))


def residual(stages: tuple[int, ...] = (2, 2), name: str = "residual_cnn") -> networkx.MultiDiGraph[Any]:
    """Bottlenecks in stages, four frames deep: 50 layers; (3, 4, 6, 3) is ResNet-50 and (3, 8, 36, 3) ResNet-152."""
    b = Builder(name)
    x = b.input("image", 224, 224, 3)
    x = b.conv_bn(x, (), "conv_bn_1", 112, 64, kernel=7, stride=2)
    x = b.layer("max_pool2d", x, (56, 56, 64), 0, 1806336, size=3, stride=2, padding="same")
    size, filters = 56, 64
    for stage, blocks in enumerate(stages, 1):
        for block in range(1, blocks + 1):
            x = b.bottleneck(x, (f"stage_{stage}",), f"bottleneck_{block}", size, filters, block == 1)
        size, filters = size // 2, filters * 2
    x = b.layer("global_avg_pool2d", x, (2 * filters,), 0, 100352)
    return b.done(b.layer("dense", x, (1000,), 2049000, 4096000, units=1000))


def inception(blocks: int = 3) -> networkx.MultiDiGraph[Any]:
    """Four branches a block, joined by concat."""
    b = Builder("inception")
    x = b.conv_bn(b.input("image", 32, 32, 3), (), "stem", 32, 32)
    for block in range(1, blocks + 1):
        f = (f"branches_{block}",)
        paths = [
            b.conv_bn(x, f, "a", 32, 64, kernel=1),
            b.conv_bn(b.conv_bn(x, f, "b", 32, 48, kernel=1), f, "c", 32, 64),
            b.conv_bn(b.conv_bn(b.conv_bn(x, f, "d", 32, 48, kernel=1), f, "e", 32, 64), f, "f", 32, 64),
            b.conv_bn(b.layer("avg_pool2d", x, (32, 32, 256), frames=f, size=3, stride=1), f, "g", 32, 64),
        ]
        x = b.layer("concat", paths, (32, 32, 256), frames=f)
    x = b.layer("global_avg_pool2d", x, (256,))
    return b.done(b.layer("dense", x, (10,), 2570, 5120, units=10))


def cells(count: int = 6) -> networkx.MultiDiGraph[Any]:
    """NASNet-like: every cell reads the two before it, and crosses them inside."""
    b = Builder("cells")
    before = x = b.conv_bn(b.input("image", 32, 32, 3), (), "stem", 32, 32)
    for cell in range(1, count + 1):
        f = (f"cell_{cell}",)
        p, q = b.layer("relu", before, (32, 32, 32), frames=f), b.layer("relu", x, (32, 32, 32), frames=f)
        parts = []
        for one, two in ((q, p), (p, q), (q, p), (p, p), (q, q)):
            left = b.layer("depthwise_conv2d", one, (32, 32, 32), 288, 589824, f, kernel=3)
            right = b.layer("max_pool2d", two, (32, 32, 32), frames=f, size=3, stride=1)
            parts.append(b.layer("add", [left, right], (32, 32, 32), frames=f))
        before, x = x, b.layer("concat", [p, *parts], (32, 32, 192), frames=f)
    return b.done(b.layer("dense", x, (10,), 1930, 3840, units=10))


def unet(depth: int = 4) -> networkx.MultiDiGraph[Any]:
    """An encoder and a decoder with long edges between, and no frames."""
    b = Builder("unet")
    x, skips = b.input("image", "height", "width", 3), []
    for level in range(depth):
        x = b.layer("conv2d", x, ("height", "width", 2**level), 9, 18, filters=2**level, kernel=3)
        skips.append(x)
        x = b.layer("max_pool2d", x, ("height//2", "width//2", 2**level), size=2)
    for level in reversed(range(depth)):
        x = b.layer("resize2d", x, ("height", "width", 2**level), scale=2)
        x = b.layer("concat", [x, skips[level]], ("height", "width", 2**level))
        x = b.layer("conv2d", x, ("height", "width", 2**level), 9, 18, filters=2**level, kernel=3)
    return b.done(x)


def attention() -> networkx.MultiDiGraph[Any]:
    """Two inputs of unlike length, one value used three times, and a layer with two outputs."""
    b = Builder("attention")
    x = b.layer("embedding", b.input("tokens", "time", dtype="int32"), ("time", 64), 64000, units=64, vocabulary=1000)
    x = b.layer("multi_head_attention", [x, x, x], ("time", 64), 16640, 999, heads=8)
    h = b.layer("lstm", x, ("time", 64), 33024, 66048, units=64, sequences=True)
    late = b.input("features", 12)
    s = b.layer("concat", [h, late], (76,), output="state")
    b.graph.edges[late, s, 1]["output"] = ""
    return b.done(b.layer("dense", h, ("time", 10), 650, 1280, units=10), s)


def chain(length: int = 500) -> networkx.MultiDiGraph[Any]:
    """Nothing but layers in a row."""
    b = Builder("deep")
    x = b.input("features", 32)
    for _ in range(length):
        x = b.layer("dense", x, (32,), 1056, 2048, units=32, activation="relu")
    return b.done(x)


HOSTILE = (
    "</text><script>alert(1)</script>",
    "\"onload='alert(1)'",
    "]]><!--&lt;&#x41;",
    "\u202eright to left\u2066",
    "שלום עולם",
    "line\nbreak\ttab\x00nul\x1b[31m",
    "\ud800 alone",
    "x" * 10_000,
    "W" * 10_000,
    "{{7*7}} ${x} %s \\\" [a](javascript:alert(1))",
    "end\nsubgraph",
    "𝒳漢字😀",
)  # fmt: skip


def hostile() -> networkx.MultiDiGraph[Any]:
    """Every name, field, frame and axis is one of ``HOSTILE``."""
    b = Builder(HOSTILE[0])
    x = b.input("image", *HOSTILE[:3])
    for index, name in enumerate(HOSTILE):
        frames = (name, f"{name}/{HOSTILE[0]}") if index % 2 else ()
        stated: dict[str, Any] = {"filters": name, name: name}
        x = b.layer(name, x, (name,), 7, 9, frames, name=name, kernel=name, **stated)
    return b.done(x)


EVERY = {
    "mlp": mlp, "residual": residual, "inception": inception, "cells": cells, "unet": unet, "attention": attention,
    "chain": chain, "hostile": hostile,
}  # fmt: skip
