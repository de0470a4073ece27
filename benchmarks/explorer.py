"""The explorer at 20,000 variants: how soon the page is usable, frames while panning and zooming, memory.

Real git, server and Chromium (headless, no GPU); the run is made by stand-ins for operator and sandbox, as in
`loop.py`. `python benchmarks/explorer.py [TRIALS]`, 20,000 by default; `--run RUN` takes one that is there;
`--pictures DIR` writes pictures of a run's views instead. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from exploring import chromium, explorer, pictures, watched  # noqa: E402
from loop import Times, play, problem  # noqa: E402
from playwright.sync_api import Page  # noqa: E402

LOADS = 3
SECONDS = 3  # of panning and zooming
MOVE = """seconds => new Promise(done => {
  const picture = evolvePicture, began = performance.now();
  let frames = 0, drawn = picture.told.drawn;
  picture.told.drawn = () => { frames += 1; };
  const step = now => {
    const past = (now - began) / 1000;
    if (past > seconds) { picture.told.drawn = drawn; picture.fit(); return done(frames / past); }
    if (%s) picture.zoom(past %% 1 < 0.5 ? 1.05 : 1 / 1.05); else picture.pan(past %% 1 < 0.5 ? 7 : -7, 3);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def renderer_bytes(page: Page) -> tuple[int, int]:
    """The page's JavaScript heap, and what its process holds in memory (proportional shares)."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue

    def ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    most = 0
    for pid in filter(ours, parents):
        try:
            if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                most = max(most, int(text.partition("Pss:")[2].split()[0]) * 1024)
        except OSError:
            continue
    return int(metrics["JSHeapUsedSize"]), most


def measure(run: Path) -> dict[str, Any]:
    """Three loads of the lineage; then panning, zooming, and memory on the last of them."""
    usable: list[float] = []
    with explorer(str(run)) as address, chromium() as browser:
        with watched(browser, address) as first:  # the server has read the run when somebody looks
            first.page.wait_for_selector(".cards", timeout=120_000)
        for _ in range(LOADS):
            began = time.perf_counter()
            with watched(browser, f"{address}#view=lineage") as found:
                found.until("window.evolvePicture !== undefined && evolvePicture.took !== undefined", 120)
                usable.append(time.perf_counter() - began)
                if len(usable) == LOADS:
                    page = found.page
                    pan, zoom = page.evaluate(MOVE % "false", SECONDS), page.evaluate(MOVE % "true", SECONDS)
                    heap, process = renderer_bytes(page)
                    rows = page.evaluate("evolvePicture.run.size")
                    assert found.wrong == []
    return {"usable": usable, "pan": pan, "zoom": zoom, "heap": heap, "process": process, "rows": rows}


def command_seconds(*words: str) -> tuple[float, float]:
    """Wall clock and CPU of a command, the median of three."""
    walls, cpus = [], []
    for _ in range(3):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "evolve", *words], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        walls.append(time.perf_counter() - began)
        cpus.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    return statistics.median(walls), statistics.median(cpus)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("trials", type=int, nargs="?", default=20_000)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--with", dest="others", type=Path, action="append", default=[])
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = chosen.run or Path(name) / "run.git"
        if chosen.run is None:
            play(problem(Path(name) / "loop"), run, chosen.trials, Times())
        if chosen.pictures is not None:
            with explorer(*map(str, [run, *chosen.others])) as address, chromium() as browser:
                pictures(browser, address, chosen.pictures)
            return
        found = measure(run)
        tree, log = command_seconds("tree", str(run)), command_seconds("log", str(run))
    usable = sorted(found["usable"])
    print("| figure | measured |\n|---|---|")
    print(f"| attempts | {found['rows']:,} |")
    span = f"{usable[1]:.2f} ({usable[0]:.2f} to {usable[-1]:.2f})"
    print(f"| page usable, s, median of 3 (least to most) | {span} |")
    print(f"| frames/s while panning, zooming | {found['pan']:.0f}, {found['zoom']:.0f} |")
    memory = f"{found['heap'] / 1e6:.0f}, {found['process'] / 1e6:.0f}"
    print(f"| browser: JavaScript heap, page's process, MB | {memory} |")
    print(f"| evolve tree: s, CPU s, median of 3 | {tree[0]:.2f}, {tree[1]:.2f} |")
    print(f"| evolve log: s, CPU s, median of 3 | {log[0]:.2f}, {log[1]:.2f} |")


if __name__ == "__main__":
    main()
