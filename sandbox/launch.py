"""Starting a fork server and holding its control socket. Levels differ by how they start and end it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evolve.types import Json, Limits, SandboxUnavailable
from sandbox import visible
from sandbox.forkserver import Settings
from sandbox.turns import Turns

START_SECONDS = 120.0  # of a machine under load, where 30 were met; usually .2
_REPORT_SECONDS = 60.0
_STALE_SECONDS = 60.0

Starter = Callable[[], "Server"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a sandbox is to hold, whatever its level."""

    packages: tuple[str, ...] = ()  # modules to load beside numpy: scipy, scipy.optimize
    memory_bytes: int = Limits().memory_bytes  # of a program: where a level bounds all processes together
    core: int | None = None  # that programs stay on, where this process's own affinity does not reach
    image: str | None = None  # of a container; None: the project's own
    runtime: str | None = None  # of the Docker daemon: runsc, ...; None: its default
    transport: str | None = None  # into a container: socket or stdio; None: a socket where that crosses
    processes: bool = False  # programs may start processes
    native: bool = False  # programs are files to execute, built inside perhaps
    files: bool = False  # programs write files in their own directory, at every level
    commands: tuple[str, ...] = ()  # of the system, that a native program is built or run with
    settled: bool = False  # the server is ready for many jobs before the first; its start takes longer
    turns: Turns | None = None  # to begin jobs in; None: nobody else is there


class Life(Protocol):
    """What holds a fork server: a process, a container."""

    def last_words(self) -> str:
        """Last line that it said, for people; empty: none."""

    def end(self) -> None:
        """Let it leave by itself, as it does once its control socket is closed, else kill it. Idempotent."""


# The kernel's out-of-memory killer takes the sandbox first, never the driver.
_FIRST_TO_GO = ("/bin/sh", "-c", 'echo 1000 >/proc/self/oom_score_adj; exec "$@"', "sh")


