"""The schema in the real yaml-language-server: what an editor completes, shows and underlines.

It is installed by npm into a temporary folder, once; where npm or the network is missing, the tests are skipped.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from nnspec import cli
from tests.drawn import specs

FULL = bool(os.environ.get("NNSPEC_FULL"))
VERSION = "1.25.0"
HEAD = "# yaml-language-server: $schema=nnspec.schema.json\nnnspec: 1\n"
CAPABILITIES = {"workspace": {"configuration": True}, "textDocument": {"hover": {"contentFormat": ["markdown"]}, "completion": {"completionItem": {"snippetSupport": True}}}}
SETTINGS = {"schemaStore": {"enable": False}, "hover": True, "completion": True, "validate": True}


class Server:
    """A language server over its standard streams."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.process = subprocess.Popen(["node", str(program), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.heard: Queue[dict[str, Any]] = Queue()
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": CAPABILITIES})
        self.say({"method": "initialized", "params": {}})

    def listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            elif not line.strip():
                self.heard.put(json.loads(stream.read(length)))

    def say(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        try:
            message = self.heard.get(timeout=120)
        except Empty:
            raise AssertionError("the language server says nothing") from None
        if message.get("method") == "textDocument/publishDiagnostics":
            self.found[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            self.say({"id": message["id"], "result": [SETTINGS if i.get("section") == "yaml" else None for i in message["params"]["items"]]})
        elif "method" in message and "id" in message:
            self.say({"id": message["id"], "result": None})
        return message

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        self.number += 1
        self.say({"id": self.number, "method": method, "params": params})
        while True:
            message = self.hear()
            if message.get("id") == self.number and "method" not in message:
                return message["result"]

    def open(self, name: str, text: str) -> str:
        """A file as an editor opens it; back comes its address, once it has been looked at."""
        uri = (self.folder / name).as_uri()
        self.say({"method": "textDocument/didOpen", "params": {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}})
        while uri not in self.found:
            self.hear()
        return uri

    def at(self, what: str, uri: str, line: int, character: int) -> Any:
        return self.ask(f"textDocument/{what}", {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("needs Node.js with npm")
    prefix, folder = tmp_path_factory.mktemp("npm"), tmp_path_factory.mktemp("specs")
    call = ["npm", "install", "--prefix", str(prefix), "--no-audit", "--no-fund", "--loglevel=error", f"yaml-language-server@{VERSION}"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer")
    if done.returncode:
        pytest.skip(f"npm cannot install yaml-language-server: {done.stderr.strip()[-200:]}")
    assert cli.status(["schema", "-o", str(folder / "nnspec.schema.json")]) == 0
    started = Server(prefix / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server", folder)
    yield started
    started.process.kill()
    started.listener.join()
    started.process.communicate()


def labels(found: Any) -> dict[str, Any]:
    return {item["label"]: item for item in found["items"]}


def test_in_a_list_layers_are_offered_with_what_they_do(server: Server) -> None:
    uri = server.open("list.yaml", HEAD + "layers:\n  - \n")
    offered = labels(server.at("completion", uri, 3, 4))
    assert {"dense", "conv2d", "relu", "residual", "branches", "batch_norm"} <= set(offered)
    assert offered["relu"]["textEdit"]["newText"] == "relu"
    assert offered["dense"]["textEdit"]["newText"].startswith("dense: ")
    assert "Fully connected" in str(offered["dense"]["documentation"])
    assert "layers:" in offered["residual"]["textEdit"]["newText"]


def test_inside_of_an_entry_its_keys_are_offered_with_what_they_are(server: Server) -> None:
    uri = server.open("entry.yaml", HEAD + "layers:\n  - conv2d:\n      \n")
    offered = labels(server.at("completion", uri, 4, 6))
    assert {"filters", "kernel", "stride", "padding", "name", "from", "repeat"} <= set(offered)
    assert all(offered[key]["documentation"] for key in ("filters", "kernel", "padding", "repeat"))


def test_values_are_offered(server: Server) -> None:
    uri = server.open("value.yaml", HEAD + "layers:\n  - conv2d:\n      padding: \n")
    assert {"valid", "same"} <= set(labels(server.at("completion", uri, 4, 15)))


def test_hovering_shows_what_a_layer_does_and_what_a_key_is(server: Server) -> None:
    uri = server.open("hover.yaml", HEAD + "layers:\n  - dense: {units: 3}\noptimizer: adam\n")
    layer = server.at("hover", uri, 3, 6)["contents"]["value"]
    assert "Fully connected" in layer
    assert "```yaml\ndense: 64\n```" in layer
    assert "How many numbers a row becomes" in server.at("hover", uri, 3, 13)["contents"]["value"]
    assert "How weights are moved" in server.at("hover", uri, 4, 3)["contents"]["value"]


@pytest.mark.parametrize(("wrong", "said"), [
    ("layers: [dense: {unts: 3}]", "unts"), ("layers: [Linear: 3]", "Linear"), ("layers: [relu]\nepoch: 3", "epoch"),
    ("layers: [relu]\noptimizer: {adam: {lr: 0.1}}", "lr"),
])  # fmt: skip
def test_a_slip_is_underlined(wrong: str, said: str, server: Server) -> None:
    found = server.found[server.open(f"{said}.yaml", HEAD + wrong + "\n")]
    assert found
    lines = (HEAD + wrong).splitlines()
    assert any(said in lines[d["range"]["start"]["line"]] for d in found)


def test_no_shipped_spec_is_underlined(server: Server) -> None:
    modeline = HEAD.splitlines()[0]
    wrong = {}
    for path in specs() if FULL else random.Random(0).sample(specs(), 4):
        uri = server.open(f"shipped_{path.stem}.yaml", f"{modeline}\n{path.read_text('utf-8')}")
        if server.found[uri]:
            wrong[path.name] = server.found[uri][0]["message"]
    assert wrong == {}
