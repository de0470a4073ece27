"""What a command costs, everything that it starts included."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICK = os.sysconf("SC_CLK_TCK")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command, to the death of its last descendant."""

    began: float  # seconds since 1970
    wall: float  # seconds to its own end
    cpu: float  # seconds of all processes, those that outlived it and containers included
    machine: float  # CPU seconds of the whole machine meanwhile: all there is, where nothing else runs
    peak: int  # bytes: most of the sum of the processes' proportional set sizes; 0: not asked for
    code: int
    out: str


def adopt_orphans() -> None:
    """Have what a dead child leaves become this process's, to be waited for and counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    memory: bool = False,
    containers: bool = False,
) -> Cost:
    """Run it to its end; nothing else may be a child of this process meanwhile.

    Memory and the CPU of containers are sampled ten times a second; the latter counts every container that
    is there, so there should be no other.
    """
    before = _containers()
    over, peaks, used = threading.Event(), [0], dict(before)
    with log.open("wb") as words:
        began, started, busy = time.time(), time.perf_counter(), _machine()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, env=dict(environment))

        def sample() -> None:
            while not over.wait(0.1):
                if memory:
                    peaks[0] = max(peaks[0], sum(map(_memory, _tree(process.pid))))
                if containers:
                    used.update(_containers())

        sampler = threading.Thread(target=sample)
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
        sampler.join()
    cpu += sum(seconds - before.get(name, 0.0) for name, seconds in used.items())
    return Cost(began, wall, cpu, _machine() - busy, peaks[0], code, out)


def _machine() -> float:
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, interrupts, soft = map(int, fields[:7])
    return (user + nice + system + interrupts + soft) / _TICK


def _containers() -> dict[str, float]:
    """CPU seconds of every Docker container that is there, of both versions of control groups."""
    found = {}
    for file in _CGROUPS.glob("cpuacct/docker/*/cpuacct.usage"):
        with suppress(OSError):
            found[file.parent.name] = int(file.read_text()) / 1e9
    for pattern in ("docker/*/cpu.stat", "system.slice/docker-*.scope/cpu.stat"):
        for file in _CGROUPS.glob(pattern):
            with suppress(OSError):
                found[file.parent.name] = int(file.read_text().split()[1]) / 1e6
    return found


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        with suppress(OSError):  # it is over
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                queue += map(int, children.read_text().split())
    return found


def _memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
