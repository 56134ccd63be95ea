"""From entries to a graph: names and paths, ``from``, repeats, blocks, structures, formulas, shapes."""

from __future__ import annotations

import pytest

from nnspec.compiler import Spec, loads
from nnspec.errors import SpecError


def spec(layers: str, inputs: str = "{image: {shape: [8, 8, 3]}}", blocks: str = "", more: str = "") -> Spec:
    return loads(f"nnspec: 1\ninputs: {inputs}\n{f'blocks:{chr(10)}{blocks}' if blocks else ''}layers:\n{layers}{more}")


def paths(s: Spec) -> list[str]:
    return [n for n, kind in s.graph.nodes(data="kind") if kind != "input"]


def shape(s: Spec, node: str) -> str:
    return " x ".join(map(str, s.graph.nodes[node]["shape"]))


def problem(layers: str, **more: str) -> str:
    with pytest.raises(SpecError) as e:
        spec(layers, **more)
    return str(e.value)


def test_default_names_count_by_kind_and_order_those_left_out_included() -> None:
    s = spec("  - conv2d: 4\n  - conv2d: {when: false, filters: 9}\n  - relu\n  - conv2d: 5\n")
    assert paths(s) == ["conv2d_1", "relu_1", "conv2d_3"]


def test_parameters_are_named_by_the_entries_around_them() -> None:
    s = spec("  - stage: {filters: 4, blocks: 2}\n  - stage: {filters: 4, blocks: 1}\n", blocks="""
  conv_bn: {args: {filters: required}, layers: [conv2d: {filters: $filters, kernel: 1, bias: false}, batch_norm]}
  bottleneck: {args: {filters: required}, layers: [residual: {layers: [conv_bn: $filters], shortcut: [conv2d: {filters: $filters, kernel: 1}]}]}
  stage: {args: {filters: required, blocks: required}, layers: [bottleneck: {filters: $filters, repeat: $blocks}]}
""")
    assert "stage_1/bottleneck_2/residual_1/layers/conv_bn_1/conv2d_1/kernel" in s.built.network.parameters
    assert "stage_2/bottleneck_1/residual_1/shortcut/conv2d_1/bias" in s.built.network.parameters


def test_branches_are_numbered_and_an_empty_path_is_the_identity() -> None:
    s = spec("  - branches: {merge: concat, paths: [[], [conv2d: {filters: 2, padding: same}]]}\n")
    assert paths(s) == ["branches_1/1/conv2d_1", "branches_1/concat"]
    assert shape(s, "branches_1/concat") == "8 x 8 x 5"


def test_squeeze_and_excitation_broadcasts() -> None:
    s = spec("  - branches: {merge: multiply, paths: [[], [global_avg_pool2d: {keep: true}, dense: {units: 3, activation: sigmoid}]]}\n")
    assert shape(s, "branches_1/multiply") == "8 x 8 x 3"


def test_merge_none_passes_all_on() -> None:
    s = spec("  - branches: {merge: none, paths: [[relu], [tanh]]}\n  - add\n")
    assert s.graph.in_degree("add_1") == 2


def test_from_reads_by_name_and_several_uses_are_several_edges() -> None:
    s = spec("  - flatten: {name: flat}\n  - matmul: {from: [image, image], transpose: true, name: m}\n  - flatten\n  - concat: {from: [flat, flatten_2]}\n")
    assert s.graph.number_of_edges("image", "m") == 2


def test_a_repeated_entry_goes_by_numbers_and_its_name_is_the_last() -> None:
    s = spec("  - flatten\n  - dense: {units: 4, repeat: 3, name: d}\n  - dense: {units: 2, from: d}\n")
    assert paths(s) == ["flatten_1", "d_1", "d_2", "d_3", "dense_4"]  # d took the numbers 1 to 3
    assert list(s.graph.predecessors("dense_4")) == ["d_3"]


def test_repeat_walks_lists_and_i_counts_from_0() -> None:
    s = spec("  - conv2d: {repeat: {filters: [4, 8], stride: [1, 2]}, padding: same}\n  - flatten\n  - dense: {units: $(10 + i), repeat: 2}\n")
    assert shape(s, "conv2d_2") == "4 x 4 x 8"
    assert [shape(s, f"dense_{n}") for n in (1, 2)] == ["10", "11"]


def test_repeat_may_rename_its_counter() -> None:
    s = spec("  - flatten\n  - dense: {units: $(2 + j), repeat: {times: 2, as: j}}\n")
    assert shape(s, "dense_2") == "3"


def test_a_from_without_i_feeds_the_first_copy_alone_with_i_each() -> None:
    s = spec("  - flatten: {name: x_0}\n  - relu: {from: x_0, repeat: 2, name: a}\n")
    assert list(s.graph.predecessors("a_2")) == ["a_1"]
    s = spec("  - flatten: {name: x_0}\n  - tanh: {name: x_1}\n  - relu: {from: x_$i, repeat: 2, name: a}\n  - add: {from: [a_1, a_2]}\n")
    assert list(s.graph.predecessors("a_2")) == ["x_1"]


