"""What the end of a program means to people: its wait status, and what it said on stderr."""

from __future__ import annotations

import os
import signal
from pathlib import PurePosixPath

from evolve.types import Failure
from sandbox import values

_SHOWN, _READ = 5, 1 << 16  # last lines, and bytes of which lines are made


def death(status: int, by_itself: bool, words: int) -> Failure:
    """What a wait status means to people; `words`: descriptor of its stderr."""
    if not by_itself and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return Failure("crash", "it closed its channel")
    said = last_lines(words)
    if not os.WIFSIGNALED(status):
        return Failure("crash", f"it ended the process with code {os.waitstatus_to_exitcode(status)}{said}")
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return Failure("timeout", "over its CPU time")
    if number == signal.SIGKILL:
        return Failure("out_of_memory", "killed by the kernel")
    return Failure("crash", f"{signal.Signals(number).name}{said}")


def last_lines(words: int) -> str:
    """The last lines of a stderr as one, with a colon before; empty: it said nothing."""
    size = os.fstat(words).st_size
    found = _lines(os.pread(words, 2000, max(0, size - 2000)))
    return values.one_line(": " + " | ".join(found[-_SHOWN:])) if found else ""


def lines(words: int) -> list[str]:
    """The first lines of a stderr that are not empty."""
    return _lines(os.pread(words, _READ, 0))


def _lines(data: bytes) -> list[str]:
    return [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]


def is_inside(name: str) -> bool:
    """Whether a path stays inside the folder of a program."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name
