"""What the programs of `hostile.py` import as `tools`: it runs inside the sandbox, beside them."""
# ruff: noqa: F401

import builtins
import ctypes
import errno
import fcntl
import gc
import hashlib
import json
import mmap
import os
import pickle
import random
import re
import resource
import signal
import socket
import struct
import sys
import threading
import time

import numpy as np

libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"
HOME = os.getcwd()
MINE = {"program.py", "tools.py"}
# How walls answer. Anything else (EINVAL, EFAULT, ...) means that the kernel has looked at what was asked.
REFUSED = {
    errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.ENODEV,
    errno.ENXIO, errno.ESRCH, errno.EAFNOSUPPORT, errno.EXDEV,
}  # fmt: skip


def reached(**attempts):
    """Names of the attempts that were not refused."""
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except TimeoutError:
            continue
        except OSError as error:
            if error.errno not in REFUSED:
                found.append(f"{name}: {error}")
        else:
            found.append(name)
    return found


def syscall(x86, arm, *arguments):
    """A system call by its numbers on x86_64 and aarch64."""
    number = arm if ARM else x86
    if number is None:  # this machine never had it
        raise OSError(errno.ENOSYS, "")
    plain = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return checked(libc.syscall(ctypes.c_long(number), *plain))


def checked(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def quietly(attempt, *arguments, **named):
    try:
        return attempt(*arguments, **named)
    except OSError:
        return None


def hidden(case, *roots):
    """The hidden number, if it can be reached from some objects; else the honest answer."""
    waiting, seen = list(roots), set()
    while waiting and len(seen) < 300_000:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if type(thing) is int and thing > 1 << 40:
            if hashlib.sha256(str(thing).encode()).hexdigest() == case["hint"]:
                return thing
        elif isinstance(thing, dict):
            waiting += [*thing, *thing.values()]
        elif isinstance(thing, (list, tuple, set, frozenset)):
            waiting += thing
        elif isinstance(getattr(thing, "__dict__", None), dict):
            waiting.append(vars(thing))
    return sum(case["numbers"])


def send(kind, body=b""):
    """A frame of the job's channel, past the harness."""
    data = struct.pack("!cI", kind, len(body)) + body
    while data:
        data = data[os.write(3, data) :]


def token():
    """Of the present case, from the frames of the harness."""
    frame = sys._getframe()
    while frame:
        if isinstance(frame.f_locals.get("token"), bytes):
            return frame.f_locals["token"]
        frame = frame.f_back
    raise LookupError("no token")


def forge(data):
    """Give these bytes as the answer, and have the harness keep its own to itself."""
    send(b"A", token() + data)
    channel = sys.modules["sandbox.frames"].Channel
    usual = channel.send
    channel.send = lambda *_: setattr(channel, "send", usual)


def npy(header, payload=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + payload


def in_memory(pattern, *anchors):
    """How often a pattern is in this process's memory; what is not mapped is an error of write, no fault."""
    out, into = os.pipe()
    here, found = ctypes.c_long(), 0
    environ = ctypes.c_void_p.in_dll(libc, "environ")
    anchors += (ctypes.addressof(environ), environ.value or 0, ctypes.addressof(here), id(object()), id(sys))
    anchors += (id(bytes(1 << 12)), id(os.environ), id(json))
    for anchor in anchors:
        for step in (1, -1):
            address, pages = anchor & ~4095, 0
            while pages < 2560:
                written = libc.write(into, ctypes.c_void_p(address), 4096)
                if written <= 0:
                    break
                found += len(re.findall(pattern, os.read(out, 4096)))
                address, pages = address + step * 4096, pages + 1
    os.close(out)
    os.close(into)
    return found
