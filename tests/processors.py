"""Tests as on lesser processors: with shorter vectors, or with NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nnspec.errors import NnspecError
from nnspec_numpy.llvm.cpu import chosen


@contextmanager
def processor(cpu: str, *, skip: bool = True) -> Iterator[None]:
    """As if the processor were that; where it cannot be the test is skipped, or goes on as on this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNSPEC_CPU", cpu)
        try:
            chosen()
        except NnspecError:
            if skip:
                pytest.skip(f"no {cpu} here")
            patch.setenv("NNSPEC_CPU", "")
        yield
