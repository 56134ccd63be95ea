"""Batches made ahead by threads: in order, equal to the byte, ended at once; images read once and kept within a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nnspec
from nnspec.data.batches import pieces
from nnspec.data.column import Column
from nnspec.data.epochs import Epochs
from nnspec.data.images import Images
from nnspec.data.load import Rows, load
from nnspec.data.pixels import Decoded, Pixels
from nnspec.data.prefetch import Stopped, ahead, go_on
from nnspec.data.prepare import Preparation
from nnspec.errors import DataError
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.loading import dataset
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import compile
from nnspec.runtime.trainer import train


def left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("nnspec-batches")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not left()


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_results_come_in_order_whatever_takes_long(workers: int) -> None:
    def make(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(ahead(make, range(3, 25), workers)) == [i * i for i in range(3, 25)]
    assert list(ahead(make, range(0), workers)) == []


def test_no_more_is_made_ahead_than_can_wait() -> None:
    begun: list[int] = []
    with closing(ahead(lambda i: begun.append(i), range(100), 2)) as made:
        next(made)
        time.sleep(0.05)
        assert len(begun) <= 1 + 2 + 2


def test_an_error_comes_where_its_batch_would_and_ends_the_threads() -> None:
    def make(i: int) -> int:
        if i == 4:
            raise DataError("row 4 is damaged")
        return i

    seen = []
    with pytest.raises(DataError, match="row 4 is damaged"):
        for i in ahead(make, range(10), 2):
            seen.append(i)
    assert seen == [0, 1, 2, 3] and not left()


def test_closing_ends_long_work_in_its_midst() -> None:
    ended = threading.Event()

    def make(i: int) -> int:
        try:
            for _ in range(1000 if i else 0):
                time.sleep(0.005)
                go_on()
        except Stopped:
            ended.set()
            raise
        return i

    began = time.monotonic()
    with closing(ahead(make, range(9), 2)) as made:
        assert next(made) == 0
        time.sleep(0.02)
    assert time.monotonic() - began < 1 and ended.is_set() and not left()


class Fake(Images):
    """Images made of their number, that count how often each is decoded."""

    def __init__(self, n: int) -> None:
        self.shape, self.dtype = (n, 4, 4, 3), np.dtype(np.uint8)
        self.read_rows: list[int] = []

    def read(self, rows: Any, out: Any) -> None:
        self.read_rows += list(map(int, rows))
        for i, row in enumerate(rows):
            out[i] = np.arange(48).reshape(4, 4, 3) + int(row)


COLUMN = Column("image", "image", (4, 4, 3), "float32")


def pixels(source: Images, n: int) -> Pixels:
    return Pixels(source, np.arange(n), COLUMN, Preparation({}), np.dtype(np.float32))


@pytest.mark.parametrize(("rows_kept", "again"), [(40, 0), (10, 30), (0, 40)])
def test_rows_within_the_budget_are_decoded_once(rows_kept: int, again: int) -> None:
    fake = Fake(40)
    source = Decoded(fake, 48 * rows_kept)
    assert source.kept.nbytes == 48 * rows_kept
    rows = Rows({"image": pixels(source, 40)}, np.arange(40))  # type: ignore[dict-item]  # it stands for an array
    first, second = (list(Epochs(rows, 7, 0, workers=1).batches(0)) for _ in range(2))
    assert len(fake.read_rows) == 40 + again
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.arrays["image"], b.arrays["image"])


def test_images_are_0_to_1_exactly_and_prepared_by_channel() -> None:
    source = Fake(40)
    wanted = source.take(range(40)) / 255
    assert np.array_equal(np.asarray(pixels(source, 40)), wanted.astype(np.float32))
    from nnspec.data.prepare import Standardize

    mean, deviation = wanted.mean((0, 1, 2)), wanted.std((0, 1, 2))
    prepared = Pixels(source, np.arange(40), COLUMN, Preparation({"image": (Standardize(mean, deviation),)}), np.dtype(np.float64))
    np.testing.assert_allclose(prepared[:], (wanted - mean) / deviation, rtol=1e-13)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_lazy_batches_are_equal_whoever_makes_them(workers: int) -> None:
    rows = Rows({"image": pixels(Decoded(Fake(53), 1000), 53), "y": np.arange(53)}, np.arange(53))  # type: ignore[dict-item]
    found = list(Epochs(rows, 8, 3, workers=workers).batches(2, 1))
    plain = Rows({"image": pixels(Fake(53), 53)[:], "y": np.arange(53)}, np.arange(53))
    for a, b in zip(found, Epochs(plain, 8, 3).batches(2, 1), strict=True):
        assert a.position == b.position and np.array_equal(a.arrays["image"], b.arrays["image"]) and np.array_equal(a.arrays["y"], b.arrays["y"])


def test_rows_for_scoring_are_read_a_piece_at_a_time() -> None:
    fake = Fake(50)
    with closing(pieces({"image": pixels(Decoded(fake, 0), 50)}, 5)) as made:  # type: ignore[dict-item]
        next(made)
        time.sleep(0.05)
        assert 5 <= len(fake.read_rows) <= 20


SPEC = """nnspec: 1
data: {{image_folder: {{path: img, size: 12}}, split: {{train: 0.8, validation: 0.2, stratify: label}}{more}}}
layers: [{{conv2d: {{filters: 4, kernel: 3, activation: relu}}}}, global_avg_pool2d, dense: 2]
loss: cross_entropy
metrics: [accuracy]
optimizer: {{adam: {{learning_rate: 0.02}}}}
epochs: 3
batch_size: 8
"""


def folder(path: Path, n: int = 40) -> None:
    rng = np.random.default_rng(0)
    for i in range(n):
        kind = ("red", "blue")[i % 2]
        (path / "img" / kind).mkdir(parents=True, exist_ok=True)
        x = rng.integers(0, 90, (12, 12, 3), dtype=np.uint8)
        x[..., 0 if i % 2 == 0 else 2] += 120
        Image.fromarray(x).save(path / "img" / kind / f"{i}.png")


def spec(path: Path, more: str = "") -> nnspec.Spec:
    (path / "s.yaml").write_text(SPEC.format(more=more))
    return nnspec.load(path / "s.yaml")


def test_a_folder_of_images_is_learned_and_workers_and_cache_change_nothing(tmp_path: Path) -> None:
    folder(tmp_path)
    states = []
    for more in ("", ", workers: 0", ", workers: 2, cache: 0.001MB"):
        model = compile(spec(tmp_path, f", prepare: [standardize: image], augment: [flip: horizontal, crop: 1]{more}"))
        run = model.fit()
        states.append((model.state(), dict(run.metrics)))
    assert states[0][1]["validation.accuracy"] == 1.0
    for state, metrics in states[1:]:
        assert metrics == states[0][1] and all(np.array_equal(state[k], v) for k, v in states[0][0].items())


def test_images_are_standardized_by_channel_over_training_rows(tmp_path: Path) -> None:
    folder(tmp_path)
    data = dataset(compile(spec(tmp_path, ", prepare: [standardize: image]")))
    image = data.splits["train"].arrays["image"]
    assert isinstance(image, Pixels)
    x = np.asarray(image).astype(np.float64)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)
    raw = data.preparation.undo("image", np.asarray(data.splits["validation"].arrays["image"])) * 255
    assert np.abs(raw - raw.round()).max() < 1e-3


class StopAt(Callback):
    """Sends Ctrl-C to itself at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state: State) -> None:
        if state.step == self.step:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_interrupted_epoch_goes_on_at_its_next_batch_and_ends_with_the_same_bits(tmp_path: Path, workers: int) -> None:
    folder(tmp_path)
    more = ", augment: [noise: 0.1, flip: both]"
    whole = compile(spec(tmp_path, f"{more}, workers: 1"))
    whole.fit()
    again = spec(tmp_path, f"{more}, workers: {workers}")
    with open_run(tmp_path / "run", "s") as run, pytest.raises(Interrupted):
        train(compile(again), None, run, callbacks=[StopAt(6)])
    assert not left()
    model = compile(spec(tmp_path, f"{more}, workers: {2 - workers}"))  # another number goes on just as well
    with open_run(tmp_path / "run", "s", resume=True) as run:
        train(model, None, run, resume=True)
    for name, array in whole.state().items():
        assert np.array_equal(array, model.state()[name]), name


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_clear_error_from_whatever_thread(tmp_path: Path, workers: int) -> None:
    folder(tmp_path)
    model = compile(spec(tmp_path, f", workers: {workers}"))
    victim = sorted((tmp_path / "img" / "red").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(DataError) as caught:
        model.fit()
    assert victim.name in caught.value.render() and len(caught.value.problems) == 1


def test_the_digest_of_a_folder_notices_another_file_and_decodes_none(tmp_path: Path) -> None:
    folder(tmp_path, 8)
    declared = spec(tmp_path).document.data
    assert declared is not None

    def digest() -> bytes:
        image = load(declared).splits["train"].arrays["image"]
        assert isinstance(image, Pixels) and isinstance(image.source, Decoded)
        found = image.digest()
        assert not image.source.done.any()
        return found

    before = digest()
    assert digest() == before
    victim = next((tmp_path / "img" / "red").iterdir())
    victim.write_bytes(victim.read_bytes() + b" ")
    assert digest() != before
