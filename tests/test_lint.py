"""Rules of ``nnspec check``: their pages' examples, silences, formats and exit statuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nnspec.cli import status
from nnspec.compiler import load, loads
from nnspec.errors import NnspecError, SpecError
from nnspec.lint import RULES, Rule, lint
from nnspec.lint.rule import MARK
from nnspec.lint.words import WORDS
from nnspec.runtime.session import compile
from nnspec.spec.source import plain, read_file
from tests.drawn import drawn

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / ".github" / "docs" / "rules"
Found = list[tuple[str, int]]


def found(text: str) -> Found:
    """Rule and line of each problem of a spec, its errors or its warnings."""
    try:
        problems = lint(loads(text))
    except NnspecError as e:
        problems = list(e.problems)
    return [(p.rule, p.place.line if p.place else 0) for p in problems]


def marked(text: str) -> list[int]:
    return [n for n, line in enumerate(text.splitlines(), 1) if line.rstrip().endswith(MARK)]


# pages


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_bad_example_is_reported_on_its_marked_line_alone(rule: type[Rule]) -> None:
    assert len(marked(rule.bad)) == 1
    assert found(rule.bad) == [(rule.number, marked(rule.bad)[0])]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_good_example_is_not_reported(rule: type[Rule]) -> None:
    assert found(rule.good) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_page_says_what_why_and_what_instead(rule: type[Rule]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name) and rule.summary().endswith(".") and len(rule.summary()) < 100
    assert len(rule.why.split()) > 15 and rule.hint and not rule.hint.endswith(".")


def test_numbers_and_names_are_taken_once() -> None:
    assert len({r.name for r in RULES.values()}) == len(RULES) and list(RULES) == sorted(RULES)


def documents() -> dict[str, str]:
    """The pages as files: one a rule, and a list of them."""
    rows = "".join(f"| [{r.number}]({r.number}.md) | {r.name} | {r.summary()} | {r.severity} |\n" for r in RULES.values())
    words = "".join(f"| `{word}` | {text} |\n" for word, text in WORDS.items())
    listed = (
        "# Rules of `nnspec check`\n\nA warning is no error and yet a mistake; `--strict` makes check fail on it. `nnspec rule NN012` prints a page.\n"
        "Where it is meant, a comment says so with a reason: `# nnspec: NN012 the weights come from elsewhere`, behind the entry or on a line of\n"
        "its own above it (it is about that line and what is indented below it), or above the spec's first key for the whole file.\n\n"
        f"| rule | name | what it says | |\n| --- | --- | --- | --- |\n{rows}\n## Words of errors\n\nErrors without a number go by a word.\n\n"
        f"| word | what it says |\n| --- | --- |\n{words}"
    )
    return {"README.md": listed, **{f"{r.number}.md": r.page() for r in RULES.values()}}


def test_the_documents_are_what_the_rules_say() -> None:
    """NNSPEC_WRITE_GOLDEN=1 writes them."""
    wanted = documents()
    if os.environ.get("NNSPEC_WRITE_GOLDEN"):
        PAGES.mkdir(parents=True, exist_ok=True)
        for old in PAGES.glob("*.md"):
            old.unlink()
        for name, text in wanted.items():
            (PAGES / name).write_text(text, encoding="utf-8")
    assert {p.name: p.read_text("utf-8") for p in PAGES.glob("*.md")} == wanted


def test_every_word_of_an_error_can_be_explained() -> None:
    words = set()
    for room in ("spec", "data", "network", "training"):  # what a check can raise
        for path in (ROOT / "nnspec" / room).rglob("*.py"):
            words |= set(re.findall(r"""rule=["']([A-Za-z0-9-]+)["']""", path.read_text("utf-8")))
    assert sorted(words - {*WORDS, *RULES}) == []


# specs that come along


FULL = bool(os.environ.get("NNSPEC_FULL"))
ZOO = sorted(p for p in (ROOT / "specs").glob("zoo/*.yaml") if p.name != "index.yaml")
SHIPPED = sorted([*(ROOT / "specs").glob("quickstart/*.yaml"), *(ROOT / "nnspec/cli/templates").glob("*.yaml")])


@pytest.mark.parametrize("path", [*SHIPPED, *(ZOO if FULL else Random(7).sample(ZOO, len(ZOO) // 5))], ids=lambda p: p.stem)
def test_no_shipped_spec_is_reported(path: Path, tmp_path: Path) -> None:
    settings = {}
    if path.stem in ("image_folder", "segmentation", "transfer"):
        pytest.importorskip("PIL", reason="its pictures are drawn")
        path = drawn() / path.name
    if path.stem == "transfer":  # a network that has learned nothing yet is one all the same
        compile(load(path.parent / "image_folder.yaml")).save(tmp_path / "shapes")
        settings = {"networks.backbone.weights": str(tmp_path / "shapes")}
    assert [p.render() for p in lint(load(path, set=settings))] == []


INDEX = [(name, row) for name, row in plain(read_file(ROOT / "specs/zoo/index.yaml")).items()]
FEW = INDEX if FULL else Random(7).sample(INDEX, max(1, len(INDEX) // 10))


@pytest.mark.parametrize(("name", "row"), FEW, ids=[name for name, _ in FEW])
def test_no_network_of_the_index_is_reported(name: str, row: dict[str, Any]) -> None:
    spec = load(ROOT / "specs/zoo" / row["spec"], set=row.get("set"))
    assert [p.render() for p in lint(spec)] == []


# what rules needed of the language


def test_rows_that_are_not_shuffled_come_as_they_stand() -> None:
    from nnspec.data.load import load as rows_of
    from nnspec.runtime.loading import epochs

    def orders(text: str) -> list[list[int]]:
        model = compile(loads(text))
        assert model.spec.document.data is not None
        made = epochs(model, rows_of(model.spec.document.data))
        assert made is not None
        return [made.order(epoch).tolist() for epoch in (0, 1)]

    still, drawn = orders(RULES["NN043"].bad), orders(RULES["NN043"].good)
    assert still[0] == still[1] == sorted(drawn[0]) == sorted(drawn[1])
    assert drawn[0] != drawn[1] != still[0] != drawn[0]


def test_rows_that_are_balanced_are_drawn() -> None:
    with pytest.raises(SpecError, match="shuffle: true beside balance"):
        loads(RULES["NN043"].bad.replace("shuffle: false", "shuffle: false\n  balance: true"))


# silences


DOUBLE = """\
nnspec: 1
data: digits
layers:
  - flatten
  - dense:
      units: 64
      activation: relu
  - relu
  - dense: {units: 32, activation: relu}
  - relu
  - dense: 10
loss: cross_entropy
"""


def silenced(line: int, comment: str, own_line: bool = False) -> Found:
    lines = DOUBLE.splitlines()
    if own_line:
        lines.insert(line - 1, comment)
    else:
        lines[line - 1] += "  " + comment
    return found("\n".join(lines))


def test_a_rule_is_silenced_behind_its_line_or_above_it() -> None:
    assert found(DOUBLE) == [("NN013", 8), ("NN013", 10)]
    assert silenced(8, "# nnspec: NN013 as published") == [("NN013", 10)]
    assert silenced(8, "  # nnspec: NN013 as published", own_line=True) == [("NN013", 11)]
    assert silenced(3, "# nnspec: NN013 a comment on a key is about all that is below it") == []
    assert silenced(1, "# nnspec: NN013 above the first key it is about the file", own_line=True) == []


def test_a_silence_of_a_list_that_is_not_indented_is_about_its_entries() -> None:
    text = "nnspec: 1\ndata: digits\nlayers:  # nnspec: NN013 as published\n- flatten\n- dense: {units: 64, activation: relu}\n- relu\n- dense: 10\n"
    assert found(text) == []
    assert found(text.replace("  # nnspec: NN013 as published", "").replace("- relu\n", "- relu  # nnspec: NN013 so\n")) == []


def test_a_silence_that_silences_nothing_is_reported() -> None:
    assert silenced(9, "# nnspec: NN013 not here") == [("NN013", 8), ("NN090", 9), ("NN013", 10)]
    assert silenced(8, "# nnspec: NN013, NN003 as published") == [("NN090", 8), ("NN013", 10)]


def test_a_silence_for_another_setting_is_not_idle() -> None:
    text = "nnspec: 1\nvars: {twice: SO}\ndata: digits\nlayers:\n  - flatten\n  - dense: {units: 8, activation: relu}\n  - relu: {when: $twice}  # nnspec: NN013 to compare\n  - dense: 10\n"
    assert found(text.replace("SO", "true")) == found(text.replace("SO", "false")) == []


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# nnspec: NN013", "a silence needs a rule and a reason"),
        ("# nnspec: NN013 -", "a silence needs a rule and a reason"),
        ("# nnspec: nn013 why", "a silence needs a rule and a reason"),
        ("# nnspec: NN999 why", "no rule is called 'NN999'"),
        ("# nnspec: NN13 why", "a silence needs a rule and a reason"),
    ],
)
def test_a_silence_names_a_rule_and_a_reason(comment: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        lint(loads(DOUBLE.replace("  - relu\n", f"  - relu  {comment}\n", 1)))
    assert [(p.message, p.place.line if p.place else 0, p.rule) for p in error.value.problems] == [(message, 8, "silence")]


def test_what_is_no_silence_is_none() -> None:
    assert found("# nnspec: 1\n" + DOUBLE) == [("NN013", 9), ("NN013", 11)]
    assert found(DOUBLE.replace("data: digits", 'description: "see # nnspec: NN013 so"\ndata: digits')) == [("NN013", 9), ("NN013", 11)]


# the commands


@pytest.fixture
def nnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls the command in a folder of three specs: exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "double.yaml").write_text(DOUBLE)
    (tmp_path / "good.yaml").write_text(RULES["NN012"].good)
    (tmp_path / "bad.yaml").write_text(RULES["NN001"].bad)

    def call(*args: str) -> tuple[int, str, str]:
        code = status(list(args))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_warnings_are_told_with_their_lines_and_fail_only_a_strict_check(nnspec: Any) -> None:
    code, out, err = nnspec("check", "double.yaml", "good.yaml")
    assert code == 0
    assert out == "double.yaml: 2 warnings (6 layers, 6,570 parameters)\ngood.yaml: ok (5 layers, 5,978 parameters)\n"
    assert err.startswith("double.yaml:8:5: warning NN013 'relu_1' is relu of what is relu already\n   |   - relu\n   |     ^\n   found   relu in 'dense_1'\n")
    assert err.endswith("2 warnings: NN013 (nnspec rule NN013 explains)\n")
    assert nnspec("check", "double.yaml", "--strict")[0] == 1
    assert nnspec("check", "good.yaml", "--strict")[0] == 0


def test_errors_are_2_whatever_else_is_wrong(nnspec: Any) -> None:
    code, out, err = nnspec("check", "bad.yaml", "double.yaml", "--strict")
    assert code == 2 and "bad.yaml:6:12: NN001 layer 'dense_2' has 9 units" in err and ": warning NN013 " in err


def test_warnings_and_errors_in_one_list_of_json(nnspec: Any) -> None:
    code, out, err = nnspec("check", "bad.yaml", "double.yaml", "--format", "json")
    assert code == 2 and err == ""
    rows = json.loads(out)
    assert [(r["file"], r["line"], r["column"], r["rule"]) for r in rows] == [
        ("bad.yaml", 6, 12, "NN001"), ("double.yaml", 8, 5, "NN013"), ("double.yaml", 10, 5, "NN013")]  # fmt: skip
    assert [tuple(r)[:6] for r in rows] == [("file", "line", "column", "rule", "message", "hint")] * 3
    edit = {"file": "bad.yaml", "line": 6, "column": 12, "end_line": 6, "end_column": 13, "old": "9", "new": "10"}
    assert [r.get("edits") for r in rows] == [[edit], None, None]


def test_annotations_of_a_workflow_are_errors_and_warnings(nnspec: Any) -> None:
    code, out, _ = nnspec("check", "bad.yaml", "double.yaml", "--format", "github")
    lines = out.splitlines()
    assert code == 2 and len(lines) == 3
    assert lines[0].startswith("::error file=bad.yaml,line=6,col=12") and lines[1].startswith("::warning file=double.yaml,line=8,col=5,title=NN013::")


def test_annotations_are_escaped(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "a%,b:c.yaml").write_text(RULES["NN022"].bad)
    code, out, _ = nnspec("check", "a%,b:c.yaml", "--format", "github")
    assert code == 0 and out.startswith("::warning file=a%25%2Cb%3Ac.yaml,line=6,col=5,title=NN022::'dropout_1' leaves 10%25 of its input: ")


@pytest.mark.parametrize("form", ["json", "sarif"])
@pytest.mark.parametrize("text", [*(r.bad for r in RULES.values() if r.fixes), RULES["NN012"].bad.replace("\n", "\r\n"), RULES["NN001"].bad])
def test_edits_of_a_report_make_what_fix_makes(text: str, form: str, nnspec: Any, tmp_path: Path) -> None:
    path = tmp_path / "mend me.yaml"
    path.write_bytes(text.encode())
    found = json.loads(nnspec("check", path.name, "--format", form)[1])
    if form == "json":
        edits = [(e["line"], e["column"], e["end_line"], e["end_column"], e["new"]) for row in found for e in row.get("edits", ())]
    else:
        changes = [change for result in found["runs"][0]["results"] for change in result["fixes"][0]["artifactChanges"]]
        assert {change["artifactLocation"]["uri"] for change in changes} == {"mend%20me.yaml"}
        edits = [(*(r["deletedRegion"][key] for key in ("startLine", "startColumn", "endLine", "endColumn")), r["insertedContent"]["text"])
                 for change in changes for r in change["replacements"]]  # fmt: skip
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    for line, column, end_line, end_column, new in sorted(edits, reverse=True):
        text = text[: starts[line - 1] + column - 1] + new + text[starts[end_line - 1] + end_column - 1 :]
    assert edits and nnspec("check", path.name, "--fix")[0] == 0
    assert path.read_bytes().decode() == text


def test_sarif_names_its_rules_and_places(nnspec: Any) -> None:
    code, out, _ = nnspec("check", "bad.yaml", "double.yaml", "--format", "sarif")
    log = json.loads(out)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert code == 2 and log["version"] == "2.1.0" and [r["id"] for r in rules] == ["NN001", "NN013"]
    assert [(r["ruleId"], rules[r["ruleIndex"]]["id"], r["level"]) for r in run["results"]] == [
        ("NN001", "NN001", "error"), ("NN013", "NN013", "warning"), ("NN013", "NN013", "warning")]  # fmt: skip
    place = run["results"][1]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "double.yaml"}, "region": {"startLine": 8, "startColumn": 5}}
    for rule in rules:
        assert rule["helpUri"].startswith("https://") and rule["helpUri"].endswith(f"/.github/docs/rules/{rule['id']}.md")
        assert (ROOT / ".github/docs/rules" / f"{rule['id']}.md").exists()
        assert rule["help"]["text"].endswith(".") and rule["fullDescription"]["text"] and rule["shortDescription"]["text"].endswith(".")


def test_addresses_are_relative_where_files_lie_below(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "bad.yaml").write_text("nnspec: 1\nlayers: [Dense: 3\n")
    for given in ("nets/bad.yaml", str(tmp_path / "nets" / "bad.yaml")):
        (run,) = json.loads(nnspec("check", given, "--format", "sarif")[1])["runs"]
        assert {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]} == {"nets/bad.yaml"}
        assert run["tool"]["driver"]["rules"][0]["helpUri"].endswith("/.github/docs/rules/README.md")


def test_a_run_keeps_the_silences_that_it_needs(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("blocks:\n  twice:\n    layers: [{dense: {units: 8, activation: relu}}, relu]   # nnspec: NN013 as it was published\n")
    text = "nnspec: 1\ninclude: [own.yaml]\ndata: digits\nlayers:\n  - flatten\n  - twice\n  - dense: 10   # nnspec: NN003 nothing\nloss: cross_entropy\n"
    (tmp_path / "run.yaml").write_text(text + "optimizer: adam\nepochs: 0\n")
    assert nnspec("run", "run.yaml", "--out", "run")[0] == 0
    kept = (tmp_path / "run" / "spec.yaml").read_text()
    assert kept.startswith("# nnspec: NN013 as it was published\nnnspec: 1\n") and "NN003" not in kept
    assert nnspec("check", "run/spec.yaml", "--strict")[0] == 0
    assert nnspec("run", "run.yaml", "--out", "run", "--resume")[0] == 0


@pytest.mark.parametrize("rule", [r for r in RULES.values() if r.fixes], ids=lambda r: r.number)
def test_what_a_rule_can_mend_is_mended_and_comments_stay(rule: type[Rule], nnspec: Any, tmp_path: Path) -> None:
    path = tmp_path / "mend.yaml"
    path.write_text(rule.bad)
    assert nnspec("check", "mend.yaml", "--fix")[0] == 0
    text = path.read_text()
    assert found(text) == [] and text != rule.bad and len(text.splitlines()) >= len(rule.bad.splitlines()) - 1
    assert nnspec("check", "mend.yaml", "--strict")[0] == 0


def test_a_bias_stays_where_weights_are_read(nnspec: Any, tmp_path: Path) -> None:
    text = RULES["NN012"].bad
    (problem,) = lint(loads(text))
    assert problem.edits
    (problem,) = lint(loads(text + "weights: {from: other.safetensors}\n"))
    assert not problem.edits


def test_silences_go_along_into_the_canonical_spelling(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "meant.yaml").write_text(DOUBLE.replace("  - relu\n", "  - relu  # nnspec: NN013 as published\n"))
    code, out, _ = nnspec("check", "meant.yaml", "--expand", "--strict")
    assert code == 0 and out.startswith("# nnspec: NN013 as published\nnnspec: 1\n") and found(out) == []


def test_a_run_says_that_check_has_warnings(nnspec: Any, tmp_path: Path) -> None:
    more = "optimizer: adam\nepochs: 0\n"
    (tmp_path / "run.yaml").write_text(DOUBLE + more)
    code, _, err = nnspec("run", "run.yaml", "--out", "run")
    assert code == 0 and "2 warnings: nnspec check run.yaml\n" in err
    (tmp_path / "run.yaml").write_text(RULES["NN012"].good + more)
    assert "warning" not in nnspec("run", "run.yaml", "--out", "other")[2]


def test_a_rule_is_explained_by_number_name_or_word(nnspec: Any) -> None:
    code, out, _ = nnspec("rule", "NN012")
    assert code == 0 and out == RULES["NN012"].page()
    assert nnspec("rule", "nn012")[1] == nnspec("rule", "bias-before-batch-norm")[1] == out
    assert "misspelt" in nnspec("rule", "unknown-key")[1]
    assert json.loads(nnspec("rule", "NN012", "--json")[1])["name"] == "bias-before-batch-norm"
    listed = nnspec("rule")[1].splitlines()
    assert [line.split()[0] for line in listed] == list(RULES)
    assert [r["rule"] for r in json.loads(nnspec("rule", "--json")[1])] == list(RULES)


def test_a_rule_that_there_is_not_is_an_error(nnspec: Any) -> None:
    code, _, err = nnspec("rule", "NN999")
    assert code == 2 and "no rule is called 'NN999'" in err
