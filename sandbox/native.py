"""The client's side of programs in any language: built once, then a process a case, JSON in and JSON out."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import struct
import time
from collections import OrderedDict
from contextlib import ExitStack

from evolve.types import Build, Failure, Files, Limits, Outcome, SandboxUnavailable
from sandbox import commands, frames, runner, values
from sandbox.forkserver import END, REPORT, START, Report
from sandbox.launch import Server
from sandbox.words import death, is_inside, last_lines, lines

BUILT_BYTES = 32 << 20  # of files that a build may leave
_KEPT_BYTES = 256 << 20  # of all builds that are kept
_START_SECONDS = 30.0  # the machinery's alone: the program has not run yet
_HEAD_BYTES = 1 << 20  # names and sizes of built files
_ERROR = re.compile(r"\berror\b|undefined reference|out of memory", re.IGNORECASE)
_MEMORY = re.compile(r"bad_alloc|out of memory|memory allocation of|Cannot allocate memory", re.IGNORECASE)


class Builds:
    """What builds made of the files that they were given, the latest used; a failure counts as well."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._made: OrderedDict[bytes, dict[str, bytes] | Failure] = OrderedDict()

    def find(self, key: bytes) -> dict[str, bytes] | Failure | None:
        """What was kept; None: it must be built."""
        if key in self._made:
            self._made.move_to_end(key)
        return self._made.get(key)

    def keep(self, key: bytes, made: dict[str, bytes] | Failure) -> None:
        """Keep it, and drop what was not used for longest."""
        self._made[key] = made
        self._bytes += _size(made)
        while self._bytes > self._most_bytes and len(self._made) > 1:
            _, dropped = self._made.popitem(last=False)
            self._bytes -= _size(dropped)


def _size(made: dict[str, bytes] | Failure) -> int:
    held = 1000  # a failure takes some as well
    return held if isinstance(made, Failure) else held + sum(len(content) for content in made.values())


def build_key(files: Files, build: Build) -> bytes:
    """What a build depends on, as a digest."""
    state = hashlib.sha256(repr(build).encode())
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


class _Command:
    """One job that is a command: its channel, its stderr in memory."""

    def __init__(self, server: Server, stack: ExitStack, order: runner.Order) -> None:
        """Hand everything over, and wait until the program is about to run. Raises SandboxUnavailable."""
        self._server = server
        ours, theirs = map(stack.enter_context, socket.socketpair())
        self.words = os.memfd_create("stderr")
        stack.callback(os.close, self.words)
        server.send(START.pack(order.seconds + _START_SECONDS), [theirs.fileno(), self.words])
        theirs.close()
        self.channel = frames.Channel(ours)
        self.channel.deadline = time.monotonic() + _START_SECONDS
        self.failure: Failure | None = None  # what went wrong before the program ran
        try:
            self.channel.send(frames.JOB, runner.pack(order))
            kind, body = self.channel.receive(frames.MESSAGE_BYTES)
        except frames.Gone:
            return  # the report says why
        except TimeoutError:
            raise SandboxUnavailable(f"a job did not start within {_START_SECONDS:g} s") from None
        finally:
            self.began = time.monotonic()
            self.channel.deadline = self.began + order.seconds
        if kind != frames.LOADED:  # said by trusted code: nothing of the program has run
            reason, message = values.decode(body[frames.TOKEN_BYTES :], frames.MESSAGE_BYTES)
            if reason == commands.MISSING:
                raise SandboxUnavailable(
                    f"the command {message}, which problem.toml names, is not there inside: install it,"
                    " or name an image that has it under program.image"
                )
            self.failure = Failure("crash", values.one_line(message))

    def report(self, at_once: bool) -> tuple[Report, bool]:
        """Wait until it is dead, or make it so: what became of it, and whether its time was over."""
        assert self.channel.deadline is not None
        self.channel.close()  # what nobody reads any more must not hold up what is said beside it
        left = 0.0 if at_once else max(0.0, self.channel.deadline - time.monotonic())
        late = not self._server.pending(left)
        if late:
            self._server.send(END)
        return Report(*REPORT.unpack(self._server.receive())), late


