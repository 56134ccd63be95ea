"""Changes of training images that are drawn anew in every epoch: what each does, exactly, and to what."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from nnspec.data.config import Names
from nnspec.data.draws import Draws
from nnspec.data.sampling import bilinear, nearest, turned
from nnspec.spec.model import Kind, NotNegative, Pair, Positive, Whole

Array = NDArray[Any]


def _around_one(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (1.0 - value, 1.0 + value) if number else value


class Augmentation(Kind):
    """A change of training rows, drawn by (seed, epoch, row) alone.

    It works on the images of ``columns``, by default all. All images of a row take part in the same draw, and where one moves,
    every mask of its height and width moves along. Pixels are as in the data, images of bytes 0 to 1; preparation comes after.
    """

    registry: ClassVar[dict[str, type[Any]]] = {}
    moves: ClassVar[bool] = False  # pixels go elsewhere: masks too
    bytes: ClassVar[bool] = False  # pixels go elsewhere unchanged: bytes may stay bytes
    columns: Names | None = None

    @abstractmethod
    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        """What is drawn for each row, for images of this height and width."""

    @abstractmethod
    def image(self, x: Array, drawn: Any) -> Array:
        """The changed images, (rows, height, width, channels); ``x`` may be overwritten."""

    def mask(self, x: Array, drawn: Any) -> Array:
        """The moved masks, (rows, height, width); ``x`` may be overwritten."""
        return np.ascontiguousarray(self.image(x[..., None], drawn)[..., 0])


class Flip(Augmentation, kind="flip", primary="direction"):
    """Mirrors half of the images: ``horizontal`` swaps left and right, ``vertical`` top and bottom, ``both`` draws each."""

    moves = bytes = True
    direction: Literal["horizontal", "vertical", "both"] = "horizontal"
    probability: Annotated[float, Field(ge=0, le=1)] = 0.5

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        chosen = draws.uniform(name, 2) < self.probability
        return chosen & np.array([self.direction != "vertical", self.direction != "horizontal"])

    def image(self, x: Array, drawn: Any) -> Array:
        for row in np.flatnonzero(drawn[:, 0]):
            x[row] = x[row, :, ::-1].copy()
        for row in np.flatnonzero(drawn[:, 1]):
            x[row] = x[row, ::-1].copy()
        return x


class Crop(Augmentation, kind="crop", primary="padding"):
    """A window at a random place of the image with ``padding`` pixels of 0 on each side (in masks as for rotate), every place
    equally likely.

    Without ``size`` the window is as large as the image: it is shifted by up to ``padding``. A window of another ``size`` (a
    number, or [height, width]) is scaled back to the image's own shape, bilinear (masks: the nearest pixel), so that shapes are
    the same with and without augmentation.
    """

    moves = True
    padding: Whole = 0
    size: Pair | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.padding and self.size is None:
            raise ValueError("padding of 1 or more, or a size")
        return self

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        (h, w), p = self.size or shape, self.padding
        return draws.whole(name, (shape[0] + 2 * p - h + 1, shape[1] + 2 * p - w + 1)) - p

    def image(self, x: Array, drawn: Any) -> Array:
        if self.size is None or self.size == x.shape[1:3]:
            return self._shifted(x, drawn)
        return bilinear(x, *self._places(x.shape[1:3], drawn))

    def mask(self, x: Array, drawn: Any) -> Array:
        if self.size is None or self.size == x.shape[1:3]:
            return self._shifted(x, drawn)
        return nearest(x, *self._places(x.shape[1:3], drawn))

    def _shifted(self, x: Array, drawn: Any) -> Array:
        out = np.zeros_like(x)
        h, w = x.shape[1:3]
        for row, (dy, dx) in enumerate(drawn.tolist()):
            out[row, max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)] = (
                x[row, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
            )  # fmt: skip
        return out

    def _places(self, shape: tuple[int, ...], drawn: Any) -> tuple[Any, Any]:
        assert self.size is not None
        axes = []
        for axis in (0, 1):
            window, length = self.size[axis], shape[axis]
            at = np.clip((np.arange(length) + 0.5) * window / length - 0.5, 0, window - 1)
            axes.append(drawn[:, axis, None] + at)
        n, h, w = len(drawn), *shape
        return np.broadcast_to(axes[0][:, :, None], (n, h, w)), np.broadcast_to(axes[1][:, None, :], (n, h, w))


class Turn(Augmentation):
    """What rotate and scale have in common."""

    moves = True

    @abstractmethod
    def turn(self, drawn: Any) -> tuple[Any, Any]:
        """Angles in radians and factors, one a row."""

    def image(self, x: Array, drawn: Any) -> Array:
        return bilinear(x, *turned((x.shape[1], x.shape[2]), *self.turn(drawn)))

    def mask(self, x: Array, drawn: Any) -> Array:
        return nearest(x, *turned((x.shape[1], x.shape[2]), *self.turn(drawn)))


class Rotate(Turn, kind="rotate", primary="degrees"):
    """Turns about the centre by an angle drawn evenly from ``-degrees`` to ``degrees``; counterclockwise is more than 0.

    Bilinear, masks by the nearest pixel; what comes from outside of the image is 0 (in masks class 0, or what their loss ignores).
    """

    degrees: Annotated[float, Field(gt=0, le=180)]

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return np.radians(self.degrees) * (2 * draws.uniform(name, 1)[:, 0] - 1)

    def turn(self, drawn: Any) -> tuple[Any, Any]:
        return drawn, np.ones_like(drawn)


class Scale(Turn, kind="scale", primary="by"):
    """Enlarges about the centre by a factor drawn evenly from ``by: [low, high]``; ``by: 0.2`` is short for [0.8, 1.2].

    The image keeps its size: what grows is cut off, around what shrinks is 0 (in masks as for rotate). Bilinear, masks by
    the nearest pixel.
    """

    by: Annotated[tuple[Positive, Positive], BeforeValidator(_around_one)]

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return self.by[0] + (self.by[1] - self.by[0]) * draws.uniform(name, 1)[:, 0]

    def turn(self, drawn: Any) -> tuple[Any, Any]:
        return np.zeros_like(drawn), drawn


class Brightness(Augmentation, kind="brightness", primary="by"):
    """Adds a number drawn evenly from ``-by`` to ``by`` to every pixel of the image. Nothing is clipped."""

    by: Positive

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return self.by * (2 * draws.uniform(name, 1)[:, 0] - 1)

    def image(self, x: Array, drawn: Any) -> Array:
        return np.asarray(x + drawn.astype(x.dtype)[:, None, None, None])


class Contrast(Augmentation, kind="contrast", primary="by"):
    """``mean + factor * (x - mean)``: the mean is each channel's own over the image, the factor drawn evenly from
    ``by: [low, high]``; ``by: 0.2`` is short for [0.8, 1.2]. Nothing is clipped."""

    by: Annotated[tuple[NotNegative, NotNegative], BeforeValidator(_around_one)]

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return self.by[0] + (self.by[1] - self.by[0]) * draws.uniform(name, 1)[:, 0]

    def image(self, x: Array, drawn: Any) -> Array:
        n, h, w, c = x.shape
        mean = (np.full((1, h * w), 1.0 / (h * w), x.dtype) @ x.reshape(n, h * w, c))[:, 0]  # by BLAS, image by image
        factor = drawn.astype(x.dtype)[:, None]
        rest = np.tile((1 - factor) * mean, (1, w))[:, None]  # of a line of pixels: long rows are added fast
        return np.asarray((x.reshape(n, h, w * c) * factor[:, None] + rest).reshape(x.shape))


class Noise(Augmentation, kind="noise", primary="deviation"):
    """Adds a normal number of mean 0 and this ``deviation`` to every pixel and channel. Nothing is clipped."""

    deviation: Positive

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return draws, name

    def image(self, x: Array, drawn: Any) -> Array:
        draws, name = drawn
        noise = draws.normal(name, int(np.prod(x.shape[1:]))).reshape(x.shape)
        return np.asarray(x + noise.astype(x.dtype, copy=False) * x.dtype.type(self.deviation))


class Cutout(Augmentation, kind="cutout", primary="size"):
    """Sets a rectangle of ``size`` (a number, or [height, width]) to ``fill``; its centre is any pixel, and what of it lies outside
    is cut off. Masks stay as they are. Source: DeVries and Taylor, 2017."""

    size: Pair
    fill: Annotated[float, Field(allow_inf_nan=False)] = 0.0

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return draws.whole(name, shape) - np.array(self.size) // 2

    def image(self, x: Array, drawn: Any) -> Array:
        h, w = self.size
        for row, (top, left) in enumerate(drawn.tolist()):
            x[row, max(0, top) : max(0, top + h), max(0, left) : max(0, left + w)] = self.fill
        return x


class Mixup(Augmentation, kind="mixup", primary="alpha"):
    """``share * row + (1 - share) * partner`` of inputs and targets, the share from Beta(alpha, alpha), the partner any training row.

    It comes last, works on all inputs, which must be numbers, after their preparation; the partner is augmented by itself.
    Classes become probabilities: ``cross_entropy`` and ``binary_cross_entropy`` take them. Source: Zhang et al., 2018.
    """

    alpha: Positive = 0.2

    def draw(self, draws: Draws, name: str, shape: tuple[int, int]) -> Any:
        return draws.beta(name, self.alpha)

    def image(self, x: Array, drawn: Any) -> Array:
        return x
