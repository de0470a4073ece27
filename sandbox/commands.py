"""The child's side of a job in any language: build the files of a program, or become its command.

The files lie in the current directory, the walls stand. After LOADED the channel of a program, not of a
build, is no stream of frames any more: it is the command's stdout.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from sandbox import frames

MISSING = "missing"  # kind of failure: the system has no such command; said before the program has run
_MOST_FILES = 1000
_CANNOT_RUN = 127  # as a shell says it

Fail = Callable[[str, str], None]  # (kind, message)


def read_from(data: bytes) -> None:
    """Make these bytes stdin: a file without a name, so that nobody waits for who does not read it."""
    name = os.urandom(8).hex()
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.unlink(name)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.dup2(descriptor, 0)
    finally:
        os.close(descriptor)


def run(channel: frames.Channel, command: Sequence[str], memory_bytes: int, fail: Fail) -> None:
    """Become the command; returns only where the system has none of that name."""
    if found := _found(command[0], fail):
        channel.send(frames.LOADED)  # from here on the clock runs
        os.dup2(channel.fileno(), 1)
        _become(found, command, memory_bytes)


def build(
    channel: frames.Channel,
    command: Sequence[str],
    files: Mapping[str, bytes],
    memory_bytes: int,
    most_bytes: int,
    fail: Fail,
) -> None:
    """Run the command here, and send what it made of the files: new ones and changed ones."""
    if not (found := _found(command[0], fail)):
        return
    channel.send(frames.LOADED)
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)
        _become(found, command, memory_bytes)
    _, status = os.waitpid(pid, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        fail("build", f"{command[0]} ended with code {code}" if code > 0 else signal.Signals(-code).name)
        return
    made = _made(files, most_bytes)
    if made is None:
        fail("build", f"it made more than {most_bytes} bytes, or {_MOST_FILES} files")
    else:
        channel.send(frames.BUILT, pack(made))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Body of a BUILT frame."""
    text = json.dumps([[name, len(content)] for name, content in files.items()]).encode()
    return b"".join([struct.pack("!I", len(text)), text, *files.values()])


def _found(name: str, fail: Fail) -> str | None:
    """Path of a command: of the program, with a slash in it, as it is; else of the system, by PATH."""
    if "/" in name:
        return name
    for folder in os.environ["PATH"].split(":"):
        if os.access(path := f"{folder}/{name}", os.X_OK):
            return path
    fail(MISSING, name)
    return None


def _become(path: str, command: Sequence[str], memory_bytes: int) -> NoReturn:
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # else they would stay ignored
            signal.signal(number, signal.SIG_DFL)
        arguments, environment = list(command), dict(os.environ)
        # without the room that this interpreter takes, which goes with it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        os.execve(path, arguments, environment)
    except OSError as error:
        os.write(2, f"{path}: {os.strerror(error.errno or 0)}\n".encode())
    finally:
        os._exit(_CANNOT_RUN)


def _made(files: Mapping[str, bytes], most_bytes: int) -> dict[str, bytes] | None:
    """Regular files that are new or changed; None where they are too many. What made them may still live."""
    found: dict[str, bytes] = {}
    for folder, _, names in os.walk("."):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ".")
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue  # a link, or not for us: not a part of what was built
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    continue
                content = file.read(most_bytes + 1)
            if files.get(path) != content:
                found[path] = content
                most_bytes -= len(content)
            if most_bytes < 0 or len(found) > _MOST_FILES:
                return None
    return found
