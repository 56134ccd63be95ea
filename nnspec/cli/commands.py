"""The commands by name: their one-line helps without their imports, so that ``nnspec --help`` is quick."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword

import click

from nnspec.errors import Problem, SpecError, nearest

COMMANDS: dict[str, str] = {
    "run": "Train a spec into a run folder; --resume continues one.",
    "check": "Every problem of one or more specs at once.",
    "rule": "Explain a rule of check; without a number, list them.",
    "summary": "Layers with shapes, parameters, FLOPs and memory.",
    "graph": "Draw it: html, svg, png, text, mmd, dot or json.",
    "plan": "What the compiler did: passes, kernels, buffers, memory.",
    "bench": "Time a training step and an answer, layer by layer.",
    "tune": "Time the ways of a spec's calls; a file for run --tune.",
    "parity": "Train on two backends, step by step, and compare.",
    "gradcheck": "Gradients of a spec's own layers against differences.",
    "test": "Specs against what they expect of themselves.",
    "sweep": "Train with many values of some keys; a table at the end.",
    "evaluate": "Loss and metrics of a run on its test split.",
    "compare": "What runs differ in, and what each has reached.",
    "diff": "What two specs differ in: layers, costs, settings.",
    "view": "Runs in a browser, while they go on and afterwards.",
    "predict": "Answers of a run for csv or npz files, or typed rows.",
    "export": "A run as an ONNX model, or its weights.",
    "import": "An ONNX model as a spec with its weights.",
    "new": "Write a starter spec.",
    "zoo": "Published networks that come as specs.",
    "schema": "The language as JSON Schema, for editors.",
    "doctor": "What this machine and installation offer.",
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"nnspec.cli.{cmd_name}{'_' * iskeyword(cmd_name)}").command
            return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = f"nnspec run {name}" if name.endswith((".yaml", ".yml")) else nearest(name, COMMANDS)
            raise SpecError(Problem(f"no command is called '{name}'", wanted=", ".join(COMMANDS), hint=hint))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
