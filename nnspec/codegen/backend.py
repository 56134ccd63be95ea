"""What a backend offers to the rest of nnspec, and how one is found by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

from numpy.typing import NDArray

from nnspec.errors import MissingExtraError, Problem, SpecError, nearest, one_of
from nnspec.ir.graph import Call, Graph
from nnspec.ir.op import Composite
from nnspec.ir.program import Program, Step
from nnspec.ir.types import TensorType
from nnspec.passes.levels import Loops

GROUP = "nnspec.backends"
KNOWN = ("numpy", "cupy")
OTHER_NAMES = {"cpu": "numpy", "gpu": "cupy"}


class Memory(Protocol):
    """State that outlives a step: one flat array a label, zeroed at first, shared by every program bound to it."""

    types: Mapping[str, TensorType]
    written: int  # how often any state was, by whatever program

    def hold(self, types: Mapping[str, TensorType]) -> None:
        """Room for what follows from states and is no part of ``types``, where there is none yet."""

    def read(self, label: str) -> NDArray[Any]:
        """A copy, in the host's memory."""

    def write(self, label: str, array: NDArray[Any]) -> None:
        """Replaces the content; shape and dtype must be those of ``types``."""

    def put(self, label: str, offset: int, array: NDArray[Any]) -> None:
        """Replaces as many elements from the ``offset``-th on as the flat ``array`` has."""


class Room(NamedTuple):
    """Memory that can still be had."""

    bytes: int
    where: str  # " on NVIDIA H200"
    copies: int = 0  # of what a program is fed, that are there beside it


class Results(NamedTuple):
    """What a run was given, and what it gave."""

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]


def results(run: Any) -> Results:
    """Of the last run of an ``Executable``: its own, where it keeps more than one."""
    return run.results() if hasattr(run, "results") else Results(run.inputs, run.outputs)


class Speed(NamedTuple):
    """What a backend can do at most, roughly: enough to choose between two of them."""

    flops: float  # a second
    bytes: float  # a second
    call: float  # seconds that a step of a program takes at least
    run: float  # seconds that a program takes at least


class Executable(Protocol):
    """A program bound to memory: write the inputs in place, run, read the outputs.

    An output is overwritten by the next ``run``. One that is ``late`` has ``results() -> Results`` of the last run as well, which are there until
    the run after the next, so that a step can be begun before the last one is looked at; one that was not ``finite`` keeps all behind it
    from doing anything until the host has read that.
    """

    program: Program
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]

    def run(self) -> None: ...


class Backend(Protocol):
    """Plans, prints and runs programs on one kind of device."""

    name: str
    late: bool  # whether executables of steps are late

    def claims(self, op: Composite, strict: bool = False) -> bool:
        """Whether the backend has a kernel for the whole composite, so that it stays one; where it is ``strict``, one that adds up as written."""

    def loops(self, strict: bool = False) -> Loops | None:
        """What its loop nests take; None where it has none. Where it is ``strict`` they reorder nothing."""

    def plan(self, graph: Graph, title: str) -> Program:
        """Steps and memory for a graph that went through the passes."""

    def restore(self, content: bytes, key: bytes) -> Program | None:
        """A program that ``nnspec.codegen.stored`` has written; None where it is not one that ``plan`` could have made."""

    def signature(self) -> str:
        """What programs depend on besides graphs: the processor, and the libraries that compute."""

    def choice(self, step: Step) -> str:
        """The way a step of a plan is computed and why, in a few words; nothing where there is one way."""

    def ways(self, call: Call) -> tuple[str, ...]:
        """The names of all ways that a call of a program can go (``op.way``), first what is chosen without; none where there is one."""

    def machine(self, tf32: bool = False) -> Mapping[str, str]:
        """What decides, beside shapes, which way is the fastest, in words that are equal on equal machines; ``tf32`` as for ``memory``."""

    def source(self, program: Program) -> str:
        """Python that a person can read, and that ``bind`` runs."""

    def memory(self, types: Mapping[str, TensorType], tf32: bool = False) -> Memory:
        """Zeroed state. With ``tf32``, products of programs bound to it may round float32 operands to 10 bits, where that is faster."""

    def room(self) -> Room | None:
        """Memory of its own that programs and state are in; None where that is the host's."""

    def speed(self) -> Speed:
        """What it can do here. Raises NnspecError where it cannot run at all."""

    def status(self) -> str:
        """``ready``, and on what. Raises NnspecError with what is missing and the line that installs it."""

    def set_threads(self, count: int) -> None:
        """How many threads programs may use, in this process."""

    def bind(self, program: Program, memory: Memory, seconds: NDArray[Any] | None = None) -> Executable:
        """The program over ``memory``. With ``seconds``, an element a step, each run writes there how long every step took."""


def load_backend(name: str) -> Backend:
    """The backend of that name; ``cpu`` and ``gpu`` stand for ``numpy`` and ``cupy``.

    Raises SpecError where no backend is called so, MissingExtraError where it is not installed.
    """
    from importlib.metadata import entry_points  # slow, and not needed to check a spec

    name = OTHER_NAMES.get(name, name)
    found = {e.name: e for e in entry_points(group=GROUP)}
    if name not in found:
        known = {*KNOWN, *OTHER_NAMES, *found}
        if name in KNOWN:
            hint = _install(name)
            raise MissingExtraError(Problem(f"backend '{name}' is not {'installed' if hint else 'in this version'}", hint=hint))
        raise SpecError(Problem(f"there is no backend '{name}'", wanted=one_of(known), hint=nearest(name, known)))
    try:
        return cast(Backend, found[name].load())
    except ImportError as error:
        raise MissingExtraError(Problem(f"backend '{name}' cannot be loaded", found=str(error), hint=_install(name))) from error


def _install(name: str) -> str:
    """What installs a backend, where this version has an extra of its name."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata("nnspec").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        extras = []
    return f"pip install 'nnspec[{name}]'" if name in extras else ""
