"""Where fork servers come from: started when one is needed, or kept spare and replaced in time."""

from __future__ import annotations

import time
from concurrent.futures import Future
from threading import Thread
from typing import Protocol

from sandbox.launch import Server, Starter

MOST_JOBS, MOST_SECONDS = 1000, 600.0  # of one container; a start costs as much CPU as forty jobs
_EARLY = 0.75  # of its life: then its successor is started


class Source(Protocol):
    """Makes fork servers, and says when one has served long enough."""

    def take(self) -> Server:
        """A server that has run nothing. Raises SandboxUnavailable."""

    def worn(self, server: Server, jobs: int) -> bool:
        """Whether a server should make way, after so many jobs."""

    def close(self) -> None:
        """Stop what was not taken. Idempotent."""


class OnDemand:
    """Starts a server in the caller's thread, with which it ends, and lets it serve for good."""

    def __init__(self, start: Starter) -> None:
        self._start = start

    def take(self) -> Server:
        """A new server."""
        return self._start()

    def worn(self, server: Server, jobs: int) -> bool:
        """Never: nothing of a job outlives it there."""
        return False

    def close(self) -> None:
        """Nothing is kept."""


class Spares:
    """Keeps a successor ready for a server that is about to wear out, so that nobody waits for its start."""

    def __init__(
        self, start: Starter, most_jobs: int = MOST_JOBS, most_seconds: float = MOST_SECONDS
    ) -> None:
        self._start = start
        self._most_jobs, self._most_seconds = most_jobs, most_seconds
        self._spare: Future[Server] | None = None

    def take(self) -> Server:
        """The spare, or a new server."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.exception() is None:
            if not (server := spare.result()).pending(0):
                return server
            server.stop()
        return self._start()  # none, or it died while it waited: what is wrong shows now

    def prepare(self) -> None:
        """Start a spare in the background, unless there is one."""
        if self._spare is None:
            self._spare = Future()
            Thread(target=self._fill, args=(self._spare,), name="spare container", daemon=True).start()

    def _fill(self, spare: Future[Server]) -> None:
        try:
            spare.set_result(self._start())
        except BaseException as error:  # handed to whoever takes it; a thread has nobody to raise to
            spare.set_exception(error)

    def worn(self, server: Server, jobs: int) -> bool:
        """After `most_jobs` or `most_seconds`; somewhat before, its successor is started."""
        seconds = time.monotonic() - server.began
        if jobs >= _EARLY * self._most_jobs or seconds >= _EARLY * self._most_seconds:
            self.prepare()
        return jobs >= self._most_jobs or seconds >= self._most_seconds

    def close(self) -> None:
        """Stop the spare."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.exception() is None:
            spare.result().stop()
