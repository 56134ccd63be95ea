"""Each layer says its fields, its parameters and how it is built from ops; importing this package registers them all."""

from nnspec.layers import (
    activations,
    adaptive,
    borders,
    boxes,
    convolution,
    dense,
    dropout,
    einsum,
    embedding,
    flow,
    math,
    merge,
    noise,
    normalization,
    pixels,
    pooling,
    reduction,
    regions,
    resizing,
    selection,
    shape,
    source,
    sparse,
    suppression,
    transposed,
)

__all__ = ["activations", "adaptive", "borders", "boxes", "convolution", "dense", "dropout", "einsum", "embedding", "flow", "math", "merge", "noise",
           "normalization", "pixels", "pooling", "reduction", "regions", "resizing", "selection", "shape", "source", "sparse",
           "suppression", "transposed"]
