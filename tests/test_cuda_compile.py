"""Kernels compile for GPUs that are not here: NVRTC needs neither one nor a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnspec.errors import MissingExtraError
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.cache import compiled
from nnspec_cupy.cuda.compile import cubin, target, version
from nnspec_cupy.source import kernels
from tests.test_cuda_ops import ALL, planned

try:
    WITHOUT = "" if version() else ""
except MissingExtraError as error:
    WITHOUT = f"no NVRTC: {error}"
pytestmark = pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_the_kernels_of_every_op_compile(arch: str) -> None:
    found: dict[str, Kernel] = {}
    for p in ALL:
        found.update(kernels(planned(*p.values)[2]))
    code = cubin(list(found.values()), arch)
    assert code.startswith(b"\x7fELF")
    assert all(name.encode() in code for name in found)


def test_object_code_is_kept_and_made_again_where_it_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CACHE", str(tmp_path / "kept"))
    some = [Kernel("k", "float* x", f"    x[{n}] = {n}.0f;\n") for n in range(3)]
    ((part, code),) = compiled(some, "sm_90")
    assert part == some and code.startswith(b"\x7fELF")
    (entry,) = (tmp_path / "kept").iterdir()

    def never(*_: object) -> bytes:
        raise AssertionError("compiled again")

    with monkeypatch.context() as m:
        m.setattr("nnspec_cupy.cuda.cache.cubin", never)
        assert [c for _, c in compiled(some, "sm_90")] == [code]
    entry.write_bytes(entry.read_bytes()[:-9] + b"elsewhere")
    assert [c for _, c in compiled(some, "sm_90")] == [code]
    assert list(compiled([], "sm_90")) == []


def test_what_does_not_compile_says_why() -> None:
    with pytest.raises(AssertionError, match="undefined"):
        cubin([Kernel("bad", "float* x", "    x[0] = undefined_name;\n")], "sm_90")


def test_code_for_devices_that_nobody_knows_yet_is_ptx() -> None:
    code = cubin([Kernel("k", "float* x", "    x[0] = 1.0f;\n")], "compute_90")
    assert b".target sm_90" in code and not code.startswith(b"\x7fELF")


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_the_kernel_that_holds_a_stream_compiles(arch: str) -> None:
    from nnspec_cupy.gpu import HOLD

    if int(arch.removeprefix("sm_")) > 90 and target(arch) != arch:
        pytest.skip("this NVRTC knows no such device")
    assert cubin([HOLD], arch).startswith(b"\x7fELF")
