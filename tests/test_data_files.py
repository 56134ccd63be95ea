"""Sources of many files: idx, folders of classes, images with masks, paths in tables, parquet, and paths by split or pattern."""

from __future__ import annotations

import gzip
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.images import Images
from nnspec.data.load import load
from nnspec.errors import MissingExtraError, NnspecError
from nnspec.spec.source import read

RNG = np.random.default_rng(0)


def data(text: str, folder: Path) -> Declaration:
    return declare(read(text, str(folder / "spec.yaml")), folder, 0)


def said(text: str, folder: Path) -> str:
    """The one problem of a section."""
    with pytest.raises(NnspecError) as caught:
        data(text, folder)
    assert len(caught.value.problems) == 1, caught.value.render()
    return caught.value.render()


def values(declaration: Declaration, name: str) -> np.ndarray:
    held = declaration.read(name)
    if not isinstance(held, Images):
        return held
    pixels = held.take(range(len(held)))
    return pixels / np.float32(255) if declaration.columns[name].classes is None else pixels.astype(np.int64)


def splits(declaration: Declaration) -> dict[str, Mapping[str, Any]]:
    return {name: rows.arrays for name, rows in load(declaration).splits.items()}


# idx

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(path: Path, array: np.ndarray) -> Path:
    content = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_the_mnist_files_are_images_of_0_to_1_and_classes_with_a_split_each(tmp_path: Path, packed: str) -> None:
    x = {name: RNG.integers(0, 256, (n, 4, 5)).astype(np.uint8) for name, n in (("train", 20), ("test", 7))}
    y = {name: np.arange(len(a)).astype(np.uint8) % 3 for name, a in x.items()}
    for name in x:
        idx(tmp_path / f"{name}-images{packed}", x[name])
        idx(tmp_path / f"{name}-labels{packed}", y[name])
    paths = {c: f"{{train: train-{c}s{packed}, test: test-{c}s{packed}}}" for c in ("image", "label")}
    found = data(f"{{idx: {{image: {paths['image']}, label: {paths['label']}, target: label}}}}", tmp_path)
    assert (found.columns["image"].kind, found.columns["image"].shape) == ("image", (4, 5, 1))
    assert found.columns["label"].classes == ("0", "1", "2") and found.targets == ("label",) and found.rows == 27
    for name, arrays in splits(found).items():
        np.testing.assert_allclose(np.asarray(arrays["image"])[..., 0], x[name] / 255, rtol=1e-6)
        np.testing.assert_array_equal(arrays["label"], y[name])


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 3, 2)])
def test_every_type_and_rank_of_idx_is_read(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = (RNG.normal(0, 50, shape) if dtype[0] == "f" else RNG.integers(0, 100, shape)).astype(dtype)
    idx(tmp_path / "a", array)
    kind = ", columns: {x: number}" if len(shape) == 1 else ""
    found = data(f"{{idx: {{x: a}}{kind}}}", tmp_path)
    assert found.columns["x"].shape == shape[1:]
    np.testing.assert_array_equal(values(found, "x"), array.astype(np.float64))


def test_bytes_with_three_channels_are_colour_images(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    idx(tmp_path / "a", x)
    found = data("{idx: {image: a}}", tmp_path)
    assert found.columns["image"].kind == "image" and found.columns["image"].pixels == "rgb"
    np.testing.assert_allclose(values(found, "image"), x / 255, rtol=1e-6)


def test_an_idx_source_names_its_columns(tmp_path: Path) -> None:
    for text in ("{idx: a.gz}", "{idx: {path: a.gz}}", "{idx: {target: y}}", "idx"):
        assert "idx names a column for each of its files" in said(text, tmp_path)
    idx(tmp_path / "a", np.zeros((3, 2, 2), np.uint8))
    idx(tmp_path / "b", np.zeros(4, np.uint8))
    assert "spec.yaml:1:17: columns 'x' and 'y' differ in their number of rows" in said("{idx: {x: a, y: b, target: y}}", tmp_path)


# image_folder


def photo(path: Path, size: tuple[int, int] = (8, 10), seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def folder(top: Path, classes: Mapping[str, int]) -> dict[str, list[np.ndarray]]:
    return {name: [photo(top / name / f"{i}.png", seed=len(name)) for i in range(n)] for name, n in classes.items()}


def test_a_folder_of_classes_is_images_and_labels_in_the_order_of_names(tmp_path: Path) -> None:
    made = folder(tmp_path / "pets", {"dog": 3, "cat": 2})
    (tmp_path / "pets" / ".DS_Store").touch()
    (tmp_path / "pets" / "cat" / ".hidden.txt").touch()
    found = data("{image_folder: pets}", tmp_path)
    assert (found.rows, found.targets, found.columns["label"].classes) == (5, ("label",), ("cat", "dog"))
    assert found.columns["image"].shape == (8, 10, 3) and found.columns["image"].kind == "image"
    assert isinstance(found.read("image"), Images)
    np.testing.assert_allclose(values(found, "image"), np.stack(made["cat"] + made["dog"]) / 255, rtol=1e-6)
    assert values(found, "label").tolist() == [0, 0, 1, 1, 1]
    assert data("{image_folder: {path: pets, size: [4, 6], channels: gray}}", tmp_path).columns["image"].shape == (4, 6, 1)


def test_images_of_several_sizes_want_one(tmp_path: Path) -> None:
    folder(tmp_path / "pets", {"cat": 2, "dog": 1})
    photo(tmp_path / "pets" / "dog" / "z.jpg", (9, 9))
    text = said("{image_folder: pets}", tmp_path)
    assert "z.jpg:1:1: the images differ in size" in text and "9 x 9" in text and "8 x 10, as 0.png has" in text and "size: [8, 10]" in text
    assert data("{image_folder: {path: pets, size: 5}}", tmp_path).columns["image"].shape == (5, 5, 3)


def test_splits_of_folders_keep_their_files_and_train_may_give_some(tmp_path: Path) -> None:
    folder(tmp_path / "train", {"cat": 6, "dog": 6})
    folder(tmp_path / "test", {"dog": 2, "cat": 1})
    text = "{image_folder: {path: {train: train, test: test}}, split: {validation: 0.25, stratify: label}}"
    found = splits(data(text, tmp_path))
    assert {name: len(arrays["label"]) for name, arrays in found.items()} == {"train": 9, "validation": 3, "test": 3}
    assert np.asarray(found["test"]["label"]).tolist() == [0, 1, 1]
    text = said("{image_folder: {path: {train: train, test: test}}, split: {test: 0.25}}", tmp_path)
    assert "the split 'test' has files of its own" in text


def test_a_class_that_only_validation_has_is_an_error_that_names_a_file(tmp_path: Path) -> None:
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path / "val", {"cat": 1, "eel": 1})
    text = said("{image_folder: {path: {train: train, validation: val}}}", tmp_path)
    assert "val/eel/0.png:1:1: class 'eel' of column 'label' is only in the validation split" in text


def test_5000_headers_are_checked_quickly(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "0.jpg", (64, 64))
    content = (tmp_path / "a" / "0.jpg").read_bytes()
    for i in range(5000):
        (tmp_path / "a" / f"{i}.jpg").write_bytes(content)
    start = time.perf_counter()
    assert data("{image_folder: .}", tmp_path).rows == 5000
    assert time.perf_counter() - start < 5  # a fifth of a second on an idle machine


# files


def pairs(tmp_path: Path, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([photo(tmp_path / "img" / f"{i}.png") for i in range(n)])
    masks = np.random.default_rng(1).choice([0, 100, 255], (n, 8, 10)).astype(np.uint8)
    (tmp_path / "mask").mkdir()
    for i, mask in enumerate(masks):
        Image.fromarray(mask).save(tmp_path / "mask" / f"{i}.png")
    return images, masks


FILES = "{files: {image: 'img/*.png', mask: {path: 'mask/*.png', as: labels%s}, target: mask}}"


def test_images_and_masks_are_joined_by_name_and_found_values_are_classes(tmp_path: Path) -> None:
    images, masks = pairs(tmp_path)
    found = data(FILES % "", tmp_path)
    assert found.columns["mask"].classes == ("0", "100", "255") and found.columns["mask"].shape == (8, 10)
    assert found.columns["mask"].dtype == "int64" and found.targets == ("mask",) and found.names["mask"]["classes"] == 3  # type: ignore[index]
    np.testing.assert_allclose(values(found, "image"), images / 255, rtol=1e-6)
    np.testing.assert_array_equal(values(found, "mask"), np.searchsorted([0, 100, 255], masks))


def test_classes_of_masks_may_be_declared_by_number_name_or_value(tmp_path: Path) -> None:
    _, masks = pairs(tmp_path)
    found = data(FILES % ", classes: {sky: 255, road: 0, car: 100}", tmp_path)
    assert found.columns["mask"].classes == ("sky", "road", "car")
    np.testing.assert_array_equal(values(found, "mask"), np.array([1, 2, 0])[np.searchsorted([0, 100, 255], masks)])
    assert len(data(FILES % ", classes: 256", tmp_path).columns["mask"].classes or ()) == 256
    with pytest.raises(NnspecError, match=r"mask/0.png:1:1: the image cannot be read(.|\n)*found   (100|255) in row"):
        values(data(FILES % ", classes: [a, b]", tmp_path), "mask")


def test_a_mask_is_resized_with_its_image_to_the_nearest_value(tmp_path: Path) -> None:
    _, masks = pairs(tmp_path)
    text = "{files: {image: {path: 'img/*.png', size: [16, 20]}, mask: {path: 'mask/*.png', as: labels}}}"
    np.testing.assert_array_equal(values(data(text, tmp_path), "mask"), np.searchsorted([0, 100, 255], masks).repeat(2, 1).repeat(2, 2))
    Image.fromarray(masks[0][:4]).save(tmp_path / "mask" / "2.png")
    message = said(text, tmp_path)
    assert "mask/2.png:1:1: the mask is of another size than its image" in message and "8 x 10, as 2.png is" in message
    assert data(FILES % ", size: [8, 10]", tmp_path).columns["mask"].shape == (8, 10)


def test_files_without_a_partner_and_names_that_are_there_twice_are_errors(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "mask" / "1.png").rename(tmp_path / "mask" / "one.png")
    with pytest.raises(NnspecError) as caught:
        data(FILES % "", tmp_path)
    assert [p.place.file.split("/", 3)[-1].rsplit("/", 2)[1:] for p in caught.value.problems if p.place] == [["img", "1.png"], ["mask", "one.png"]]
    (tmp_path / "mask" / "one.png").rename(tmp_path / "mask" / "1.png")
    photo(tmp_path / "img" / "1.jpg")
    assert "two files of column 'image' have one name" in said(FILES.replace("img/*.png", "img/*") % "", tmp_path)


def test_an_image_may_be_the_target_of_another(tmp_path: Path) -> None:
    clean = np.stack([photo(tmp_path / "clean" / f"{i}.png") for i in range(3)])
    for i in range(3):
        photo(tmp_path / "noisy" / f"{i}.png", seed=1)
    found = data("{files: {noisy: 'noisy/*.png', clean: 'clean/*.png', target: clean}}", tmp_path)
    np.testing.assert_allclose(values(found, "clean"), clean / 255, rtol=1e-6)


# paths in tables


def test_a_csv_column_of_paths_is_images(tmp_path: Path) -> None:
    made = {name: photo(tmp_path / "t" / "img" / f"{name}.png") for name in "ab"}
    (tmp_path / "t" / "rows.csv").write_text("photo,age\nimg/a.png,3\nimg/b.png,4\nimg/a.png,5\n")
    found = data("{csv: {path: t/rows.csv, target: age}, columns: {photo: image}}", tmp_path)
    assert found.columns["photo"].kind == "image" and found.columns["photo"].shape == (8, 10, 3)
    np.testing.assert_allclose(values(found, "photo"), np.stack([made[n] for n in "aba"]) / 255, rtol=1e-6)
    text = "{csv: {path: t/rows.csv}, columns: {photo: {image: {size: 4, channels: gray}}}}"
    assert data(text, tmp_path).columns["photo"].shape == (4, 4, 1)
    (tmp_path / "rows.csv").write_text("photo,age\nimg/a.png,3\n")
    assert "leads to nothing" in said("{csv: rows.csv, columns: {photo: image}}", tmp_path)
    assert data("{csv: rows.csv, columns: {photo: {image: {root: t}}}}", tmp_path).rows == 1


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link.png", "a/../../secret.png"])
def test_a_path_in_a_table_never_leads_out_of_its_folder(tmp_path: Path, path: str) -> None:
    photo(tmp_path / "secret.png")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "t" / "rows.csv").write_text(f"photo,age\n{path},3\n")
    text = said("{csv: t/rows.csv, columns: {photo: image}}", tmp_path)
    assert "rows.csv:2:1: a path in column 'photo' leads out of the folder" in text and "root: FOLDER" in text


# several files


def test_files_of_a_pattern_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, rows in (("b", "3,x\n"), ("a", "1,y\n2,x\n"), ("c", "4,z\n")):
        (tmp_path / f"{name}.csv").write_text("n,kind\n" + rows)
    (tmp_path / ".d.csv").write_text("nothing")
    found = data("{csv: {path: '*.csv', target: kind}}", tmp_path)
    assert values(found, "n").tolist() == [1, 2, 3, 4] and found.columns["kind"].classes == ("x", "y", "z")
    assert values(found, "kind").tolist() == [1, 0, 0, 2]
    assert "no file fits the pattern" in said("{csv: '*.tsv'}", tmp_path)


def test_files_of_a_pattern_have_the_same_columns_of_the_same_types(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,m\n1,1\n")
    (tmp_path / "b.csv").write_text("n,k\n1,2\n")
    text = said("{csv: '*.csv'}", tmp_path)
    assert "b.csv:1:1: the files differ in their columns" in text and "also k; without m" in text
    (tmp_path / "b.csv").write_text("n,m\nx,2\n")
    assert "the files differ in column 'n'" in said("{csv: '*.csv'}", tmp_path)


def test_an_error_in_the_second_file_points_into_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,m\n1,1\n")
    (tmp_path / "b.csv").write_text("n,m\n1,2\n,2\n")
    text = said("{csv: {path: {train: a.csv, test: b.csv}}}", tmp_path)
    assert "b.csv:3:1: row 3 of column 'n' has no value" in text


def test_npz_files_by_split_are_divided_as_they_say(tmp_path: Path) -> None:
    for name, n in (("train", 8), ("test", 3)):
        np.savez(tmp_path / f"{name}.npz", x=np.arange(2.0 * n).reshape(n, 2), y=np.arange(n) % 2)
    found = splits(data("{npz: {path: {train: train.npz, test: test.npz}, target: y}, columns: {y: category}, split: {validation: 0.25}}", tmp_path))
    assert {name: len(arrays["y"]) for name, arrays in found.items()} == {"train": 6, "validation": 2, "test": 3}
    np.testing.assert_array_equal(found["test"]["x"], np.arange(6).reshape(3, 2))


def test_a_path_by_split_needs_train(tmp_path: Path) -> None:
    assert "train is needed" in said("{csv: {path: {test: a.csv}}}", tmp_path)
    assert "train is needed" in said("{csv: {path: {train: a.csv, val: b.csv}}}", tmp_path)


# parquet


def test_parquet_holds_numbers_texts_truth_values_lists_and_dates(tmp_path: Path) -> None:
    table = pa.table({
        "i": pa.array([1, 2, 3], pa.int16()), "f": [0.5, 1.5, 2.5], "t": ["x", "y", "x"], "b": [True, False, True],
        "v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "m": [[[1], [2]], [[3], [4]], [[5], [6]]],
        "d": pa.array(["a", "b", "a"]).dictionary_encode(), "w": pa.array([0, 86400, 0], pa.timestamp("s")),
        "z": pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    found = data("{parquet: {path: a.parquet, target: t}}", tmp_path)
    shapes = {name: (c.kind, c.shape) for name, c in found.columns.items()}
    assert shapes["v"] == ("array", (2,)) and shapes["m"] == ("array", (2, 1)) and shapes["i"] == ("number", ()) and shapes["z"] == ("array", (2,))
    assert [found.columns[n].classes for n in "tbd"] == [("x", "y"), ("false", "true"), ("a", "b")]
    assert found.columns["w"].classes == ("1970-01-01 00:00:00.000", "1970-01-02 00:00:00.000")
    assert values(found, "m").ravel().tolist() == [1, 2, 3, 4, 5, 6] and values(found, "b").tolist() == [1, 0, 1]
    assert values(found, "v").tolist() == [[1, 2], [3, 4], [5, 6]] and values(found, "i").tolist() == [1, 2, 3]


def test_what_is_null_in_parquet_is_missing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, None, 3.0], "t": ["a", None, "b"]}), tmp_path / "a.parquet")
    text = said("{parquet: a.parquet, columns: {t: {category: {missing: a}}}}", tmp_path)
    assert "row 2 of column 'x' has no value" in text and "missing: median" in text
    found = data("{parquet: a.parquet, columns: {x: {number: {missing: mean}}, t: {category: {missing: a}}}}", tmp_path)
    assert np.asarray(splits(found)["train"]["x"]).tolist() == [1, 2, 3]


def test_without_its_library_an_extra_is_one_line_that_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    folder(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").rename(tmp_path / "cat" / ".a.parquet")
    found = data("{image_folder: .}", tmp_path)  # headers need no decoder
    with pytest.raises(MissingExtraError, match=r"pip install 'nnspec\[images\]'"):
        found.read("image")
    with pytest.raises(MissingExtraError, match=r"pip install 'nnspec\[parquet\]'"):
        data("{parquet: cat/.a.parquet}", tmp_path)
