"""Fields that layers over one, two and three spatial axes have in common: windows, and what lies at the ends of the axes."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value
from nnspec.layers.layer import rank
from nnspec.ops.conv import Padding
from nnspec.ops.movement import reshape
from nnspec.records import dataclass
from nnspec.spec.model import LARGEST, Config, Pair, Single, Triple

Around = tuple[tuple[int, int], ...]  # before and after each axis
ENDS: Mapping[int, str] = {1: "[left, right]", 2: "[top, bottom, left, right]", 3: "[front, back, top, bottom, left, right]"}


def wrong(message: str, found: str, wanted: str, hint: str = "", words: tuple[str, ...] = ()) -> PydanticCustomError:
    """What a validator raises: an error of four parts; ``words`` are those of which one may be meant."""
    return PydanticCustomError("nnspec", "{message}", {"message": message, "found": found[:60], "wanted": wanted, "hint": hint, "words": words})


@dataclass(frozen=True)
class Ends:
    """Reads how much lies at both ends of each of ``axes`` axes: a number for all, a number an end, or one of ``words``."""

    axes: int
    words: tuple[str, ...] = ()
    what: str = "padding"

    def __call__(self, value: Any) -> Any:
        if value in self.words:
            return value
        given = value if isinstance(value, tuple) else (value,) * 2 * self.axes
        if len(given) == 2 * self.axes and all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= LARGEST for v in given):
            return tuple(zip(given[::2], given[1::2], strict=True))
        raise wrong(f"'{self.what}' does not fit", str(list(value) if isinstance(value, tuple) else value),
                    ", ".join([*self.words, "a whole number", f"or {ENDS[self.axes]}"]), self.hint(value), self.words)

    def hint(self, value: Any) -> str:
        if value == "causal":
            return "[n, 0] with n = (kernel - 1) * dilation pads the past alone"
        if isinstance(value, tuple) and any(isinstance(v, tuple) for v in value):
            return "one flat list, two numbers an axis"
        if isinstance(value, tuple) and len(value) == self.axes and self.axes > 1:
            return "two numbers an axis"
        return "the number is used at both ends of every axis"


WORDS = ("valid", "same")
Ends1 = Annotated[Around | Literal["valid", "same"], BeforeValidator(Ends(1, WORDS))]
Ends2 = Annotated[Around | Literal["valid", "same"], BeforeValidator(Ends(2, WORDS))]
Ends3 = Annotated[Around | Literal["valid", "same"], BeforeValidator(Ends(3, WORDS))]


class Spatial(Config):
    """Works over ``axes`` spatial axes, channels last."""

    axes: ClassVar[int]
    stacks: ClassVar[bool] = False  # whether an axis more, before them, is a stack of inputs

    def check(self, x: Value) -> None:
        """Refuses an input of other axes than the spatial ones and channels."""
        if not self.stacks or x.rank != self.axes + 3:
            rank(x, self.axes + 1, getattr(self, "kind", ""), self.axes + 1)

    def over(self, x: Value, make: Callable[[Value], Value]) -> Value:
        """What is made of an input, or of each of a stack."""
        if x.rank == self.axes + 2:
            return make(x)
        y = make(reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:])))
        return reshape(y, (*x.shape[:2], *y.shape[1:]))

    def around(self, padding: Around | str) -> Padding:
        """The padding of a window as ops take it."""
        return "same" if padding == "same" else ((0, 0),) * self.axes if isinstance(padding, str) else padding


class Kernel(Spatial):
    """A kernel moved by ``stride``, its places ``dilation`` apart."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Around | str
    dilation: tuple[int, ...]


class Kernel1(Kernel):
    """A kernel over one axis."""

    axes = 1
    kernel: Single = (3,)
    stride: Single = (1,)
    padding: Ends1 = "valid"
    dilation: Single = (1,)


class Kernel2(Kernel):
    """A kernel over two axes."""

    axes = 2
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Ends2 = "valid"
    dilation: Pair = (1, 1)


class Kernel3(Kernel):
    """A kernel over three axes."""

    axes = 3
    kernel: Triple = (3, 3, 3)
    stride: Triple = (1, 1, 1)
    padding: Ends3 = "valid"
    dilation: Triple = (1, 1, 1)


class Window(Spatial):
    """A window of ``size`` moved by ``stride``, which is ``size`` where it is not given."""

    size: tuple[int, ...]
    stride: tuple[int, ...] | None
    padding: Around | str

    @field_validator("padding")
    @classmethod
    def narrower(cls, value: Any, info: ValidationInfo) -> Any:
        size = info.data.get("size")
        if size and not isinstance(value, str) and any(max(ends) >= n for ends, n in zip(value, size, strict=True)):
            raise wrong("'padding' is as wide as the window", str([n for ends in value for n in ends]), f"less than the size: {list(size)}",
                        "a window over padding alone has nothing to pool")
        return value


class Window1(Window):
    """A window over one axis."""

    axes = 1
    size: Single
    stride: Single | None = None
    padding: Ends1 = "valid"


class Window2(Window):
    """A window over two axes."""

    axes = 2
    size: Pair
    stride: Pair | None = None
    padding: Ends2 = "valid"


class Window3(Window):
    """A window over three axes."""

    axes = 3
    size: Triple
    stride: Triple | None = None
    padding: Ends3 = "valid"
