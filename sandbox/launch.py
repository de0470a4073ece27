"""Starting a fork server and holding its control socket. Levels differ by their commands alone."""

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
from pathlib import Path

from evolve.types import SandboxUnavailable
from sandbox import visible
from sandbox.forkserver import Settings

_START_SECONDS = 30.0  # of a machine under load; usually .2
_REPORT_SECONDS = 30.0
_STALE_SECONDS = 60.0

Starter = Callable[[], "Server"]
# The kernel's out-of-memory killer takes the sandbox first, never the driver.
_FIRST_TO_GO = ("/bin/sh", "-c", 'echo 1000 >/proc/self/oom_score_adj; exec "$@"', "sh")


class Scratch:
    """A folder for one server's jobs outside namespaces; those of drivers that were killed are removed."""

    def __init__(self) -> None:
        # in memory where the machine has that
        parent = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
        for old in parent.glob("evolve-sandbox-*"):
            with contextlib.suppress(OSError):  # another user's, or just gone
                if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                    os.close(_locked(old))
                    shutil.rmtree(old)
        self.path = Path(tempfile.mkdtemp(prefix="evolve-sandbox-", dir=parent))
        self.path.chmod(0o711)
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
    """A running fork server."""

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        started: Callable[[], None] = lambda: None,
        scratch: Scratch | None = None,
    ) -> None:
        """Run `command(control descriptor)` and wait until it is ready; `started` is called between.

        Raises SandboxUnavailable with the last words of what did not start.
        """
        self._scratch = scratch
        self._words = os.memfd_create("words")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*_FIRST_TO_GO, *command(theirs.fileno())],
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._words,
                    pass_fds=(theirs.fileno(), *descriptors),
                    start_new_session=True,  # the terminal's Ctrl-C is for the driver
                )
            try:
                started()
                self.facts = json.loads(self.receive(_START_SECONDS))
            except BaseException:
                self.stop()
                raise
        except OSError as error:
            self.stop()
            raise SandboxUnavailable(str(error)) from error

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and descriptors with it. Raises SandboxUnavailable where the server is dead."""
        try:
            socket.send_fds(self.control, [message], descriptors)
        except OSError as error:
            raise SandboxUnavailable(f"the fork server died: {self._last_words()}") from error

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
            raise SandboxUnavailable(f"the fork server died: {self._last_words()}")
        return message

    def _last_words(self) -> str:
        size = os.fstat(self._words).st_size
        lines = os.pread(self._words, 2000, max(0, size - 2000)).decode("utf-8", "replace").split("\n")
        return " ".join([line for line in lines if line.strip()][-1:]) or "without a word"

    def stop(self) -> None:
        """End it and everything below it. Idempotent."""
        self.control.close()
        if self._words < 0:
            return
        process = getattr(self, "_process", None)
        if process is not None:
            try:
                process.wait(2)  # it sees the closed socket, kills what is left and wipes
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        os.close(self._words)
        self._words = -1
        if self._scratch:
            self._scratch.remove()


def python(settings: Settings, executable: str) -> list[str]:
    """Command of a fork server. No site, no user's packages, no current directory on the path."""
    return [executable, "-s", "-S", "-P", "-B", "-m", "sandbox.forkserver", json.dumps(settings._asdict())]


def start_bare(packages: Sequence[str], walls: bool) -> Server:
    """A fork server outside any namespace: level `landlock` with walls, `none` without."""
    entries = visible.package_entries(packages)
    scratch = Scratch()
    jobs = str(scratch.path)
    site = scratch.path / "packages"
    visible.link_into(site, entries)
    read = [*visible.SHARED_LIBRARIES, *visible.DEVICES, *entries, *visible.library_entries(), jobs]
    root = os.geteuid() == 0

    def command(control: int) -> list[str]:
        settings = Settings(
            control=control,
            jobs=jobs,
            packages=("numpy", *packages),
            uids=(200_000 + os.getpid() % 1000 * 4096, 4096) if root and walls else None,
            mount=False,
            walls=walls,
            landlock=walls,
            read=tuple(map(str, read)),
            write=("/dev/null",),
            names=(str(visible.LIBRARY),),
            search=root and visible.only_root_may_enter([*entries, visible.LIBRARY]),
            threads=64 if root and walls else None,
        )
        return python(settings, str(visible.EXECUTABLE))

    environment = {**visible.ENVIRONMENT, "PYTHONPATH": f"{Path(__file__).parents[1]}:{site}"}
    return Server(command, environment, scratch=scratch)
