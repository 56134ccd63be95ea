"""Kernels whose results are read by a nest that they take as their epilogue, and which those are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nnspec.ir.graph import Call
from nnspec.ir.types import TensorType
from nnspec.ops.conv import Conv
from nnspec.ops.fused import Followed, written
from nnspec.ops.matmul import MatMul
from nnspec_numpy.llvm import epilogue
from nnspec_numpy.llvm.cpu import chosen

from . import conv, matmul
from .conv import CONV
from .ending import Ending
from .filters import pieces, shared
from .kernel import Arrays, Form, Kernel, Run, Types
from .matmul import MATMUL

PLAIN: Kernel = shared(CONV[Conv])


def follows(first: Call, calls: Sequence[Call]) -> bool:
    """Whether the kernel of ``first`` takes these calls as its epilogue."""
    op, (result, *_) = first.op, first.outputs
    if chosen() is None or not epilogue.takes(calls, result):
        return False
    if isinstance(op, MatMul):
        return matmul.follows(op, first.inputs, result.type)
    return isinstance(op, Conv) and _ends(op, [v.type for v in first.inputs], [result.type])


def _ends(op: Conv, inputs: Types, outputs: Types) -> bool:
    return all(conv.ends(*piece) for piece in pieces(op, inputs, outputs))


def _plain(op: Followed) -> Kernel:
    return MATMUL[MatMul] if isinstance(op.first, MatMul) else PLAIN


def _first(op: Followed, inputs: Types) -> tuple[Types, Types]:
    """The types of what the first call reads and gives."""
    return inputs[: len(inputs) - len(op.body.inputs) + 1], [next(iter(op.body.inputs.values())).type]


def workspace(op: Followed, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return _plain(op).workspace(op.started, *_first(op, inputs))


def forms(op: Followed, inputs: Types, outputs: Types) -> tuple[Form, ...]:
    return _plain(op).forms(op.started, *_first(op, inputs))


def choice(op: Followed, inputs: Types, outputs: Types) -> str:
    return f"{_plain(op).choice(op.started, *_first(op, inputs))}; then {written(op.body)}"


def ways(op: Followed, inputs: Types, outputs: Types) -> tuple[str, ...]:
    """Of the ways of the first call those with an epilogue."""
    first, own = op.first, _first(op, inputs)
    if not isinstance(first, Conv):
        return ()
    return tuple(way for way in PLAIN.ways(first, *own) if _ends(first.but(way=way), *own))


def bind(op: Followed, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    own = len(inputs) - len(op.body.inputs) + 1
    ending = Ending(op, inputs[own:], outputs)
    if isinstance(op.first, MatMul):
        return matmul.bind(op.first, inputs[:own], outputs[:1], space, ending)
    kernel = replace(CONV[Conv], bind=partial(conv.bind, ending=ending))
    return shared(kernel).bind(op.started, inputs[:own], outputs[:1], space)


FOLLOWED: dict[type[Any], Kernel] = {Followed: Kernel(bind, workspace, choice=choice, forms=forms, ways=ways)}
