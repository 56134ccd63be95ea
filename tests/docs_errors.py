"""The page of errors: what is said of every wrong spec and file that the tests try, and of calls that are wrong, each with its exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bad_data import BAD as FILES
from tests.bad_specs import BAD

GOLDEN = Path(__file__).parent / "golden" / "errors"
ROOT = Path(__file__).resolve().parent.parent
IRIS = "nnspec: 1\ndata: iris\nlayers: [dense: 8, relu, dense: 3]\nloss: cross_entropy\nmetrics: [accuracy]\noptimizer: {adam: 0.01}\nepochs: 2\n"
TITLES = {
    "layers": "Layers: kinds, keys, names, shapes", "blocks": "Blocks", "data": "Data, as the spec has it", "loss": "Loss", "metrics": "Metrics", "optimizer": "Optimizer",
    "schedule": "Schedule", "inputs": "Inputs", "": "The text, keys at the top, and all the rest",
}  # fmt: skip
# a call in a folder where iris.yaml lies, and the way out
CALLS: tuple[tuple[str, str], ...] = (
    ("nnspec run missing.yaml", "Name a file that is there; `nnspec new mlp` writes one."),
    ("nnspec run iris.yaml --set epoch=3", "The nearest word is in the hint."),
    ("nnspec run iris.yaml --set optimizer.adam.learning_rate=fast", "A value from `--set` is named so, and read as YAML."),
    ("nnspec new perceptro", "`nnspec new` lists them."),
    ("nnspec graph iris.yaml -o net.doc", "The ending says the format: `.svg`, `.png`, `.html`, `.mmd`, `.dot`, `.json`, `.txt`."),
    ("nnspec rule NN999", "`nnspec rule` lists them."),
    ("nnspec evaluate nothing", "Name the folder of a run: `runs/NAME/001`, or what `--out` said."),
    ("nnspec run iris.yaml --set memory=1KB", "Give it more, or take a smaller `batch_size`; `nnspec plan` says what it needs."),
    ("nnspec run iris.yaml --set optimizer.adam=1e38", "A smaller `learning_rate`, or `clip_norm: 1.0`; the run's last weights are kept."),
    ("nnspec test iris.yaml --set 'expect={test.accuracy: \">= 1.1\"}'", "Train longer, or expect less."),
)  # fmt: skip


def page() -> Iterator[str]:
    """The page's lines; what calls say is computed."""
    yield "# Errors\n"
    yield "<!-- made from tests/bad_specs.py, tests/bad_data.py and calls by tests/docs_errors.py -->\n"
    yield ("An error says where (file, line, column, the line itself), what was found, what was wanted, and a hint. All that is wrong is told at once. "
           "Exit status: 2 the spec or the call, 3 a data or model file, 4 numbers (NaN), 5 resources, 1 an expectation that failed.\n")  # fmt: skip
    yield "## Calls\n"
    for call, way in CALLS:
        said, status = calls()[call]
        yield f"```sh\n{call}\n```\n```text\n{said}```\nStatus {status}. {way}\n"
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(BAD):
        grouped[_part(name)].append(name)
    for part, title in TITLES.items():
        yield f"## {title}\n"
        for name in grouped[part]:
            yield f"**{name.replace('_', ' ')}**\n"
            yield f"```text\n{(GOLDEN / f'{name}.txt').read_text('utf-8')}```\n"
    yield "## Files of data\n"
    yield "Each is one error with the file's name; status 3.\n"
    yield "| what is wrong | read by | it says |\n| --- | --- | --- |"
    rows = [(name.replace("_", " "), bad.section, "; ".join(bad.said)) for name, bad in FILES.items()]
    yield "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in (what, f'`{section}`', said))} |" for what, section, said in rows) + "\n"


def _part(name: str) -> str:
    """The key at the top of the spec under which the first problem lies."""
    match = re.match(r"spec\.yaml:(\d+):", (GOLDEN / f"{name}.txt").read_text("utf-8"))
    above = BAD[name].splitlines()[: int(match[1])] if match else []
    key = next((found[1] for line in reversed(above) if (found := re.match(r"([a-z_]+):", line))), "")
    return key if key in TITLES else ""


@cache
def calls() -> dict[str, tuple[str, int]]:
    """What each call prints on standard error (progress left out), and its status."""
    out = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "iris.yaml").write_text(IRIS, "utf-8")
        program = folder / "nnspec"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnspec "$@"\n', "utf-8")
        program.chmod(0o755)
        env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]), "COLUMNS": "120"}
        for call, _ in CALLS:
            done = subprocess.run(["bash", "-c", call], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
            text = re.sub(r"(?m)^(backend: |iris: |epoch \d+/|\d+ warning|(train|test)\.).*\n", "", (done.stdout + done.stderr).replace(f"{folder}/", ""))
            if done.returncode >= 4:  # what is found depends on the processor
                text = re.sub(r"(found   ).*", r"\1…", re.sub(r"(memory: )[\d.]+MB", r"\1…", text))
            out[call] = (re.sub(r"0\.\d+  NOT", "0.…  NOT", text), done.returncode)
    return out
