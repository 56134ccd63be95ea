"""A block as a loss or a metric: its body as a small network over the output and the target, without parameters."""

from __future__ import annotations

from nnspec.errors import Problem, SpecError
from nnspec.ir.graph import Value, abstract, constant
from nnspec.ir.types import BATCH, DType, TensorType
from nnspec.layers.layer import Mode
from nnspec.network.calls import call
from nnspec.network.context import Context
from nnspec.network.entry import Written
from nnspec.network.expand import Expander
from nnspec.network.graph import Network, Port
from nnspec.network.lower import lower
from nnspec.network.repeat import ONE
from nnspec.network.scope import Scope
from nnspec.ops.movement import reshape
from nnspec.records import dataclass
from nnspec.spec.load import Document
from nnspec.spec.terms import Term
from nnspec.training.own import Called


@dataclass(frozen=True)
class Body:
    """The block's layers, and which of them is the result."""

    network: Network
    end: Port

    def __call__(self, y: Value, t: Value) -> Value:
        given = dict(zip(self.network.inputs, (y, as_column(t, y)), strict=False))
        seed, step = constant(0, DType.uint32), constant(0, DType.int64)
        return lower(self.network, given, {}, Mode(batch=y.shape[0], dtype=y.dtype, seed=seed, step=step)).at(self.end)


def as_column(t: Value, y: Value) -> Value:
    """A number a row as a column, where the output has one unit: the two are then of one shape."""
    return reshape(t, y.shape) if t.dtype.is_float and y.shape == (*t.shape, 1) else t


def body(term: Term, doc: Document, y: TensorType, t: TensorType, what: str) -> Body:
    """The body of the block that a term calls, over an output and a target of these types; raises SpecError."""
    called: Called = term.of.called
    block = doc.blocks[called.name]
    names = block.inputs or ("output",)
    network = Network(f"{what} {called.name}", {})
    values = (abstract(y), as_column(abstract(t), abstract(y)))
    ports = tuple(network.add_input(name, v.type, None) for name, v in zip(names, values, strict=False))
    network.inputs.update({name: v.type for name, v in zip(names, values, strict=False)})
    expander = Expander(network, doc.blocks, doc.settings.dtype, doc.networks, doc.broken)
    written = Written(called.name, term.place, {}, called.fields, {})
    ends, _ = call(expander, written, called.name, ONE, ports, Context(Scope(), doc.env))
    doc.called |= expander.used
    if expander.problems:
        raise SpecError(*expander.problems)
    if learned := next(iter(network.parameters), None):
        raise SpecError(Problem(f"block '{called.name}' cannot be a {what}: it has parameters, which nothing would train", term.place,
                                found=f"'{learned}'", wanted="layers without parameters", rule="inputs"))
    if len(ends) != 1:
        raise SpecError(Problem(f"block '{called.name}' cannot be a {what}", term.place, found=f"{len(ends)} outputs", wanted="one", rule="inputs"))
    end = ends[0]
    if end.type is None:
        raise SpecError()  # it has been reported
    if not end.batched or end.type.shape[:1] != (BATCH,) or not end.type.dtype.is_float:
        found = "a result without rows" if not end.batched or end.type.shape[:1] != (BATCH,) else f"{end.type}"
        raise SpecError(Problem(f"block '{called.name}' cannot be a {what}", term.place, found=found, wanted="numbers for each row", rule="inputs"))
    return Body(network, end)
