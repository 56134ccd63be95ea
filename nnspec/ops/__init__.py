"""One declaration an op. Importing this package registers every op and the operators of ``Value``."""

from nnspec.ops import (
    activation,
    conv,
    elementwise,
    index,
    matmul,
    movement,
    normalization,
    pool,
    random,
    reduce,
    rows,
    softmax,
)

__all__ = ["activation", "conv", "elementwise", "index", "matmul", "movement", "normalization", "pool", "random",
           "reduce", "rows", "softmax"]
