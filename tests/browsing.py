"""Pages in a headless browser, one browser for all tests of a file: a plugin of pytest, named by the files that need it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as p:
        started = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


class Shown:
    """A page with the picture, what its console said and what it asked for."""

    def __init__(self, browser: Any, folder: Path, text: str, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        file = folder / "net.html"
        file.write_text(text, encoding="utf-8")
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options})
        self.context.set_default_timeout(120_000)  # the machine may have much else to do
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.session = self.context.new_cdp_session(self.page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def quiet(self) -> None:
        assert self.said == []
        assert {url.split(":")[0] for url in self.asked} <= {"file", "data"} and len({url for url in self.asked if url.startswith("file:")}) == 1

    def busy(self) -> float:
        """Milliseconds of processor time that the page's thread has taken, whatever else the machine does."""
        return 1000 * float({m["name"]: m["value"] for m in self.session.send("Performance.getMetrics")["metrics"]}["TaskDuration"])

    def toggle(self, frame: int) -> None:
        self.page.evaluate("f => document.querySelector(`[data-frame='${f}'] .toggle`).dispatchEvent(new MouseEvent('click', {bubbles: true}))", frame)

    def chosen(self) -> str | None:
        found: str | None = self.page.evaluate("() => document.querySelector('.is-chosen')?.getAttribute('aria-label') ?? null")
        return found


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    opened: list[Shown] = []

    def one(text: str, **options: Any) -> Shown:
        opened.append(Shown(browser, tmp_path, text, **options))
        return opened[-1]

    yield one
    for shown in opened:
        shown.context.close()
