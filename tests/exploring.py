"""The explorer in a real browser, for tests and pictures: its server, and Chromium that watches itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

expect.set_options(timeout=120_000)  # a busy machine is no failure
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURES = {
    "overview": "light", "lineage": "light", "lineage-dark": "dark", "variant": "light", "story": "light",
    "map": "light", "phone": "light",
}  # fmt: skip
AXE = Path(__file__).with_name("vendor") / "axe.js"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a head."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found is not None, "no chromium: apt-get install chromium, as .ci/run does"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def explorer(*words: str, cwd: Path | None = None) -> Iterator[str]:
    """`evolve ui` as people start it; the address that it prints."""
    command = [sys.executable, "-m", "evolve", "ui", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd, env={**os.environ})
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None, "evolve ui printed no address"
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Watched:
    """A page, and what it should not do."""

    page: Page
    context: BrowserContext
    home: str  # scheme, host and port, or the file
    wrong: list[str] = field(default_factory=list)

    def go(self, view: str, **state: str) -> None:
        """Open a view of the run that is shown."""
        words = "&".join(f"{key}={value}" for key, value in {"view": view, **state}.items())
        self.page.evaluate("words => { location.hash = words; }", words)
        self.page.wait_for_selector(f"nav a[aria-current=page][href*='view={view}']")

    def until(self, holds: str, seconds: float = 120.0) -> None:
        """Wait until an expression holds; not `wait_for_function`, whose eval the page's policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(holds):
            assert time.monotonic() < end, f"never: {holds}"
            self.page.wait_for_timeout(50)

    def loaded(self) -> None:
        """Wait until nothing is on its way."""
        self.until("!document.querySelector('main').innerText.includes('Loading')")

    def axe(self) -> list[str]:
        """What axe-core calls serious or critical."""
        self.page.evaluate(AXE.read_text() + ";0")
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['nodes'][0]['target']} {each['nodes'][0]['failureSummary'][:300]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


@contextmanager
def watched(browser: Browser, address: str, **options: Any) -> Iterator[Watched]:
    """A page of its own that notes every error and every request that leaves its home."""
    parts = urlsplit(address)
    home = f"{parts.scheme}://{parts.netloc}" if parts.scheme != "file" else address.partition("#")[0]
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(120_000)
    found = Watched(page, context, home)
    allowed = ("data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith((home, *allowed)) else found.wrong.append(r.url))
    page.on("pageerror", lambda error: found.wrong.append(f"error: {error}"))
    page.on(
        "console",
        lambda m: found.wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None,
    )
    page.goto(address)
    yield found
    context.close()


def pictures(browser: Browser, address: str, to: Path) -> list[Path]:
    """Write a picture of each view of the first run, as the documentation shows them."""
    written = []
    for name, scheme in PICTURES.items():
        size = {"width": 390, "height": 844} if name == "phone" else {"width": 1080, "height": 720}
        view = "overview" if name == "phone" else name.partition("-")[0]
        with watched(browser, address, viewport=size, color_scheme=scheme) as found:
            found.page.wait_for_selector(".cards", timeout=300_000)
            champion = found.page.evaluate("document.querySelector('.card .figure.mono').textContent")
            found.go(view, **({"v": champion} if view == "lineage" else {}))
            found.loaded()
            found.page.wait_for_timeout(600)  # for what moves to its place
            assert found.wrong == []
            written.append(to / f"explorer-{name}.png")
            found.page.screenshot(path=written[-1])
    return written
