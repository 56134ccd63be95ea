"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nnspec.errors import Problem, SpecError

if TYPE_CHECKING:
    from nnspec.compiler import Spec

F = TypeVar("F", bound=Callable[..., Any])
Folder = click.Path(path_type=Path, readable=False)  # what cannot be read says so itself


def _settings(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` pairs; the values are read as YAML by the spec's own reader."""
    settings: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise click.BadParameter(f"'{text}' is not KEY=VALUE, as in optimizer.adam.learning_rate=0.01")
        if key.strip() in settings:
            raise click.BadParameter(f"'{key.strip()}' is set twice")
        settings[key.strip()] = value
    return settings


def spec_options(command: F) -> F:
    """``SPEC --set KEY=VALUE --allow-include DIR``."""
    return overrides(click.argument("spec", metavar="SPEC")(command))


def overrides(command: F) -> F:
    """``--set KEY=VALUE`` and ``--allow-include DIR``, several times each."""
    command = click.option(
        "--allow-include", "allowed", multiple=True, type=Folder, metavar="DIR",
        help="A folder outside of the spec's that it may include files from.",
    )(command)  # fmt: skip
    return click.option(
        "--set", "settings", multiple=True, callback=_settings, metavar="KEY=VALUE",
        help="Override a value, as in --set vars.width=12; entries of lists by name.",
    )(command)  # fmt: skip


def backend_option(command: F) -> F:
    """``--backend auto|numpy|cupy``."""
    return click.option(
        "--backend", default="auto", show_default=True, metavar="auto|numpy|cupy",
        help="Where it runs; cpu and gpu are accepted for numpy and cupy.",
    )(command)  # fmt: skip


def tune_option(command: F) -> F:
    """``--tune FILE``."""
    return click.option(
        "--tune", type=Folder, metavar="FILE", help="What nnspec tune has written here: which way calls are computed.",
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def read(spec: str, settings: dict[str, str], allowed: tuple[Path, ...]) -> Spec:
    """The spec of a call."""
    from nnspec.compiler import load

    return load(spec, set=settings, allow_include=allowed)


def backend_name(wanted: str, spec: Spec | None = None, say: bool = False) -> str:
    """The backend's own name; for ``auto`` the one on which a step of the spec is estimated to be shorter. It can say which and why."""
    if wanted != "auto":
        return {"cpu": "numpy", "gpu": "cupy"}.get(wanted, wanted)
    from nnspec.cli.estimate import chosen

    name, why = chosen(spec)
    if say:
        click.echo(f"backend: {name} (auto: {why})", err=True)
    return name


def write(file: str, content: str | bytes) -> None:
    """Writes a file as a whole, or leaves none; what is no file, such as /dev/stdout, is written to as it is."""
    from nnspec.runtime.atomic import replace

    path = Path(file)
    if path.is_dir() or not path.parent.is_dir():
        found = "this is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise SpecError(Problem(f"{file} cannot be written", found=found, wanted="the name of a file"))
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
    else:
        replace(path, [data])


def print_json(value: Any) -> None:
    """One line of JSON on standard output; what is not finite becomes null."""
    click.echo(json_line(value))


def json_line(value: Any) -> str:
    """One line of JSON; what is not finite becomes null."""
    import json

    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
