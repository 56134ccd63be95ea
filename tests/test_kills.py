"""A run killed with -9 at random moments, inside saves too, resumes to the same bits.

Two kills, or twenty with NNSPEC_FULL=1.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nnspec.compiler import loads
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import compile
from nnspec.runtime.trainer import train

FULL = bool(os.environ.get("NNSPEC_FULL"))
KILLS = 20 if FULL else 2
SPEC = f"""
nnspec: 1
data:
  iris: {{}}
  split: {{train: 0.6, validation: 0.4, stratify: species}}
layers:
  - dense: {{units: 256, activation: tanh}}
  - batch_norm
  - dense: {{units: 256, activation: relu}}
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {{adam: {{learning_rate: 0.003, average: 0.99}}}}
schedule: {{plateau: {{watch: validation.accuracy, patience: 3, factor: 0.8}}}}
epochs: {250 if FULL else 20}
batch_size: 16
early_stopping: {{patience: 100, watch: validation.accuracy}}
checkpoint: {{every: 4}}
"""
TRAIN = """
import sys
from pathlib import Path
from nnspec.compiler import loads
from nnspec.runtime.callbacks import Callback
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import compile
from nnspec.runtime.trainer import train

class Say(Callback):
    def on_start(self, state):
        print("training", flush=True)

with open_run(Path(sys.argv[1]), "x", True) as folder:
    train(compile(loads(sys.argv[2])), None, folder, None, (Say(),), True)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A process that trains in the folder; it says when it begins to."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", TRAIN, folder, SPEC], stdout=subprocess.PIPE, env=env)


def wait_for_save(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a checkpoint is being written, or the process has ended."""
    names = [folder / f"{kind}.safetensors.tmp" for kind in ("last", "best")]
    while process.poll() is None and not any(n.exists() for n in names):
        pass


def outcome(folder: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = ("last.safetensors", "best.safetensors", "result.json", "spec.yaml", "preparation.json")
    return {
        "metrics": [{k: v for k, v in m.items() if k != "seconds"} for m in lines],
        **{n: (folder / n).read_bytes() for n in names},
    }


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    chance = random.Random(None if FULL else 1)
    folder = tmp_path / "killed"
    killed = within_saves = 0
    while killed < KILLS:
        with start(folder) as process:
            if killed == 5:
                time.sleep(chance.uniform(0.3, 1.0))  # while it starts
            else:
                assert process.stdout is not None and process.stdout.readline() == b"training\n"
                time.sleep(chance.uniform(0, 0.15 if FULL else 0.08))
                if killed % 2:
                    wait_for_save(folder, process)
            assert process.poll() is None, f"the run ended after {killed} kills: it is too short for this test"
            process.send_signal(signal.SIGKILL)
        killed += 1
        within_saves += any(folder.glob("*.safetensors.tmp"))
    if FULL:
        assert within_saves >= KILLS // 4
    with start(folder) as process:
        assert process.wait() == 0
    with open_run(tmp_path / "straight", "x") as straight:
        train(compile(loads(SPEC)), None, straight)
    assert outcome(folder) == outcome(tmp_path / "straight")
    assert not list(folder.glob("*.tmp"))
