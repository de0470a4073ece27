"""The fork server: runs inside the walls, forks one child a job, and cares for its life and nothing else.

    PYTHONPATH=<this code>:<packages> python -m sandbox.forkserver '{"control": 3, ...}'     # see Settings

Over the control socket (SOCK_SEQPACKET) it takes a deadline and two descriptors for each job, the child's end
of the job's channel and its stderr, and never a byte of the job itself: so the memory that the next job
inherits holds nothing of this one. `end` (or the deadline, or the client's death) kills whatever is left;
then everything is reaped, the job's directory wiped, and one report sent.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import faulthandler
import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.random  # preloaded for every program

from sandbox import frames, heap, kernel, landlock, runner, seccomp

REPORT = struct.Struct("!i??dQ")
START = struct.Struct("!d")  # seconds until the server itself ends the job
END = b"end"

_FILE_BYTES = 16 << 20  # one file, stderr included
_DISK_BYTES, _DISK_FILES = 64 << 20, 4096  # a job's directory, where it is a mount of its own
_SHARED_MEMORY, _SHARED_BYTES, _SHARED_FILES = "/dev/shm", 1 << 20, 256
_DESCRIPTORS, _THREADS = 64, 64
_QUICK_SECONDS = (
    0.1  # a job that takes longer is not made much cheaper by a server that is made ready for many
)
_FEW = 8  # quick jobs that it may run before, as that takes longer than some
CHANNEL = 3  # descriptor of the control socket here, of the job's channel in the child


class Report(NamedTuple):
    """What became of a job, as the server saw it from outside; REPORT packs it."""

    status: int  # wait status of its first process
    by_itself: bool  # it died before it was killed
    clean: bool  # nothing of it is left
    cpu_seconds: float  # of that process and what it waited for
    memory_bytes: int  # its peak resident memory, the interpreter's own included


class Settings(NamedTuple):
    """How this server was started. Every wall is a field, so that each level names the walls that it has."""

    control: int | str  # descriptor of the control socket, or the path where the client listens
    jobs: str  # directory of the jobs' directories
    packages: tuple[str, ...]  # modules to preload
    uids: tuple[int, int] | None  # first and count of the jobs' users, in turn; None: the server's
    mount: bool  # each job gets a tmpfs of its own
    walls: bool  # Landlock (where the kernel has it) and seccomp
    landlock: bool  # without Landlock there is no start
    read: tuple[str, ...]  # what Landlock leaves readable
    write: tuple[str, ...]  # and writable
    names: tuple[str, ...]  # and of what directories it leaves the names: imports look through them
    search: bool  # jobs may enter directories that only root may: where the interpreter lives in such a one
    threads: int | None = _THREADS  # of all processes of the job's user; None: unlimited
    words: str | None = None  # file for what the server has to say; None: its stderr as it is
    shared: tuple[str, ...] = ()  # folders that any job may write to: wiped as its user, and looked through
    processes: bool = False  # jobs may start processes: the profile `compat`
    native: bool = False  # jobs run files of their own directory
    execute: tuple[str, ...] = ()  # what Landlock lets them run
    build_write: tuple[str, ...] = ()  # what is writable to builds alone
    files: bool = False  # jobs may write files in their own directory, where Landlock would forbid it
    settled: bool = False  # made ready for many jobs before the first


def main(text: str) -> None:
    """Serve jobs until the client goes away; `text`: the settings as JSON."""
    settings = Settings(**json.loads(text))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if settings.words is not None:
        os.dup2(os.open(settings.words, os.O_WRONLY | os.O_APPEND), 2)
    if isinstance(settings.control, str):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.connect(settings.control)
        os.dup2(control.detach(), CHANNEL)
    elif settings.control != CHANNEL:  # where the job's channel will take its place in the child
        os.dup2(settings.control, CHANNEL)
    os.closerange(CHANNEL + 1, 1 << 16)  # whatever else was inherited
    control = socket.socket(fileno=CHANNEL)

    def leave(*_: object) -> None:
        """End at the next look at the control socket: an exception now could come in the middle of wiping."""
        with contextlib.suppress(OSError):  # the client is gone, which says the same
            control.shutdown(socket.SHUT_RDWR)

    signal.signal(signal.SIGTERM, leave)
    if os.getpid() != 1:  # elsewhere the namespace's end does this
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if "PYTHONPATH" in os.environ:  # else the code came by itself, and the packages are where Python looks
        ours, packages = os.environ["PYTHONPATH"].split(":")
        sys.path[:] = [*(entry for entry in sys.path if entry not in (ours, packages)), packages]
    for name in settings.packages:
        importlib.import_module(name)
    os.environ.clear()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    try:
        Server(settings, control).serve()
    finally:
        if not settings.mount and not settings.shared:
            shutil.rmtree(settings.jobs, ignore_errors=True)


class Server:
    """The loop over jobs: one at a time."""

    def __init__(self, settings: Settings, control: socket.socket) -> None:
        self._settings = settings
        self._control = control
        self._rulesets: list[landlock.Ruleset] = []  # of programs, and of builds where theirs is another
        if settings.walls and (settings.landlock or landlock.abi()):
            writes = [settings.write]
            if settings.build_write:
                writes.append((*settings.write, *settings.build_write))
            self._rulesets = [
                landlock.Ruleset(settings.read, write, settings.names, settings.execute) for write in writes
            ]
        # what lives of System V's in this namespace, where it outlives a job
        kinds = ("shm", "sem", "msg") if settings.shared else ()
        self._ipc = [os.open(f"/proc/sysvipc/{kind}", os.O_RDONLY) for kind in kinds]
        self._home = os.path.join(settings.jobs, "job")
        self._number = 0
        self._quick = 0  # jobs so far
        os.environ.update(HOME=self._home, TMPDIR=self._home, PATH="/usr/bin:/bin", LANG="C.UTF-8")
        sys.argv = ["program"]
        faulthandler.enable(2)
        if settings.walls:
            seccomp.install(seccomp.common(compat=settings.processes))
            seccomp.last(os.getpid(), compat=settings.processes)  # most of it is kept for the jobs
        # what a job has from its birth: this server itself needs no more of it
        _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
        _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
        _limit(resource.RLIMIT_CORE, 0)
        if settings.settled:
            heap.settle()
            self._quick = _FEW
        self._baseline = kernel.address_space_bytes()

    def serve(self) -> None:
        """Say that it is ready, then run jobs until the client is gone."""
        gc.collect()
        gc.freeze()
        facts = {
            "landlock": self._rulesets[0].abi if self._rulesets else 0,
            "seccomp": self._settings.walls,
            "python": "{}.{}.{}".format(*sys.version_info),
            "numpy": np.__version__,
        }
        self._control.send(json.dumps(facts).encode())
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, 64, 2)
            if not message:
                return
            if len(descriptors) == 2:
                began = time.monotonic()
                report = self._run(START.unpack(message)[0], *descriptors)
                if time.monotonic() - began < _QUICK_SECONDS:
                    self._quick += 1
                    if self._quick == _FEW:
                        heap.settle()  # before the report: it must not take of the next job's time
                self._control.send(report)
            # else an `end` that crossed the report of a child that had died by itself

    def _run(self, seconds: float, channel: int, stderr: int) -> bytes:
        uid = os.getuid()
        if self._settings.uids is not None:
            first, count = self._settings.uids
            uid = first + self._number % count
        self._number += 1
        self._prepare(uid)
        pid = kernel.fork()
        if pid == 0:
            try:
                self._child(uid, channel, stderr)
            except frames.Gone:
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        os.close(channel)
        os.close(stderr)
        by_itself = self._watch(pid, time.monotonic() + seconds)
        if self._settings.processes and self._settings.uids is not None and os.getpid() != 1:
            self._kill_user(uid)
        status, usage = _kill(pid)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return REPORT.pack(*Report(status, by_itself, self._wipe(uid), cpu_seconds, usage.ru_maxrss << 10))

    def _watch(self, pid: int, deadline: float) -> bool:
        """Wait for the child's death (true), or for the client's word, its death, or the deadline."""
        life = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(life, select.POLLIN)
            poll.register(self._control, select.POLLIN)
            ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            return life in ready
        finally:
            os.close(life)

    def _kill_user(self, uid: int) -> None:
        """Kill every process of a job's user at once, so that none can be born meanwhile.

        By a process that may signal that user and that this user may not: its real and saved user is another.
        """
        assert self._settings.uids is not None
        nobody = sum(self._settings.uids)
        pid = os.fork()
        if pid == 0:
            try:
                os.setresuid(nobody, uid, nobody)
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    def _prepare(self, uid: int) -> None:
        if self._settings.mount:
            kernel.mount_tmpfs(self._home, uid, _DISK_BYTES, _DISK_FILES, self._settings.native)
            if self._settings.processes:
                kernel.mount_tmpfs(_SHARED_MEMORY, uid, _SHARED_BYTES, _SHARED_FILES)
        elif self._settings.shared:
            with _as_user(uid):
                os.mkdir(self._home, 0o700)
        else:
            os.mkdir(self._home, 0o700)
            if uid != os.getuid():
                os.chown(self._home, uid, uid)

    def _wipe(self, uid: int) -> bool:
        """Remove what the job left; false where that failed. Nobody is alive who could interfere."""
        try:
            if self._settings.mount:
                kernel.unmount(self._home)
                if self._settings.processes:
                    kernel.unmount(_SHARED_MEMORY)
                return True
            if not self._settings.shared:
                _remove(self._home)
                return True
            with _as_user(uid):
                for path in _entries(self._settings.shared):
                    _remove(path)
        except OSError as error:
            print(f"wiping failed: {error}", file=sys.stderr)
            return False
        return not _entries(self._settings.shared) and not _more_than_names(self._ipc)

    def _child(self, uid: int, channel: int, stderr: int) -> None:
        """From here on only this job's: give everything up, then let the runner read the job."""
        settings = self._settings
        os.setsid()
        os.dup2(stderr, 2)
        os.dup2(channel, CHANNEL, inheritable=False)
        kept = [CHANNEL, *(ruleset.fd for ruleset in self._rulesets)]
        for low, high in zip(kept, [*kept[1:], 1 << 16], strict=True):
            os.closerange(low + 1, high)
        _signal.signal(signal.SIGTERM, _signal.SIG_DFL)  # what `signal.signal` wraps in enumerations
        if settings.shared:  # else the server goes first as well: it was started so
            score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
            os.write(score, b"1000")
            os.close(score)
        if settings.threads is not None:
            _limit(resource.RLIMIT_NPROC, settings.threads)
        if settings.uids is not None:
            if settings.search:
                kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        os.chdir(self._home)
        if settings.walls:
            kernel.drop_capabilities(frozenset({kernel.CAP_DAC_READ_SEARCH} if settings.search else ()))
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        runner.serve(frames.Channel(self._control), self._confine)  # the descriptor is the job's channel now

    def _confine(self, order: runner.Order) -> None:
        """The last walls: the child has written the program's files, the program has not run yet."""
        _limit(resource.RLIMIT_AS, self._baseline + order.memory_bytes)
        cpu = int(order.seconds * (order.cases + 1)) + 2  # a backup: the client's clock decides
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        if self._rulesets:
            if self._settings.files:
                self._rulesets[0].allow_writes(self._home)  # as long as this job has it
            self._rulesets[-1 if order.built_bytes else 0].enter()
        if self._settings.walls:
            compat = self._settings.processes
            seccomp.install(seccomp.last(os.getppid() if compat else os.getpid(), compat=compat))