def run_case(
    server: Server, files: Files, command: tuple[str, ...], case: bytes, limits: Limits
) -> tuple[Outcome, bool]:
    """One case, in a process of its own: what became of it, and whether nothing of it is left."""
    with ExitStack() as stack:
        order = runner.Order(
            "",
            limits.seconds,
            1,
            limits.memory_bytes,
            limits.output_bytes,
            0,
            None,
            dict(files),
            command,
            case,
        )
        job = _Command(server, stack, order)
        answer, failure = b"", job.failure
        if failure is None:
            try:
                answer = job.channel.rest(limits.output_bytes)
            except frames.TooLong:
                failure = Failure("output_limit", f"more than {limits.output_bytes} bytes")
            except TimeoutError:
                failure = Failure("timeout", f"over {limits.seconds:g} s")
        seconds = time.monotonic() - job.began
        report, late = job.report(at_once=failure is not None)
        if failure is None and late:  # it closed its stdout, and went on
            seconds = limits.seconds
            failure = Failure("timeout", f"over {limits.seconds:g} s")
        elif failure is None and report.status:
            failure = death(report.status, True, job.words)
            if failure.kind == "crash" and _MEMORY.search(failure.detail):
                failure = Failure("out_of_memory", failure.detail)
        if failure is None and not answer.strip():
            failure = Failure("invalid_answer", "it printed nothing")
        if not report.clean:
            failure = Failure("unclean", "it left what could not be removed")
        answered = None if failure else answer
        return Outcome(answered, failure, seconds, report.cpu_seconds, report.memory_bytes), report.clean


def build(server: Server, files: Files, how: Build) -> tuple[dict[str, bytes] | Failure, bool]:
    """New and changed files, opaque, or why there are none; and whether nothing else is left of it."""
    with ExitStack() as stack:
        order = runner.Order(
            "", how.seconds, 1, how.memory_bytes, 0, 0, None, dict(files), how.command, b"", BUILT_BYTES
        )
        job = _Command(server, stack, order)
        made = job.failure or _built(job, how)
        report, _ = job.report(at_once=made is not None)
        if made is None:  # its first process died, which no honest build makes it do
            made = Failure("build", death(report.status, report.by_itself, job.words).detail)
        return made, report.clean


def _built(job: _Command, how: Build) -> dict[str, bytes] | Failure | None:
    try:
        kind, body = job.channel.receive(BUILT_BYTES + _HEAD_BYTES)
    except TimeoutError:
        return Failure("build", f"over {how.seconds:g} s")
    except frames.TooLong:
        return Failure("build", f"more than {BUILT_BYTES} bytes of files")
    except frames.Gone:
        return None
    try:
        if kind == frames.BUILT:
            return _unpack(body)
        _, message = values.decode(body[frames.TOKEN_BYTES :], frames.MESSAGE_BYTES)
        why = next((line for line in lines(job.words) if _ERROR.search(line)), None)
        return Failure("build", values.one_line(why or f"{message}{last_lines(job.words)}"))
    except (ValueError, TypeError, struct.error):
        return Failure("build", "it broke the protocol between sandbox and client")


def _unpack(body: bytes) -> dict[str, bytes]:
    """Files from inside, where anybody may have packed them. Raises ValueError, TypeError, struct.error."""
    at = 4 + struct.unpack_from("!I", body)[0]
    found: dict[str, bytes] = {}
    for name, size in values.decode(body[4:at], _HEAD_BYTES):
        if not (isinstance(name, str) and is_inside(name) and type(size) is int and size >= 0):
            raise ValueError(f"{name!r} of {size!r} bytes")
        found[name] = body[at : at + size]
        at += size
    if at != len(body):
        raise ValueError("sizes that do not add up")
    return found
