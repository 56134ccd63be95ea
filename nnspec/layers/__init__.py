"""Each layer says its fields, its parameters and how it is built from ops; importing this package registers them all."""

from nnspec.layers import activations, convolution, dense, dropout, embedding, merge, noise, normalization, pooling, shape, transposed

__all__ = ["activations", "convolution", "dense", "dropout", "embedding", "merge", "noise", "normalization", "pooling", "shape", "transposed"]
