"""The child's side of one job: take the program, go behind the walls, run it case by case.

This code shares its process with the program and is therefore believed by nobody: it makes results
readable, the walls and the client make them safe.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import struct
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sandbox import frames, values

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


def pack(order: Order) -> bytes:
    """Body of a JOB frame."""
    head = order._asdict()
    blobs = [order.harness or b"", *order.files.values()]
    head["files"] = [[name, len(content)] for name, content in order.files.items()]
    head["harness"] = None if order.harness is None else len(order.harness)
    text = json.dumps(head).encode()
    return b"".join([struct.pack("!I", len(text)), text, *blobs])


def unpack(body: bytes) -> Order:
    """The order back from its frame, which comes from the trusted client."""
    start = 4 + struct.unpack_from("!I", body)[0]
    head = json.loads(body[4:start])

    def take(size: int) -> bytes:
        nonlocal start
        start += size
        return body[start - size : start]

    harness = None if head["harness"] is None else take(head["harness"])
    files = {name: take(size) for name, size in head["files"]}
    return Order(**{**head, "harness": harness, "files": files})


def serve(channel: frames.Channel, confine: Callable[[Order], None]) -> None:
    """Run one job in the current directory, which is empty and this job's own; ends with the channel."""
    order = unpack(channel.receive(1 << 31).body)
    home = os.getcwd()
    try:
        for name, content in order.files.items():
            os.makedirs(os.path.dirname(os.path.join(home, name)), exist_ok=True)
            with open(os.path.join(home, name), "xb") as file:
                file.write(content)
    except OSError as error:  # names that no file system takes, or more than it may hold
        _fail(channel, bytes(frames.TOKEN_BYTES), error, home)
        return
    confine(order)
    harness: Callable[..., Any] | None = None
    if order.harness is not None:
        try:
            harness = _load_harness(order.harness)
        except BaseException as error:
            channel.send(frames.HARNESS, values.encode(describe(error, home)))
            return
        channel.send(frames.HARNESS)  # from here on, no word about it would be believed
    sys.path.insert(0, home)
    try:
        entry = _load(order.entry, home)
    except BaseException as error:  # SystemExit too: whatever the program does, it is reported
        _fail(channel, bytes(frames.TOKEN_BYTES), error, home)
        return
    channel.send(frames.LOADED)

    def call(name: str, argument: Any = None) -> Any:
        if order.calls == 0:
            raise RuntimeError("this problem answers no calls")
        channel.send(frames.CALL, values.encode([name, argument]))
        return values.decode(channel.receive(1 << 31).body, 1 << 31)

    while True:
        body = channel.receive(1 << 31).body
        token, case = body[: frames.TOKEN_BYTES], values.decode(body[frames.TOKEN_BYTES :], 1 << 31)
        try:
            # an unseeded generator gives the same answer wherever the case stands in a job
            _seed_random(0)
            _seed_numpy(0)
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


def _load_harness(source: bytes) -> Callable[..., Any]:
    module = types.ModuleType("harness")
    exec(compile(source, "harness.py", "exec"), module.__dict__)  # noqa: S102 - the problem's own, trusted
    answer: Callable[..., Any] = module.answer
    return answer


def _load(entry: str, home: str) -> Callable[..., Any]:
    """Import the function `entry` ("file.py:function") of the program in `home`."""
    path, _, function = entry.partition(":")
    if not os.path.isfile(os.path.join(home, path)):
        raise FileNotFoundError(f"the program has no file {path}")
    name = path.removesuffix(".py").replace("/", ".")
    if "." in name:
        importlib.import_module(name.rpartition(".")[0])
    if name in sys.modules:  # a program called random.py must neither get nor replace the library's
        name = f"program_{name}"
    spec = importlib.util.spec_from_file_location(name, os.path.join(home, path))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
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
