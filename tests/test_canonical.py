"""What a spec says in short is said in full in its canonical text, once, and that text is the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.compiler import Spec, load, loads
from nnspec.runtime.session import compile
from nnspec.spec.schema import schema
from nnspec.spec.source import plain, read

jsonschema = pytest.importorskip("jsonschema", reason="install the extra 'test'")

SPEC = """\
nnspec: 1
inputs: {x: {shape: [8, 8, 1]}}
blocks:
  b: {args: {n: 3}, layers: [dense: $n, relu]}
layers:
  - flatten
  - dense: {units: 4, name: last}
loss: mse
optimizer: adam
"""


def same_network(a: Spec, b: Spec) -> bool:
    mine, theirs = compile(a).parameters, compile(b).parameters
    return list(mine) == list(theirs) and all((np.asarray(mine[k]) == np.asarray(theirs[k])).all() for k in mine)


def accepted(text: str) -> bool:
    def lists(value: object) -> object:
        if isinstance(value, dict):
            return {k: lists(v) for k, v in value.items()}
        return [lists(v) for v in value] if isinstance(value, tuple) else value

    return bool(jsonschema.Draft7Validator(schema()).is_valid(lists(plain(read(text, "spec.yaml")))))


@pytest.mark.parametrize(("short", "full"), [
    ("{x: {shape: [8, 8, 1]}}", "[8, 8, 1] -> {image: {shape: [8, 8, 1]}}"), ("{x: {shape: [8, 8, 1]}}", "{shape: [8, 8, 1]} -> {image: {shape: [8, 8, 1]}}"),
    ("{x: {shape: [8, 8, 1]}}", "{x: {shape: 8}} -> {x: {shape: [8]}}"),
    ("- flatten", "- flatten -> - flatten: {}"), ("- flatten", "- b -> - b: {}"), ("- flatten", "- b: 4 -> - b: {n: 4}"),
    ("- flatten", "- dense: 3 -> - dense: {units: 3}"), ("- flatten", "- dense: {units: 3, repeat: 2} -> - dense: {units: 3, repeat: {times: 2}}"),
    ("- flatten", "- dense: {units: 3, activation: {elu: 0.2}} -> - dense: {units: 3, activation: {elu: {alpha: 0.2}}}"),
    ("- flatten", "- dense: {units: 3, activation: {b: 3}} -> - dense: {units: 3, activation: {b: {n: 3}}}"),
    ("- flatten", "- activation: {elu: 0.2} -> - activation: {of: {elu: {alpha: 0.2}}}"),
    ("- flatten", "- residual: [relu] -> - residual: {layers: [relu]}"),
    ("layers: [dense: $n, relu]", "layers: [dense: $n, relu] -> layers: [dense: {units: $n}, relu: ]"),
    ("loss: mse", "loss: mse -> loss: {mse: {}}"), ("loss: mse", "loss: {mse: , mae: } -> loss: [mse: {}, mae: {}]"), ("loss: mse", "loss: {huber: 2} -> loss: {huber: {delta: 2}}"),
    ("loss: mse", "loss: {mse: {weight: {linear: {to: 0, length: 3}}}} -> loss: {mse: {weight: {linear: {to: 0, length: 3}}}}"),
    ("loss: mse", "loss: mse\nmetrics: mae -> loss: mse\nmetrics: [mae: {}]"), ("loss: mse", "loss: mse\nmetrics: {mae: , rmse: } -> loss: mse\nmetrics: [mae, rmse]"),
    ("loss: mse", "loss: mse\noutputs: last -> loss: mse\noutputs: [last]"), ("loss: mse", "loss: mse\ncheckpoint: last -> loss: mse\ncheckpoint: {keep: last}"),
    ("optimizer: adam", "optimizer: {adam: 0.1} -> optimizer: {adam: {learning_rate: 0.1}}"),
    ("optimizer: adam", "optimizer: {adam: {weight_decay: 0.1}} -> optimizer: {adam: {weight_decay: {rate: 0.1}}}"),
])
def test_two_spellings_have_one_canonical_text(short: str, full: str) -> None:
    text = SPEC if "b" in full.replace("batch", "") and "- b" in full or "{b" in full else SPEC.replace("  - flatten", "  - b\n  - flatten")
    a, b = (text.replace(short, spelling) for spelling in full.split(" -> "))
    first, second = loads(a), loads(b)
    assert first.text == second.text == loads(first.text).text
    assert same_network(first, second) and same_network(first, loads(first.text))
    assert accepted(a) and accepted(b) and accepted(first.text)


def test_blocks_of_an_included_file_keep_its_variables_and_their_first_argument(tmp_path: Path) -> None:
    (tmp_path / "lib.yaml").write_text("""\
