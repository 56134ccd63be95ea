"""One declaration an op. Importing this package registers every op and the operators of ``Value``."""

from nnspec.ops import (
    activation,
    conv,
    elementwise,
    grid_sample,
    index,
    matmul,
    movement,
    normalization,
    pool,
    random,
    reduce,
    resample,
    rows,
    softmax,
)

__all__ = ["activation", "conv", "elementwise", "grid_sample", "index", "matmul", "movement", "normalization", "pool", "random", "reduce",
           "resample", "rows", "softmax"]
