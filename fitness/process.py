"""Evaluator processes as their worker sees them, from start to end, and the one that they are forked from.

Light: the latter is started before all else.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

# What passes: the way to programs, libraries and the Docker daemon, and nothing of the user's keys.
ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR"),
    *("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    "CUDA_VISIBLE_DEVICES",  # a cluster names the cards that are this worker's
)
PID = struct.Struct("i")  # what a channel begins with
LINE_SHOWN = 300  # characters of what it printed last
START_SECONDS = 180.0  # imports, on a machine that is busy; only a hang takes so long


class Zygote:
    """A process that has imported what an evaluator needs, once, and forks one whenever it is asked.

    Starts at once but does not wait. What it forks lives on without it.
    """

    def __init__(self, kind: str = "auto") -> None:
        """For sandboxes of this kind, as `evolve.types.Walls` has it. Raises OSError."""
        self._kind = kind
        self._asking = threading.Lock()
        self._closed = False
        self._begin()

    @property
    def pid(self) -> int:
        """Of the present one."""
        return self._popen.pid

    def fork(self, folder: Path) -> Process:
        """An evaluator process in a problem's folder; a zygote that has died is replaced. Raises OSError."""
        with self._asking:
            for _ in range(2):
                try:
                    return Process(self._control, folder)
                except (ConnectionError, TimeoutError):
                    if self._closed:
                        raise
                    said = self._end()
                    self._begin()
        raise OSError(f"what it is forked from ended at its start: {said}")

    def close(self) -> None:
        """End it, not what it has forked. Idempotent."""
        self._closed = True
        self._end()

    def _end(self) -> str:
        """Its last words; empty where it has ended before."""
        self._control.close()
        self._popen.kill()
        self._popen.wait()
        said = "" if self._log.closed else _last_line(self._log)
        self._log.close()
        return said

    def _begin(self) -> None:
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),  # imports what we would
            "OPENBLAS_NUM_THREADS": "1",  # a thread a core would compete with the programs
            "OMP_NUM_THREADS": "1",
        }
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `_end`)
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-u", "-P", "-m", "fitness.zygote", str(theirs.fileno()), self._kind],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env=environment,
            )


class Process:
    """One life of an evaluator process, its channel, its lifeline (standard input) and its log."""

    def __init__(self, zygote: socket.socket, folder: Path) -> None:
        """Have it forked. Raises ConnectionError where there is no zygote any more, else OSError."""
        self._ending = threading.Lock()
        self.ended, self.code, self.last_words = False, 0, ""
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        self.channel, channel = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        place = -1
        try:
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            descriptors = [lifeline, self._log.fileno(), channel.fileno(), place]
            socket.send_fds(zygote, [b"fork"], descriptors)
            channel.close()
            self.channel.settimeout(START_SECONDS)
            told = self.channel.recv(PID.size)
            if not told:
                raise ConnectionResetError
            self.pid: int = PID.unpack(told)[0]
        except BaseException:
            self._release()
            raise
        finally:
            channel.close()
            for descriptor in (lifeline, place):
                if descriptor >= 0:
                    os.close(descriptor)

    @property
    def dead(self) -> bool:
        """Whether it has ended; asked only while it has nothing to say."""
        with self._ending:
            if self.ended:
                return True
            poll = select.poll()
            poll.register(self.channel, select.POLLIN)
            return bool(poll.poll(0))

    def end(self, grace_seconds: float = 0.0) -> None:
        """Kill it and free what belonged to it; then `code` and `last_words` tell. Idempotent."""
        with self._ending:
            if self.ended:
                return
            with suppress(ProcessLookupError):  # somebody waits for all children of this process
                life = os.pidfd_open(self.pid)
                try:
                    select.select([life], [], [], grace_seconds)
                    signal.pidfd_send_signal(life, signal.SIGKILL)
                finally:
                    os.close(life)
            with suppress(ChildProcessError):  # as above
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.last_words = _last_line(self._log)
            self._release()
            self.ended = True

    def _release(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._log.close()


def _last_line(log: IO[bytes]) -> str:
    """Last line of a log that is not empty, as far as it is shown."""
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line[:LINE_SHOWN] for line in reversed(lines) if line.strip()), "")
