"""Generated cases of boxes: decoding, clipping, suppression and regions, beside plain loops over PyTorch's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from tests.judged.cases import Case, Params, T, ints, makes, pick


def overlap(a: T, b: T) -> float:
    """Intersection over union of two boxes."""
    a, b = a.detach(), b.detach()
    wide, high = (max(0.0, float(min(a[i + 2], b[i + 2]) - max(a[i], b[i]))) for i in range(2))
    area = [float((c[2] - c[0]) * (c[3] - c[1])) for c in (a, b)]
    union = area[0] + area[1] - wide * high
    return wide * high / union if union else 0.0


def kept(boxes: T, scores: list[float], labels: list[int], limit: float, maximum: int) -> list[int]:
    """By definition: candidates by score, each unless it meets a better one of its label."""
    chosen: list[int] = []
    for n in sorted(range(len(scores)), key=lambda n: (-scores[n], n)):
        if scores[n] > -math.inf and len(chosen) < maximum and all(labels[n] != labels[m] or overlap(boxes[n], boxes[m]) <= limit for m in chosen):
            chosen.append(n)
    return chosen


def some_boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Corners in an image of 10 by 10, or scores where the last axis is another."""
    if shape[-1] != 4:
        return rng.permutation(math.prod(shape)).reshape(shape) / math.prod(shape)
    return np.sort(rng.uniform(0, 10, (*shape[:-1], 2, 2)), -2).reshape(shape)


@makes("non_max_suppression")
def suppression(rng: np.random.Generator, kind: str) -> Case:
    n, maximum = int(rng.integers(1, 12)), int(rng.integers(1, 15))
    classes = pick(rng, 1, 2, 3, 5)
    own, best, per = bool(rng.random() < 0.3), bool(rng.random() < 0.3), bool(rng.random() < 0.7)
    threshold, limit = pick(rng, None, 0.4), pick(rng, 0.2, 0.5)
    fields: dict[str, Any] = {"maximum": maximum, "iou_threshold": limit, "best_class": best, "per_class": per}
    if threshold is not None:
        fields["score_threshold"] = threshold

    def fn(boxes: T, scores: T, p: Params) -> T:
        rows = []
        for b, s in zip(boxes, scores.detach(), strict=True):
            pairs = [(i, int(s[i].argmax())) for i in range(n)] if best else [(i, c) for c in range(classes) for i in range(n)]
            some = [b[i, c] if own else b[i] for i, c in pairs]
            values = [v if threshold is None or v > threshold else -math.inf for v in (float(s[i, c]) for i, c in pairs)]
            chosen = kept(torch.stack(some), values, [c if per else 0 for _, c in pairs], limit, maximum)
            rows.append(torch.cat([*(some[m][None] for m in chosen), torch.zeros(maximum - len(chosen), 4, dtype=b.dtype)]))
        return torch.stack(rows)

    return Case(kind, fields, [(n, classes, 4) if own else (n, 4), (n, classes)], fn, make=some_boxes, roles=("boxes", "scores"))


@makes("best_boxes")
def best(rng: np.random.Generator, kind: str) -> Case:
    lists, n, maximum = pick(rng, (), (2,)), int(rng.integers(1, 12)), int(rng.integers(1, 15))
    groups, limit, count = pick(rng, 0, 1, 3), pick(rng, 0.2, 0.5), bool(rng.random() < 0.4)

    def fn(boxes: T, scores: T, *rest: Any) -> T:
        b, s = boxes.reshape(-1, n, 4), scores.detach().reshape(-1, n)
        labels = rest[0].reshape(-1, n) if groups else torch.zeros(s.shape)
        chosen = [kept(b[i], s[i].tolist(), labels[i].tolist(), limit, maximum) for i in range(len(s))]
        rows = [[len(c)] if count else c + [0] * (maximum - len(c)) for c in chosen]
        shape = scores.shape[:-1] if count else (*scores.shape[:-1], maximum)
        return torch.tensor(rows, dtype=torch.float64).reshape(shape) + 0 * (boxes.sum() + scores.sum())

    own = (*lists, n)
    return Case(kind, {"maximum": maximum, "iou_threshold": limit}, [(*own, 4), own, *([own] if groups else [])], fn, make=some_boxes,
                ids={2: groups} if groups else {}, roles=("boxes", "scores", "groups")[: 3 if groups else 2], output="y.count" if count else "y")


