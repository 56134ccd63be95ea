"""What every part of a spec that has fields is made of: strict, frozen pydantic models that know their kind."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

LARGEST = 10_000_000  # units, filters, sizes: more than any network has, less than any machine chokes on


class Config(BaseModel):
    """Fields of one thing in a spec. Lists arrive as tuples; unknown keys are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Forgets the annotations of what is no field, once they were seen: they would be looked at again for every class below."""
        for name in cls.__class_vars__ & cls.__annotations__.keys():
            del cls.__annotations__[name]


class Kind(Config):
    """One of a family (layers, losses, optimizers, …), chosen in a spec by its ``kind``.

    A family is a class with its own ``registry``; a member gives ``kind``, and ``primary``: the field that
    ``kind: value`` sets.
    """

    kind: ClassVar[str] = ""
    primary: ClassVar[str | None] = None
    registry: ClassVar[dict[str, type[Any]]] = {}

    def __init_subclass__(cls, kind: str = "", primary: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind:
            cls.kind, cls.primary = kind, primary
            cls.registry[kind] = cls

    @classmethod
    def make(cls, kind: str, **fields: Any) -> Self:
        """A member by name, for code and tests."""
        return cls.registry[kind](**fields)  # type: ignore[no-any-return]  # the registry holds this family


def each(axes: int) -> Callable[[Any], Any]:
    """Reads what is not a list as that for each of so many axes."""

    def read(value: Any) -> Any:
        return value if isinstance(value, tuple) else (value,) * axes

    return read


Count = Annotated[int, Field(ge=1, le=LARGEST)]
Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Single = Annotated[tuple[Count], BeforeValidator(each(1))]
Pair = Annotated[tuple[Count, Count], BeforeValidator(each(2))]
Triple = Annotated[tuple[Count, Count, Count], BeforeValidator(each(3))]
