"""A worker: an evaluator process of its own, kept under a deadline and started again when it dies."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

from evolve.types import (
    ANY_WALLS,
    TURNS,
    Broker,
    Evaluation,
    EvaluatorError,
    Hearing,
    Job,
    Json,
    SandboxUnavailable,
    Walls,
)
from fitness import wire
from fitness.evaluation import CHECKS, NOBODY
from fitness.problem import Problem, load
from fitness.process import START_SECONDS, Process, Zygote
from sandbox.process import most_seconds

SCORE_SECONDS = 1.0  # what evaluate.py may take for a case, beside the program

Asked = tuple[int, Json]  # position of a case, and what its program asks


class Worker:
    """Implements Fitness in a process of its own. One caller at a time; `close` may come from any thread.

    Starts at once but does not wait, so that several start together; what is wrong with the problem or
    the sandbox is raised by the first `level` or `evaluate`.
    """

    def __init__(
        self,
        problem: Problem | str | Path,
        walls: Walls = ANY_WALLS,
        slack_seconds: float = 30.0,
        core: int | None = None,
        zygote: Zygote | None = None,
        broker: Broker | None = None,
        asks: bool = False,
        settled: bool = False,
    ) -> None:
        self._broker = broker  # whom programs reach models by; None: they cannot
        self._asks = asks or broker is not None  # they may ask; who takes the `steps` of a job answers
        self._problem = problem if isinstance(problem, Problem) else load(problem)
        self._walls, self._slack = walls, slack_seconds
        self._settled = settled  # its sandbox is made ready for many jobs before the first
        self._core = core  # that evaluator and programs stay on; None: any
        self._zygote = zygote  # of all workers' evaluators; None: one for each start
        self._closed = False
        self._level = ""  # empty: this evaluator has not said yet that it is ready
        self._starting = threading.Lock()
        self._process = self._start()

    @property
    def level(self) -> str:
        """What protects from the programs. Raises BadInput, EvaluatorError or SandboxUnavailable."""
        with self._starting:
            if self._level and self._process.dead:  # since its last job, which the next has no part in
                self._process.end()
            if self._process.ended and not self._closed:
                self._level = ""
                self._process = self._start()
            if not self._level:
                self._level = str(self._receive(START_SECONDS, "its start")["level"])
            return self._level

    @property
    def pid(self) -> int:
        """Of the evaluator process."""
        return self._process.pid

    def evaluate(self, job: Job) -> Evaluation:
        """Run and score. Raises EvaluatorError or SandboxUnavailable when the machinery failed."""
        if self._broker is None:
            return self._heard(job, NOBODY)
        hearing = self._broker.open(job)
        try:
            evaluation = self._heard(job, hearing)
        finally:
            asked = hearing.close()
        return replace(evaluation, asked=asked)

    def _heard(self, job: Job, hearing: Hearing) -> Evaluation:
        told: Json = None
        with contextlib.closing(self.steps(job)) as steps:
            while True:
                try:
                    asked = steps.send(told)
                except StopIteration as end:
                    evaluation: Evaluation = end.value
                    return evaluation
                told = hearing.ask(*asked)

    def steps(self, job: Job) -> Generator[Asked, Json, Evaluation]:
        """Run and score, up to each request of a program, whose answer is sent in; as `evaluate` otherwise.

        Whoever has no answer closes it; the job is given up then.
        """
        if self._closed:
            raise EvaluatorError("this worker is closed")
        _ = self.level  # it is ready, started again if need be
        process = self._process
        try:
            wire.send(self._process.channel, wire.pack_job(job))
        except OSError as error:
            raise self._dead("a job") from error
        # no program alone can pass this: whoever does is the machinery
        cases, limits, command = len(job.cases), self._problem.limits, bool(self._problem.command)
        if job.errand is not None:
            limits = replace(job.errand.limits, waiting_seconds=job.errand.allowance.seconds)
        elif job.first:
            cases += 2 * CHECKS  # some of them are tried again
        seconds = most_seconds(limits, cases, command) + cases * SCORE_SECONDS
        if self._problem.exam is not None and job.errand is None:
            seconds += cases * most_seconds(self._problem.exam.limits, self._problem.exam.cases)
        if self._problem.resource is not None:  # each run by itself, and in turn with a rival's
            runs = cases * (1 if job.rival is None else TURNS)
            seconds = runs * (most_seconds(limits, 1, command) + SCORE_SECONDS)
        if self._problem.build:
            seconds += self._problem.build_seconds * (1 if job.rival is None else 2)
        seconds += self._slack
        what, deadline = f"a job of {len(job.cases)} cases", time.monotonic() + seconds
        while "ask" in (reply := self._receive(deadline - time.monotonic(), what)):
            position, request = reply["ask"]
            try:
                told = yield position, request
            except BaseException:
                process.end()  # it waits for an answer that will not come
                raise
            try:
                wire.send(self._process.channel, {"told": told})
            except OSError as error:
                raise self._dead("a job") from error
        return wire.unpack_evaluation(reply)

    def interrupt(self) -> None:
        """Give up the job that runs, from another thread: its caller gets an EvaluatorError."""
        self._process.end()

    def close(self) -> None:
        """Kill the evaluator and its sandbox. Idempotent."""
        self._closed = True
        self._process.end()

    def _start(self) -> Process:
        try:
            process = self._forked()
        except OSError as error:
            raise EvaluatorError(f"the evaluator cannot be started: {error}") from error
        setup = {
            "problem": wire.pack_problem(self._problem),
            "walls": asdict(self._walls),
            "core": self._core,
            "broker": self._asks,
            "settled": self._settled,
        }
        with contextlib.suppress(OSError):  # it died at once: waiting for its answer tells why
            wire.send(process.channel, setup)
        return process

    def _forked(self) -> Process:
        if self._zygote is not None:
            return self._zygote.fork(self._problem.folder)
        with contextlib.closing(Zygote(self._walls.kind)) as zygote:
            return zygote.fork(self._problem.folder)

    def _receive(self, seconds: float, what: str) -> Json:
        try:
            reply = wire.receive(self._process.channel, seconds)
        except TimeoutError:
            self._process.end()
            raise EvaluatorError(f"the evaluator did not finish {what} within {seconds:g} s") from None
        except (EOFError, OSError) as error:
            raise self._dead(what) from error
        if "error" in reply:
            told = wire.unpack_error(reply)
            if not self._level or isinstance(told, SandboxUnavailable):
                self._process.end()  # it ended itself, or its sandbox is of no more use
            raise told
        return reply

    def _dead(self, what: str) -> EvaluatorError:
        self._process.end(grace_seconds=1.0)  # it closed its channel first: let it say how it ends
        said = f": {self._process.last_words}" if self._process.last_words else ""
        return EvaluatorError(f"the evaluator ended during {what} (exit code {self._process.code}){said}")
