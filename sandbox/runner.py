"""The child's side of one job: take the program, go behind the walls, run it case by case.

This code shares its process with the program and is therefore believed by nobody: it makes results
readable, the walls and the client make them safe.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import struct
import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sandbox import commands, frames, values

_TEXT = 600  # characters of an exception's message

_seed_random, _seed_numpy = random.seed, np.random.seed  # held here: the program may replace them


class Order(NamedTuple):
    """A job as its child reads it."""

    entry: str
    seconds: float  # wall clock, a case
    cases: int
    memory_bytes: int
    output_bytes: int
    calls: int
    harness: bytes | None
    files: dict[str, bytes]
    command: tuple[str, ...] = ()  # instead of an entry
    stdin: bytes = b""  # of the command
    built_bytes: int = 0  # the command is a build that may leave so much; 0: it is the program


_NUMBERS = struct.Struct("!dIQQIQ")  # seconds to calls, built_bytes
_BLOB = struct.Struct("!I")  # what a blob's length stands in, before it


def pack(order: Order) -> bytes:
    """Body of a JOB frame: numbers, then blobs."""
    blobs = [order.entry.encode(), b"" if order.harness is None else b"h" + order.harness]
    blobs += ["\0".join(order.command).encode(), order.stdin]
    for name, content in order.files.items():
        blobs += [name.encode("utf-8", "surrogatepass"), content]  # any name there is: the child refuses it
    numbers = _NUMBERS.pack(*order[1:6], order.built_bytes)
    return numbers + b"".join([_BLOB.pack(len(blob)) + blob for blob in blobs])


def unpack(body: bytes) -> Order:
    """The order back from its frame, which comes from the trusted client."""
    blobs, start = [], _NUMBERS.size
    while start < len(body):
        end = start + _BLOB.size + _BLOB.unpack_from(body, start)[0]
        blobs.append(body[start + _BLOB.size : end])
        start = end
    entry, harness, command, stdin, *files = blobs
    named = {files[n].decode("utf-8", "surrogatepass"): files[n + 1] for n in range(0, len(files), 2)}
    seconds, cases, memory_bytes, output_bytes, calls, built_bytes = _NUMBERS.unpack_from(body)
    source = harness[1:] if harness else None
    words = tuple(command.decode().split("\0")) if command else ()
    return Order(
        entry.decode(),
        seconds,
        cases,
        memory_bytes,
        output_bytes,
        calls,
        source,
        named,
        words,
        stdin,
        built_bytes,
    )


def serve(channel: frames.Channel, confine: Callable[[Order], None]) -> None:
    """Run one job in the current directory, which is empty and this job's own; ends with the channel."""
    order = unpack(channel.receive(1 << 31)[1])
    home = os.getcwd()
    try:
        for name, content in order.files.items():
            _write(name, content)
            if order.command:
                os.chmod(name, 0o700)
        if order.command:
            commands.read_from(order.stdin)
    except (OSError, ValueError) as error:  # names that no file system takes, or more than it may hold
        _fail(channel, bytes(frames.TOKEN_BYTES), error, home)
        return
    confine(order)
    if order.command:
        fail = partial(_report, channel, bytes(frames.TOKEN_BYTES))
        if order.built_bytes:
            commands.build(channel, order.command, order.files, order.memory_bytes, order.built_bytes, fail)
        else:
            commands.run(channel, order.command, order.memory_bytes, fail)
        return
    harness: Callable[..., Any] | None = None
    if order.harness is not None:
        try:
            harness = _load_harness(order.harness)
        except BaseException as error:
            channel.send(frames.HARNESS, values.encode(describe(error, home)))
            return
        channel.send(frames.HARNESS)  # from here on, no word about it would be believed
    sys.path.insert(0, home)
    _seed()
    try:
        entry = _load(order.entry, home, order.files)
    except BaseException as error:  # SystemExit too: whatever the program does, it is reported
        _fail(channel, bytes(frames.TOKEN_BYTES), error, home)
        return
    channel.send(frames.LOADED)

    def call(name: str, argument: Any = None) -> Any:
        if order.calls == 0:
            raise RuntimeError("this problem answers no calls")
        channel.send(frames.CALL, name.encode("utf-8", "replace") + frames.NAME_END + values.encode(argument))
        return values.decode(channel.receive(1 << 31)[1], 1 << 31)

    while True:
        body = channel.receive(1 << 31)[1]
        token, case = body[: frames.TOKEN_BYTES], values.decode(body[frames.TOKEN_BYTES :], 1 << 31)
        try:
            _seed()
            answer = harness(case, entry, call) if harness else entry(case)
        except BaseException as error:
            _fail(channel, token, error, home)
            continue
        try:
            encoded = values.encode(answer)
        except MemoryError as error:
            _fail(channel, token, error, home)
        except ValueError as error:
            _report(channel, token, "invalid_answer", str(error))
        except BaseException as error:  # an object that fights back when it is looked at
            _report(channel, token, "invalid_answer", describe(error, home))
        else:
            if len(encoded) > order.output_bytes:
                _report(channel, token, "output_limit", f"{len(encoded)} bytes; at most {order.output_bytes}")
            else:
                channel.send(frames.ANSWER, token + encoded)
        answer = None  # may be large, and may have a destructor: not the next case's time


