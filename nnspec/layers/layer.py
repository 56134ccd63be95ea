"""What a layer is: fields, parameters, state, and how it is built from ops. It has no shape formulas of its own."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import BATCH, Dim, DType, Shape, show
from nnspec.ops.movement import reshape
from nnspec.records import dataclass, field, replace
from nnspec.spec.model import Kind


@dataclass(frozen=True)
class Param:
    """A tensor that a layer keeps: learned, or moved by the layer itself (``trainable=False``: state)."""

    name: str
    shape: tuple[int, ...]
    init: str | float = "zeros"
    role: str = ""
    trainable: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", self.role or self.name)


class Values(Mapping[str, Value]):
    """A layer's parameters and state by name, also as attributes: ``p.kernel``."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Value:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Mode:
    """How a layer is built: in training or not, frozen or not, and what the step gives it."""

    training: bool = False
    frozen: bool = False
    batch: Dim = BATCH
    weight: Value | None = None  # a weight a row, where rows differ
    seed: Value | None = None
    step: Value | None = None
    path: str = ""
    batched: tuple[bool, ...] = (True,)  # for each input: does it have a batch axis
    dtype: DType = DType.float32  # of what is learned, and of numbers that come from nowhere else


@dataclass(frozen=True)
class Built:
    """A layer's output with the new content of its state, and further outputs by name: ``layer.name`` in ``from``."""

    y: Value
    state: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)


class Entry(Kind):
    """Anything that stands in a list of layers under its own name."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    inputs: ClassVar[tuple[int, int]] = (1, 1)  # least and most; (0, 0) takes nothing
    roles: ClassVar[tuple[str, ...]] = ()  # names for its inputs, in order: ``from: {query: a, key: b}``
    own_roles: ClassVar[bool] = False  # whether ``from: {name: a}`` gives its inputs names of their own
    batched: ClassVar[bool] = True  # whether an entry without inputs has rows
    several: ClassVar[bool] = False  # whether its name alone stands for all of its further outputs
    noise: ClassVar[bool] = False  # whether training adds chance to what inference passes on
    family: ClassVar[str] = "layer"

    @abstractmethod
    def parameters(self, x: tuple[Value, ...]) -> Iterable[Param]:
        """What is learned, for these inputs."""

    @abstractmethod
    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        """The output and the new state."""


class Layer(Entry):
    """A layer of one input."""

    def params(self, x: Value) -> Iterable[Param]:
        """What it learns."""
        return ()

    def state(self, x: Value) -> Iterable[Param]:
        """What it keeps without learning it."""
        return ()

    @abstractmethod
    def build(self, x: Value, p: Values, mode: Mode) -> Value | Built:
        """The output from the input ``x``, its batch axis first."""

    def parameters(self, x: tuple[Value, ...]) -> Iterable[Param]:
        yield from self.params(x[0])
        yield from self.state(x[0])

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        out = self.build(x[0], p, mode)
        return out if isinstance(out, Built) else Built(out)


class Merge(Entry):
    """A layer of several inputs."""

    inputs = (2, 64)

    @abstractmethod
    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        """The output from the inputs."""

    def parameters(self, x: tuple[Value, ...]) -> Iterable[Param]:
        return ()

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        return Built(self.build(x, mode))


class Choice(Merge):
    """The second of two inputs: what a list of layers for one mode alone makes; in the other mode the first stands for it."""

    kind = "only"
    inputs = (2, 2)

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return x[1]


def one_row(x: tuple[Value, ...], batched: tuple[bool, ...]) -> tuple[Value, ...]:
    """What a layer is given: where none of its inputs has rows, each is a single row."""
    return x if any(batched) or not x else tuple(reshape(v, (1, *v.shape)) for v in x)


def applied(entry: Entry, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
    """The layer over its inputs; of parameters and constants alone it makes something that has no rows either."""
    if any(mode.batched) or not x:
        return entry.apply(x, p, mode)
    rows = one_row(x, mode.batched)
    built = entry.apply(rows, p, replace(mode, batch=1, weight=None, batched=(True,) * len(x)))
    return Built(reshape(built.y, built.y.shape[1:]), built.state, {k: reshape(v, v.shape[1:]) for k, v in built.outputs.items()})


def fixed(dim: Dim, what: str) -> int:
    """``dim`` as a number, or an error: what is learned cannot have a symbolic axis."""
    if not isinstance(dim, int):
        raise ShapeError(f"{what} must be known", f"the symbolic axis '{dim}'", "a number in the input's shape")
    return dim


def rank(x: Value, least: int, what: str, most: int | None = None) -> None:
    """Refuses an input of too few or too many axes; the batch is not counted."""
    n = x.rank - 1
    if n < least or (most is not None and n > most):
        wanted = f"{least} axes" if least == most else f"at least {least} axes" if most is None else f"{least} to {most} axes"
        raise ShapeError(f"{what} does not fit the input", f"{n} {'axis' if n == 1 else 'axes'}: {show(x.shape)}", f"{wanted}, the batch not counted",
                         "flatten reduces it to one axis" if most == 1 else "reshape can add an axis" if n < least else "")


def row(shape: Iterable[Any]) -> Shape:
    """A shape as a tuple."""
    return tuple(shape)
