"""Kernels for what NumPy has no single call for, by op."""

from __future__ import annotations

from typing import Any

from .average import AVERAGE
from .boxes import BOXES
from .conv import CONV
from .conv_input_grad import CONV_INPUT_GRAD
from .conv_kernel_grad import CONV_KERNEL_GRAD
from .copies import COPIES
from .counted import COUNTED
from .filters import shared
from .followed import FOLLOWED, follows
from .index import INDEX
from .kernel import Kernel
from .lanes import by_rows, summed
from .matmul import MATMUL
from .moments import MOMENTS
from .pointwise import POINTWISE
from .pool import POOL
from .resample import RESAMPLE, RESAMPLE_AXES
from .roi_align import ROI_ALIGN
from .rows import ROWS

__all__ = ["KERNELS", "Kernel", "follows"]

SHARED: dict[type[Any], Kernel] = {
    **{op: shared(kernel) for op, kernel in CONV.items()},
    **{op: by_rows(kernel, 1) for op, kernel in CONV_INPUT_GRAD.items()},
    **{op: summed(kernel) for op, kernel in CONV_KERNEL_GRAD.items()},
    **{op: by_rows(kernel) for op, kernel in {**POOL, **AVERAGE, **RESAMPLE_AXES}.items()},
}
KERNELS: dict[type[Any], Kernel] = {**SHARED, **FOLLOWED, **MATMUL, **POINTWISE, **COUNTED, **COPIES, **INDEX, **RESAMPLE, **ROWS, **MOMENTS,
                                   **BOXES, **ROI_ALIGN}
