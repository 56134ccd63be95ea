"""Runs nnspec programs with NumPy alone: planned memory, readable source, kernels where NumPy has no single call."""

from nnspec_numpy.backend import NumpyBackend

__all__ = ["BACKEND", "NumpyBackend"]

BACKEND = NumpyBackend()
