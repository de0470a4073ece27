"""Jobs begin and end in turn: where many sandboxes share a few processors, together all would be late."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = os.cpu_count() or 1
HOLD_SECONDS = 0.1  # the most that a program's start keeps others waiting


class Turns:
    """Of the processes that were forked after it was made, so many begin or end a job at once; others wait.

    Begun at once, each would be as late as the last of all, wave after wave. If only beginnings waited, all
    ends would come before them. A turn is a lock of the kernel's, so whoever dies lets it go.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._locks = os.memfd_create("turns")

    def fileno(self) -> int:
        """Descriptor of the locks, which a process that shares them must keep open."""
        return self._locks

    @contextmanager
    def one(self) -> Iterator[None]:
        """Within: it is this process's turn. It may have one at a time."""
        place = self._take()
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)

    def _take(self) -> int:
        own = os.getpid()
        for number in range(self._at_once):
            place = (own + number) % self._at_once
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except BlockingIOError:
                continue
            return place
        place = own % self._at_once
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, place)
        return place
