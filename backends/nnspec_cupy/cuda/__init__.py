"""CUDA C: what one element, one nest, one op is in it."""
