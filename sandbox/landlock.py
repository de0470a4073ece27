"""Landlock: this process may open these files and no others, whoever it is. Linux 5.13, no privilege.

What each kernel knows is used, and nothing is claimed that it does not know: `ABI` 1 files, 2 moves between
directories, 3 truncation, 4 TCP, 5 device ioctls, 6 signals and abstract sockets. What is missing before, the
seccomp filter denies as well. Source: kernel documentation, userspace-api/landlock.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable

from sandbox import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every machine
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL  # the rights that a rule on a single file may name


def abi() -> int:
    """Version of Landlock that this kernel speaks; 0: none."""
    return max(0, int(kernel.libc.syscall(_CREATE, None, 0, 1)))


def _rights(version: int) -> int:
    """Every access to files that this version can deny."""
    return (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1


def _top() -> list[str]:
    return [f"/{name}" for name in os.listdir("/") if name not in ("proc", "sys")]


class Ruleset:
    """Paths that stay open to whoever enters: made once, entered by every job. OSError without Landlock."""

    def __init__(
        self,
        read: Iterable[str],
        write: Iterable[str] = (),
        names: Iterable[str] = (),
        execute: Iterable[str] = (),
    ) -> None:
        """`read`, `write`, `execute` with all below; below `names` what directories hold, but no content.

        `/` is all there is but the kernel's own files: they tell of the machine, and of other containers.
        """
        self.abi = abi()
        if not self.abi:
            raise OSError(errno.ENOSYS, "this kernel has no Landlock, or it is not enabled")
        every = _rights(self.abi)
        tcp, scopes = 3, 3  # bind and connect; abstract sockets and signals
        attributes = struct.pack("<QQQ", every, tcp, scopes)
        known = 8 if self.abi < 4 else 16 if self.abi < 6 else 24
        self.fd = kernel.check(kernel.libc.syscall(_CREATE, attributes[:known], known, 0), "landlock")
        for path in read:
            for each in _top() if path == "/" else [path]:
                self._allow(each, _READ | _LIST)
        for path in names:
            self._allow(path, _LIST)
        for path in execute:
            for each in _top() if path == "/" else [path]:
                self._allow(each, _READ | _LIST | _EXECUTE)
        for path in write:
            self.allow_writes(path)

    def allow_writes(self, path: str) -> None:
        """Let whoever enters from now on write a path, and all below it while it is there."""
        self._allow(path, _rights(self.abi) & ~_EXECUTE & ~_IOCTL)

    def _allow(self, path: str, rights: int) -> None:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # what is not there needs no rule
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _FILES
            rule = struct.pack("<Qi", rights, fd)
            kernel.check(kernel.libc.syscall(_ADD, self.fd, 1, rule, 0), f"landlock {path}")
        finally:
            os.close(fd)

    def enter(self) -> None:
        """Restrict this thread and what it starts, for good; before any other thread exists."""
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.check(kernel.libc.syscall(_RESTRICT, self.fd, 0), "landlock")
        os.close(self.fd)