@contextlib.contextmanager
def _as_user(uid: int) -> Iterator[None]:
    """Act on files as the job's user, whose they are, where root has no power over them."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _entries(folders: Sequence[str]) -> list[str]:
    """Paths of what is in some folders; those that are not there hold nothing."""
    return [entry.path for folder in folders if os.path.isdir(folder) for entry in os.scandir(folder)]


def _remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it, whatever its mode.

    Folders come up to the top before they are looked into: however deep they were, no path is too long.
    """
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
        return
    name, moved, waiting = os.urandom(8).hex(), list[str](), [path]
    os.chmod(path, 0o700)
    while waiting:
        for entry in list(os.scandir(waiting.pop())):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                moved.append(f"{path}/{name}{len(moved)}")
                os.rename(entry.path, moved[-1])
                waiting.append(moved[-1])
            else:
                os.unlink(entry.path)
    for folder in (*moved, path):
        os.rmdir(folder)


def _more_than_names(files: Sequence[int]) -> bool:
    """Whether a list of the kernel's, an open file, has more than the line of names that it begins with."""
    return any(os.pread(file, 4096, 0).count(b"\n") > 1 for file in files)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _kill(pid: int) -> tuple[int, resource.struct_rusage]:
    """Kill and reap everything that lives below this server; status and use of the job's first process."""
    found: tuple[int, resource.struct_rusage] | None = None
    while True:
        _signal_everyone(pid if found is None else None)
        try:
            child, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        if child == pid:
            found = status, usage
    if found is None:
        raise ChildProcessError(f"the job's process {pid} vanished")
    return found


def _signal_everyone(pid: int | None) -> None:
    if os.getpid() == 1:
        everyone = [-1]
    else:  # orphans come to this process, the subreaper, so its children are all there is in the end
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            everyone = [int(child) for child in file.read().split()]
        if pid is not None:
            everyone.append(-pid)
    for target in everyone:
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main(sys.argv[1])