class Scratch:
    """A folder for one server outside namespaces; those of drivers that were killed are removed."""

    def __init__(self, mode: int = 0o711, execute: bool = False) -> None:
        # in memory where the machine has that
        parent = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
        if execute and os.statvfs(parent).f_flag & os.ST_NOEXEC:
            parent = Path(tempfile.gettempdir())
        for old in parent.glob("evolve-sandbox-*"):
            with contextlib.suppress(OSError):  # another user's, or just gone
                if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                    os.close(_locked(old))
                    shutil.rmtree(old)
        self.path = Path(tempfile.mkdtemp(prefix="evolve-sandbox-", dir=parent))
        self.path.chmod(mode)
        self._lock = _locked(self.path)  # held as long as this process lives

    def remove(self) -> None:
        """Remove it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(folder: Path) -> int:
    """Open and lock a folder. Raises OSError where a living process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Server:
    """A running fork server: its control socket, and what holds it."""

    def __init__(self, control: socket.socket, life: Life) -> None:
        """Wait until it is ready. Raises SandboxUnavailable with the last words of what did not start."""
        self.control = control
        self.began = time.monotonic()
        self._life = life
        try:
            self.facts: dict[str, Json] = json.loads(self.receive(START_SECONDS))
        except BaseException:
            self.stop()
            raise

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and descriptors with it. Raises SandboxUnavailable where the server is dead."""
        try:
            socket.send_fds(self.control, [message], descriptors)
        except OSError as error:
            raise SandboxUnavailable(self._died()) from error

    def pending(self, seconds: float) -> bool:
        """Whether a message (or the server's death) is there, or comes within `seconds`."""
        return bool(select.select([self.control], [], [], seconds)[0])

    def receive(self, seconds: float = _REPORT_SECONDS) -> bytes:
        """Next message. Raises SandboxUnavailable where the server is dead or silent."""
        self.control.settimeout(seconds)
        try:
            message = self.control.recv(4096)
        except TimeoutError:
            raise SandboxUnavailable(f"the fork server said nothing for {seconds:g} s") from None
        except ConnectionResetError:
            message = b""
        if not message:
            raise SandboxUnavailable(self._died())
        return message

    def _died(self) -> str:
        return f"the fork server died: {self._life.last_words() or 'without a word'}"

    def stop(self) -> None:
        """End it and everything below it. Idempotent."""
        self.control.close()
        self._life.end()


class _Process:
    """A fork server's process, its scratch folder and the file that holds its words."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        scratch: Scratch | None,
    ) -> None:
        self._scratch = scratch
        self._popen: subprocess.Popen[bytes] | None = None
        self._words = os.memfd_create("words")
        try:
            self._popen = subprocess.Popen(
                [*_FIRST_TO_GO, *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                pass_fds=descriptors,
                start_new_session=True,  # the terminal's Ctrl-C is for the driver
            )
        except OSError:
            self.end()
            raise

    def last_words(self) -> str:
        return last_line(self._words)

    def end(self) -> None:
        if self._words < 0:
            return
        if self._popen is not None:
            try:
                self._popen.wait(2)  # it sees the closed socket, kills what is left and wipes
            except subprocess.TimeoutExpired:
                os.killpg(self._popen.pid, signal.SIGKILL)
                self._popen.wait()
        os.close(self._words)
        self._words = -1
        if self._scratch:
            self._scratch.remove()


def last_line(descriptor: int) -> str:
    """Last line of a file that is not empty."""
    size = os.fstat(descriptor).st_size
    lines = os.pread(descriptor, 2000, max(0, size - 2000)).decode("utf-8", "replace").split("\n")
    return " ".join([line for line in lines if line.strip()][-1:])


def start_process(
    command: Callable[[int], Sequence[str]],
    environment: Mapping[str, str],
    descriptors: Sequence[int] = (),
    started: Callable[[], None] = lambda: None,
    scratch: Scratch | None = None,
) -> Server:
    """Run `command(control descriptor)` and wait until it is ready; `started` is called between.

    Raises SandboxUnavailable with the last words of what did not start.
    """
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            process = _Process(
                command(theirs.fileno()), environment, (theirs.fileno(), *descriptors), scratch
            )
        try:
            started()
        except BaseException:
            control.close()
            process.end()
            raise
    except OSError as error:
        control.close()
        raise SandboxUnavailable(str(error)) from error
    return Server(control, process)


def python(settings: Settings, executable: str) -> list[str]:
    """Command of a fork server. No site, no user's packages, no current directory on the path."""
    return [executable, "-s", "-S", "-P", "-B", "-m", "sandbox.forkserver", json.dumps(settings._asdict())]


def users() -> tuple[int, int]:
    """First and count of the users that are this process's jobs' alone; the one after them is nobody's.

    No two living processes of a machine have one PID, so no job can meet another worker's: neither in a kill
    of all that a user has, nor in the limit on a user's processes.
    """
    return (1 << 20) + 512 * os.getpid(), 511


def start_bare(setup: Setup, walls: bool) -> Server:
    """A fork server outside any namespace: level `landlock` with walls, `none` without.

    Raises SandboxUnavailable where programs need processes, and nothing could kill them all in the end.
    """
    root = os.geteuid() == 0
    if walls and setup.processes and not setup.native:
        raise SandboxUnavailable("it has no /dev/shm for programs of several processes, other levels have")
    if walls and setup.native and not root:
        raise SandboxUnavailable(
            "only root can give programs that start processes a user, other levels need none"
        )
    visible.require_commands(setup.commands)
    entries = visible.package_entries(setup.packages)
    scratch = Scratch(execute=setup.native)
    jobs = str(scratch.path)
    site = scratch.path / "packages"
    visible.link_into(site, entries)
    read = [*visible.SHARED_LIBRARIES, *visible.DEVICES, *entries, *visible.library_entries(), jobs]
    tools = (*visible.TOOLS, jobs) if setup.native else ()

    def command(control: int) -> list[str]:
        settings = Settings(
            control=control,
            jobs=jobs,
            packages=("numpy", *setup.packages),
            uids=users() if root and walls else None,
            mount=False,
            walls=walls,
            landlock=walls,
            read=tuple(map(str, read)),
            write=("/dev/null",),
            names=(str(visible.LIBRARY),),
            search=root and visible.only_root_may_enter([*entries, visible.LIBRARY]),
            threads=64 if root and walls else None,
            processes=setup.processes or setup.native,
            native=setup.native,
            execute=tools,
            build_write=(jobs,) if setup.native else (),
            files=setup.files,
            settled=setup.settled,
        )
        return python(settings, str(visible.EXECUTABLE))

    environment = {**visible.ENVIRONMENT, "PYTHONPATH": f"{Path(__file__).parents[1]}:{site}"}
    return start_process(command, environment, scratch=scratch)
