"""Object code put into memory without LLVM does what LLVM's own linking makes of it; what is not ours is left to LLVM."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from nnspec.codegen import cache
from nnspec_numpy.llvm import build, cpu, elf
from nnspec_numpy.llvm.call import call

pytestmark = pytest.mark.compiled
ROOT = Path(__file__).resolve().parent.parent
TEXT = """
@table = private unnamed_addr constant [4 x double] [double 1.5, double -2.0, double 0.125, double 3.0]
define void @second(ptr %x) nounwind {
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 2
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %old = load double, ptr %from
  %here = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %more = load double, ptr %here
  %sum = fadd double %old, %more
  %new = fmul double %sum, 1.1
  store double %new, ptr %from
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, 4
  br i1 %done, label %out, label %loop
out:
  ret void
}
define void @first(ptr %x) nounwind {
  call void @second(ptr %x)
  call void @second(ptr %x)
  ret void
}
"""
here = pytest.mark.skipif(not elf.possible(), reason="another system's object files")


def compiled(text: str) -> bytes:
    found = cpu.chosen()
    assert found is not None
    return build._compiled(text, found)


def ran(image: object, name: str = "first") -> list[float]:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    call(image.get_function_address(name), x.ctypes.data)()  # type: ignore[attr-defined]
    return [float(v) for v in x]


@here
def test_functions_and_their_constants_are_found() -> None:
    code = compiled(TEXT)
    image = elf.image(code)
    assert image is not None
    table = [1.5, -2.0, 0.125, 3.0]
    assert ran(image) == [((x + t) * 1.1 + t) * 1.1 for x, t in zip([1.0, 2.0, 3.0, 4.0], table, strict=True)]
    assert ran(image, "second") == [(x + t) * 1.1 for x, t in zip([1.0, 2.0, 3.0, 4.0], table, strict=True)]


@here
def test_memory_that_is_executed_cannot_be_written() -> None:
    image = elf.image(compiled(TEXT))
    assert image is not None
    start = image.get_function_address("first")
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(x, 16) for x in line.split()[0].split("-"))
        if low <= start < high:
            assert line.split()[1] == "r-xp"


@here
@pytest.mark.parametrize("text", [
    "declare double @sin(double)\ndefine void @f(ptr %x) { \n %v = load double, ptr %x\n %y = call double @sin(double %v)\n store double %y, ptr %x\n ret void\n}",
    "@counted = global i64 0\ndefine void @f(ptr %x) { \n store i64 1, ptr @counted\n ret void\n}",
])  # fmt: skip
def test_what_calls_or_changes_something_outside_is_left_to_llvm(text: str) -> None:
    assert elf.image(compiled(text)) is None


@here
def test_any_damage_is_refused_or_harmless() -> None:
    code, chance = compiled(TEXT), random.Random(5)
    for end in range(0, len(code), 7):
        elf.image(code[:end])
    for _ in range(2000):
        turned = bytearray(code)
        for _ in range(chance.choice((1, 1, 3))):
            turned[chance.randrange(len(code))] = chance.randrange(256)
        elf.image(bytes(turned))  # whatever it is, it is either None or in memory that was checked
    huge = bytearray(code)
    huge[40:48] = (1 << 62).to_bytes(8, "little")
    assert elf.image(bytes(huge)) is None and elf.image(b"") is None and elf.image(b"MZ" + code[2:]) is None


@here
def test_a_process_that_finds_all_code_on_disk_never_loads_llvm(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np, nnspec
from nnspec.compiler import loads
model = nnspec.compile(loads(\"\"\"
nnspec: 1
inputs: {x: {shape: [4, 4, 2]}}
layers: [conv2d: {filters: 3, kernel: 3, activation: relu}, flatten, dense: 2]
loss: cross_entropy
optimizer: adam
\"\"\"))
print(model.train_batch({"x": np.ones((5, 4, 4, 2), np.float32), "target": np.arange(5) % 2}), "llvmlite.binding" in sys.modules)
"""
    env = {**os.environ, "NNSPEC_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    said = [subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.rsplit(" ", 1) for _ in range(2)]
    assert said[0] == [said[1][0], "True\n"] and said[1][1] == "False\n"


@here
def test_a_processor_that_was_not_written_by_us_is_asked_for_again() -> None:
    for content in (None, [], {}, {"name": "x", "features": "", "width": 8, "x86": True}, {"name": 1, "features": "", "width": 16, "x86": True}):
        assert cpu._read(content) is None
    assert cpu._read({"name": "x", "features": "", "width": 16, "x86": True}) == cpu.Cpu("x", "", 16, True)


@here
@pytest.mark.parametrize("pointer", [b"[", b"[]", b'["../../x", {"a": ["first"]}]', b'["%s", {"a": ["first"]}]' % (b"0" * 64), b'["%s", {"a": []}]', b'["%s", {"a": ["third"]}]'])
def test_a_pointer_to_code_that_is_not_there_is_written_anew(pointer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CACHE", str(tmp_path / "cache"))
    processor, written = cpu.chosen(), []
    assert processor is not None

    def write() -> tuple[str, build.Names]:
        written.append(1)
        return TEXT, {"a": ["first", "second"]}

    image, names = build.linked(b"key", processor, write)
    again, _ = build.linked(b"key", processor, write)
    assert ran(image) == ran(again) and names == {"a": ["first", "second"]} and len(written) == 1
    digest = sha256(build._key(TEXT, processor)).hexdigest().encode()
    cache.keep(b"key", pointer.replace(b"%s", digest), cache.PROGRAM)
    build.linked(b"key", processor, write)
    build.linked(b"key", processor, write)
    assert len(written) == 2
