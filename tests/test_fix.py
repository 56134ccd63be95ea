"""``nnspec check --fix``: what is beyond doubt is mended in the file, and nothing else of it changes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from nnspec import cli
from nnspec.cli.mend import Seen, mend
from nnspec.compiler import load, loads
from nnspec.errors import NnspecError, Problem
from nnspec.spec.tree import Tree
from tests.bad_specs import BAD, GOOD
from tests.test_mutations import mutated, texts

FULL = bool(os.environ.get("NNSPEC_FULL"))
TOP = "nnspec: 1\ninputs: {x: {shape: [8, 8, 3]}}\nlayers:\n"
TAIL = "  - flatten\n  - dense: 10\n"


def problems(path: Path) -> tuple[Problem, ...]:
    try:
        load(path)
    except NnspecError as e:
        return e.problems
    return ()


def fixed(tmp_path: Path, text: str) -> str:
    """The text after ``--fix``, which mends nothing more when it is run again."""
    path = tmp_path / "spec.yaml"
    path.write_bytes(text.encode())
    cli.status(["check", "--fix", str(path)])
    once = path.read_bytes().decode()
    cli.status(["check", "--fix", str(path)])
    assert path.read_bytes().decode() == once
    return once


LAYERS = {
    "Conv2d: {in_channels: 3, out_channels: 8, kernel_size: 3, padding: SAME}": "conv2d: {filters: 8, kernel: 3, padding: same}",
    "Conv2D: {filters: 8, kernel_size: 3, strides: 2, activation: ReLU, use_bias: no}": "conv2d: {filters: 8, kernel: 3, stride: 2, activation: relu, bias: false}",
    "conv2d: {filters: 8, kernel: 3, padding: 'Same'}": "conv2d: {filters: 8, kernel: 3, padding: same}",
    "MaxPool2d: {kernel_size: 2, stride: 2}": "max_pool2d: {size: 2, stride: 2}",
    "MaxPooling2D: {pool_size: 2}": "max_pool2d: {size: 2}",
    "BatchNorm2d: {num_features: 3, eps: 1e-5, momentum: 0.1}": "batch_norm: {epsilon: 1e-5, momentum: 0.9}",
    "BatchNormalization": "batch_norm",
    "LeakyReLU: {negative_slope: 0.2}": "leaky_relu: {slope: 0.2}",
    "Dropout: {p: 0.5}": "dropout: {rate: 0.5}",
    "Dropuot: 0.5": "dropout: 0.5",
    "dense: {unit: 3}": "dense: {units: 3}",
    "dense: {units: 3, activation: {LeakyReLU: 0.1}}": "dense: {units: 3, activation: {leaky_relu: 0.1}}",
    "dense: {units: 3, activation: linear}": "dense: {units: 3, activation: identity}",
    'dense: {units: "3", bias: "false"}': "dense: {units: 3, bias: false}",
    "dense: {units: 3.0, kernel_initializer: he_normal}": "dense: {units: 3, init: {kernel: he_normal}}",
    "dense: {units: $(max(3, 4)), bias: false}": 'dense: {units: "$(max(3, 4))", bias: false}',
    "dense: {units:3, bias: false}": "dense: {units: 3, bias: false}",
    "dense: {units: 3, freeze: true}": "dense: {units: 3, trainable: false}",
    "BatchNorm2d: {affine: false}": "batch_norm: {scale: false, center: false}",
}


@pytest.mark.parametrize("wrong", LAYERS)
def test_a_layer_of_another_library_becomes_ours(wrong: str, tmp_path: Path) -> None:
    assert fixed(tmp_path, f"{TOP}  - {wrong}  # kept\n{TAIL}") == f"{TOP}  - {LAYERS[wrong]}  # kept\n{TAIL}"
    assert problems(tmp_path / "spec.yaml") == ()


DOUBT = ["conv: {filters: 3, kernel: 3}", "softmax: {dim: 1}", "upsample: 2", "conv4d: 3", "BatchNorm2d: {momentum: $m}", "dense: {units: many}",
         "dense: {units: 3, kernel_initializer: he_normal, init: {kernel: zeros}}", "concat: {from: [y, z]}"]  # fmt: skip


@pytest.mark.parametrize("doubtful", DOUBT)
def test_where_more_than_one_thing_may_be_meant_nothing_is_changed(doubtful: str, tmp_path: Path) -> None:
    text = f"{TOP}  - {doubtful}\n{TAIL}"
    assert fixed(tmp_path, text) == text
    assert problems(tmp_path / "spec.yaml")


WHOLE = """\
# A network, as somebody from elsewhere has written it.
data: digits
model:            # its layers
- Conv2d:
    in_channels: 1   # of the image
    out_channels: 8
    kernel_size: 3
    padding: SAME  # as TensorFlow
