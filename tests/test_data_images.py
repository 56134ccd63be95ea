"""Images as rows: every format, orientation, depth and palette beside Pillow's own view of them; sizes from headers alone."""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from nnspec.data.decode import Mask, Photo, mask_values
from nnspec.data.image_header import MOST_PIXELS, read_header
from nnspec.data.images import ImageArray, ImageFiles, Images, Joined
from nnspec.errors import DataError


def picture(height: int = 13, width: int = 17, channels: int = 3) -> np.ndarray:
    """Smooth enough for JPEG, and different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    parts = [x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width), 255 - x * 128 // width]
    return np.stack(parts[:channels], -1).astype(np.uint8)


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_a_file_is_read_as_pillow_shows_it_and_its_size_stands_in_its_header(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", picture())
    assert read_header(path)[1:3] == (13, 17)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(Photo((13, 17))(path), expected)
    np.testing.assert_array_equal(Photo((13, 17), "bgr")(path), expected[:, :, ::-1])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_whatever_its_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", picture(), exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    height, width = read_header(path)[1:3]
    assert (height, width) == expected.shape[:2] == ((13, 17) if orientation < 5 else (17, 13))
    np.testing.assert_array_equal(Photo((height, width))(path), expected)


def test_gray_is_itu_r_601_luma(tmp_path: Path) -> None:
    x = picture().astype(float)
    y = Photo((13, 17), "gray")(saved(tmp_path / "a.png", picture()))
    assert y.shape == (13, 17, 1)
    np.testing.assert_allclose(y[:, :, 0], x @ [0.299, 0.587, 0.114], atol=0.51)


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    x = picture(channels=4).astype(float)
    expected = (x[:, :, :3] * x[:, :, 3:] + 255 * (255 - x[:, :, 3:])) / 255
    np.testing.assert_allclose(Photo((13, 17))(saved(tmp_path / "a.png", picture(channels=4))), expected, atol=1)
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "p.png", transparency=1)
    assert Photo((2, 2))(tmp_path / "p.png").tolist() == [[[10, 20, 30], [255] * 3], [[255] * 3, [70, 80, 90]]]


def test_of_sixteen_bits_the_upper_eight_count(tmp_path: Path) -> None:
    deep = (np.arange(12, dtype=np.uint16) * 5461).reshape(3, 4)
    path = saved(tmp_path / "a.png", deep)
    np.testing.assert_array_equal(Photo((3, 4), "gray")(path)[:, :, 0], deep >> 8)
    np.testing.assert_array_equal(Photo((3, 4), "rgb")(path), np.repeat((deep >> 8)[:, :, None], 3, 2))


def test_of_a_gif_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert Photo((4, 4))(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_black_and_white_cmyk_and_palettes_are_read(tmp_path: Path) -> None:
    bits = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(bits).convert("1").save(tmp_path / "one.png")
    assert Photo((2, 2), "gray")(tmp_path / "one.png")[:, :, 0].tolist() == bits.tolist()
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    cmyk.save(tmp_path / "c.jpg")
    np.testing.assert_allclose(Photo((4, 4))(tmp_path / "c.jpg")[0, 0], [255, 0, 0], atol=3)


def test_a_smaller_size_is_an_average_and_a_larger_one_lies_between(tmp_path: Path) -> None:
    """A bilinear kernel as wide as the step: weights of a triangle over the old pixels, by hand."""
    x = np.random.default_rng(0).integers(0, 256, (12, 12)).astype(np.uint8)
    path = saved(tmp_path / "a.png", x)

    def weights(new: int, old: int) -> np.ndarray:
        scale = max(1.0, old / new)
        centers = (np.arange(new) + 0.5) * old / new
        w = np.maximum(0, 1 - np.abs((np.arange(old) + 0.5)[None] - centers[:, None]) / scale)
        return w / w.sum(1, keepdims=True)

    for size in ((4, 6), (24, 12)):
        expected = weights(size[0], 12) @ x @ weights(size[1], 12).T
        np.testing.assert_allclose(Photo(size, "gray")(path)[:, :, 0], expected, atol=1.01)


def png_of(width: int, height: int) -> bytes:
    """The header of a PNG, and nothing else."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT"


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (MOST_PIXELS + 1, 1)])
def test_an_enormous_image_is_refused_before_anything_is_allocated(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_of(*size))
    Photo((1, 1))(saved(tmp_path / "small.png", picture()))  # imports
    tracemalloc.start()
    for read in (read_header, Photo((8, 8))):
        with pytest.raises(DataError, match=f"{size[0]} x {size[1]} pixels"):
            read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_bomb_in_a_profile_is_not_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "png")
    text = b"zTXtComment\0\0" + zlib.compress(bytes(1 << 26))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:33] + chunk + buffer.getvalue()[33:])
    np.testing.assert_array_equal(Photo((13, 17))(tmp_path / "a.png"), picture())


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_a_truncated_image_is_an_error_that_names_its_file(tmp_path: Path, suffix: str) -> None:
    whole = saved(tmp_path / f"a.{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).read_bytes()
    for length in (0, 3, 20, len(whole) // 2):
        (tmp_path / f"a.{suffix}").write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"a\.{suffix}:1:1: the image cannot be read"):
            Photo((64, 64))(tmp_path / f"a.{suffix}")


def test_the_numbers_of_a_mask_are_gray_values_or_those_of_its_palette(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 255]], np.uint8)
    assert mask_values(saved(tmp_path / "l.png", values)).tolist() == values.tolist()
    palette = Image.fromarray(values, "L").convert("P")
    palette = Image.fromarray(values, "P")
    palette.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    palette.save(tmp_path / "p.png")
    assert mask_values(tmp_path / "p.png").tolist() == values.tolist()
    Image.fromarray(values).convert("1").save(tmp_path / "one.png")
    assert set(np.unique(mask_values(tmp_path / "one.png"))) <= {0, 1}
    assert mask_values(saved(tmp_path / "d.png", values.astype(np.uint16) * 200)).tolist() == (values.astype(int) * 200).tolist()
    for bad in (saved(tmp_path / "a.jpg", values), saved(tmp_path / "c.png", picture())):
        with pytest.raises(DataError, match="gray values or palette numbers"):
            mask_values(bad)


