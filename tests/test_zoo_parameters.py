"""The networks that `nnspec zoo` lists have as many parameters as where they were published, to the last one."""

from __future__ import annotations

import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnspec.cli import status
from nnspec.cli.zoo import works
from nnspec.compiler import load
from nnspec.errors import SpecError
from nnspec.spec.include import shipped
from tests.published import held, spec_of

WORKS = works()
PUBLISHED: dict[str, list[int | None]] = held("parameters")  # total, where it is compared, and trainable


@pytest.mark.parametrize("name", WORKS)
def test_a_network_of_the_zoo_has_its_published_parameters(name: str) -> None:
    total, trainable = PUBLISHED[name]
    found = WORKS[name].parameters()
    assert found["trainable"] == trainable
    assert total in (None, found["total"])


@pytest.mark.parametrize("name", WORKS)
def test_a_network_of_an_image_calls_it_image_and_answers_with_a_thousand_classes_or_ten(name: str) -> None:
    spec = spec_of(name)
    if not name.startswith(("keras", "torchvision", "AlexNet", "LeNet")) or name.startswith("torchvision detection"):
        return
    assert list(spec.inputs) == ["image"]
    (answer,) = spec.built.network.outputs
    assert answer.shape == ((10,) if name == "LeNet-5" else (1000,))


# keras 3.15: the rates of the Dropout layers whose names begin with "block" in keras.applications.EfficientNetB0; of B3 and B7 the first three and how many
DROPPED = {0: ([0.025, 0.05, 0.075, 0.0875, 0.1125, 0.125, 0.15, 0.1625, 0.175], 9), 3: ([0.2 / 26, 0.6 / 26, 0.8 / 26], 19), 7: ([0.2 / 55, 0.4 / 55, 0.6 / 55], 48)}


@pytest.mark.parametrize("variant", DROPPED)
def test_an_efficientnet_drops_later_blocks_more_often_as_keras_does(variant: int) -> None:
    graph = load(shipped() / "zoo" / "efficientnet.yaml", set={"vars.variant": variant}).built.network.graph
    rates = [data["fields"]["rate"] for path, data in graph.nodes.items() if "drop_path" in path]
    first, many = DROPPED[variant]
    assert len(rates) == many and rates == sorted(rates) and rates[: len(first)] == pytest.approx(first, abs=1e-9)


@pytest.mark.parametrize(("family", "key", "value"), [
    ("densenet", "depth", 150), ("keras_resnet", "depth", 34), ("torchvision_resnet", "depth", 20), ("vgg", "depth", 11), ("torchvision_vgg", "depth", 12),
    ("mobilenet_v3", "variant", "tiny"), ("patchgan", "norm", "Batch"), ("pix2pix_unet", "norm", "none"), ("efficientnet", "variant", 8), ("efficientnet", "variant", -1)])  # fmt: skip
def test_a_member_that_a_family_has_not_is_an_error(family: str, key: str, value: int | str) -> None:
    with pytest.raises(SpecError, match=f"{key} is|outside of a list of 8"):
        load(shipped() / "zoo" / f"{family}.yaml", set={f"vars.{key}": value})


def test_every_file_of_the_index_is_shipped_and_nothing_else_is_set_than_variables() -> None:
    for name, work in WORKS.items():
        assert work.spec.is_file() and work.spec.parent == shipped() / "zoo", name
        assert all(key.startswith("vars.") for key in work.set), name


def test_the_list_holds_what_a_command_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["zoo", "keras vgg19", "--parameters"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith("keras VGG19    143,667,240   143,667,240  ") and line.endswith("vgg.yaml --set vars.depth=19  # keras, renames/vgg.yaml")
    assert status(["check", *shlex.split(line.rpartition("143,667,240  ")[2], comments=True)]) == 0  # as a shell reads it
    assert "143,667,240 parameters" in capsys.readouterr().out


def test_the_list_as_json_has_a_network_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["zoo", "--json"]) == 0
    rows: Any = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(WORKS)
    assert all(Path(row["spec"]).is_file() for row in rows)


def test_a_name_that_no_network_has_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["zoo", "keras VGG15"]) == 2
    assert "keras VGG1" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(WORKS, key=lambda n: -(PUBLISHED[n][1] or 0))[:1] + [n for n in WORKS if n == "keras EfficientNetB7"])
def test_a_network_of_the_zoo_is_checked_within_three_seconds(name: str) -> None:
    def timed() -> float:
        """Seconds of the processor: of the clock they would say how busy it is."""
        start = used()
        sets = [word for key, value in WORKS[name].set.items() for word in ("--set", f"{key}={value}")]
        subprocess.run([sys.executable, "-m", "nnspec", "check", str(WORKS[name].spec), *sets], check=True, stdout=subprocess.DEVNULL)
        return used() - start

    def used() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    assert min(timed() for _ in range(3)) < 3


@pytest.mark.parametrize("name", WORKS)
def test_a_network_of_the_zoo_is_drawn_with_its_blocks(name: str, tmp_path: Path) -> None:
    sets = [word for key, value in WORKS[name].set.items() for word in ("--set", f"{key}={value}")]
    assert status(["graph", str(WORKS[name].spec), *sets, "-o", str(tmp_path / "net.mmd")]) == 0
    drawn = (tmp_path / "net.mmd").read_text("utf-8")
    assert "subgraph" in drawn or not any(leaf.path.count("/") for leaf in spec_of(name).built.network.leaves)