\x20\x20\x20\x20
- ReLU
- &pool MaxPool2d: 2
- Flatten   \t# all of it
- Linear: {in_features: 128,  # 4 x 4 x 8
           out_features: 10}
criterion: "CrossEntropyLoss"
metrics: [acc]
optimizer: {Adam: {lr: 1e-3, betas: [0.9, 0.99]}}
lr_scheduler: {CosineAnnealingLR: {eta_min: 1e-5}}
batchsize: 64
num_epochs: 3
description: |
  Linear: {lr: 3}   # no comment
"""
AFTER = """\
# A network, as somebody from elsewhere has written it.
nnspec: 1
data: digits
layers:            # its layers
- conv2d:
    # of the image
    filters: 8
    kernel: 3
    padding: same  # as TensorFlow
\x20\x20\x20\x20
- relu
- &pool max_pool2d: 2
- flatten   \t# all of it
- dense: {  # 4 x 4 x 8
           units: 10}
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 1e-3, beta1: 0.9, beta2: 0.99}}
schedule: {cosine: {minimum: 1e-5}}
batch_size: 64
epochs: 3
description: |
  Linear: {lr: 3}   # no comment
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_a_whole_spec_from_elsewhere_keeps_its_comments_and_layout(line_end: str, before: str, last: bool, tmp_path: Path) -> None:
    def written(text: str) -> str:
        return before + (text if last else text.rstrip("\n")).replace("\n", line_end)

    assert fixed(tmp_path, written(WHOLE)) == written(AFTER)
    assert problems(tmp_path / "spec.yaml") == ()