def test_a_mask_takes_the_nearest_value_and_refuses_one_of_no_class(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.kron(np.array([[0, 255], [7, 0]], np.uint8), np.ones((3, 3), np.uint8)))
    numbers = np.full(256, -1)
    numbers[[0, 7, 255]] = [0, 1, 2]
    assert Mask((2, 2), numbers)(path).tolist() == [[0, 2], [1, 0]]
    np.testing.assert_array_equal(Mask((12, 12), numbers)(path), np.kron([[0, 2], [1, 0]], np.ones((6, 6))))
    with pytest.raises(DataError, match="255 in row 1, column 4 of the mask"):
        Mask((2, 2), numbers[:8])(path)


def column(tmp_path: Path) -> tuple[Images, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (7, 5, 6, 3)).astype(np.uint8)
    files = ImageFiles([saved(tmp_path / f"{i}.png", x[i]) for i in range(4)], (5, 6, 3), Photo((5, 6)), np.dtype(np.uint8))
    return Joined([files, ImageArray(x[4:])]), x


def test_rows_are_read_in_any_order_from_several_parts(tmp_path: Path) -> None:
    images, x = column(tmp_path)
    assert len(images) == 7 and images.shape == x.shape
    for rows in ([0], [6, 0, 3, 4, 3], range(7), np.array([5, 1])):
        np.testing.assert_array_equal(images.take(rows), x[list(rows)])


def test_threads_read_at_once(tmp_path: Path) -> None:
    images, x = column(tmp_path)
    found: list[bool] = []

    def work() -> None:
        found.append(all(np.array_equal(images.take(range(7)), x) for _ in range(5)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [True] * 4
