"""One declaration an op. Importing this package registers every op and the operators of ``Value``."""

from nnspec.ops import (
    activation,
    boxes,
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
    roi_align,
    rows,
    softmax,
)

__all__ = ["activation", "boxes", "conv", "elementwise", "grid_sample", "index", "matmul", "movement", "normalization", "pool", "random", "reduce",
           "resample", "roi_align", "rows", "softmax"]
