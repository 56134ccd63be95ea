"""The colours of pictures: one pair of fill and line for every family of layers."""

from __future__ import annotations

FILLS = {
    "input": ("#eef2f7", "#64748b"),
    "output": ("#1f2937", "#111827"),
    "convolution": ("#e6f0fe", "#2f6fd6"),
    "dense": ("#f0eafd", "#7a4fd0"),
    "sequence": ("#e8eafe", "#4550c4"),
    "pooling": ("#def5f1", "#0d8f83"),
    "normalisation": ("#fdf2d8", "#b57a14"),
    "activation": ("#e6f6e3", "#3b8f40"),
    "merge": ("#fde8ef", "#cc3a6b"),
    "shape": ("#f3efe9", "#8c7a62"),
    "fused": ("#e0f6fa", "#0e7490"),
    "other": ("#f1f1f3", "#71717a"),
}
PAPER, INK, MUTED, FAINT = "#ffffff", "#111827", "#5b6472", "#d5dbe3"
WIRE = "#8793a4"
SERIES = ("#2f6fd6", "#cc3a6b", "#0d8f83", "#b57a14", "#7a4fd0", "#3b8f40", "#8c7a62", "#64748b")
SHADES = ("#f8fafc", "#f1f5f9")  # of frames, by turns
MARKS = {"frozen": ("#e0f2fe", "#0369a1"), "shared": ("#fef3c7", "#a16207")}
