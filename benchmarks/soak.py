"""Many trivial jobs through the real workers: does anything grow, is anything left? Exit 1 where it is.

python benchmarks/soak.py [--jobs 100000] [--sandbox docker] [--workers 2]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path

from evolve.executor import LocalExecutor
from evolve.types import CaseKey, Evaluation, Job, Walls
from fitness.doubles import number_problem
from fitness.problem import load
from fitness.worker import Worker
from sandbox.container import LABEL

WARM = 10_000  # jobs: what grows afterwards is a leak
MOST_GROWTH = 0.05
SAMPLES = 20  # in all
PATIENCE_SECONDS = 30.0  # for the daemon to remove the last container


def main() -> None:
    """Run the jobs, print a row now and then, then what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--sandbox", default="docker")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    before = Left()
    with tempfile.TemporaryDirectory() as folder:
        problem = load(number_problem(Path(folder) / "soak", span=1e9))
        walls = Walls(options.sandbox, trusted=options.sandbox == "none")
        executor = LocalExecutor(lambda: Worker(problem, walls), options.workers)
        try:
            grown = soak(executor, options.jobs)
        finally:
            executor.close()
    left = before.since()
    for what, found in left.items():
        print(f"{what} left: {found if found else 'none'}")
    sys.exit(bool(any(left.values()) or max(grown.values(), default=0.0) > MOST_GROWTH))


def soak(executor: LocalExecutor, jobs: int) -> dict[str, float]:
    """Run them; growth of each process after the first `WARM` jobs, as a share."""
    memory: dict[str, list[float]] = {}
    flying: deque[Future[Evaluation]] = deque()
    every, began = max(1, jobs // SAMPLES), time.monotonic()
    print("| jobs | a second | driver MiB | evaluators MiB | servers MiB | descriptors of all |")
    print("|---|---|---|---|---|---|")
    for n in range(1, jobs + 1):
        program = f"def solve(case):\n    return {n}.0\n".encode()
        flying.append(executor.submit(Job({"program.py": program}, (CaseKey("search", 0),))))
        while len(flying) > 2 * executor.workers or (flying and n == jobs):
            evaluation = flying.popleft().result()
            assert not evaluation.failed, evaluation.failures
        if n % every == 0 or n == WARM:
            driver, evaluators = [os.getpid()], _evaluators()
            servers = [pid for pid in _servers(evaluators) if pid]
            now = {"driver": _mebibytes(driver), "evaluators": _mebibytes(evaluators)}
            if n >= WARM:
                for what, size in now.items():
                    memory.setdefault(what, []).append(size)
            count = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (*driver, *evaluators))
            rate = n / (time.monotonic() - began)
            shown = (f"{n:,}", f"{rate:.0f}", *(f"{size:.1f}" for size in now.values()))
            print(f"| {' | '.join(shown)} | {_mebibytes(servers):.1f} | {count} |", flush=True)
    grown = {what: max(sizes) / sizes[0] - 1 for what, sizes in memory.items()}
    for what, share in grown.items():
        print(f"{what}: {100 * share:+.1f} % at the most after {WARM:,} jobs")
    return grown


class Left:
    """What this machine holds of ours, besides what it held before."""

    def __init__(self) -> None:
        self._before = self._now()

    def since(self) -> dict[str, list[str]]:
        """What has come, a while after the end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            now = self._now()
            left = {what: sorted(found - self._before[what]) for what, found in now.items()}
            if not any(left.values()) or time.monotonic() > deadline:
                return left
            time.sleep(0.5)

    @staticmethod
    def _now() -> dict[str, set[str]]:
        files = [path for folder in ("/dev/shm", "/tmp") for path in Path(folder).glob("evolve-sandbox-*")]
        tables = [Path(f"/proc/sysvipc/{kind}").read_text().split("\n") for kind in ("shm", "sem", "msg")]
        return {
            "containers": set(map(str, _servers(_remembered))),
            "processes": {str(pid) for pid in _below(os.getpid())},
            "descriptors": set(os.listdir("/proc/self/fd")),
            "threads": {thread.name for thread in threading.enumerate()},
            "files": {str(path) for path in files if _abandoned(path)},
            "IPC objects": {line for table in tables for line in table[1:] if line},
        }


def _abandoned(folder: Path) -> bool:
    """Whether no living process holds a folder of a sandbox."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


_remembered: set[int] = set()  # every evaluator that there was


def _evaluators() -> list[int]:
    found = _below(os.getpid(), deep=False)
    _remembered.update(found)
    return found


def _below(pid: int, deep: bool = True) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            evaluates = Path(f"/proc/{child}/comm").read_text() == "evaluator\n"
            if evaluates or (deep and b"sandbox.forkserver" in command):
                found += [child, *(_below(child) if deep else ())]
    return found


def _servers(owners: Iterable[int]) -> list[int]:
    """First process of each container that some evaluators own, 0 where it does not run."""
    asked = ["docker", "ps", "-aq", "--filter", f"label={LABEL}"]
    ids = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    form = f'{{{{.State.Pid}}}} {{{{index .Config.Labels "{LABEL}"}}}}'
    shown = subprocess.run(
        ["docker", "inspect", "--format", form, *ids], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    owned = {str(owner) for owner in owners}
    return [int(line.split()[0]) for line in shown if line.split()[-2] in owned]


def _mebibytes(pids: Sequence[int]) -> float:
    """Anonymous memory of some processes: nothing that they share; those that are gone have none."""
    total = 0
    for pid in pids:
        path = Path(f"/proc/{pid}/smaps_rollup")
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return total / 1024


if __name__ == "__main__":
    main()
