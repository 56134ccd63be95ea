"""Noise that is added."""

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.layers.source import held
from nnspec.ops.random import draw_normal
from nnspec.spec.model import NotNegative


class GaussianNoise(Layer, kind="gaussian_noise", primary="deviation"):
    """In training ``x`` plus normal numbers of mean 0 and ``deviation``; else ``x``.

    They depend on (seed, layer, step, row, element) alone.
    ``y = x + deviation * z``. ``(…)`` to ``(…)``. Floats alone.
    """

    noise = True
    deviation: NotNegative

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if not x.dtype.is_float:
            raise ShapeError("gaussian_noise asks for floats", str(x.dtype), "float32", "cast: float32 comes first")
        if not mode.training or not self.deviation:
            return x
        assert mode.seed is not None and mode.step is not None
        return x + draw_normal(x.shape, x.dtype, f"{mode.path}:gaussian_noise", mode.seed, mode.step) * held(self.deviation, x.dtype)
