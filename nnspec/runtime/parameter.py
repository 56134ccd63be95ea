"""A model's parameter as Python sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.network.graph import Parameter as Declared
from nnspec.runtime.feeds import convert

if TYPE_CHECKING:
    from nnspec.runtime.session import Model


class Parameter:
    """A learned tensor, or a statistic, under its path; reads and writes host arrays in canonical layout."""

    def __init__(self, model: Model, declared: Declared) -> None:
        self._model, self._declared = model, declared
        self.name, self.role, self.layer = declared.path, declared.param.role, declared.kind
        self.shape, self.trainable = declared.param.shape, declared.trainable
        self.dtype = model.segments.dtype.numpy

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._model.read(self.name)
        return array if dtype is None else array.astype(dtype)

    def assign(self, array: Any) -> None:
        """New values of the parameter's shape; raises SpecError where they do not fit."""
        values = convert(self.name, array, self._model.segments.dtype)
        if values.shape != self.shape:
            raise SpecError(Problem(f"parameter '{self.name}' does not fit", found=f"shape {values.shape}", wanted=f"{self.shape}", rule="feed"))
        self._model.write(self.name, values)

    def __repr__(self) -> str:
        return f"<parameter {self.name} {self.shape} {self.dtype}>"
