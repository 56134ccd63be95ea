"""CUDA C without a GPU."""
