"""``class_weights: balanced`` over masks in files: counted a piece at a time, in memory that does not grow with the folder."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnspec.compiler import load
from nnspec.data.pixels import Pixels
from nnspec.network import class_weights
from nnspec.network.class_weights import count_classes
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.session import compile

FILES, SIDE = 24, 96
SPEC = """\
nnspec: 1
data:
  files: {image: "img/*.png", mask: {path: "mask/*.png", as: labels, classes: {sky: 0, road: 7, car: 255}}, target: mask}
  split: {train: 0.75, validation: 0.25}
  cache: 0MB
layers: [conv2d: {filters: 3, kernel: 1}]
loss: {LOSS: {class_weights: balanced}}
optimizer: sgd
epochs: 1
batch_size: 4
"""


@pytest.fixture
def masks(tmp_path: Path) -> np.ndarray:
    """Masks of three classes, drawn so that some files have two of them alone."""
    rng = np.random.default_rng(0)
    found = rng.choice(3, (FILES, SIDE, SIDE), p=[0.6, 0.3, 0.1])
    found[::5][found[::5] == 2] = 0
    for folder, pixels in (("img", found * 100), ("mask", np.array([0, 7, 255])[found])):
        (tmp_path / folder).mkdir()
        for i, picture in enumerate(pixels):
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"{i:03}.png")
    return found


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "dice"])
def test_classes_of_masks_in_files_are_counted_over_the_training_rows(tmp_path: Path, masks: np.ndarray, loss: str) -> None:
    (tmp_path / "s.yaml").write_text(SPEC.replace("LOSS", loss))
    model = compile(load(tmp_path / "s.yaml"))
    rows = dataset(model).splits["train"].rows
    counts = np.bincount(masks[rows].reshape(-1))
    model.fit()
    assert model.balance is not None
    ((_, found),) = model.balance.items()
    np.testing.assert_allclose(found, counts.sum() / (3 * counts), rtol=1e-13)


def test_no_more_masks_are_read_at_once_than_are_counted(tmp_path: Path, masks: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rows of each read, and by what is allocated meanwhile: a piece, not the folder."""
    (tmp_path / "s.yaml").write_text(SPEC.replace("LOSS", "cross_entropy"))
    model = compile(load(tmp_path / "s.yaml"))
    arrays = assembled(model, dataset(model).splits["train"]).arrays
    wanted, taken, read = count_classes(model.spec.built, arrays), [], Pixels.raw
    monkeypatch.setattr(class_weights, "PIECE", 2 * SIDE * SIDE)
    monkeypatch.setattr(Pixels, "raw", lambda self, key: taken.append(len(self.rows[key])) or read(self, key))
    tracemalloc.start()
    found = count_classes(model.spec.built, arrays)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == wanted and taken == [2] * 9
    assert peak < 18 * SIDE * SIDE * 8 / 2
