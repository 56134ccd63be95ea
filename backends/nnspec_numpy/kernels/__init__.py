"""Kernels for what NumPy has no single call for, by op."""

from __future__ import annotations

from typing import Any

from .conv import CONV
from .conv_input_grad import CONV_INPUT_GRAD
from .conv_kernel_grad import CONV_KERNEL_GRAD
from .counted import COUNTED
from .index import INDEX
from .kernel import Kernel
from .pointwise import POINTWISE
from .pool import POOL
from .resample import RESAMPLE
from .rows import ROWS

__all__ = ["KERNELS", "Kernel"]

KERNELS: dict[type[Any], Kernel] = {**CONV, **CONV_INPUT_GRAD, **CONV_KERNEL_GRAD, **POOL, **POINTWISE, **COUNTED,
                                    **INDEX, **RESAMPLE, **ROWS}