def test_what_was_changed_is_said_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"{TOP}  - Linear: 3\n  - Relu\n{TAIL}")
    assert cli.status(["check", "--fix", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{path}:4: 'Linear' is now 'dense'", f"{path}:5: 'Relu' is now 'relu'", f"{path}: ok (4 layers, 1,942 parameters)"]


def test_check_says_how_much_of_it_can_be_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"{TOP}  - Linear: 3\n  - qwertz\n{TAIL}")
    assert cli.status(["check", str(path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "1 of these can be mended: nnspec check --fix (--diff shows it)"


def test_a_difference_is_shown_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    text = f"{TOP}  - Linear: 3\n{TAIL}"
    path.write_text(text)
    assert cli.status(["check", "--diff", str(path)]) == 2
    out = capsys.readouterr().out
    assert "-  - Linear: 3\n+  - dense: 3\n" in out
    assert path.read_text() == text


def test_a_read_only_file_is_refused_and_its_rights_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    text = f"{TOP}  - Linear: 3\n{TAIL}"
    path.write_text(text)
    path.chmod(0o444)
    assert cli.status(["check", "--fix", str(path)]) == 2
    assert "read-only" in capsys.readouterr().err
    assert path.read_text() == text
    path.chmod(0o640)
    assert cli.status(["check", "--fix", str(path)]) == 0
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_link_to_itself_is_an_error_as_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert cli.status(["check", "--fix", str(tmp_path / "loop.yaml")]) == 2
    assert "the file cannot be read" in capsys.readouterr().err


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    target, link = tmp_path / "target.yaml", tmp_path / "in" / "spec.yaml"
    text = f"{TOP}  - Linear: 3\n{TAIL}"
    target.write_text(text)
    link.symlink_to(target)
    assert cli.status(["check", "--fix", str(link)]) == 2
    assert "leads out of its folder" in capsys.readouterr().err
    assert target.read_text() == text
    assert cli.status(["check", "--fix", "--allow-include", str(tmp_path), str(link)]) == 0
    assert link.is_symlink()
    assert "dense: 3" in target.read_text()


def test_included_files_are_changed_in_folders_that_are_allowed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    block = "nnspec: 1\nblocks:\n  {}: {{layers: [Linear: 3]}}\n"
    (inside / "a.yaml").write_text(block.format("one"))
    (outside / "b.yaml").write_text(block.format("two"))
    spec = inside / "spec.yaml"
    spec.write_text(f"nnspec: 1\ninclude: [a.yaml, ../out/b.yaml]\ninputs: [8]\nlayers:\n  - one\n  - two\n{TAIL}")
    both = [spec, inside / "a.yaml", outside / "b.yaml"]
    assert cli.status(["check", "--fix", "--allow-include", str(outside), str(spec)]) == 2
    assert ["dense: 3" in p.read_text() for p in both] == [False, False, True]
    assert "a.yaml, which was not named: --allow-include" in capsys.readouterr().out
    assert cli.status(["check", "--fix", "--allow-include", str(outside), "--allow-include", str(inside), str(spec)]) == 0
    assert ["dense: 3" in p.read_text() for p in both] == [False, True, True]
    (outside / "b.yaml").write_text(block.format("two"))
    (inside / "c.yaml").symlink_to(outside / "b.yaml")
    spec.write_text(f"nnspec: 1\ninclude: [a.yaml, c.yaml]\ninputs: [8]\nlayers:\n  - one\n{TAIL}")
    assert cli.status(["check", "--fix", "--allow-include", str(inside), str(spec)]) == 2
    assert "Linear" in (outside / "b.yaml").read_text()


def test_lines_are_those_of_the_file_as_it_now_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("# a spec\ninputs: {x: {shape: [8, 8, 3]}}\nlayers:\n  - Residual:\n    - conv2d:\n        filters: 5\n        kernel_size: 1\n  - Relu\n")
    assert cli.status(["check", "--fix", str(path)]) == 0
    told = [line.split(":", 2)[1:] for line in capsys.readouterr().out.splitlines()[:-1]]
    lines = path.read_text().splitlines()
    for line, what in told:
        written = {"'nnspec: 1' set": "inputs:", "'shortcut: [conv2d: {filters: 5, kernel: 1}]' set": "- residual:"}  # set on what stands there
        assert written.get(what.strip(), what.split("'")[-2]) in lines[int(line) - 1], (line, what)
    assert len(told) == 5


def test_set_and_fix_are_not_of_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Units that fit other data than the file's would be written into it."""
    path = tmp_path / "spec.yaml"
    text = "nnspec: 1\ndata: digits\nloss: cross_entropy\nlayers:\n  - flatten\n  - dense: 10\n"
    path.write_text(text)
    assert cli.status(["check", "--fix", "--set", "data=iris", str(path)]) == 2
    assert "--set" in capsys.readouterr().err
    assert path.read_text() == text


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"{TOP}  - Linear: 3\n{TAIL}")
    mended = mend(str(path), lambda: Seen(problems(path)))
    path.write_text("another text")
    with pytest.raises(NnspecError, match="changed while"):
        mended.write()
    assert path.read_text() == "another text"


def test_two_equal_keys_are_left_to_a_person(tmp_path: Path) -> None:
    text = f"{TOP}  - conv2d: {{filters: 3, kernel_size: 3, kernel: 5}}\n{TAIL}"
    assert fixed(tmp_path, text) == text


def comments(text: str) -> list[str]:
    try:
        return sorted(Tree(text.removeprefix("\ufeff")).comments())
    except ValueError:
        return []


def beneath(text: str, found: list[Problem], path: Path) -> set[str]:
    """Rules that the text breaks where a word stands for each torn formula: YAML reads no further than to what tears it."""
    for edit in [edit for p in found if p.rule == "torn-formula" for edit in p.edits]:
        text = text.replace(edit.old, "word")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return {p.rule for p in [*found, *problems(path)]}


@pytest.mark.parametrize("group", range(10))
def test_a_strangers_spec_is_never_made_worse(group: int, tmp_path: Path) -> None:
    rng = random.Random(group)
    sources = [*texts(), WHOLE]
    path = tmp_path / "spec.yaml"
    for _ in range(40 if FULL else 6):
        text = mutated(rng.choice(sources), rng)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        before = problems(path)
        mended = mend(str(path), lambda: Seen(problems(path)))
        new = next(iter(mended.new.values()), text)
        assert path.read_bytes() == text.encode("utf-8", "surrogatepass")
        path.write_text(new, newline="")
        after = problems(path)
        rules = {p.rule for p in after if p.rule in ("yaml", "repeated-key", "alias", "tag")}
        assert rules <= {p.rule for p in before} or rules <= beneath(text, before, path), text
        if comments(text):
            assert comments(new) == comments(text)
        if not before:
            assert new == text
        again = mend(str(path), lambda: Seen(problems(path)))
        assert not again.changed, (text, new)


@pytest.mark.parametrize("name", BAD)
def test_what_is_right_is_not_touched_in_a_wrong_spec(name: str, tmp_path: Path) -> None:
    """Of each bad spec at most the lines change that a problem is about."""
    path = tmp_path / "spec.yaml"
    path.write_text(BAD[name])
    before = problems(path)
    mended = mend(str(path), lambda: Seen(problems(path)))
    old, new = BAD[name].splitlines(), next(iter(mended.new.values()), BAD[name]).splitlines()
    told = {e.place.line for p in before for e in p.edits}
    changed = [n + 1 for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if len(old) == len(new):
        assert set(changed) <= told | {place.line for place, _ in mended.done}


def test_the_good_spec_is_left_alone() -> None:
    assert loads(GOOD).name == "small"
