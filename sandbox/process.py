"""The client's side of a fork server: deadlines, caps, calls, and what became of each case."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

import numpy as np

from evolve.types import (
    BROKE_PROTOCOL,
    Build,
    EvaluatorError,
    Failure,
    FailureKind,
    Files,
    Handler,
    Json,
    Limits,
    Outcome,
    Program,
    SandboxUnavailable,
)
from sandbox import frames, native, runner, values
from sandbox.forkserver import END, REPORT, START, Report
from sandbox.launch import Server
from sandbox.pool import Source
from sandbox.turns import HOLD_SECONDS, Turns
from sandbox.words import death, is_inside

_LOAD_SECONDS = 1.0  # for the machinery of a start, on top of a case's own limit
_GRACE_SECONDS = 1.0  # between a child's last word and the report of its death
_TIMEOUTS = 3  # in a row, of one program: then the rest is not tried
_STARTS = 8  # the most that all starts may take together, in the most that one may take
_FROM_INSIDE: frozenset[FailureKind] = frozenset({"crash", "out_of_memory", "invalid_answer", "output_limit"})


def most_seconds(limits: Limits, cases: int, command: bool = False) -> float:
    """What a program can make `run` take, whatever it does: each case its limit, and so many starts.

    Not in it: one wipe and one start of the server, which are the machinery's, and a build.
    """
    if command:  # a start each, which is none of the program's doing
        return cases * (limits.seconds + _GRACE_SECONDS)
    patience = limits.seconds + limits.waiting_seconds
    return cases * patience + min(cases, _STARTS + 1) * _start_seconds(limits)


def _start_seconds(limits: Limits) -> float:
    """The most that one process can take beside its cases."""
    return limits.seconds + _LOAD_SECONDS + _GRACE_SECONDS


class _Broken(Exception):
    """The job cannot go on after this case. `failure` None: the child is dead, and the report says why."""

    def __init__(self, failure: Failure | None) -> None:
        self.failure = failure


class ProcessSandbox:
    """Runs programs below a fork server; one job at a time. Implements `evolve.types.Sandbox`.

    Use it from one thread, which must live as long as the sandbox: the kernel ends it with its parent thread.
    """

    def __init__(self, level: str, source: Source, turns: Turns | None = None) -> None:
        self.level = level
        self._turns = turns
        self._source = source
        self._server: Server | None = source.take()
        self._jobs = 0  # that this server has run
        self._builds = native.Builds()
        self._kept: tuple[object, Server | None] = None, None  # what ran apart last, and its server
        self._is_apart = False

    @property
    def facts(self) -> dict[str, Json]:
        """What the fork server said of its walls when it started."""
        return dict(self._server.facts) if self._server else {}

    def run(
        self, program: Program, cases: Sequence[Json], limits: Limits, call: Handler | None = None
    ) -> list[Outcome]:
        """Run the program on each case, in order; a case that kills its process costs only itself.

        After three timeouts in a row, or where starting again and again takes too long, the rest is not tried
        and fails as well: an endless loop costs three cases, and no program more than `most_seconds`.
        Raises SandboxUnavailable when the machinery failed (the next run starts it anew), EvaluatorError when
        the harness or a handler did, ValueError for a case that cannot be encoded.
        """
        encoded = [_encode(case, program) for case in cases]
        bad = next((name for name in program.files if not is_inside(name)), None)
        if bad is not None:
            return [Outcome(None, Failure("crash", f"the file name {bad!r} leaves the program"))] * len(cases)
        if not self._is_apart:
            self._forget()
        if program.command:
            return self._run_command(program, encoded, limits)
        outcomes: list[Outcome] = []
        cpu_seconds, memory_bytes = 0.0, 0
        began = time.monotonic()
        while len(outcomes) < len(cases):
            starts = time.monotonic() - began - sum(outcome.seconds for outcome in outcomes)
            if hopeless := _hopeless(outcomes, starts, limits):
                outcomes += [Outcome(None, hopeless)] * (len(cases) - len(outcomes))
                break
            with self._serving() as (server, ended):
                job = _Job(server, program, limits, call, self._turns)
                job.run(encoded, len(outcomes))
                ended(job.clean)
            outcomes += job.outcomes
            cpu_seconds += job.cpu_seconds
            memory_bytes = max(memory_bytes, job.memory_bytes)
        if outcomes:
            outcomes[-1] = replace(outcomes[-1], cpu_seconds=cpu_seconds, memory_bytes=memory_bytes)
        return outcomes

    def _run_command(self, program: Program, cases: Sequence[bytes], limits: Limits) -> list[Outcome]:
        """A process for each case, of the files that the program's build made, once."""
        files: dict[str, bytes] = dict(program.files)
        if program.build is not None:
            made = self._built(program.files, program.build)
            if isinstance(made, Failure):
                return [Outcome(None, made)] * len(cases)
            files |= made
        outcomes: list[Outcome] = []
        for case in cases:
            if hopeless := _hopeless(outcomes, 0.0, limits):
                outcomes += [Outcome(None, hopeless)] * (len(cases) - len(outcomes))
                break
            with self._serving() as (server, ended):
                outcome, clean = native.run_case(server, files, program.command, case, limits)
                ended(clean)
            outcomes.append(outcome)
        whole = sum(outcome.cpu_seconds for outcome in outcomes)
        peak = max((outcome.memory_bytes for outcome in outcomes), default=0)
        outcomes = [replace(outcome, cpu_seconds=0.0, memory_bytes=0) for outcome in outcomes]
        outcomes[-1:] = [replace(last, cpu_seconds=whole, memory_bytes=peak) for last in outcomes[-1:]]
        return outcomes

    def _built(self, files: Files, how: Build) -> dict[str, bytes] | Failure:
        """What a build makes of these files; not built again as long as it is kept."""
        key = native.build_key(files, how)
        made = self._builds.find(key)
        if made is None:
            with self._serving() as (server, ended):
                made, clean = native.build(server, files, how)
                ended(clean)
            self._builds.keep(key, made)
        return made

    @contextmanager
    def _serving(self) -> Iterator[tuple[Server, Callable[[bool], None]]]:
        """Within: a server for one job, and what to tell at its end: whether nothing of it is left."""
        server, clean = self._running(), True

        def ended(tidy: bool) -> None:
            nonlocal clean
            clean = tidy

        try:
            yield server, ended
        except frames.Stalled as error:
            self._retire()
            raise SandboxUnavailable(str(error)) from error
        except BaseException:
            self._retire()  # whatever state it is in, no later job shall meet it
            raise
        self._jobs += 1
        if not clean or self._source.worn(server, self._jobs):
            self._retire()

    @contextmanager
    def apart(self, what: object = None) -> Iterator[None]:
        """Within: a server that has run nothing before, and runs nothing after, but for the same `what`."""
        usual = self._server, self._jobs
        if what is None or self._kept[0] != what:
            self._forget()
        self._server, self._jobs = self._kept[1], 0
        self._kept, self._is_apart = (None, None), True
        try:
            yield
        finally:
            if what is None:
                self._retire()
            self._kept, self._is_apart = (what, self._server), False
            self._server, self._jobs = usual

    def _forget(self) -> None:
        """Stop what ran apart."""
        _, server = self._kept
        self._kept = None, None
        if server is not None:
            server.stop()

    def _running(self) -> Server:
        if self._server is not None and self._server.pending(0):
            self._retire()  # it has died since its last job, which the next has no part in
        if self._server is None:
            self._server, self._jobs = self._source.take(), 0
        return self._server

    def _retire(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def close(self) -> None:
        """Kill whatever is left and remove it. Idempotent; a later run starts anew."""
        self._retire()
        self._forget()
        self._source.close()


class _Job:
    """One child: from its start to the report of its end."""

    def __init__(
        self, server: Server, program: Program, limits: Limits, call: Handler | None, turns: Turns | None
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.cpu_seconds, self.memory_bytes = 0.0, 0
        self.clean = True
        self._server, self._program, self._limits, self._call = server, program, limits, call
        self._turns = turns
        self._began = 0.0  # of the present case
        self._waited = 0.0  # for handlers in the present case, and given back
        self._calls = 0

    def run(self, cases: Sequence[bytes], first: int) -> None:
        """Add an outcome for each case from `first` on, up to the first that the child did not survive."""
        with ExitStack() as stack:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            words = os.memfd_create("stderr")
            stack.callback(os.close, words)
            remaining = len(cases) - first
            # the server's own deadline is a backup, if this process hangs
            patience = self._limits.seconds + self._limits.waiting_seconds
            seconds = patience * (remaining + 1) + _LOAD_SECONDS + 5
            turn = stack.enter_context(ExitStack())
            if self._turns is not None:
                turn.enter_context(self._turns.one())
            self._server.send(START.pack(seconds), [theirs.fileno(), words])
            theirs.close()
            self._channel = frames.Channel(ours)
            try:
                self._converse(cases, first, turn)
                failure, lost = None, False
            except _Broken as broken:
                failure, lost = broken.failure, True
            except TimeoutError:
                where = "" if self._loaded else " while it was loaded"
                failure, lost = Failure("timeout", f"over {self._limits.seconds:g} s{where}"), True
            seconds = time.monotonic() - self._began
            ours.close()  # a healthy child ends by itself
            # in turn, as it began: else all ends come first, then beginnings in a rush
            with nullcontext() if lost or self._turns is None else self._turns.one():
                status, by_itself = self._end(wait=lost and failure is None)
            if lost:
                failure = failure or death(status, by_itself, words)
                outcome = Outcome(None, failure, seconds, calls=self._calls)
                self.outcomes += [outcome] * (1 if self._loaded else remaining)
        if not self.clean:
            self.outcomes[-1] = Outcome(None, Failure("unclean", "it left what could not be removed"))

    def _end(self, wait: bool) -> tuple[int, bool]:
        """Have the child killed, if it lives, and wait until nothing of it is left: how it died."""
        if not wait or not self._server.pending(_GRACE_SECONDS):
            self._server.send(END)
        report = Report(*REPORT.unpack(self._server.receive()))
        self.clean = report.clean
        self.cpu_seconds, self.memory_bytes = report.cpu_seconds, report.memory_bytes
        return report.status, report.by_itself

    def _converse(self, cases: Sequence[bytes], first: int, turn: ExitStack) -> None:
        self._loaded = False
        self._load(len(cases) - first, turn)
        self._loaded = True
        for position in range(first, len(cases)):
            self.outcomes.append(self._case(position, cases[position]))
            failure = self.outcomes[-1].failure
            if failure is not None and failure.kind == "out_of_memory":
                return  # it lives, but what it still holds would be the next case's burden

    def _load(self, cases: int, turn: ExitStack) -> None:
        limits, program = self._limits, self._program
        order = runner.Order(
            program.entry, limits.seconds, cases, limits.memory_bytes, limits.output_bytes, limits.calls,
            program.harness, dict(program.files),
        )  # fmt: skip
        self._began = time.monotonic()
        self._channel.deadline = self._began + limits.seconds + _LOAD_SECONDS
        self._send(frames.JOB, runner.pack(order))
        if self._turns is not None:
            self._channel.pending(HOLD_SECONDS)
        turn.close()
        kind, body = self._receive()
        if kind == frames.HARNESS and program.harness is not None:
            if body:  # the first frame is sent before the program's first line has run: it can be believed
                why = values.one_line(values.decode(body, frames.MESSAGE_BYTES))
                raise EvaluatorError(f"harness.py does not load: {why}")
            kind, body = self._receive()
        if kind == frames.FAILED:
            raise _Broken(self._failure(body, bytes(frames.TOKEN_BYTES)))
        if kind != frames.LOADED:
            raise _Broken(_protocol_broken())

    def _case(self, position: int, case: bytes) -> Outcome:
        token = os.urandom(frames.TOKEN_BYTES)
        self._calls, self._waited = 0, 0.0
        self._began = time.monotonic()
        self._channel.deadline = self._began + self._limits.seconds
        self._send(frames.CASE, token + case)
        while True:
            kind, body = self._receive()
            if kind == frames.CALL:
                self._answer_call(position, body)
                continue
            seconds = time.monotonic() - self._began
            if kind == frames.ANSWER and body.startswith(token):
                return Outcome(body[len(token) :], seconds=seconds, calls=self._calls)
            if kind == frames.FAILED:
                return Outcome(None, self._failure(body, token), seconds, calls=self._calls)
            raise _Broken(_protocol_broken())

    def _answer_call(self, position: int, body: bytes) -> None:
        self._calls += 1
        if self._call is None or self._calls > self._limits.calls:
            allowed = self._limits.calls if self._call else 0
            raise _Broken(Failure("call_limit", f"more than {allowed} calls"))
        name = "?"
        try:
            name, argument = _read_call(body, self._limits.output_bytes)
            if self._limits.waiting_seconds:
                with self._waiting():
                    result = self._call(position, name, argument)
            else:
                result = self._call(position, name, argument)
        except ValueError as error:
            raise _Broken(Failure("invalid_answer", values.one_line(f"call {name}: {error}"))) from None
        try:
            encoded = values.encode(result)
        except ValueError as error:
            raise EvaluatorError(f"the result of the handler {name!r} cannot cross: {error}") from None
        self._send(frames.RESULT, encoded)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Within, a program waits for a handler: it is given that time back, as far as it may wait."""
        began = time.monotonic()
        yield
        given = min(time.monotonic() - began, self._limits.waiting_seconds - self._waited)
        self._waited += given
        if self._channel.deadline is not None:
            self._channel.deadline += given

    def _failure(self, body: bytes, token: bytes) -> Failure:
        """The child's own word for what went wrong, if it has the right form."""
        try:
            kind, message = values.decode(body[len(token) :], frames.MESSAGE_BYTES)
            if not body.startswith(token) or kind not in _FROM_INSIDE or not isinstance(message, str):
                raise ValueError
        except (ValueError, TypeError):
            raise _Broken(_protocol_broken()) from None
        return Failure(kind, values.one_line(message))

    def _send(self, kind: bytes, body: bytes) -> None:
        try:
            self._channel.send(kind, body)
        except frames.Gone:
            raise _Broken(None) from None

    def _receive(self) -> frames.Frame:
        most = max(self._limits.output_bytes, frames.MESSAGE_BYTES) + frames.TOKEN_BYTES
        try:
            kind, body = self._channel.receive(most)
        except frames.Gone:
            raise _Broken(None) from None
        except frames.TooLong:
            raise _Broken(self._too_long()) from None
        if len(body) > self._limits.output_bytes + frames.TOKEN_BYTES and kind != frames.FAILED:
            raise _Broken(self._too_long())
        return kind, body

    def _too_long(self) -> Failure:
        return Failure("output_limit", f"more than {self._limits.output_bytes} bytes")


def _hopeless(outcomes: Sequence[Outcome], starts: float, limits: Limits) -> Failure | None:
    """Why the cases that are left fail without a try; `starts`: seconds beside the cases so far."""
    last = [outcome.failure.kind if outcome.failure else "" for outcome in outcomes[-_TIMEOUTS:]]
    if last == ["timeout"] * _TIMEOUTS:
        why = f"over {limits.seconds:g} s {_TIMEOUTS} times in a row"
    elif starts > (most := _STARTS * _start_seconds(limits)):
        why = f"over {most:g} s to start again and again"
    else:
        return None
    return Failure("timeout", f"{why}: the rest was not tried")


def _encode(case: Json, program: Program) -> bytes:
    """A case as its program reads it: a command reads JSON, whatever it is."""
    return values.encode(case.tolist() if program.command and isinstance(case, np.ndarray) else case)


def _read_call(body: bytes, most_bytes: int) -> tuple[str, Json]:
    """Name and argument of a call. Raises ValueError for bytes that are none."""
    name, end, argument = body.partition(frames.NAME_END)
    if not end:
        raise ValueError("a call is its name and its argument")
    return name.decode(), values.decode(argument, most_bytes)


def _protocol_broken() -> Failure:
    return Failure("crash", BROKE_PROTOCOL)
