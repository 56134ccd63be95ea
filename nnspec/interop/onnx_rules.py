"""ONNX's operators as ops of ours, one rule each, by name. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.interop.nodes import bits, detection, elements, normal, numbers, products, recurrent, reductions, resize, sampling, shapes, windows
from nnspec.interop.nodes.node import Rule

RULES: Mapping[str, Rule] = {**elements.RULES, **bits.RULES, **reductions.RULES, **normal.RULES, **windows.RULES, **shapes.RULES, **numbers.RULES,
                              **products.RULES, **resize.RULES, **sampling.RULES, **recurrent.RULES, **detection.RULES}
