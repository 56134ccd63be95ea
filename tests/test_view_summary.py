"""The summary: a table for people, data for tools, and numbers as people say them."""

from __future__ import annotations

import json

import pytest

from nnspec.view import amounts, describe, program, summary
from nnspec.view.palette import FILLS
from tests import view_graphs


def printed(graph: object, **options: int) -> str:
    from rich.console import Console

    console = Console(width=150, file=None, color_system=None)
    with console.capture() as capture:
        console.print(summary.table(graph, **options))  # type: ignore[arg-type]  # any graph of the tests
    return capture.get()


def test_the_table_has_a_row_a_layer_and_the_totals() -> None:
    shown = printed(view_graphs.mlp(), memory=12 * 2**20, batch=64)
    assert "dense 128, relu" in shown and "8.32 k" in shown and "16.4 kFLOP" in shown
    assert "5 layers" in shown and "17.2 k" in shown and "8.26 k frozen" in shown
    assert "8.97 k trainable, 8.26 k not · 12 MiB for a training step of 64 rows" in shown


def test_rows_are_indented_as_frames_nest_and_a_frame_is_named_once() -> None:
    lines = printed(view_graphs.residual()).splitlines()
    cells = [line.split("│")[1] for line in lines if line.startswith("│")]
    assert sum(cell.strip() == "stage_1" for cell in cells) == 1
    assert sum(cell.startswith("   bottleneck_") for cell in cells) == 4
    assert any(cell.startswith("         conv2d_1") for cell in cells)


def test_markup_and_control_characters_in_names_are_plain_text() -> None:
    builder = view_graphs.Builder("[bold]net[/bold]")
    builder.layer("dense", builder.input("x", 2), (2,), name="[link=x]a\x1b[31m[/]")
    shown = printed(builder.done())
    assert "[link=x]a" in shown and "[bold]net[/bold]" in shown and "\x1b" not in shown


def test_hostile_names_do_not_break_the_table() -> None:
    assert "script" in printed(view_graphs.hostile())


def test_the_data_has_totals_and_every_layer_but_the_inputs() -> None:
    graph = view_graphs.mlp()
    data = summary.as_json(graph, memory=4096)
    assert data["parameters"] == {"total": 17226, "trainable": 8970}
    assert data["memory"] == 4096 and data["flops"] == 16384 + 16384 + 1280
    assert [layer["name"] for layer in data["layers"]] == ["flatten_1", "dense_1", "dropout_1", "dense_2", "dense_3"]
    assert data["layers"][1]["shape"] == [128] and data["layers"][1]["parameters"] == 8320
    assert data["parameters"]["total"] == sum(layer["parameters"] for layer in data["layers"])


def test_symbolic_axes_are_text_in_the_data() -> None:
    data = json.loads(json.dumps(summary.as_json(view_graphs.unet())))
    assert data["layers"][1]["shape"] == ["height//2", "width//2", 1] and data["memory"] is None


@pytest.mark.parametrize(
    "number, said",
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (1234567, "1.23 M"),
        (999_999, "1 M"),
        (25_557_032, "25.6 M"),
        (3 * 10**21, "3000 E"),
    ],
)
def test_counts_are_short(number: int, said: str) -> None:
    assert amounts.count(number) == said


@pytest.mark.parametrize("number, said", [(0, "0 FLOP"), (3_400_000_000, "3.4 GFLOP"), (784, "784 FLOP")])
def test_flops_have_a_unit(number: int, said: str) -> None:
    assert amounts.flops(number) == said


@pytest.mark.parametrize("number, said", [(0, "0 B"), (1023, "1023 B"), (12 * 2**20, "12 MiB"), (1536, "1.5 KiB"), (2**20 - 1, "1 MiB")])
def test_memory_is_in_powers_of_two(number: int, said: str) -> None:
    assert amounts.memory(number) == said


@pytest.mark.parametrize(
    "kind, stated, said",
    [
        ("conv2d", {"filters": 64, "kernel": 3, "stride": 2, "padding": "same"}, "3x3, 64, same, stride 2"),
        ("conv2d", {"filters": 64, "kernel": 3, "padding": 1}, "3x3, 64, padding 1"),
        ("conv2d", {"kernel": (3, 5), "filters": 8, "bias": False}, "3x5, 8, no bias"),
        ("conv1d", {"filters": 8, "kernel": 7}, "7, 8"),
        ("dense", {"units": 10, "activation": {"leaky_relu": 0.2}}, "10, leaky_relu 0.2"),
        ("dense", {"units": 10, "activation": "identity", "name": "head", "trainable": False}, "10"),
        ("dropout", {"rate": 0.5}, "0.5"),
        ("reshape", {"shape": (8, 8, 1)}, "[8, 8, 1]"),
        ("max_pool2d", {"size": 2}, "2x2"),
        ("flatten", None, ""),
    ],
)
def test_fields_are_said_as_papers_say_them(kind: str, stated: dict[str, object] | None, said: str) -> None:
    assert describe.fields(kind, stated) == said


@pytest.mark.parametrize(
    "kind, family",
    [
        ("conv2d", "convolution"), ("depthwise_conv2d", "convolution"), ("conv_transpose2d", "convolution"),
        ("dense", "dense"), ("matmul", "dense"), ("global_avg_pool2d", "pooling"), ("batch_norm", "normalisation"),
        ("leaky_relu", "activation"), ("add", "merge"), ("concat", "merge"), ("input", "input"), ("flatten", "shape"),
        ("lstm", "sequence"), ("dropout", "other"), ("my_block", "other"),
    ],
)  # fmt: skip
def test_kinds_have_the_colour_of_their_family(kind: str, family: str) -> None:
    assert describe.family(kind) == family


def test_every_family_has_colours() -> None:
    assert set(describe.FAMILIES) | {family for _, family in program.FAMILIES} == set(FILLS)


def test_bars_are_shares_of_the_sums_to_an_eighth_of_a_letter() -> None:
    assert [summary.bars_of(share, 8) for share in (0.0, 1e-9, 1 / 64, 0.5, 1.0, 2.0)] == ["", "▏", "▏", "████", "████████", "████████"]
    assert [summary.bars_of(share, 8, plain=True) for share in (0.0, 1e-9, 0.5, 1.0)] == ["", "#", "####", "########"]
    shown = printed(view_graphs.mlp(), bar=8)
    assert "8.32 k" in shown and "███▉" in shown  # 8,320 of 17,226
    assert "█" not in printed(view_graphs.mlp())


def test_blocks_are_folded_to_a_depth_and_keep_their_sums() -> None:
    graph = view_graphs.residual()
    whole, outer = summary.rows(graph), summary.rows(graph, 0)
    assert max(row.depth for row in whole) > 1 and {row.depth for row in outer} == {0}
    for name in ("parameters", "flops"):
        total = sum(getattr(row, name) for row in whole if not row.frame)
        for depth in range(4):
            shown = [row for row in summary.rows(graph, depth) if not row.frame or row.folded]
            assert sum(getattr(row, name) for row in shown) == total
    folded = next(row for row in outer if row.folded)
    assert folded.kind.endswith("layers") and folded.shape
