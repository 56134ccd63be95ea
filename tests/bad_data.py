"""Files that are wrong, made by hand: what makes them, the section that reads them, and what must be said of them."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Make = Callable[[Path], None]


class Bad(NamedTuple):
    """``at`` is the place, from the file's name on; ``said`` are parts of what is said of it."""

    make: Make
    section: str
    at: str
    said: tuple[str, ...]


def text(content: str | bytes, name: str = "a.csv") -> Make:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data) and None


def table(content: str | bytes, at: str, *said: str, section: str = "{csv: a.csv}") -> Bad:
    return Bad(text(content), section, f"a.csv:{at}", said)


def noise(height: int = 40, width: int = 40, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def encoded(format: str, image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or noise()).save(buffer, format)
    return buffer.getvalue()


def pictures(name: str, content: bytes | Callable[[Path], None], good: int = 2) -> Make:
    """A folder of two classes, and one file that is not like the others."""

    def make(folder: Path) -> None:
        for label in ("cat", "dog"):
            (folder / label).mkdir(parents=True)
            for i in range(good):
                noise(seed=i).save(folder / label / f"{i}.png")
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        content(path) if callable(content) else path.write_bytes(content)

    return make


def folder(name: str, content: bytes | Callable[[Path], None], *said: str, at: str = "", section: str = "{image_folder: .}") -> Bad:
    return Bad(pictures(name, content), section, at or f"{name}:1:1", said)


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT"


def idx_of(shape: tuple[int, ...], content: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def idx(content: bytes, *said: str) -> Bad:
    return Bad(text(content, "a.idx"), "{idx: {x: a.idx}}", "a.idx:1:1", said)


def npz_of(compressed: bool = False, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def npz(content: bytes, *said: str) -> Bad:
    return Bad(text(content, "a.npz"), "{npz: a.npz}", "a.npz:1:1", said)


def parquet_of(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def parquet(content: bytes, *said: str, at: str = "a.parquet:1:1") -> Bad:
    return Bad(text(content, "a.parquet"), "{parquet: a.parquet}", at, said)


def scenes(mask: Callable[[], Image.Image], name: str = "1.png", format: str = "PNG") -> Make:
    def make(folder: Path) -> None:
        for part in ("img", "mask"):
            (folder / part).mkdir(parents=True)
        for i in range(2):
            noise(8, 8).save(folder / "img" / f"{i}.png")
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / "mask" / f"{i}.png")
        (folder / "mask" / "1.png").unlink()
        mask().save(folder / "mask" / name, format)

    return make


FILES = "{files: {image: 'img/*', mask: {path: 'mask/*', as: labels, classes: 2}, target: mask}}"


def masks(make: Make, at: str, *said: str, section: str = FILES) -> Bad:
    return Bad(make, section, at, said)


def zip_bomb() -> bytes:
    """100 MB of zeros as an npz of 100 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (100 << 20,)})
        for _ in range(100):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def gzip_bomb() -> bytes:
    """The same as an idx file."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(idx_of((100 << 10, 32, 32), b""))
        for _ in range(100):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def two_splits(folder: Path) -> None:
    for name, labels in (("train", ("cat", "dog")), ("val", ("cat", "eel"))):
        for label in labels:
            (folder / name / label).mkdir(parents=True)
            noise().save(folder / name / label / "0.png")


def two_tables(folder: Path) -> None:
    (folder / "a.csv").write_text("x,y\n1,p\n2,q\n")
    (folder / "b.csv").write_text("x,y\n1,p\n2,r\n")


PNG, JPEG = encoded("PNG"), encoded("JPEG")
BIG = parquet_of(x=list(range(1000)))

BAD: dict[str, Bad] = {
    "csv_short_row": table("a,b\n1,2\n3\n", "3:1", "the row does not fit the header", "found   1 value", "wanted  2"),
    "csv_long_row": table("a,b\n1,2\n3,4,5\n", "3:1", "the row does not fit the header", "double quotes"),
    "csv_empty_line_inside": table("a,b\n1,2\n\n3,4\n", "3:1", "found   an empty line"),
    "csv_open_quote": table('a,b\n1,"2\n3,4\n', "2:3", "a double quote is left open"),
    "csv_text_after_a_quote": table('a,b\n"1"x,2\n', "2:1", "put quotes around the whole value"),
    "csv_nul": table("a,b\n1,2\n3,\0\n", "3:3", "a NUL character"),
    "csv_empty": Bad(lambda folder: (folder / "a.csv").touch(), "{csv: a.csv}", "a.csv:1:1", ("the file has no rows",)),
    "csv_only_a_header": table("a,b\n", "1:1", "a header and no rows"),
    "csv_text_among_numbers": table("a,b\n1,2\nx,4\n", "3:1", "is numbers up to here, and this is none", "found   'x'"),
    "csv_number_among_texts": table("a,b\np,2\n3,4\n", "3:1", "is texts up to here, and this is a number"),
    "csv_missing_value": table("a,b\n1,2\n,4\n", "3:1", "row 2 of column 'a' has no value"),
    "csv_infinite": table("a,b\n1,2\ninf,4\n", "3:1", "this is none", "found   'inf'"),
    "csv_two_columns_of_one_name": table("a,a\n1,2\n", "1:3", "two columns are called 'a'"),
    "csv_column_without_a_name": table("a,\n1,2\n", "1:3", "column 2 has no name"),
    "csv_latin_1": table("a,b\n1,2\n3,4\né,5\n".encode("latin-1"), "4:1", "the file is not UTF-8", "byte 0xe9"),
    "csv_utf_16": table("a,b\n1,2\n".encode("utf-16"), "1:1", "found   UTF-16"),
    "csv_gzip": table(gzip.compress(b"a,b\n1,2\n"), "1:1", "the file is not a CSV text", "found   gzip"),
    "csv_line_of_2_mb": table("a,b\n1," + "2" * (2 << 20) + "\n", "2:1", "the line is longer than"),
    "csv_is_a_folder": Bad(lambda folder: (folder / "a.csv").mkdir(), "{csv: a.csv}", "spec.yaml:1:7", ("found   a folder",)),
    "csv_is_not_there": Bad(lambda folder: None, "{csv: a.csv}", "spec.yaml:1:7", ("found   nothing there",)),
    "csv_link_to_itself": Bad(lambda folder: (folder / "a.csv").symlink_to("a.csv"), "{csv: a.csv}", "spec.yaml:1:7", ("cannot be read",)),
    "csv_class_only_in_validation": Bad(
        two_tables, "{csv: {path: {train: a.csv, validation: b.csv}, target: y}}", "b.csv:3:3", ("class 'r' of column 'y' is only in the validation split",)
    ),
    "csv_image_leads_out": table(
        "i,b\n../../x.png,1\n", "2:1", "leads out of the folder", section="{csv: a.csv, columns: {i: image}}"
    ),
    "csv_image_is_not_there": table("i,b\nx.png,1\n", "2:1", "leads to nothing", "'x.png'", section="{csv: a.csv, columns: {i: image}}"),
    "idx_wrong_magic": idx(b"\0\1\x08\1\0\0\0\1\0", "the file is no idx file", "00 01 08 01"),
    "idx_unknown_type": idx(idx_of((1,), b"\0", 10), "the file is no idx file", "00 00 0a 01"),
    "idx_empty": Bad(lambda folder: (folder / "a.idx").touch(), "{idx: {x: a.idx}}", "a.idx:1:1", ("it begins with nothing",)),
    "idx_ends_in_its_header": idx(b"\0\0\x08\3\0\0\0\1", "the file ends in its header", "offset 8"),
    "idx_truncated": idx(idx_of((3, 2, 2), bytes(11)), "the file ends too early", "found   27 bytes", "28"),
    "idx_size_that_lies": idx(idx_of((2_000_000, 28, 28), bytes(11)), "the file ends too early", "2000000 x 28 x 28 of uint8"),
    "idx_enormous": idx(idx_of((2**32 - 1,) * 4, bytes(11)), "the array is too large"),
    "idx_goes_on": idx(idx_of((1, 2, 2), bytes(5)), "goes on after its values"),
    "idx_gzip_truncated": idx(gzip.compress(idx_of((900, 2, 2), bytes(range(225)) * 16))[:-9], "truncated or damaged"),
    "idx_gzip_damaged": idx(
        (lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:])(gzip.compress(idx_of((9, 2, 2), bytes(36)))), "truncated or damaged", "after 52 unpacked bytes"
    ),
    "idx_gzip_bomb": idx(gzip_bomb(), "the file unpacks to very much", "that become 104,857,616"),
    "npz_objects": npz(npz_of(x=np.array([{}, 1], object)), "array 'x' holds pickled objects, which are never read"),
    "npz_truncated": npz(npz_of(x=np.zeros((50, 3)))[:-60], "the file is no npz of arrays"),
    "npz_is_text": npz(b"x,y\n1,2\n", "the file is no npz of arrays"),
    "npz_rows_differ": npz(npz_of(x=np.zeros(3), y=np.zeros(4)), "differ in their number of rows", "x: 3, y: 4"),
    "npz_bomb": npz(zip_bomb(), "the file unpacks to very much", "that become 104,857,600"),
    "npz_nan": Bad(text(npz_of(x=np.array([1.0, np.nan])), "a.npz"), "{npz: a.npz}", "spec.yaml:1:2", ("row 2 of column 'x' is not a finite number",)),
    "parquet_truncated": parquet(BIG[: len(BIG) // 2], "the file is no parquet file"),
    "parquet_is_text": parquet(b"a,b\n1,2\n", "the file is no parquet file"),
    "parquet_ragged_lists": parquet(parquet_of(x=[[1, 2], [3]]), "row 2 of column 'x' differs in shape", "found   a list of 1"),
    "parquet_of_bytes": parquet(parquet_of(x=[b"a", b"b"]), "column 'x' cannot be read", "found   type binary"),
    "image_png_truncated": folder("dog/x.png", PNG[: len(PNG) // 2], "the image cannot be read", "the PNG file is damaged"),
    "image_jpeg_truncated": folder("dog/x.jpg", JPEG[: len(JPEG) // 2], "the image cannot be read", "the JPEG file is damaged"),
    "image_ends_in_its_header": folder("dog/x.jpg", JPEG[:30], "the JPEG file ends in its header"),
    "image_of_20000_by_20000": folder("dog/x.png", png_header(20_000, 20_000), "found   20000 x 20000 pixels", "wanted  at most 67,108,864"),
    "image_is_text": folder("dog/x.png", b"a picture", "found   it begins with b'a pictur'", "PNG, JPEG, BMP, GIF or WebP"),
    "image_is_empty": folder("dog/x.png", b"", "found   the file is empty"),
    "image_of_another_size": folder("dog/x.png", encoded("PNG", noise(3, 4)), "the images differ in size", "found   3 x 4"),
    "folder_with_a_text": folder("dog/notes.txt", b"hi", "this is no image", "'notes.txt'"),
    "folder_with_a_file_beside": folder("x.png", PNG, "a file stands beside the folders of the classes"),
    "folder_in_a_class": folder("dog/more/x.png", lambda path: None, "stands inside of a class's folder", at="dog/more:1:1"),
    "folder_of_a_class_is_empty": folder("eel", lambda path: path.mkdir(), "the folder of class 'eel' holds no images", at="eel:1:1"),
    "folder_that_leads_back": folder("dog/up", lambda path: path.symlink_to(path.parent.parent), "stands inside of a class's folder", at="dog/up:1:1"),
    "link_to_itself": folder("dog/x.png", lambda path: path.symlink_to(path), "this cannot be read", "symbolic links", at="dog/x.png:1:1"),
    "folder_without_folders": Bad(lambda folder: (folder / "a").mkdir(), "{image_folder: a}", "spec.yaml:1:16", ("holds no folders",)),
    "folder_is_a_file": Bad(text(b"x", "a"), "{image_folder: a}", "spec.yaml:1:16", ("found   a file", "wanted  a folder")),
    "folder_with_a_class_only_in_validation": Bad(
        two_splits, "{image_folder: {path: {train: train, validation: val}}}", "val/eel/0.png:1:1", ("class 'eel' of column 'label' is only in the validation split",)
    ),
    "mask_of_another_size": masks(scenes(lambda: Image.new("L", (8, 9))), "mask/1.png:1:1", "the mask is of another size than its image", "found   9 x 8"),
    "mask_in_colour": masks(scenes(lambda: Image.new("RGB", (8, 8))), "mask/1.png:1:1", "found   colours"),
    "mask_of_another_class": masks(scenes(lambda: Image.new("L", (8, 8), 7)), "mask/1.png:1:1", "found   7 in row 1, column 1 of the mask", "from 0 to 1"),
    "mask_as_jpeg": masks(scenes(lambda: Image.new("L", (8, 8)), "1.jpg", "JPEG"), "mask/1.jpg:1:1", "found   a JPEG, which changes numbers"),
    "mask_without_an_image": masks(scenes(lambda: Image.new("L", (8, 8)), "2.png"), "", "has no partner in column"),
    "pattern_of_any_depth": Bad(lambda folder: None, "{csv: '/**/*.csv'}", "spec.yaml:1:7", ("looks into folders of any depth",)),
    "masks_of_no_file": masks(scenes(lambda: Image.new("L", (8, 8))), "spec.yaml:1:39", "no file fits the pattern", section=FILES.replace("mask/*", "msk/*")),
}  # fmt: skip

MANY = {"mask_without_an_image"}  # two files are alone, and each is named

GOOD: dict[str, tuple[Make, str]] = {
    "csv_with_a_mark_of_bytes": (text(b"\xef\xbb\xbfa,b\n1,2\n"), "{csv: a.csv, columns: {a: number}}"),
    "csv_of_windows": (text(b"a,b\r\n1,2\r\n3,4\r\n"), "{csv: a.csv, columns: {b: number}}"),
    "csv_with_quotes": (text('a,b\n"1","x, ""y""\nz"\n2,p\n'), "{csv: a.csv, columns: {b: category}}"),
}