nnspec: 1
vars: {u: 5, v: $(u + 1)}
blocks:
  one: {args: {n: $u}, layers: [dense: $n]}
  two: {layers: [one, dense: $v]}
  three: {args: {m: required}, layers: [one: $m, dense: {units: $u, activation: {leaky_relu: $(v / 10)}}]}
  spare: {layers: [relu]}
""")
    (tmp_path / "main.yaml").write_text("nnspec: 1\ninclude: [lib.yaml]\nvars: {u: 7}\ninputs: {x: {shape: [4]}}\nlayers: [one, two, three: 2, one: $u]\n")
    spec = load(tmp_path / "main.yaml")
    again = loads(spec.text)
    assert [p.shape for k, p in compile(spec).parameters.items() if "kernel" in k] == [(4, 5), (5, 5), (5, 6), (6, 2), (2, 5), (5, 7)]
    assert same_network(spec, again) and again.text == spec.text and accepted(spec.text) and "spare" not in spec.text


def test_a_default_that_is_the_text_required_stays_one() -> None:
    spec = loads("nnspec: 1\ninputs: {x: {shape: [4]}}\nblocks: {b: {args: {p: 'required'}, layers: [dense: \"$(3 if p == 'required' else 4)\"]}}\nlayers: [b]\n")
    assert same_network(spec, loads(spec.text))


def test_the_path_of_a_source_in_its_short_form_is_absolute(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "main.yaml").write_text("nnspec: 1\ndata: {csv: rows.csv, columns: {a: number}}\ninputs: {x: {columns: a}}\nlayers: [dense: 1]\nloss: {mse: {target: b}}\n")
    assert f"csv: {{path: {tmp_path}/rows.csv}}" in load(tmp_path / "main.yaml").text


def test_paths_are_worked_out_and_their_dollars_stay_dollars(tmp_path: Path) -> None:
    folder = tmp_path / "a$b"
    folder.mkdir()
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "main.yaml").write_text("nnspec: 1\nname: $$n\nvars: {p: rows}\ndata: {csv: {path: $(p).csv, target: b}}\nlayers: [dense: 1]\n")
    spec = load(folder / "main.yaml")
    again = loads(spec.text)
    assert again.document.data is not None and again.document.data.rows == 2
    assert again.text == spec.text and again.name == "$n"


def test_a_formula_may_give_any_part_of_a_spec() -> None:
    spec = loads("""\
nnspec: 1
vars:
  d: {digits: {}, split: {train: 0.3, test: 0.1}}
  o: {adam: {learning_rate: 0.1}}
  a: {learning_rate: 0.01, weight_decay: {rate: 0.1}}
  m: [accuracy, {f1: {average: macro}}]
  r: {times: 2, as: j}
  e: {patience: 3, watch: train.loss}
  s: {cosine: {length: 2}}
  shape: [8, 8, 1]
  slope: {slope: 0.3}
data: $d
inputs: {image: {shape: $shape}}
layers: [flatten, dense: {units: 12, repeat: $r, activation: {leaky_relu: $slope}}, dense: 10]
outputs: $out
loss: $l
metrics: $m
optimizer: {adam: $a}
schedule: $s
early_stopping: $e
checkpoint: $c
epochs: 1
""".replace("vars:", "vars:\n  l: [cross_entropy]\n  out: [dense_3]\n  c: {keep: last}"))
    assert loads(spec.text).text == spec.text and same_network(spec, loads(spec.text)) and accepted(spec.text)
    assert loads(spec.text, set={"optimizer": "$o"}).document.optimizer is not None
