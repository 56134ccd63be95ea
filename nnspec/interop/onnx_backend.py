"""Our ops as a backend of ONNX's own test cases: ``Backend.prepare(model).run(inputs)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx.backend.base import Backend as Base
from onnx.backend.base import BackendRep

from nnspec.interop.onnx_import import literal
from nnspec.interop.onnx_read import check_model, wrong
from nnspec.ir.interpret import interpret

if TYPE_CHECKING:
    from onnx import ModelProto


class Prepared(BackendRep):  # type: ignore[misc,unused-ignore]  # onnx may have no types
    """A model that is run by the ops' references; its graph is made for the shapes that it is given."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for inputs in the model's order. Raises DataError."""
        held = {t.name for t in self.model.graph.initializer}
        names = [i.name for i in self.model.graph.input if i.name not in held]
        given: Sequence[Any] = inputs if isinstance(inputs, list | tuple) else [inputs]
        if len(given) != len(names):
            raise wrong("model", "inputs do not fit the model", f"{len(given)} arrays", f"{len(names)}: {', '.join(names)}")
        feeds: dict[str, Any] = {name: a if isinstance(a, list) else np.asarray(a) for name, a in zip(names, given, strict=True)}
        graph = literal(self.model, feeds)
        try:
            found = interpret(graph, feeds)
        except (MemoryError, IndexError, ValueError, OverflowError) as e:
            raise wrong("model", "the model cannot be run on these inputs", f"{type(e).__name__}: {e}") from None
        return tuple(found[o.name] for o in self.model.graph.output)


class Backend(Base):  # type: ignore[misc,unused-ignore]  # onnx may have no types
    """ONNX's interface to what runs models."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model, checked. Raises DataError."""
        check_model(model)
        return Prepared(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Only the CPU."""
        return device == "CPU"
