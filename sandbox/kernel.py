"""The few Linux calls that Python has no function for, through ctypes. Used before a program runs."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct

libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)  # the same, without letting other threads run meanwhile

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP = 1, 4, 8, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
CAP_DAC_READ_SEARCH = 2
_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, -1)
_CAPSET_HEADER = struct.pack("<Ii", 0x20080522, 0)  # version 3, this process
_CAPSET_DATA = struct.Struct("<6I")
_CLONE = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine, -1)
_CLONE_PARENT = 0x8000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MNT_DETACH = 2, 4, 8, 2


def check(result: int, what: str) -> int:
    """Turn -1 into OSError that names the call."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, argument: int = 0, other: int = 0) -> int:
    """prctl(2)."""
    return check(libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(other), 0, 0), f"prctl {option}")


def fork() -> int:
    """Like os.fork for processes of one thread, without what libc and Python do at a fork for those of many.

    It leaves Python's generator of random numbers as it is as well.
    """
    return check(_held.syscall(_CLONE, ctypes.c_ulong(signal.SIGCHLD), None, None, None, None), "clone")


def fork_sibling() -> int:
    """Like os.fork, but the new process becomes a child of this one's parent, which alone can wait for it.

    For processes of one thread: what libc does for locks that other threads hold is left out.
    """
    _held.PyOS_BeforeFork()
    pid: int = _held.syscall(_CLONE, ctypes.c_ulong(_CLONE_PARENT | signal.SIGCHLD), None, None, None, None)
    if pid == 0:
        _held.PyOS_AfterFork_Child()
    else:
        _held.PyOS_AfterFork_Parent()
    return check(pid, "clone")


def drop_capabilities(keep: frozenset[int] = frozenset()) -> None:
    """Give up every capability but `keep`: for good, where nothing can be executed any more."""
    libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(4), 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    mask = sum(1 << capability for capability in keep)
    check(libc.syscall(_CAPSET, _CAPSET_HEADER, _CAPSET_DATA.pack(mask, mask, 0, 0, 0, 0)), "capset")


def mount_tmpfs(path: str, uid: int, size_bytes: int, files: int, execute: bool = False) -> None:
    """Mount an empty directory of one user, bounded in bytes and files; what it holds runs if `execute`."""
    options = f"size={size_bytes},nr_inodes={files},mode=0700,uid={uid},gid={uid}"
    flags = _MS_NOSUID | _MS_NODEV | (0 if execute else _MS_NOEXEC)
    result = libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", ctypes.c_ulong(flags), options.encode())
    check(result, f"mount {path}")


def unmount(path: str) -> None:
    """Take a mount away with all that is in it; nobody may be using it."""
    check(libc.umount2(os.fsencode(path), _MNT_DETACH), f"umount {path}")


def address_space_bytes() -> int:
    """Address space in use, found without /proc: the least RLIMIT_AS that lets one more page in."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 1 << 47
    try:
        while high - low > mmap.PAGESIZE:
            middle = (low + high) // 2
            resource.setrlimit(resource.RLIMIT_AS, (middle, before[1]))
            try:
                mmap.mmap(-1, mmap.PAGESIZE).close()
                high = middle
            except OSError:
                low = middle
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return high
