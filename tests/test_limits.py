"""A stranger's file can cost neither time nor memory: each of these is refused before it could."""

from __future__ import annotations

import tracemalloc

import pytest

from nnspec.compiler import loads
from nnspec.errors import NnspecError

BASE = "nnspec: 1\ninputs: {x: {shape: [8]}}\n"
HOSTILE = {
    "alias bomb": "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)),
    "a million brackets": "[" * 10**6,
    "a million braces": "{" * 10**6,
    "ten megabytes": "x-a: " + "a" * 10**7,
    "a billion copies": BASE + "layers: [dense: {units: 1, repeat: 1000000000}]",
    "a billion copies by formula": BASE + "layers: [dense: {units: 1, repeat: $(10**9)}]",
    "a tower of powers": BASE + 'layers: [dense: "$(9**9**9)"]',
    "a billion units": BASE + "layers: [dense: 1000000000]",
    "an input of a billion": "nnspec: 1\ninputs: {x: {shape: [1000000000]}}\nlayers: [relu]",
    "a table of 10^14": "nnspec: 1\ninputs: {x: {shape: [3], dtype: int64}}\nlayers: [embedding: {vocabulary: 10000000, units: 10000000}]",
    "a kernel of 10^14": "nnspec: 1\ninputs: {x: {shape: [9999999, 9999999, 3]}}\nlayers: [conv2d: {filters: 3, kernel: 9999999}]",
    "copies of copies": BASE + "blocks:\n  a: {layers: [relu: {repeat: 9999}]}\n  b: {layers: [a: {repeat: 9999}]}\nlayers: [b: {repeat: 9999}]",
    "a block that calls itself": BASE + "blocks:\n  a: {layers: [a]}\nlayers: [a]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_within_60_megabytes(name: str) -> None:
    loads(BASE + "layers: [dense: 2]")  # imports and caches are not the file's doing
    text = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(NnspecError) as e:
            loads(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000
    assert all(p.place is not None for p in e.value.problems)
