"""How long interactive pictures take to open: ``python -m tests.bench.pages [--repeats N]``.

The HTML of a multilayer perceptron of 5 layers, ResNet-50 and NASNet large in headless Chromium, each time a file that no browser has seen and a
context without a cache: milliseconds to the first sight, of those at work in the page's thread, and of opening and of closing all frames; the least of
``--repeats``, in turns. Beside them the size of the file and the seconds that a cold ``nnspec graph`` takes to write it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SHOWN = {
    "MLP of 5 layers": ("quickstart/digits_mlp", {}),
    "ResNet-50": ("zoo/resnet50", {}),
    "NASNet large": ("zoo/nasnet", {"filters": "168", "cells": "6", "stem": "96", "side": "331", "behind": "before"}),
}
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        files = {name: written(Path(folder) / f"{at}.html", *of) for at, (name, of) in enumerate(SHOWN.items())}
        best: dict[str, list[float]] = {}
        for turn in range(repeats):
            for name, (file, _) in files.items():
                took = opened(browser, Path(shutil.copy(file, file.with_name(f"{turn} {file.name}"))))
                best[name] = [min(pair) for pair in zip(best.get(name, took), took, strict=True)]
        browser.close()
    print(f"{'milliseconds':18}{'first sight':>12}{'at work':>9}{'open all':>10}{'close all':>11}{'file':>10}{'written':>10}")
    for name, (_, (size, seconds)) in files.items():
        first, work, wide, shut = best[name]
        print(f"{name:18}{first:12.0f}{work:9.0f}{wide:10.0f}{shut:11.0f}{size / 1024:6.0f} KiB{seconds:8.1f} s")


def written(file: Path, spec: str, changes: dict[str, str]) -> tuple[Path, tuple[float, float]]:
    """The page of a spec, how large it is, and how long a cold process took."""
    start, given = perf_counter(), [part for key, value in changes.items() for part in ("--set", f"vars.{key}={value}")]
    subprocess.run([sys.executable, "-m", "nnspec", "graph", str(ROOT / f"specs/{spec}.yaml"), *given, "-o", str(file)], check=True, capture_output=True, cwd=ROOT)
    return file, (file.stat().st_size, perf_counter() - start)


def opened(browser: Any, file: Path) -> list[float]:
    """Milliseconds to the first sight, at work until then, and of opening and closing all frames."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    start = perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate(PAINTED)
    took = [1e3 * (perf_counter() - start)]
    took.append(1e3 * next(m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration"))
    for key in ("Shift+E", "Shift+C"):
        start = perf_counter()
        page.keyboard.press(key)
        page.evaluate(PAINTED)
        took.append(1e3 * (perf_counter() - start))
    context.close()
    return took


if __name__ == "__main__":
    main()