def _seed() -> None:
    """An unseeded generator gives the same numbers in every job, and wherever a case stands in it."""
    _seed_random(0)
    _seed_numpy(0)


def _load_harness(source: bytes) -> Callable[..., Any]:
    module = types.ModuleType("harness")
    exec(compile(source, "harness.py", "exec"), module.__dict__)  # noqa: S102 - the problem's own, trusted
    answer: Callable[..., Any] = module.answer
    return answer


def _write(name: str, content: bytes) -> None:
    """Make a new file in the current directory, by the few calls that it takes."""
    if "/" in name:
        os.makedirs(os.path.dirname(name), exist_ok=True)
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)


def _load(entry: str, home: str, files: Mapping[str, bytes]) -> Callable[..., Any]:
    """Import the function `entry` ("file.py:function") of the program, whose files are in `home`."""
    path, _, function = entry.partition(":")
    if path not in files:
        raise FileNotFoundError(f"the program has no file {path}")
    name = path.removesuffix(".py").replace("/", ".")
    if "." in name:
        importlib.import_module(name.rpartition(".")[0])
    if name in sys.modules:  # a program called random.py must neither get nor replace the library's
        name = f"program_{name}"
    if not path.endswith(".py"):
        raise ImportError(f"{path} is not a Python file")
    # not by importlib, which would look for what was compiled before, and read from the disk what is at hand
    sys.modules[name] = module = types.ModuleType(name)
    module.__file__ = os.path.join(home, path)
    module.__package__ = name.rpartition(".")[0]
    exec(compile(files[path], module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    found = getattr(module, function, None)
    if not callable(found):
        raise ImportError(f"{path} has no function {function}")
    return found  # type: ignore[no-any-return]


def _fail(channel: frames.Channel, token: bytes, error: BaseException, home: str) -> None:
    if isinstance(error, frames.Gone):
        raise error
    kind = "out_of_memory" if isinstance(error, MemoryError) else "crash"
    _report(channel, token, kind, describe(error, home))


def _report(channel: frames.Channel, token: bytes, kind: str, message: str) -> None:
    short = message.encode("utf-8", "replace")[: frames.MESSAGE_BYTES // 8].decode("utf-8", "ignore")
    channel.send(frames.FAILED, token + json.dumps([kind, short]).encode())


def describe(error: BaseException, home: str) -> str:
    """One line for people and models: type, message, and the program's own line, where there is one."""
    try:
        text = " ".join(str(error)[:_TEXT].split())
    except BaseException:
        text = "(its message cannot be read)"  # the exception is the program's: its __str__ may raise
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{os.path.basename(error.filename)} line {error.lineno}"
        text = str(error.msg)[:_TEXT]
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == "harness.py" or file.startswith(home + "/"):
            place = f"{file.removeprefix(home + '/')} line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{': ' if text else ''}{text}{f' ({place})' if place else ''}"