def sampled(image: T, y: float, x: float) -> T:
    """The map between its pixels: its border up to a pixel outside, then 0."""
    high, wide, c = image.shape
    if not (-1 <= y <= high and -1 <= x <= wide):
        return torch.zeros(c, dtype=image.dtype)
    y, x = min(max(y, 0.0), high - 1), min(max(x, 0.0), wide - 1)
    i, j = int(y), int(x)
    a, b = y - i, x - j
    i2, j2 = min(i + 1, high - 1), min(j + 1, wide - 1)
    return (1 - a) * ((1 - b) * image[i, j] + b * image[i, j2]) + a * ((1 - b) * image[i2, j] + b * image[i2, j2])


def region(image: T, box: list[float], size: tuple[int, int], scale: float, ratio: int, aligned: bool) -> T:
    """One box, cell by cell and place by place."""
    x1, y1, x2, y2 = (v * scale - 0.5 * aligned for v in box)
    wide, high = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
    across, down = wide / size[1], high / size[0]
    nx, ny = (ratio, ratio) if ratio else (math.ceil(across), math.ceil(down))
    cells = []
    for i in range(size[0]):
        for j in range(size[1]):
            places = [sampled(image, y1 + (i + (q + 0.5) / ny) * down, x1 + (j + (p + 0.5) / nx) * across) for q in range(ny) for p in range(nx)]
            cells.append(torch.stack(places).sum(0) / max(1, nx * ny) if places else torch.zeros(image.shape[-1], dtype=image.dtype))
    return torch.stack(cells).reshape(*size, -1)


@makes("roi_align")
def roi_align(rng: np.random.Generator, kind: str) -> Case:
    h, w, c, k, a, b = ints(rng, 1, 4, 6)
    scale, ratio, aligned = pick(rng, 1.0, 0.5, 0.3), int(rng.integers(0, 3)), bool(rng.random() < 0.5)

    def fn(image: T, boxes: T, p: Params) -> T:
        return torch.stack([torch.stack([region(m, box.tolist(), (a, b), scale, ratio, aligned) for box in own])
                            for m, own in zip(image, boxes.detach(), strict=True)])

    make = lambda rng, shape: some_boxes(rng, shape) if shape[-2:] == (k, 4) and len(shape) == 3 else rng.standard_normal(shape)  # noqa: E731
    return Case(kind, {"size": [a, b], "scale": scale, "sampling_ratio": ratio, "aligned": aligned}, [(h, w, c), (k, 4)], fn, make=make, roles=("map", "boxes"))


