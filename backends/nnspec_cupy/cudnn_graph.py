"""Convolutions by cuDNN, through NVIDIA's frontend: a graph of one operation each, planned when it is bound.

Images lie channels last, filters as (filters, taps, channels). Only engines that give the same bits each time are taken; without ``math: tf32``
none that rounds its operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec.ir.types import DType
from nnspec.ops.conv import Conv, ConvInputGrad, pads
from nnspec_cupy.commands import Convolve
from nnspec_cupy.cuda.compile import INSTALL
from nnspec_cupy.device import Find, Run

if TYPE_CHECKING:
    from nnspec_cupy.gpu import Gpu

WORKSPACE = 256 << 20  # bytes; one for all convolutions, which run one after another
TYPES = {DType.float32: "FLOAT", DType.bfloat16: "BFLOAT16", DType.float16: "HALF"}


class Cudnn:
    """A handle on the device's stream, and convolutions bound to memory."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.cudnn = gpu, frontend()
        self._handle = self.cudnn.create_handle()
        self.cudnn.set_stream(handle=self._handle, stream=gpu.stream.ptr)
        self._workspace: Any = None

    def bind(self, command: Convolve, find: Find, tf32: bool) -> Run:
        """What enqueues a convolution."""
        graph, tensors = self._planned(command, tf32)
        if self._workspace is None:
            self._workspace = self.gpu.allocate(WORKSPACE)
        arrays = (*command.reads, command.result)
        places = {t: int(find(a).ptr) + int(a.offset) for t, a in zip(tensors, arrays, strict=True)}
        blocks = [find(a) for a in arrays]
        return partial(_execute, graph, places, self._workspace.ptr, self._handle, blocks)


    def _planned(self, command: Convolve, tf32: bool) -> tuple[Any, list[Any]]:
        """A graph that can run: without Winograd's errors, or else with them. Raises ResourceError where there is neither."""
        notes = self.cudnn.numerical_note
        fixed = [notes.NONDETERMINISTIC, *([] if tf32 or command.result.type.dtype.half else [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS])]
        told = ""
        for refused in ([*fixed, notes.WINOGRAD], fixed):
            graph, tensors = described(self.cudnn, command, self._handle)
            try:
                graph.validate()
                graph.build_operation_graph()
                graph.create_execution_plans([self.cudnn.heur_mode.A, self.cudnn.heur_mode.FALLBACK])
                graph.deselect_numeric_notes(refused)
                graph.deselect_workspace_greater_than(WORKSPACE)
                graph.check_support()
                graph.build_plans()
            except (self.cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
                told = str(error).partition("\n")[0]
                continue
            return graph, tensors
        raise ResourceError(Problem(f"cuDNN has nothing that gives the same bits each time for {command}", found=told,
                                    hint="NNSPEC_CUDNN=none computes convolutions as products"))  # fmt: skip


def frontend() -> Any:
    """NVIDIA's frontend. Raises MissingExtraError where it or cuDNN is not there."""
    try:
        import cudnn

        cudnn.backend_version()
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingExtraError(Problem("cuDNN cannot be loaded", found=str(error).partition("\n")[0], hint=INSTALL)) from error
    return cudnn


def described(cudnn: Any, command: Convolve, handle: Any = None) -> tuple[Any, list[Any]]:
    """The graph of a convolution, and its tensors in the order of what it reads and writes."""
    kind = getattr(cudnn.data_type, TYPES[command.result.type.dtype])
    graph = cudnn.pygraph(io_data_type=kind, intermediate_data_type=cudnn.data_type.FLOAT, compute_data_type=cudnn.data_type.FLOAT, handle=handle)
    op = command.op
    image, filters, outer = command.shapes
    around = pads(op.padding, image[1:-1], filters[1:-1], op.stride, op.dilation)
    line = len(image) == 3  # cuDNN begins at two axes
    extra = {"pre_padding": [low for low, _ in around], "post_padding": [high for _, high in around], "stride": list(op.stride),
             "dilation": list(op.dilation)}
    if line:
        extra = {name: [1 if name in ("stride", "dilation") else 0, *values] for name, values in extra.items()}

    def tensor(shape: Sequence[int], name: str) -> Any:
        dims, strides = channels_last(shape, line)
        return graph.tensor(name=name, dim=dims, stride=strides, data_type=kind)

    if isinstance(op, Conv):
        reads = [tensor(image, "image"), tensor(filters, "filters")]
        result, shape = graph.conv_fprop(image=reads[0], weight=reads[1], **extra), outer
    elif isinstance(op, ConvInputGrad):
        reads = [tensor(outer, "gradient"), tensor(filters, "filters")]
        result, shape = graph.conv_dgrad(loss=reads[0], filter=reads[1], **extra), image
    else:
        reads = [tensor(image, "image"), tensor(outer, "gradient")]
        result, shape = graph.conv_wgrad(image=reads[0], loss=reads[1], **extra), filters
    dims, strides = channels_last(shape, line)
    result.set_output(True).set_dim(dims).set_stride(strides).set_data_type(kind)
    return graph, [*reads, result]


def channels_last(shape: Sequence[int], line: bool) -> tuple[list[int], list[int]]:
    """Dimensions as cuDNN names them, channels second, and strides of a plain array with channels last."""
    n, *spatial, c = (shape[0], 1, *shape[1:]) if line else tuple(shape)
    inner = [c * prod(spatial[i + 1 :]) for i in range(len(spatial))]
    return [n, c, *spatial], [c * prod(spatial), 1, *inner]


def _execute(graph: Any, places: Any, workspace: int, handle: Any, blocks: Any) -> None:
    """``blocks`` are kept as long as the call is."""
    graph.execute(places, workspace, handle=handle)
