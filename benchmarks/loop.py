"""The loop alone: real git and journal, stand-ins for operator and sandbox.

Prints a markdown table: trials a second with 16 in flight, the time of a trial late in the run against early,
bytes a variant on disk, and the time to resume. Programs are about 2.5 KB, a child changes one number.
`python benchmarks/loop.py [TRIALS]`, 20,000 by default.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Event, Files
from fitness.doubles import SyntheticFitness, noise, number_problem

WORKERS = 8  # the loop keeps two jobs a worker in flight


class Times:
    """Notes when each trial was heard of."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def tell(self, event: Event) -> None:
        """Hear one event."""
        if event.kind == "trial":
            self.at.append(time.perf_counter())


def problem(folder: Path) -> Path:
    lines = [
        f"    # line {n} of a program of ordinary length, with words that differ a little" for n in range(30)
    ]
    source = "def solve(case):\n    x = 0.0\n" + "\n".join(lines) + "\n    return x\n"
    return number_problem(folder, source, difference=50.0)


def score(files: Files, key: CaseKey) -> float:
    return noise(files, key)


def play(folder: Path, to: Path, trials: int, times: Times) -> float:
    began = time.perf_counter()
    options = RunOptions(str(folder), to, trials=trials, operators=("evolve.doubles.Nudge",))
    run(options, [times], executor=InlineExecutor(SyntheticFitness(score), WORKERS))
    return time.perf_counter() - began


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder, to, times = problem(Path(name) / "loop"), Path(name) / "run.git", Times()
        cpu = time.process_time()
        seconds = play(folder, to, trials, times)
        cpu = time.process_time() - cpu
        early = (times.at[1200] - times.at[200]) / 1000
        late = (times.at[-1] - times.at[-1001]) / 1000
        size = bytes_in(to)
        again = Times()
        resume = play(folder, to, trials, again)
        count = subprocess.run(
            ["git", "-C", str(to), "rev-list", "--count", "events"],
            capture_output=True,
            text=True,
            check=True,
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("| figure | measured |\n|---|---|")
        print(f"| trials, events | {trials}, {int(count.stdout)} |")
        print(f"| trials/s, everything included | {trials / seconds:.0f} |")
        print(f"| CPU ms a trial, driver | {1000 * cpu / trials:.2f} |")
        print(f"| ms a trial, trials 200-1,200 | {1000 * early:.2f} |")
        print(f"| ms a trial, last 1,000 | {1000 * late:.2f} (x {late / early:.2f}) |")
        print(f"| bytes a variant on disk | {size / trials:.0f} |")
        print(f"| resume of the spent run, s | {resume:.2f} |")
        print(f"| peak memory, MiB | {peak:.0f} |")


if __name__ == "__main__":
    main()