@makes("multiscale_roi_align")
def multiscale(rng: np.random.Generator, kind: str) -> Case:
    side, k, c = 8, int(rng.integers(1, 5)), int(rng.integers(1, 3))

    def fn(first: T, second: T, boxes: T, p: Params) -> T:
        rows = []
        for i, own in enumerate(boxes.detach()):
            levels = [min(max(math.floor(1 + math.log2(math.sqrt(float((b[2] - b[0]) * (b[3] - b[1]))) / 5) + 1e-6), 0), 1) for b in own]
            rows.append(torch.stack([region((first, second)[n][i], b.tolist(), (2, 2), 0.5**n, 0, False) for n, b in zip(levels, own, strict=True)]))
        return torch.stack(rows)

    make = lambda rng, shape: some_boxes(rng, shape) if shape[-2:] == (k, 4) and len(shape) == 3 else rng.standard_normal(shape)  # noqa: E731
    return Case(kind, {"size": 2, "image": [side, side], "canonical_size": 5, "canonical_level": 1},
                [(side, side, c), (side // 2, side // 2, c), (k, 4)], fn, make=make)


@makes("decode_boxes")
def decode(rng: np.random.Generator, kind: str) -> Case:
    n, classes, weights = int(rng.integers(1, 5)), pick(rng, 0, 1, 3), pick(rng, [1.0, 1.0, 1.0, 1.0], [10.0, 10.0, 5.0, 5.0])
    limit = pick(rng, 0.1, 4.0)

    def fn(deltas: T, anchors: T, p: Params) -> T:
        a = anchors[:, :, None] if classes else anchors
        side, d = a[..., 2:] - a[..., :2], deltas / torch.tensor(weights, dtype=deltas.dtype)
        centre, size = (a[..., :2] + a[..., 2:]) / 2 + d[..., :2] * side, side * d[..., 2:].clamp(max=limit).exp()
        return torch.cat([centre - size / 2, centre + size / 2], -1)

    return Case(kind, {"weights": weights, "limit": limit}, [(n, classes, 4) if classes else (n, 4), (n, 4)], fn, roles=("deltas", "anchors"))


@makes("decode_distances")
def distances(rng: np.random.Generator, kind: str) -> Case:
    n = int(rng.integers(1, 5))
    return Case(kind, {}, [(n, 4), (n, 2)], lambda d, c, p: torch.cat([c - d[..., :2], c + d[..., 2:]], -1), roles=("distances", "points"))


TO_CORNERS = {"xyxy": lambda b: b, "xywh": lambda b: torch.cat([b[..., :2], b[..., :2] + b[..., 2:]], -1),
              "cxcywh": lambda b: torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)}
FROM_CORNERS = {"xyxy": lambda b: b, "xywh": lambda b: torch.cat([b[..., :2], b[..., 2:] - b[..., :2]], -1),
                "cxcywh": lambda b: torch.cat([(b[..., :2] + b[..., 2:]) / 2, b[..., 2:] - b[..., :2]], -1)}


@makes("convert_boxes")
def convert(rng: np.random.Generator, kind: str) -> Case:
    source, target = pick(rng, *TO_CORNERS), pick(rng, *TO_CORNERS)
    return Case(kind, {"source": source, "target": target}, [(3, 4)], lambda b, p: FROM_CORNERS[target](TO_CORNERS[source](b)))


@makes("clip_boxes")
def clip(rng: np.random.Generator, kind: str) -> Case:
    high, wide = ints(rng, 1, 3, 2)
    ends = torch.tensor([wide, high, wide, high], dtype=torch.float64)
    return Case(kind, {"image": [high, wide]}, [(2, 3, 4)], lambda b, p: b.maximum(torch.zeros(())).minimum(ends))


def constant(points: list[list[float]]) -> Any:
    """What follows from shapes alone, in every row; no gradient flows."""
    return lambda *x: torch.tensor(points, dtype=x[0].dtype).expand(len(x[0]), -1, -1) + 0 * sum(v.sum() for v in x[:-1])


@makes("grid_points")
def points(rng: np.random.Generator, kind: str) -> Case:
    shapes = [(*ints(rng, 1, 3, 2), 1) for _ in range(2)]
    stride, offset = [4.0, 8.0], pick(rng, 0.0, 0.5)
    found = [[(j + offset) * s, (i + offset) * s] for (h, w, _), s in zip(shapes, stride, strict=True) for i in range(h) for j in range(w)]
    return Case(kind, {"stride": stride, "offset": offset}, shapes, constant(found))


@makes("anchor_boxes")
def anchors(rng: np.random.Generator, kind: str) -> Case:
    shapes = [(4, 3, 1), (2, 2, 1)]
    sizes, ratios, found = [[8.0, 12.0], [16.0, 20.0]], [0.5, 1.0], []
    for (h, w, _), own in zip(shapes, sizes, strict=True):
        for i in range(h):
            for j in range(w):
                for r in ratios:
                    for s in own:
                        x, y = (round(s * f / 2) for f in (1 / math.sqrt(r), math.sqrt(r)))
                        found.append([j * (20 // w) - x, i * (32 // h) - y, j * (20 // w) + x, i * (32 // h) + y])
    return Case(kind, {"image": [32, 20], "sizes": sizes, "ratios": ratios}, shapes, constant(found))


@makes("default_boxes")
def defaults(rng: np.random.Generator, kind: str) -> Case:
    shapes, found = [(2, 3, 1), (1, 2, 1)], []
    scales, ratios, steps = [0.2, 0.5, 0.9], [[2.0], [2.0, 3.0]], pick(rng, None, [8.0, 16.0])
    for k, (h, w, _) in enumerate(shapes):
        sides = [(scales[k],) * 2, (math.sqrt(scales[k] * scales[k + 1]),) * 2]
        for r in ratios[k]:
            sides += [(scales[k] * math.sqrt(r), scales[k] / math.sqrt(r)), (scales[k] / math.sqrt(r), scales[k] * math.sqrt(r))]
        for i in range(h):
            for j in range(w):
                for sw, sh in sides:
                    step = (30 / w, 20 / h) if steps is None else (steps[k],) * 2
                    x, y, a, b = (j + 0.5) * step[0], (i + 0.5) * step[1], min(sw, 1) * 15, min(sh, 1) * 10
                    found.append([x - a, y - b, x + a, y + b])
    return Case(kind, {"image": [20, 30], "scales": scales, "ratios": ratios, **({} if steps is None else {"steps": steps})}, shapes, constant(found))
