"""From 1 to 10,000 workers: a discrete-event simulation of a run on a cluster, from measured service times.

    python benchmarks/cluster_simulation.py [--driver-ms D] [--remote-ms R] [--drivers K]

The driver is one server with a queue: each trial takes D ms of it (ask, propose, write down, pack, call,
unpack, tell; `loop.py` and `cluster.py cost` measure it). Workers serve one job each; it takes what its
program takes, plus R ms of machinery on its way and on its node. 2 jobs a worker are under way, as in the
loop. Service times vary: the driver's as a gamma of shape 4, a program's as one of shape 10. Not in it: a
network that saturates, git on a slow disk, nodes that die.

Throughput is bounded by min(W / (program + R), 1 / D): the simulation shows how near one comes, and where
the driver is the bottleneck. There, and only there, several drivers help: K of them share the workers and
exchange elites.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORKERS = (1, 4, 16, 64, 256, 1_000, 4_000, 10_000)
PROGRAMS_MS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 60_000.0)
SATURATED = 0.95  # of the driver's time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one simulation."""

    per_second: float
    driver: float  # share of time that it was busy
    workers: float  # likewise, of all of them
    wait_ms: float  # of a result at the driver, median


def simulate(workers: int, program_ms: float, driver_ms: float, remote_ms: float, seed: int = 0) -> Outcome:
    """Let enough jobs go round that every worker had several; the first third warms up."""
    rng = np.random.default_rng([seed, workers])
    jobs = int(np.clip(12 * workers, 3_000, 60_000))
    driver = rng.gamma(4.0, driver_ms / 4.0, 2 * jobs + 4 * workers)
    program = rng.gamma(10.0, program_ms / 10.0, 2 * jobs + 4 * workers) + remote_ms
    events: list[tuple[float, int]] = []  # (when, 0: the driver is done; 1: a worker is)
    queue: deque[float] = deque([0.0] * (2 * workers))  # since when each waits for the driver
    ready = idle = done = started = served = 0
    idle, now, began = workers, 0.0, 0.0
    busy_driver = busy_workers = 0.0
    waits: list[float] = []
    driving = False
    while done < jobs:
        if not driving and queue:
            waits.append(now - queue.popleft())
            driving, took = True, driver[served]
            served += 1
            busy_driver += took
            heapq.heappush(events, (now + took, 0))
        while ready and idle:
            ready, idle = ready - 1, idle - 1
            busy_workers += program[started]
            heapq.heappush(events, (now + program[started], 1))
            started += 1
        now, kind = heapq.heappop(events)
        if kind == 0:
            driving, ready = False, ready + 1
        else:
            idle, done = idle + 1, done + 1
            queue.append(now)
            if done == jobs // 3:
                began, busy_driver, busy_workers, waits = now, 0.0, 0.0, []
    span = now - began
    return Outcome(
        per_second=1e3 * (jobs - jobs // 3) / span,
        driver=min(busy_driver / span, 1.0),
        workers=min(busy_workers / span / workers, 1.0),
        wait_ms=float(np.median(waits)) if waits else 0.0,
    )


def table(driver_ms: float, remote_ms: float, drivers: int, programs: Sequence[float]) -> list[str]:
    """Rows of a table: throughput, driver, workers; bold where the driver is the bottleneck."""
    rows = ["| workers | " + " | ".join(f"{ms:g} ms" for ms in programs) + " |"]
    rows.append("|---" * (len(programs) + 1) + "|")
    for workers in WORKERS:
        cells = []
        for program_ms in programs:
            share = max(workers // drivers, 1)
            found = simulate(share, program_ms, driver_ms, remote_ms)
            mark = "**" if found.driver >= SATURATED else ""
            rate = found.per_second * min(drivers, workers)
            cells.append(f"{mark}{rate:,.3g}{mark} ({found.driver:.0%}, {found.workers:.0%})")
        rows.append(f"| {workers:,} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--driver-ms", type=float, default=2.0, help="of the driver, a trial")
    parser.add_argument("--remote-ms", type=float, default=8.0, help="of a worker, beside the program")
    parser.add_argument("--drivers", type=int, default=1, help="that share the workers")
    asked = parser.parse_args()
    print("Trials a second (driver busy, workers busy), by what a program takes. Driver: ", end="")
    print(f"{asked.driver_ms:g} ms a trial; beside it {asked.remote_ms:g} ms; drivers: {asked.drivers}\n")
    for row in table(asked.driver_ms, asked.remote_ms, asked.drivers, PROGRAMS_MS):
        print(row)
    full = {ms: (ms + asked.remote_ms) / asked.driver_ms * asked.drivers for ms in PROGRAMS_MS}
    print(
        "\nThe driver is full at about "
        + ", ".join(f"{n:,.0f} workers of {ms:g} ms" for ms, n in full.items())
    )


if __name__ == "__main__":
    main()
