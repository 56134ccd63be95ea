"""Runs nnspec programs on a GPU: planned memory, CUDA C of our own, products and convolutions by NVIDIA's libraries, one graph a step."""

from nnspec_cupy.backend import CupyBackend

__all__ = ["BACKEND", "CupyBackend"]

BACKEND = CupyBackend()
