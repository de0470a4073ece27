"""The evaluator process of a worker, from its start to its end. Light: it is started before all else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

# What passes: the way to programs, libraries and the Docker daemon, and nothing of the user's keys.
ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR"),
    *("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    "CUDA_VISIBLE_DEVICES",  # a cluster names the cards that are this worker's
)
LINE_SHOWN = 300  # characters of what it printed last


class Process:
    """One life of an evaluator process, its channel, its lifeline (standard input) and its log."""

    def __init__(self, folder: Path | None = None) -> None:
        """In a problem's folder, where it is known already. Raises OSError."""
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        self.channel, theirs = socket.socketpair()
        self._ending = threading.Lock()
        self.ended, self.code, self.last_words = False, 0, ""
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),  # imports what we would
            "OPENBLAS_NUM_THREADS": "1",  # a thread a core would compete with the programs
            "OMP_NUM_THREADS": "1",
        }
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-u", "-P", "-m", "fitness.evaluator", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=folder,
            )
        except OSError:
            self.channel.close()
            self._log.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Of the evaluator."""
        return self._popen.pid

    def end(self, grace_seconds: float = 0.0) -> None:
        """Kill it and free what belonged to it; then `code` and `last_words` tell. Idempotent."""
        with self._ending:
            if self.ended:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace_seconds)
            self._popen.kill()
            self.code = self._popen.wait()
            assert self._popen.stdin is not None
            self._popen.stdin.close()
            self.channel.close()
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").split("\n")
            self.last_words = next((line[:LINE_SHOWN] for line in reversed(lines) if line.strip()), "")
            self._log.close()
            self.ended = True


class Ahead:
    """Evaluator processes that import what they need while whoever will use them is still importing."""

    def __init__(self, count: int) -> None:
        """Start so many."""
        self._idle = [Process() for _ in range(count)]

    def take(self, folder: Path) -> Process:
        """One of them, or a new one when they are used up. Raises OSError."""
        try:
            return self._idle.pop()
        except IndexError:
            return Process(folder)

    def close(self) -> None:
        """End those that nobody has taken. Idempotent."""
        while self._idle:
            self._idle.pop().end()
