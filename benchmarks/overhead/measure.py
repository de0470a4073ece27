"""What a command costs, everything that it starts included."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command, to the death of its last descendant."""

    began: float  # seconds since 1970
    wall: float  # seconds to its own end
    cpu: float  # seconds of all processes, those that outlived it included
    peak: int  # bytes: most of the sum of their proportional set sizes; 0: not asked for
    code: int
    out: str


def adopt_orphans() -> None:
    """Have what a dead child leaves become this process's, to be waited for and counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(command: Sequence[str], environment: Mapping[str, str], log: Path, memory: bool = False) -> Cost:
    """Run it to its end; nothing else may be a child of this process meanwhile.

    Memory is sampled ten times a second, which costs the command a little.
    """
    with log.open("wb") as words:
        began, started = time.time(), time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, env=dict(environment))
        over, peaks = threading.Event(), [0]
        sampler = threading.Thread(target=_sample, args=(process.pid, over, peaks))
        if memory:
            sampler.start()
        assert process.stdout is not None
        out = process.stdout.read().decode()
        wall, cpu, code = 0.0, 0.0, 0
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            cpu += usage.ru_utime + usage.ru_stime
            if pid == process.pid:
                wall, code = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
                process.returncode = code
        process.stdout.close()
        over.set()
        if memory:
            sampler.join()
    return Cost(began, wall, cpu, peaks[0], code, out)


def _sample(root: int, over: threading.Event, peaks: list[int]) -> None:
    while not over.wait(0.1):
        peaks[0] = max(peaks[0], sum(map(_memory, _tree(root))))


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                queue += map(int, children.read_text().split())
        except OSError:  # it is over
            continue
    return found


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
