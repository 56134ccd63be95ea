"""The walls of the house: who may import whom, where third-party libraries stay, and what lies at the top."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = [p.name for p in (ROOT / "backends").iterdir() if p.is_dir() and p.name.startswith("nnspec_")]

# An import may only point to an earlier line. Rooms of one line know nothing of each other.
ORDER = (
    ("records",),
    ("errors",),
    ("ir",),
    ("ops",),
    ("spec", "autodiff"),
    ("passes",),
    ("codegen",),
    ("layers", "training", "data"),
    ("spec.terms",),
    ("spec.load",),
    ("spec.schema_types",),
    ("spec.schema", "spec.write"),
    ("network",),
    ("compiler",),
    ("interop", "view", "lint"),
    ("runtime",),
    ("view.board",),
    ("", "cli"),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
BACKEND_MAY = ("records", "errors", "ir", "ops", "codegen")

# Where each third-party library may be imported; of the rest of the world only the standard library.
FENCES: dict[str, tuple[str, ...]] = {
    "numpy": ("",),
    "annotated_types": ("nnspec/spec/",),  # what pydantic's constraints are made of
    "yaml": ("nnspec/spec/reader.py",),
    "pydantic": ("nnspec/spec/", "nnspec/layers/", "nnspec/training/", "nnspec/data/"),
    "pydantic_core": ("nnspec/spec/", "nnspec/layers/", "nnspec/training/", "nnspec/data/"),
    "networkx": (
        "nnspec/network/",
        "nnspec/view/",
        "nnspec/compiler.py",
        "nnspec/runtime/session.py",
    ),  # types of .graph
    "click": ("nnspec/cli/",),
    "rich": ("nnspec/cli/", "nnspec/view/", "nnspec/runtime/"),
    "safetensors": ("nnspec/interop/", "nnspec/runtime/"),
    "google": ("nnspec/interop/onnx_read.py",),  # the error of what onnx is read with
    "onnx": ("nnspec/interop/", "nnspec/runtime/export.py"),  # a type there
    "starlette": ("nnspec/view/board/",),
    "uvicorn": ("nnspec/view/board/",),
    "PIL": ("nnspec/data/decode.py", "nnspec/view/png.py"),
    "pyarrow": ("nnspec/data/parquet_file.py",),
    "cupy": ("backends/nnspec_cupy/",),
    "cupy_backends": ("backends/nnspec_cupy/",),
    "cuda": ("backends/nnspec_cupy/",),
    "cudnn": ("backends/nnspec_cupy/",),
    "llvmlite": ("backends/nnspec_numpy/llvm/",),
}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}  # what turns text into code
UNSAFE = {"pickle", "cPickle", "marshal", "shelve", "dill", "code", "runpy"}
FORBIDDEN_FOLDERS = {"utils", "util", "common", "helpers", "base", "misc"}
TOP = {"specs", "nnspec", "backends", "tests", "pyproject.toml", "README.md"}


def sources() -> list[Path]:
    return sorted(p for folder in ("nnspec", "backends") for p in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def module_of(path: Path) -> str:
    """The dotted name of a file: ``nnspec.ops.conv``, ``nnspec_numpy.plan``."""
    inside = path.relative_to(ROOT / "backends" if path.is_relative_to(ROOT / "backends") else ROOT)
    return ".".join(inside.with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    """The room a module of nnspec belongs to; the most exact line of ORDER that names it."""
    inside = module.removeprefix("nnspec").removeprefix(".")
    parts = inside.split(".")
    two = ".".join(parts[:2])
    return two if two in LEVEL else parts[0]


@cache
def is_module(dotted: str) -> bool:
    for top in (ROOT, ROOT / "backends"):
        path = top.joinpath(*dotted.split("."))
        if path.with_suffix(".py").is_file() or path.is_dir():
            return True
    return False


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Every module a file imports, at its top or inside a function, with the line; TYPE_CHECKING counts as well."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield node.lineno, full if module.startswith("nnspec") and is_module(full) else module
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def wrong_directions(path: Path) -> list[str]:
    own = room(module_of(path))
    found = []
    for line, module in imports(path):
        if module.split(".")[0] != "nnspec":
            continue
        other = room(module)
        if other != own and not LEVEL[other] < LEVEL[own]:
            found.append(f"{at(path, line)} imports {module}: '{own}' stands before '{other}'")
    return found


def test_every_room_has_its_line_in_the_order() -> None:
    rooms = {room(module_of(p)) for p in sources() if p.is_relative_to(ROOT / "nnspec")}
    assert rooms <= LEVEL.keys(), f"say in ORDER where these stand: {sorted(rooms - LEVEL.keys())}"


def test_imports_point_one_way_only() -> None:
    assert [w for p in sources() if p.is_relative_to(ROOT / "nnspec") for w in wrong_directions(p)] == []


def test_a_backend_imports_only_what_it_may() -> None:
    wrong = []
    for path in sources():
        if not path.is_relative_to(ROOT / "backends"):
            continue
        own = module_of(path).split(".")[0]
        for line, module in imports(path):
            top = module.split(".")[0]
            if (top == "nnspec" and room(module) not in BACKEND_MAY) or (top in BACKENDS and top != own):
                wrong.append(f"{at(path, line)} imports {module}")
    assert wrong == []


def test_nothing_in_nnspec_imports_a_backend() -> None:
    files = [p for p in sources() if p.is_relative_to(ROOT / "nnspec")]
    assert [at(p, n) for p in files for n, m in imports(p) if re.match(r"(backends|nnspec_\w+)\b", m)] == []


def test_third_party_libraries_stay_behind_their_fences() -> None:
    import sys

    wrong = []
    for path in sources():
        inside = path.relative_to(ROOT).as_posix()
        for line, module in imports(path):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top == "nnspec" or top in BACKENDS:
                continue
            if not any(inside.startswith(fence) for fence in FENCES.get(top, ())):
                wrong.append(f"{at(path, line)} imports {module}: allowed in {FENCES.get(top, 'no file')}")
    assert wrong == []


def test_text_becomes_code_in_one_file_only() -> None:
    wrong = []
    for path in sources():
        nodes = list(ast.walk(tree(path)))
        own = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        own |= {a.asname or a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        calls = [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        wrong += [at(path, n.lineno) for n in calls if _name(n.func) in RUNS_TEXT - own]
    assert [w for w in wrong if not w.startswith("nnspec/codegen/module.py:")] == []
    assert wrong, "codegen/module.py is where it should happen"


def test_nothing_reads_or_writes_pickles() -> None:
    wrong = [at(p, n) for p in sources() for n, m in imports(p) if m.split(".")[0] in UNSAFE]
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                keys = {k.arg: k.value for k in node.keywords}
                allowed = keys.get("allow_pickle")
                if isinstance(allowed, ast.Constant) and allowed.value is not False:
                    wrong.append(at(path, node.lineno))
    assert wrong == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_opens_with_a_sentence(path: Path) -> None:
    doc = ast.get_docstring(tree(path)) or ""
    first = doc.split("\n\n")[0].strip()
    assert first, "say in one sentence what the file does"
    assert first.endswith((".", ":")), f"not a sentence: {first!r}"
    assert doc[0].isupper() or doc[0] in "`$<", f"not a sentence: {first!r}"


def test_no_folder_is_a_drawer() -> None:
    folders = {p for top in ("nnspec", "backends", "tests") for p in (ROOT / top).rglob("*") if p.is_dir()}
    files = {p.stem: p for p in sources()}
    assert [str(p) for p in folders if p.name in FORBIDDEN_FOLDERS] == []
    assert sorted(FORBIDDEN_FOLDERS & files.keys()) == []


def test_a_backend_folder_does_not_shadow_its_library() -> None:
    names = [p.name for p in (ROOT / "backends").iterdir() if p.name != "__pycache__"]
    assert names and all(n.startswith("nnspec_") for n in names), names


def test_the_top_of_the_repository_holds_only_what_it_should() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {name.split("/")[0] for name in listed}
    assert sorted(n for n in top - TOP if not n.startswith(".")) == []


def test_the_direction_test_sees_an_import_inside_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nnspec" / "ir").mkdir(parents=True)
    (tmp_path / "nnspec" / "compiler.py").write_text('"""Later."""\n')
    (tmp_path / "backends").mkdir()
    path = tmp_path / "nnspec" / "ir" / "early.py"
    path.write_text('"""Early."""\n\n\ndef f():\n    from nnspec import compiler\n    return compiler\n')
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert wrong_directions(path) == ["nnspec/ir/early.py:5 imports nnspec.compiler: 'ir' stands before 'compiler'"]
