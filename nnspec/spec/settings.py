"""The plain keys at the top of a spec."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from nnspec.ir.types import DType
from nnspec.spec.expect import Bounds, Bytes
from nnspec.spec.model import Config, Count, NotNegative
from nnspec.spec.sweep import Sweep

SEEDS = 1 << 32


class EarlyStopping(Config):
    """Stops when ``watch`` has not become better by more than ``change`` for ``patience`` epochs."""

    patience: Count
    watch: str = "validation.loss"
    change: NotNegative = 0.0


class Checkpoint(Config):
    """``keep: best`` keeps the weights of the best epoch beside the last ones; ``every`` so many steps saves within epochs."""

    keep: Literal["best", "last"] = "best"
    watch: str | None = None
    every: Count | None = None

    @model_validator(mode="after")
    def _watches_what_it_keeps(self) -> Self:
        if self.keep == "last" and self.watch is not None:
            raise ValueError("keep: best beside watch; of the last weights nothing is watched")
        return self


def _patience(value: Any) -> Any:
    return {"patience": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _keep(value: Any) -> Any:
    return {"keep": value} if isinstance(value, str) else value


class Settings(Config):
    """Keys whose values need nothing else of the spec.

    ``memory: 512MB`` is the most that a training step may take by its plan, parameters and optimizer state included; what is cheap to
    make is made twice until it fits. The results are the same to the bit.

    ``math``: ``fast`` may reorder sums, ``strict`` may not; ``tf32`` is fast, and on a GPU rounds what products and convolutions of
    float32 read to 10 bits behind the point, for several times the speed. On a CPU there is no such product, and it is fast.

    ``precision``: with ``mixed_bfloat16`` and ``mixed_float16`` parameters, optimizer state, statistics, losses and metrics are float32,
    and products, convolutions and the layers between them have 16 bits; ``mixed_float16`` scales the loss, so that small gradients are not 0.
    """

    nnspec: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=100)] = "network"
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    epochs: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    batch_size: Count = 32
    precision: Literal["float32", "float64", "mixed_bfloat16", "mixed_float16"] = "float32"
    math: Literal["fast", "strict", "tf32"] = "fast"
    memory: Bytes | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    early_stopping: Annotated[EarlyStopping, BeforeValidator(_patience)] | None = None
    checkpoint: Annotated[Checkpoint, BeforeValidator(_keep)] = Checkpoint()
    expect: dict[str, Bounds] | None = Field(default=None, min_length=1)
    sweep: Sweep | None = None

    @field_validator("math")
    @classmethod
    def _rounds_once(cls, value: str, info: ValidationInfo) -> str:
        precision = info.data.get("precision", "float32")
        if value == "tf32" and precision != "float32":
            raise ValueError(f"fast or strict: tf32 rounds products of float32, and this is {precision}")
        return value

    @property
    def dtype(self) -> DType:
        """Of parameters, and of what is fed."""
        return DType(self.held)

    @property
    def held(self) -> Literal["float32", "float64"]:
        """Its name."""
        return "float64" if self.precision == "float64" else "float32"

    @property
    def half(self) -> DType | None:
        """Of what products read, where that is not the parameters' own."""
        return DType(self.precision.removeprefix("mixed_")) if self.precision.startswith("mixed_") else None

    @property
    def strict(self) -> bool:
        """Whether nothing may be reordered."""
        return self.math == "strict"

    @property
    def tf32(self) -> bool:
        """Whether products of float32 may round what they read to 10 bits, on a GPU."""
        return self.math == "tf32"