def test_a_block_of_two_inputs_and_outputs_repeats() -> None:
    s = spec("  - flatten: {name: a}\n  - tanh: {name: b}\n  - cross: {from: [a, b], repeat: 2}\n  - add\n",
             blocks="  cross: {inputs: [x, y], layers: [add: {from: [x, y], name: s}, subtract: {from: [x, y], name: d}], outputs: [s, d]}\n")
    assert sorted(s.graph.predecessors("cross_2/s")) == ["cross_1/d", "cross_1/s"]
    assert sorted(s.graph.predecessors("add_1")) == ["cross_2/d", "cross_2/s"]


def test_a_blocks_output_is_read_by_name() -> None:
    s = spec("  - two: {name: t}\n  - add: {from: [t.left, t.right]}\n",
             blocks="  two: {layers: [relu: {name: a}, tanh: {from: a, name: b}], outputs: {left: a, right: b}}\n")
    assert sorted(s.graph.predecessors("add_1")) == ["t/a", "t/b"]


def test_a_parameter_is_read_by_name_for_tied_weights() -> None:
    s = spec("  - embedding: {vocabulary: 50, units: 6, name: tokens}\n  - dense: {units: 6, name: h}\n"
             "  - matmul: {from: [h, tokens.embedding], transpose: true}\n", inputs="{ids: {shape: [7], dtype: int64}}")
    assert shape(s, "matmul_1") == "7 x 50"


def test_symbolic_axes_are_carried() -> None:
    s = spec("  - conv2d: {filters: 4, kernel: 3, stride: 2}\n  - global_avg_pool2d\n  - dense: 2\n", inputs="{image: {shape: [height, width, 3]}}")
    assert shape(s, "conv2d_1") == "(height + 1)//2 - 1 x (width + 1)//2 - 1 x 4"
    assert shape(s, "dense_1") == "2"


def test_a_block_sees_its_arguments_but_nothing_of_its_caller() -> None:
    text = problem("  - flatten: {name: outer}\n  - b\n", blocks="  b: {layers: [relu: {from: outer}]}\n")
    assert "no layer or input in sight is called 'outer'" in text


def test_the_input_s_shape_is_known_to_formulas() -> None:
    s = spec("  - conv2d: {filters: \"$(input.shape[2] * 2)\", kernel: 1}\n")
    assert shape(s, "conv2d_1") == "8 x 8 x 6"


@pytest.mark.parametrize(("layers", "words"), [
    ("  - relu: {from: later}\n  - tanh: {name: later}\n", ("'later' stands below", "cycle", ":4:")),
    ("  - relu: {from: nowhere}\n", ("no layer or input in sight is called 'nowhere'",)),
    ("  - relu: {name: a}\n  - tanh: {name: a}\n", ("'a' stands twice",)),
    ("  - relu\n  - tanh: {from: image}\n", ("nothing reads layer 'relu_1'", ":4:5")),
    ("  - conv2d: {filters: 4, kernel: 9}\n", ("the window is larger", "from 'image' (line 2)")),
    ("  - add\n", ("takes at least 2 inputs",)),
    ("  - conv2d: {filters: 4, name: c}\n  - add: {from: [c, image]}\n", ("layer 'add_1': shapes cannot be added", "(batch, 6, 6, 4) from 'c' (line 4)",
                                                                    "(batch, 8, 8, 3) from 'image' (line 2)")),
    ("  - Linear: 4\n", ("no layer is called 'Linear'", "in nnspec this is 'dense'")),
    ("  - conv2d: {out_channels: 4}\n", ("in nnspec this is 'filters'", ":4:14")),
    ("  - dense: {units: 4\n    , lr: 3}\n", ("no key of layer 'dense'",)),
    ("  - lstm: 4\n", ("lstm: not in this version",)),
    ("  - relu: {share: x}\n", ("called 'x'",)),
    ("  - dense: {units: 1000000000}\n", ("at most 10,000,000",)),
    ("  - relu: {repeat: 1000000000}\n", ("'repeat' does not fit",)),
])
def test_what_is_wrong_is_said_with_its_place(layers: str, words: tuple[str, ...]) -> None:
    text = problem(layers)
    assert all(w in text for w in words), text


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError) as e:
        spec("  - conv2d: {filters: x}\n  - nothing: 3\n  - flatten\n  - dense: {units: 4, activation: rellu}\n")
    lines = [p.place.line for p in e.value.problems if p.place]
    assert lines == [4, 5, 7]


def test_an_unused_block_and_a_block_that_calls_itself_are_named() -> None:
    assert "block 'b' is never used" in problem("  - relu\n", blocks="  b: {layers: [relu]}\n")
    assert "uses itself" in problem("  - b\n", blocks="  b: {layers: [c]}\n  c: {layers: [b]}\n")


def test_a_frozen_block_freezes_everything_inside() -> None:
    s = spec("  - b: {trainable: false}\n  - flatten\n  - dense: 2\n", blocks="  b: {layers: [conv2d: 4, batch_norm]}\n")
    assert [p for p, d in s.built.network.parameters.items() if d.trainable] == ["dense_1/kernel", "dense_1/bias"]
