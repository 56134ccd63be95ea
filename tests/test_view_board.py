"""``nnspec view``: who is answered, what is told of runs that grow, end, die and vanish, and the page in a browser."""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nnspec.errors import DataError, MissingExtraError, ResourceError
from nnspec.view.board.files import json_object, last_object, text
from nnspec.view.board.history import History, thinned
from nnspec.view.board.runs import Run
from nnspec.view.board.shelf import Shelf, shelf

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).resolve().parent.parent
SPEC = "nnspec: 1\nname: small\ndata: iris\nlayers: [dense: 3]\nloss: cross_entropy\nmetrics: [accuracy, confusion]\noptimizer: {adam: 0.01}\nepochs: 2\n"


def row(step: int, **more: float | None) -> str:
    return json.dumps({"epoch": step, "step": step, "rate": 0.1, "seconds": 0.5, "train.loss": 1 / step, **more}) + "\n"


def made(folder: Path, epochs: int = 3, **record: Any) -> Path:
    """A run's folder as one would lie there."""
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "run.json").write_text(json.dumps({"name": "small", "epochs": epochs, "batches": 1, "seed": 0, **record}))
    (folder / "metrics.jsonl").write_text("".join(row(n) for n in range(1, epochs + 1)))
    return folder


class Served:
    """A server in a thread, and requests to it as any program could send them."""

    def __init__(self, found: Shelf, own: Any = None) -> None:
        from nnspec.view.board.serve import listen, server

        self.sockets, self.port = listen(0)
        self.server, self.guard = server(found, self.port, own)
        for held in self.sockets:
            held.listen(16)
        self.thread = threading.Thread(target=self.server.run, args=(self.sockets,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        for held in self.sockets:
            held.close()

    def ask(self, path: str, method: str = "GET", key: bool = True, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, f"/{self.guard.key}/{path}" if key else path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": f"127.0.0.1:{self.port}", **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def send(self, body: bytes, path: str = "api/own?name=x.png", declared: str | None = None, **headers: str | None) -> tuple[int, bytes]:
        """An image as the page sends it; headers that are None are left out."""
        usual = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/octet-stream"}
        named = {**usual, "Content-Length": str(len(body)) if declared is None else declared, **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest("POST", f"/{self.guard.key}/{path}", skip_host=True, skip_accept_encoding=True)
            for name, value in named.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, body = self.ask("api/" + path)
        assert status == 200, (status, body)
        return json.loads(body, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("board") / "runs"
    made(home / "small" / "001")
    made(home / "small" / "002", 5)
    (home / "small" / "002" / "result.json").write_text(json.dumps({"epochs": 5, "stop": "", "metrics": {"test.accuracy": 0.5}, "tables": {"test.confusion": [[3, 1], [0, 2]]}}))
    return home


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    served = Served(Shelf([home]))
    yield served
    served.close()


# Who is answered


def test_the_page_is_answered_with_headers_that_let_nothing_else_in(served: Served) -> None:
    status, headers, body = served.ask("")
    assert status == 200 and b"<title>nnspec view</title>" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer" and "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_every_answer_carries_the_headers_refusals_too(served: Served) -> None:
    for answer in (served.ask("api/runs"), served.ask("api/run/000000000000"), served.ask("page/main.js"), served.ask("", "POST"), served.ask("/", key=False)):
        assert "default-src 'none'" in answer[1]["content-security-policy"] and answer[1]["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost:1", "127.0.0.1:{port}.evil.example", "[::1]:1", "0.0.0.0:{port}", "127.1:{port}",
                                  "127.0.0.1:{port}, evil.example", "user@127.0.0.1:{port}", ""])  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_refused(served: Served, host: str) -> None:
    assert served.ask("", Host=host.format(port=served.port))[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_loopback_names_of_this_port_are_answered(served: Served, host: str) -> None:
    assert served.ask("api/runs", Host=host.format(port=served.port))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "http://localhost", "https://127.0.0.1:{port}", "null", "http://localhost:{port}", "file://", ""])
def test_other_origins_are_refused_and_those_of_other_ports(served: Served, origin: str) -> None:
    assert served.ask("api/runs", Origin=origin.format(port=served.port))[0] == 403
    assert served.ask("api/runs", Origin=f"http://127.0.0.1:{served.port}")[0] == 200


def test_what_a_browser_says_of_who_asks_is_listened_to(served: Served) -> None:
    for site in ("cross-site", "same-site"):
        assert served.ask("api/runs", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
        assert served.ask("", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200, "a link that was clicked"
        assert served.ask("", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")[0] == 403
    assert served.ask("api/runs", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND"])
def test_only_get_is_answered(served: Served, method: str) -> None:
    status, headers, _ = served.ask("api/runs", method)
    assert status == 405 and headers["allow"] == "GET"


def test_without_the_key_there_is_nothing(served: Served) -> None:
    key = served.guard.key
    for path in ("/", "/api/runs", "/page/main.js", f"/{key[:-1]}/", f"/{key}x/", f"//{key}/", "/once/", "/once/x", "/%00/", f"/{key.swapcase()}/", f"/{key}"):
        assert served.ask(path, key=False)[0] == 404, path
    assert len(key) >= 32


def test_the_address_for_a_browser_leads_there_once(served: Served) -> None:
    path = served.guard.once.split(str(served.port))[1]
    status, headers, _ = served.ask(path, key=False)
    assert status == 303 and headers["location"] == f"/{served.guard.key}/"
    assert served.ask(path, key=False)[0] == 404


@pytest.mark.parametrize("path", ["../../etc/passwd", "runs/../../../etc/passwd", "page/../../../errors.py", "page/..%2f..%2fguard.py", "%2e%2e/%2e%2e/etc/passwd", "page/%2e%2e/guard.py", "//etc/passwd",
                                  "vendor/uplot/README.md", "page/", "api/run/../runs", "api/run/..%2f..%2fetc/network", "page/main.js%00.html", "api/run/small%2f001", "etc/passwd", "page\\main.js"])  # fmt: skip
def test_paths_lead_nowhere_else(served: Served, path: str) -> None:
    status, _, body = served.ask(path)
    assert status == 404 and b"root:" not in body and b"class Guard" not in body


def test_an_unknown_run_is_no_run(served: Served) -> None:
    for path in ("run/000000000000", "run/zzz/network", "curves?runs=000000000000"):
        status, _, body = served.ask("api/" + path)
        assert status == 404 and "error" in json.loads(body)


@pytest.mark.parametrize("query", ["by=secrets", "points=1e9", "points=x", "from=nan", "points=-3", "to=1%2c2"])
def test_a_query_that_makes_no_sense_is_refused(served: Served, query: str) -> None:
    assert served.ask("api/curves?" + query)[0] == 400


def test_both_loopback_addresses_are_listened_to_and_no_other(served: Served) -> None:
    assert {held.getsockname()[0] for held in served.sockets} <= {"127.0.0.1", "::1"}
    if len(served.sockets) == 2:
        connection = http.client.HTTPConnection("::1", served.port, timeout=10)
        connection.request("GET", f"/{served.guard.key}/api/runs")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_port_that_is_taken_is_said() -> None:
    from nnspec.view.board.serve import listen

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        with pytest.raises(ResourceError, match="cannot be had"):
            listen(held.getsockname()[1])


def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nnspec.view.board.app import app

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nnspec\[view\]'"):
        app(Shelf([tmp_path]))


# What is told


def test_runs_are_listed_the_newest_first(served: Served, home: Path) -> None:
    os.utime(home / "small" / "001" / "metrics.jsonl", (1e9, 1e9))
    os.utime(home / "small" / "001" / "run.json", (1e9, 1e9))
    told = served.json("runs")
    assert [run["label"] for run in told["runs"]] == ["small/002", "small/001"]
    first, second = told["runs"]
    assert (first["state"], second["state"]) == ("finished", "dead") and first["metrics"] == {"test.accuracy": 0.5}
    assert second["epoch"] == 3 and second["metrics"]["train.loss"] == pytest.approx(1 / 3)


def test_an_answer_that_has_not_changed_is_not_sent_again(served: Served) -> None:
    _, headers, _ = served.ask("api/runs")
    assert served.ask("api/runs", If_None_Match=headers["etag"])[0] == 304


def test_curves_follow_a_run_and_are_sent_when_they_have_changed(served: Served, home: Path) -> None:
    path = made(home / "grows", 2)
    name = next(r["id"] for r in served.json("runs")["runs"] if r["label"] == "grows")
    told = served.json(f"curves?runs={name}")["runs"][name]
    assert told["epochs"]["train.loss"] == [[1, 2], [1, 0.5]]
    assert "epochs" not in served.json(f"curves?runs={name}&seen={told['version']}")["runs"][name]
    with open(path / "metrics.jsonl", "a") as file:
        file.write(row(4, **{"validation.loss": None}) + row(8)[:20])  # the last line is being written
    told = served.json(f"curves?runs={name}&by=seconds&seen={told['version']}")["runs"][name]
    assert told["epochs"]["train.loss"] == [[0.5, 1, 1.5], [1, 0.5, 0.25]] and "validation.loss" not in told["epochs"]
    shutil.rmtree(path)
    told = served.json(f"curves?runs={name}")["runs"][name]
    assert told["run"]["state"] == "gone" and len(told["epochs"]["train.loss"][0]) == 3, "what was read stays"
    assert served.ask(f"api/run/{name}/network")[0] == 422


def test_everything_of_a_run_is_told_and_its_network_is_drawn(served: Served) -> None:
    name = next(r["id"] for r in served.json("runs")["runs"] if r["label"] == "small/002")
    told = served.json(f"run/{name}")
    assert told["spec"] == SPEC and told["environment"]["seed"] == 0 and told["tables"]["test.confusion"] == [[3, 1], [0, 2]]
    assert "dense_1" in json.dumps(served.json(f"run/{name}/network"))


def test_a_link_in_the_folder_of_a_run_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"name": "secret"}\n')
    run = made(tmp_path / "runs" / "a")
    for name in ("spec.yaml", "run.json"):
        (run / name).unlink()
        (run / name).symlink_to(secret)
    (tmp_path / "runs" / "b").symlink_to(run)
    found = Shelf([tmp_path / "runs"])
    (only,) = found.look()
    assert only.spec is None and only.record == {} and "secret" not in json.dumps(found.listing())


def test_what_is_no_plain_file_is_nothing_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert text(tmp_path / "pipe") is None and text(tmp_path / "folder") is None and last_object(tmp_path / "none") is None
    (tmp_path / "deep").write_text("[" * 100_000)
    assert json_object(tmp_path / "deep") is None
    (tmp_path / "bytes").write_bytes(b'\xff\xfe{"a": 1}\n\x00\n')
    assert last_object(tmp_path / "bytes") is None


def test_a_file_that_is_replaced_or_cut_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(row(n) for n in range(1, 6)))
    history = History(path)
    history.follow()
    assert history.columns.rows == 5
    path.write_text("".join(row(n, other=1.0) for n in range(1, 9)))  # longer, and another file
    history.follow()
    assert history.columns.rows == 8 and history.columns.get("other").sum() == 8
    path.write_text(row(1))
    history.follow()
    assert history.columns.rows == 1
    path.unlink()
    history.follow()
    assert history.columns.rows == 0


def test_steps_that_a_resumed_run_takes_again_count_once(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    lines = [{"begin": 1.0, "step": 0}, *({"step": n, "seconds": float(n), "train.loss": 1.0} for n in (2, 4, 6)), {"end": "interrupted"},
             {"begin": 2.0, "step": 3}, *({"step": n, "seconds": float(n), "train.loss": 2.0} for n in (4, 5))]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    history = History(path)
    history.follow()
    assert history.columns.get("step").tolist() == [2, 4, 5] and history.columns.get("train.loss").tolist() == [1, 2, 2]


def test_a_million_points_are_thinned_and_no_peak_is_lost() -> None:
    import numpy as np

    y = np.zeros(1_000_000)
    y[123_456], y[654_321], y[77] = 5.0, -7.0, math.nan
    x, kept = thinned(np.arange(len(y), dtype=float), y, 1000)
    assert len(x) <= 1010 and x[0] == 0 and x[-1] == 999_999 and x == sorted(x)
    assert kept[x.index(123_456)] == 5 and kept[x.index(654_321)] == -7


def test_numbers_that_json_does_not_know_are_null(tmp_path: Path) -> None:
    run = made(tmp_path / "a", 1, batches=True)
    (run / "metrics.jsonl").write_text('{"step": 1, "epoch": 1, "seconds": NaN, "train.loss": Infinity, "x": 1e999, "big": ' + "9" * 400 + ', "word": "no", "yes": true}\n')
    served = Served(Shelf([run]))
    try:
        told = served.json("runs")["runs"][0]
        assert told["metrics"] == {"train.loss": None} and told["epochs"] == 1 and told["steps"] is None
        served.json(f"curves?runs={told['id']}")
    finally:
        served.close()


def test_a_folder_without_runs_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="is not the folder of a run"):
            shelf([path])
    assert shelf([], tmp_path / "later").listing()["runs"] == [], "they may come"


def test_sweeps_and_folds_stand_together(tmp_path: Path) -> None:
    for n in (1, 2):
        made(tmp_path / "s" / f"00{n}")
        made(tmp_path / "f" / f"fold_{n}")
    (tmp_path / "s" / "sweep.json").write_text(json.dumps({"trials": [{"trial": n, "settings": {"lr": n}, "run": f"x/00{n}"} for n in (1, 2)]}))
    (tmp_path / "f" / "folds.json").write_text('{"folds": 2}')
    (tmp_path / "f" / "spec.yaml").write_text(SPEC)
    (tmp_path / "f" / "result.json").write_text("{}")
    told = Shelf([tmp_path]).listing()
    assert len(told["runs"]) == 4 and sorted(g["kind"] for g in told["groups"].values()) == ["folds", "sweep"]
    assert sorted((r["settings"] for r in told["runs"]), key=str) == [{"lr": "1"}, {"lr": "2"}, {}, {}]


# How a run stands


def state(folder: Path) -> str:
    return Run(folder, "").state()[0]


def test_a_run_says_how_it_stands(tmp_path: Path) -> None:
    run = made(tmp_path / "a")
    assert state(run) == "dead"
    (run / ".lock").write_text(str(os.getpid()))
    assert state(run) == "running"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True).stdout
    (run / ".lock").write_text(gone)
    assert state(run) == "dead"
    (run / ".lock").write_text(str(os.getpid()))
    os.utime(run / ".lock", (1e9, 1e9))
    assert state(run) == "dead", "a later process has the number"
    other = Run(run, "")
    assert other.state()[0] == "dead"
    with open(run / "metrics.jsonl", "a") as file:
        file.write(row(9))
    assert other.state()[0] == "running", "a process of another machine writes to it"
    for end in ("numbers", "interrupted", "failed"):
        (run / "steps.jsonl").write_text(json.dumps({"end": end, "message": "why"}) + "\n")
        assert Run(run, "").state() == (end, "why")
    (run / "result.json").write_text('{"stop": "early"}')
    assert Run(run, "").state() == ("finished", "early")
    shutil.rmtree(run)
    assert state(run) == "gone"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'backends'}", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


STARTED: list[subprocess.Popen[str]] = []


def nnspec(*args: object, **more: Any) -> subprocess.Popen[str]:
    STARTED.append(subprocess.Popen([sys.executable, "-m", "nnspec", *map(str, args)], env=environment(), text=True, **more))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """Ends what a test that has failed left going, or standing still."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def trained(spec: str, folder: Path, *args: str) -> int:
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(spec)
    return nnspec("run", path, "--out", folder, *args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(120)


def test_a_run_that_stops_on_numbers_says_so(tmp_path: Path) -> None:
    data = "{inline: {columns: {x: [[1], [1e30]], y: [0, 1]}, target: y}}"
    spec = f"nnspec: 1\nname: n\ndata: {data}\nlayers: [dense: 1]\nloss: mse\noptimizer: {{sgd: 0.1}}\nepochs: 9\n"
    assert trained(spec, tmp_path / "r") == 4
    found, message = Run(tmp_path / "r", "").state()
    assert found == "numbers" and "epoch" in message


def test_a_run_records_its_steps_and_that_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nnspec as package
    from nnspec.runtime import recording

    files = []
    for every, name in ((0.0, "often"), (1e9, "never")):
        monkeypatch.setattr(recording, "EVERY", every)
        monkeypatch.setattr(recording, "SHARE", 0.0)
        spec = tmp_path / "s.yaml"
        spec.write_text(SPEC)
        package.compile(package.load(spec)).fit(out=tmp_path / name)
        files.append((tmp_path / name / "last.safetensors").read_bytes())
    assert files[0] == files[1]
    lines = [json.loads(line) for line in (tmp_path / "often" / "steps.jsonl").read_text().splitlines()]
    assert "begin" in lines[0] and lines[-1]["end"] == "done"
    batches = json.loads((tmp_path / "often" / "run.json").read_text())["batches"]
    assert [line["step"] for line in lines[1:-1]] == list(range(1, 2 * batches + 1))
    epochs = [json.loads(line) for line in (tmp_path / "often" / "metrics.jsonl").read_text().splitlines()]
    sizes = [32] * (batches - 1) + [120 - 32 * (batches - 1)]
    for n, epoch in enumerate(epochs):  # what single steps say adds up to what the epoch says
        own = lines[1 + n * batches : 1 + (n + 1) * batches]
        for metric in ("train.loss", "train.accuracy"):
            assert sum(line[metric] * size for line, size in zip(own, sizes, strict=True)) / 120 == pytest.approx(epoch[metric], rel=1e-9)
    assert all(line["memory"] > 1 << 20 and line["rate"] == 0.01 for line in lines[1:-1])


def test_the_command_prints_its_address_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "a" / "001")
    process = nnspec("view", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{32})/", line)
    assert found, line
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    connection.request("GET", f"/{found[2]}/api/runs")
    assert json.load(connection.getresponse())["runs"][0]["label"] == "a/001"
    connection.close()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and out == "" and err.strip() == "interrupted"
    assert sorted(p.name for p in (tmp_path / "runs" / "a" / "001").iterdir()) == ["metrics.jsonl", "run.json", "spec.yaml"], "it leaves nothing"


def test_vendored_files_are_those_that_were_recorded() -> None:
    folder = ROOT / "nnspec" / "view" / "vendor" / "uplot"
    sums = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.M)
    assert len(sums) == 3
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_no_script_of_the_page_makes_markup_of_text() -> None:
    for path in (ROOT / "nnspec" / "view" / "board" / "page").iterdir():
        content = path.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org/2000/svg)", content), path.name
        assert content.count("\n") < 300, path.name


# The page in a browser

HOSTILE = [
    "<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "' onmouseover='alert(1)", "<svg onload=alert(1)>", "javascript:alert(1)", "</script><script>alert(1)</script>", "${alert(1)}", "{{7*7}}",
    "<iframe src=javascript:alert(1)>", "&lt;b&gt;", "a\nb", "tab\there", "\u202egnp.exe", "\u0000nul".replace("\u0000", "\u0001"), "名前", "🧠" * 40, "x" * 200, "__proto__", "constructor", "toString",
    "<style>*{display:none}</style>", "<base href=//evil>", "%3Cscript%3E", "a, b; c#d?e=f&g", "\\u003cscript\\u003e",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page, and everything about it that should not be: errors, dialogs, requests to elsewhere."""

    def __init__(self, browser: Any, address: str, fragment: str = "") -> None:
        self.wrong: list[str] = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 860})
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("dialog", lambda d: (self.wrong.append("dialog " + d.message), d.dismiss()))
        self.page.on("request", lambda r: self.wrong.append(r.url) if not r.url.startswith((address, "data:image/svg+xml")) else None)
        self.page.goto(address + fragment)

    def until(self, call: Callable[[], Any], seconds: float = 20.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := call():
                return found
            self.page.wait_for_timeout(100)
        pytest.fail(f"the page never came to it: {self.page.inner_text('main')[:500]}")


def measured(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def go_on(run: subprocess.Popen[str], folder: Path, epochs: int) -> None:
    """Lets a run that stands still go on until so many more epochs are measured, and stops it there."""
    wanted, end = measured(folder) + epochs, time.monotonic() + 60
    run.send_signal(signal.SIGCONT)
    while measured(folder) < wanted and time.monotonic() < end:
        time.sleep(0.002)
    run.send_signal(signal.SIGSTOP)
    assert measured(folder) >= wanted and run.poll() is None, "the run was too quick for this machine"


def test_the_page_follows_a_running_training_and_harms_it_in_nothing(tmp_path: Path, browser: Any) -> None:
    """Curves grow while the page is open; the server is killed; the run ends with the bits of one that nobody looked at."""
    spec, folder = tmp_path / "s.yaml", tmp_path / "runs" / "watched"
    spec.write_text(SPEC.replace("epochs: 2", "epochs: 1500"))
    run = nnspec("run", spec, "--out", folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    go_on(run, folder, 5)
    board = nnspec("view", cwd=tmp_path, stdout=subprocess.PIPE)
    assert board.stdout is not None
    watched = Watched(browser, board.stdout.readline().strip())
    watched.page.click(".run:has-text('running') a")
    watched.page.wait_for_selector("figure.panel canvas")

    def points() -> int:
        return int(watched.page.evaluate("(/step ([\\d,]+)/.exec(document.querySelector('.stand').textContent) || [0, '0'])[1].replaceAll(',', '')"))

    def drawn() -> str:
        return str(watched.page.evaluate("document.querySelector('figure.panel canvas').toDataURL()"))

    for _ in range(2):
        before, picture = watched.until(points), drawn()
        go_on(run, folder, 20)
        watched.until(lambda before=before: points() >= before + 80)
        watched.until(lambda picture=picture: drawn() != picture)
    assert watched.wrong == []
    board.kill()
    board.communicate()
    watched.until(lambda: "has ended" in watched.page.inner_text("#link"))
    run.send_signal(signal.SIGCONT)
    assert run.wait(120) == 0
    watched.page.close()
    assert trained(spec.read_text(), tmp_path / "alone") == 0
    weights = [(path / "last.safetensors").read_bytes() for path in (folder, tmp_path / "alone")]
    assert weights[0] == weights[1]


def test_hostile_names_do_nothing(tmp_path: Path, browser: Any) -> None:
    assert len(HOSTILE) == 25
    for n, name in enumerate(HOSTILE):
        folder = name.replace("/", "∕")[:80]
        run = made(tmp_path / "runs" / f"{n} {folder}", 2, name=name, loops=name, command=[name, name])
        (run / "metrics.jsonl").write_text("".join(row(k, **{f"train.{name}": k, f"{name}.x": 2 * k}) for k in (1, 2, 3)))
        (run / "spec.yaml").write_text(f"# {name}\n{SPEC}")
        (run / "steps.jsonl").write_text(json.dumps({"end": "failed", "message": name}) + "\n")
        (run / "data.json").write_text(json.dumps({"source": name, "targets": [name], "columns": [{"name": name, "classes": [name, "b"]}]}))
        (run / "result.json").write_text(json.dumps({"stop": name, "metrics": {name: 1}, "tables": {name: [[1, 2], [3, 4]]}}))
    (tmp_path / "runs" / "sweep.json").write_text(json.dumps({"trials": [{"trial": 1, "settings": {n: n for n in HOSTILE}, "run": f"x/0 {HOSTILE[0]}"}]}))
    served = Served(Shelf([tmp_path / "runs"]))
    try:
        watched = Watched(browser, served.guard.address)
        watched.page.wait_for_selector(".run")
        assert watched.page.locator(".run").count() == 25
        for name in HOSTILE[:3]:
            assert watched.page.locator(".run", has_text=name).count() >= 1, "it is there, as text"
        ids = [r["id"] for r in served.json("runs")["runs"]]
        for fragment in (",".join(ids[:8]), ids[3]):
            watched.page.goto(served.guard.address + "#/runs/" + fragment)
            watched.page.wait_for_selector("figure.panel")
            for tab in watched.page.locator("[role=tab]").all():
                tab.click()
                watched.page.wait_for_timeout(120)
        assert watched.page.evaluate("document.querySelectorAll('main script, main iframe, main style, main base, main img[onerror]').length") == 0
        refused = "Failed to load resource: the server responded with a status of 422"
        assert [w for w in watched.wrong if not w.startswith(refused)] == []
        watched.page.close()
    finally:
        served.close()


def test_a_folder_that_is_removed_or_replaced_is_said_and_curves_stay(tmp_path: Path, browser: Any) -> None:
    run = made(tmp_path / "runs" / "a", 5)
    served = Served(Shelf([tmp_path / "runs"]))
    try:
        watched = Watched(browser, served.guard.address, f"#/runs/{Run(run, '').id}")
        watched.page.wait_for_selector("figure.panel canvas")
        shutil.rmtree(run)
        watched.until(lambda: "not there any more" in watched.page.inner_text(".banners"))
        assert watched.page.locator("figure.panel canvas").count() >= 2
        made(run, 9)
        watched.until(lambda: "9 of 9" in watched.page.inner_text(".stand"))
        assert watched.wrong == []
        watched.page.close()
    finally:
        served.close()


def test_runs_over_each_other_are_chosen_zoomed_and_read_by_keyboard(tmp_path: Path, browser: Any) -> None:
    for n in (4, 6, 8):
        made(tmp_path / "runs" / str(n), n, batch_size=32)
    served = Served(Shelf([tmp_path / "runs"], given=True))
    try:
        watched = Watched(browser, served.guard.address)
        page = watched.page
        page.wait_for_selector("figure.panel canvas")
        assert page.locator(".runlist tbody tr").count() == 3, "runs that were named are shown at once"
        assert {"time a step", "rows a second", "time an epoch, with validation"} <= set(page.locator("figure.panel strong").all_inner_texts())
        page.locator(".runlist tbody input").first.uncheck()
        page.focus("figure.panel")
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
        tip = page.inner_text("figure.panel .reading")
        assert "step" in tip and page.locator("figure.panel .reading .row").first.is_visible()
        assert page.locator("figure.panel .reading").first.locator(".row").count() == 2, "of two runs"
        page.keyboard.press("+")
        watched.until(lambda: page.locator("button:has-text('Show all')").is_visible())
        page.keyboard.press("Escape")
        watched.until(lambda: not page.locator("button:has-text('Show all')").is_visible())
        for text_ in ("Epochs", "Time"):
            page.click(f".choice button:has-text('{text_}')")
        page.check("label:has-text('Log scale') input")
        page.fill("input[type=range]", "0.6")
        page.click("[role=tab]:has-text('Differences')")
        watched.until(lambda: "train.loss" in page.inner_text(".part"))
        assert watched.wrong == []
        page.close()
    finally:
        served.close()


# Inside the network


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network of two numbers, whose layers were looked at while it went on."""
    path = tmp_path_factory.mktemp("plane") / "runs" / "plane"
    path.parent.mkdir()
    spec = SPEC.replace("data: iris", "data: {iris: {}, columns: {sepal_length: drop, sepal_width: drop}}").replace("layers: [dense: 3]", "layers: [{dense: {units: 8, activation: relu, name: hidden}}, dense: 3]")
    assert trained(spec, path, "--taps", "1epoch") == 0
    return path


def test_what_is_inside_is_told_again_only_when_the_run_has_saved(plane: Path) -> None:
    served = Served(Shelf([plane]))
    try:
        run = "run/" + served.json("runs")["runs"][0]["id"]
        about = served.json(f"{run}/about")
        assert [layer["name"] for layer in about["layers"]] == ["features", "hidden", "dense_2"] and about["splits"] == {"train": 120, "test": 30}
        taps = served.json(f"{run}/taps?history=1")
        assert taps["steps"] == [0, 4, 8] and len(taps["history"]["layers"]["hidden"]["activation.mean"]) == 3
        assert served.json(f"{run}/taps?step=5")["one"]["step"] == 4
        now = served.json(f"{run}/statistics")
        assert now["layers"]["hidden"]["activation"]["mean"] == pytest.approx(taps["one"]["layers"]["hidden"]["activation"]["mean"], rel=1e-5)
        counts = served.json(f"{run}/confusion?split=test")
        assert counts["total"] == 30 and counts["right"] / 30 == pytest.approx(json.loads((plane / "result.json").read_text())["metrics"]["test.accuracy"])
        assert served.json(f"{run}/boundary")["size"] == 64 and served.json(f"{run}/kernels?layer=hidden")["of"] >= 1
        assert served.json(f"{run}/features?layer=hidden&split=test&row=3")["of"] == 8
        assert served.json(f"{run}/samples")["of"] == 30
        for query in ("features?layer=none", "features?layer=hidden&split=test&row=30", "row?split=none", "confusion?output=none", "kernels?layer=../../etc/passwd"):
            assert served.ask(f"api/{run}/{query}")[0] == 422, query
        assert served.ask(f"api/{run}/row?row=-1")[0] == 400 and served.ask(f"api/{run}/about?which=worst")[0] == 400
        assert served.json(f"{run}/about?which=best")["step"] > 0
        inside = {p.relative_to(plane): p.stat().st_mtime_ns for p in plane.rglob("*")}
        os.utime(plane / "last.safetensors")
        served.json(f"{run}/confusion")
        inside[Path("last.safetensors")] = (plane / "last.safetensors").stat().st_mtime_ns
        assert {p.relative_to(plane): p.stat().st_mtime_ns for p in plane.rglob("*")} == inside, "nothing is written there"
    finally:
        served.close()


def png(width: int = 8, height: int = 8, value: int = 200) -> bytes:
    """A grey PNG, made by hand."""
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + bytes([value]) * width) * min(height, 4000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + part(b"IDAT", rows) + part(b"IEND", b"")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reads images, with best weights and without taps."""
    path = tmp_path_factory.mktemp("digits") / "runs" / "digits"
    path.parent.mkdir()
    spec = "nnspec: 1\nname: digits\ndata: {digits: {}, split: {validation: 0.1}}\nlayers: [{conv2d: {filters: 4, kernel: 3, activation: relu}}, flatten, dense: 10]\nloss: cross_entropy\nmetrics: [accuracy]\noptimizer: {adam: 0.01}\nepochs: 1\n"
    assert trained(spec, path) == 0
    return path


def test_images_of_one_s_own_are_rows_beside_those_of_the_data(digits: Path, plane: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    import numpy as np

    from nnspec.cli.rows import Reader
    from nnspec.runtime.saving import load_model
    from nnspec.view.board.own import Own

    (tmp_path / "a.png").write_bytes(png())
    served = Served(Shelf([digits, plane]), Own(Reader, [tmp_path / "a.png"]))
    try:
        run, other = (f"run/{Run(path.resolve(), '').id}" for path in (digits, plane))
        about = served.json(f"{run}/about")
        assert about["splits"]["given"] == 1 and about["given"] == [str(tmp_path / "a.png")] and about["refused"] == [] and about["pictures"]
        told = served.json(f"{run}/row?split=given&row=0")
        model = load_model(digits)
        answer = np.asarray(model.predict(np.full((1, 8, 8, 1), 200 / 255)))[0]
        shown = told["answers"]["output"]
        assert shown["values"][0] == pytest.approx(answer.max(), rel=1e-5) and shown["number"] == answer.argmax() and told["targets"] == {}
        about = served.json(f"{other}/about")
        assert "given" not in about["splits"] and "is an image" in about["refused"][0] and not about["pictures"], "a network of two numbers takes none"
        files = {p: p.stat().st_mtime_ns for p in digits.rglob("*")}
        assert served.send(png(20, 30, 90), "api/own?name=%3Cb%3E%00.png")[0] == 200
        about = served.json(f"{run}/about")
        assert about["given"] == ["<b>?.png", str(tmp_path / "a.png")], "the newest first"
        now = served.json(f"{run}/row?split=given&row=0")["answers"]["output"]
        answer = np.asarray(model.predict(np.full((1, 8, 8, 1), 90 / 255)))[0]
        assert now["number"] == answer.argmax() and now["values"][0] == pytest.approx(answer.max(), rel=1e-4)
        assert served.json(f"{run}/features?layer=conv2d_1&split=given&row=0&which=best")["of"] == 4
        assert served.json(f"{run}/samples?split=given")["of"] == 2
        assert {p: p.stat().st_mtime_ns for p in digits.rglob("*")} == files, "nothing is written"
        assert served.send(png()[:44], "api/own?name=cut.png")[0] == 200, "its header is one of an image"
        about = served.json(f"{run}/about")
        assert len(about["given"]) == 2 and "cut.png" in about["refused"][0] and "damaged" in about["refused"][0]
    finally:
        served.close()


def test_an_image_is_taken_from_the_page_alone(served: Served) -> None:
    """Origin, kind, length and address are asked for before a byte is read; what is no image is said."""
    pytest.importorskip("PIL")
    image, port = png(), served.port
    refused: dict[str, tuple[int, dict[str, Any]]] = {
        "no origin": (403, {"Origin": None}), "another origin": (403, {"Origin": "http://evil.example"}), "no name of an origin": (403, {"Origin": "null"}),
        "another port": (403, {"Origin": "http://127.0.0.1:1"}), "another name of this machine": (403, {"Origin": f"http://localhost:{port}"}),
        "another site": (403, {"Sec_Fetch_Site": "cross-site"}), "a neighbour": (403, {"Sec_Fetch_Site": "same-site"}), "a link": (403, {"Sec_Fetch_Site": "none"}),
        "another host": (421, {"Host": f"evil.example:{port}"}),
        "a form": (415, {"Content_Type": "multipart/form-data; boundary=x"}), "a form of text": (415, {"Content_Type": "text/plain"}), "nothing of its kind": (415, {"Content_Type": None}),
        "packed": (415, {"Content_Encoding": "gzip"}), "in pieces": (411, {"Transfer_Encoding": "chunked", "Content_Length": None}), "too long": (413, {"declared": str((1 << 24) + 1)}),
        "longer than a length": (413, {"declared": "9" * 15}), "another address": (405, {"path": "api/runs"}), "a file of the page": (405, {"path": "page/main.js"}),
        "below it": (405, {"path": "api/own/x"}), "beside it": (405, {"path": "api/own/../own"}),
    }  # fmt: skip
    for why, (status, more) in refused.items():
        assert served.send(b"" if why in ("in pieces", "too long", "longer than a length") else image, **more)[0] == status, why
    for name, body in {"nothing": b"", "text": b"no image" * 9, "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a bomb": png(60000, 60000), "a tiff": b"II*\0" + b"\0" * 40}.items():
        status, said = served.send(body, f"api/own?name={name.replace(' ', '%20')}.png")
        assert status == 422 and "cannot be read" in json.loads(said)["error"] and "Traceback" not in json.loads(said)["error"], name
    assert served.ask("api/own")[0] in (404, 405), "nothing can be fetched there"
    for k in range(40):
        assert served.send(png(8, 8, k))[0] == 200
    assert served.ask("api/runs")[0] == 200


def test_chosen_images_are_bounded_in_number_and_bytes() -> None:
    pytest.importorskip("PIL")
    from nnspec.view.board.own import BYTES, CHOSEN, Own

    own = Own()
    for k in range(CHOSEN + 5):
        own.add(f"{k}.png", png())
    assert [label for label, _ in own._chosen] == [f"{k}.png" for k in range(5, CHOSEN + 5)]
    for k in range(9):
        own.add(f"large {k}.png", png() + bytes(1 << 23))
    assert sum(len(data) for _, data in own._chosen) <= BYTES and own._chosen[-1][0] == "large 8.png"
    before = own.version
    own.add("large 8.png", png() + bytes(1 << 23))
    assert len({label for label, _ in own._chosen}) == len(own._chosen) and own.version > before, "the same once more stands there once"


@pytest.mark.parametrize(("name", "content", "found"), [("none.png", None, "cannot be read"), ("a.png", b"no image", "it begins with"), ("none.csv", None, "no such file"), ("folder", b"", "this is a folder")])
def test_an_image_that_cannot_be_read_is_said_before_the_page_is_served(name: str, content: bytes | None, found: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from nnspec.view.board.own import Own

    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=found) as said:
        Own(files=[path])
    assert str(path) in str(said.value)


def test_a_damaged_checkpoint_is_said_on_the_page(tmp_path: Path) -> None:
    run = made(tmp_path / "a")
    served = Served(Shelf([run]))
    try:
        path = f"api/run/{Run(run.resolve(), '').id}/"
        status, _, body = served.ask(path + "samples")
        assert status == 422 and "no weights yet" in json.loads(body)["error"]
        (run / "last.safetensors").write_bytes(b"\xff" * 100)
        status, _, body = served.ask(path + "samples")
        assert status == 422 and "last.safetensors" in json.loads(body)["error"] and "Traceback" not in json.loads(body)["error"]
    finally:
        served.close()


def test_the_inside_of_a_network_is_shown(plane: Path, browser: Any) -> None:
    served = Served(Shelf([plane]))
    try:
        watched = Watched(browser, served.guard.address, f"#/runs/{Run(plane.resolve(), '').id}")
        page = watched.page
        page.wait_for_selector("figure.panel canvas")

        def tab(name: str, selector: str) -> None:
            page.click(f"[role=tab]:has-text('{name}')")
            page.wait_for_selector(selector)

        tab("Network", ".nnspec-picture .view")
        watched.until(lambda: "gradient" in (page.text_content(".nnspec-picture .view") or ""))
        tab("Layers", ".stats tbody tr")
        page.click(".stats .name:has-text('hidden')")
        page.wait_for_selector(".over figure.panel canvas")
        page.click(".choice button:has-text('Weights')")
        page.wait_for_selector(".stats .gauge")
        tab("Mistakes", ".matrix td.right")
        tab("Boundary", ".plane image")
        assert page.locator(".plane .dot-of").count() == 150
        tab("Samples", ".sample")
        page.click(".sample >> nth=0")
        page.wait_for_selector(".strip .units i")
        assert page.locator(".strip").count() == 3
        page.click("button[aria-label='next row']")
        page.click(".choice button:has-text('Kernels')")
        page.wait_for_selector(".strip .pixels")
        assert watched.wrong == []
        page.close()
    finally:
        served.close()


def test_an_image_is_chosen_in_the_page_and_the_best_weights_with_a_button(digits: Path, tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("PIL")
    from nnspec.cli.rows import Reader
    from nnspec.view.board.own import Own

    served = Served(Shelf([digits]), Own(Reader))
    try:
        watched = Watched(browser, served.guard.address, f"#/runs/{Run(digits.resolve(), '').id}/network")
        page = watched.page
        watched.until(lambda: "computed now from the last weights" in page.inner_text(".legend"))
        watched.until(lambda: "gradient" in (page.text_content(".nnspec-picture .view") or ""), 30)
        page.click(".choice button:has-text('Best weights')")
        watched.until(lambda: "from the best weights" in page.inner_text(".legend") and "gradient" not in (page.text_content(".nnspec-picture .view") or ""))
        page.click("[role=tab]:has-text('Maps')")
        page.wait_for_selector(".strip .pixels")
        assert "best weights" in page.inner_text(".controls .hint"), "tabs agree"
        page.set_input_files("input[type=file]", {"name": "<i>mine</i>.png", "mimeType": "image/png", "buffer": png()})
        watched.until(lambda: "<i>mine</i>.png" in page.inner_text(".stepper") and page.locator(".row-of .scale").count() == 1)
        page.set_input_files("input[type=file]", {"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
        watched.until(lambda: "cannot be read" in page.inner_text(".part"))
        page.click("[role=tab]:has-text('Samples')")
        page.wait_for_selector(".sample")
        page.select_option(".picker select", "given")
        watched.until(lambda: page.locator(".sample").count() == 1 and "<i>mine</i>.png" in page.inner_text(".sample"))
        for tab, selector in (("Mistakes", ".matrix td"), ("Layers", ".stats tbody tr")):
            page.click(f"[role=tab]:has-text('{tab}')")
            page.wait_for_selector(selector)
            page.click(".choice button:has-text('Last weights')")
            watched.until(lambda: page.locator(".choice button[aria-pressed=true]:has-text('Last weights')").count() == 1)
        refused = "Failed to load resource: the server responded with a status of 422"
        assert [w for w in watched.wrong if not w.startswith(refused)] == []
        page.close()
    finally:
        served.close()
