"""Workers, here or on other machines: a thread each, that drives whatever evaluates for it.

What becomes of a job that the machinery failed is decided here and nowhere else. The worker that it failed on
is put to a test: a job that is known to work, the seed program on one case.

    it passes    the machinery is sound, so the program is suspected: its job goes to another worker, where
                 there is one. When that one dies of it as well, it is the program's own failure. Two
                 programs that took turns go on apart, so that it shows which of them it was.
    it fails     the machinery is out, which is no program's fault: the job waits for a sound worker, and
                 this one is tested again and again. When all have been out for a minute, the run stops.
    it is lost   with its machine (PlaceLost): that is an outage as well, each a separate one.

So nothing that the machinery did is ever scored, and no program ends a run.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Event, Thread

from evolve.cluster import Health
from evolve.types import (
    BadInput,
    Evaluation,
    Failure,
    Files,
    Fitness,
    Job,
    ModelError,
    PlaceLost,
    RunError,
)

START_SECONDS = 60.0  # for the first worker, on a machine that is busy
MOST_DEATHS = 2  # of sound workers by one job
MOST_OUTAGES = 3  # that began under one job, apart from each other: then it is taken for their cause
MOST_BLAMED = 12  # programs in a row, while nothing but the test goes well: then it is no program's fault
RESUMABLE = "what was finished is kept, the same command goes on"
FIRST_PAUSE, LAST_PAUSE = 0.25, 4.0  # seconds between two tests of a worker that is out


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a run outlives its machinery."""

    test: Job  # known to work
    worst: float  # raw score of a case of a program that kills its workers
    patience_seconds: float = 60.0  # with every worker out
    notice: Callable[[str], None] = lambda text: None  # told why the run waits, and "" when it goes on


@dataclass(slots=True, eq=False)
class Order:
    """A job on its way, and what it has been through."""

    job: Job
    future: Future[Evaluation]
    epoch: int
    last: int = -1  # worker that it failed on last
    survived: list[str] = field(default_factory=list)  # failures of the machinery
    deaths: int = 0
    outages: set[int | str] = field(default_factory=set)


def cores() -> list[int]:
    """One logical processor of each core that this process may use: a slot for each worker."""
    found: dict[str, int] = {}
    for processor in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        found.setdefault(siblings.read_text() if siblings.exists() else str(processor), processor)
    return list(found.values())


class LocalExecutor:
    """Spreads jobs over `workers` threads, first in, first out.

    Each thread makes its own fitness, at once, so that start-up overlaps with whatever the caller does next;
    in a run that is a `fitness.worker.Worker`, whose process owns a sandbox. Without a `recovery`, failures
    of the machinery are handed on.
    """

    def __init__(self, make: Callable[[], Fitness], workers: int, recovery: Recovery | None = None) -> None:
        self.workers = workers
        self._make = make
        self._recovery = recovery
        self._change = Condition()  # guards what follows
        self._orders: deque[Order] = deque()
        self._running: dict[int, Order] = {}  # by worker
        self.retries = 0  # jobs that were put on another worker
        self.evaluations = 0  # jobs that went well
        self._idle = 0  # workers that wait for an order
        self._epoch = 0  # interruptions so far: older orders are given up
        self._worked = False  # a job has gone well here
        self._blamed = 0  # programs in a row
        self._out: set[int] = set()  # workers that have failed their test
        self._outage = 0  # number of the present or the last outage
        self._all_out = 0.0  # since when every worker is out
        self._lost: RunError | None = None  # why the machinery was given up
        self._fitnesses: dict[int, Fitness] = {}
        self._first = Event()  # a fitness was made, or could not be
        self._closed = Event()
        self._threads: list[Thread] = []
        self._start_threads()

    def _start_threads(self) -> None:
        for n in range(len(self._threads), self.workers):
            self._threads.append(Thread(target=self._work, args=(n,), name=f"worker-{n}", daemon=True))
            self._threads[-1].start()

    @property
    def waiting(self) -> int:
        """Jobs that no worker has yet."""
        with self._change:
            return len(self._orders)

    @property
    def out(self) -> int:
        """Workers that failed their test."""
        with self._change:
            return len(self._out)

    @property
    def level(self) -> str:
        """The sandbox's level; waits until a worker has started."""
        self._first.wait(START_SECONDS)
        made = list(self._fitnesses.values())
        return made[0].level if made else "not started"

    def health(self) -> dict[str, Health]:
        """Of each node, where there are any."""
        return {}

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job; see `evolve.types.Executor`."""
        future: Future[Evaluation] = Future()
        with self._change:
            if self._lost is not None:
                future.set_exception(self._lost)
            else:
                self._orders.append(Order(job, future, self._epoch))
                self._change.notify()  # any worker may have it
        return future

    def interrupt(self) -> None:
        """Give up the jobs that run and drop those that wait; the workers go on with what comes next."""
        with self._change:
            self._epoch += 1
            self._drop(RunError("the job was given up"))
        for fitness in list(self._fitnesses.values()):
            fitness.interrupt()

    def close(self) -> None:
        """Drop what waits, kill what runs. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        with self._change:
            self._drop(RunError("the run was stopped"))
            self._change.notify_all()
        for fitness in list(self._fitnesses.values()):
            fitness.close()
        for thread in self._threads:
            thread.join(timeout=5)

    # --------------------------------------------------------------------------------- a worker's thread

    def _work(self, n: int) -> None:
        with suppress(Exception):  # made again, and its error handed on, with the first job
            self._fitness(n)
        self._first.set()
        while (order := self._take(n)) is not None:
            try:
                fitness = self._fitness(n)
                _ = fitness.level  # once it is ready: what a start takes is no job's cost
                began = time.monotonic()
                evaluation = fitness.evaluate(order.job)
            except ModelError as error:  # no worker's fault, and no program's
                order.future.set_exception(error)
            except RunError as error:
                self._let_go(n)
                self._failed(order, n, error)
            except BaseException as error:  # handed to whoever waits; a thread has nobody to raise to
                self._let_go(n)
                order.future.set_exception(error)
            else:
                self._let_go(n)
                with self._change:
                    self._worked, self._blamed = True, 0
                    self.evaluations += 1
                busy = round(time.monotonic() - began, 6)
                order.future.set_result(replace(evaluation, busy=busy, survived=tuple(order.survived)))

    def _fitness(self, n: int) -> Fitness:
        if n not in self._fitnesses:
            fitness = self._fitnesses[n] = self._make()
            if self._closed.is_set():
                fitness.close()
        return self._fitnesses[n]

    def _take(self, n: int) -> Order | None:
        """The next order, rather one that has not failed on this worker just now; None: it is over."""
        with self._change:
            while not self._closed.is_set():
                fit = (order for order in self._orders if self._fits(order, n))
                order = next((order for order in fit if order.last != n), None)
                if order is None and not self._idle:
                    order = next((order for order in self._orders if self._fits(order, n)), None)
                if order is None:
                    self._idle += 1
                    self._change.wait()
                    self._idle -= 1
                    continue
                self._orders.remove(order)
                if order.survived or order.future.set_running_or_notify_cancel():
                    self._running[n] = order
                    return order
        return None

    def _fits(self, order: Order, n: int) -> bool:
        """Whether a worker may have an order."""
        return True

    def _let_go(self, n: int) -> None:
        """A worker is done with its order; others that must not run beside it may start."""
        with self._change:
            if self._running.pop(n).survived:
                self._change.notify_all()

    def _give_up(self, error: RunError) -> None:
        """Fail what waits, and all that comes before a worker passes its test."""
        self._lost = error
        self._drop(error)

    def _drop(self, error: RunError) -> None:
        """Empty the queue."""
        while self._orders:
            order = self._orders.popleft()
            if order.survived or order.future.set_running_or_notify_cancel():
                order.future.set_exception(error)

    # ------------------------------------------------------------------------ what the machinery has failed

    def _failed(self, order: Order, n: int, error: RunError) -> None:
        """Decide what a failure was, and what becomes of the job."""
        recovery = self._recovery
        if self._given_up(order) or recovery is None:
            order.future.set_exception(RunError("the run was stopped") if self._closed.is_set() else error)
            return
        order.last = n
        order.survived.append(f"{type(error).__name__}: {error}")
        lost = isinstance(error, PlaceLost)
        trouble = error if lost else self._trouble(n, recovery)
        with self._change:
            if trouble is None:
                order.deaths += 1
            else:
                self._goes_out(n, trouble, recovery)
                order.outages.add(error.place if isinstance(error, PlaceLost) else self._outage)
            if self._given_up(order):
                order.future.set_exception(error)
            elif (
                trouble is not None and not self._worked and not lost
            ):  # nothing ever has: whoever waits wants to know
                order.future.set_exception(error)
                self._give_up(error)
            elif order.deaths and order.job.rival is not None:
                self._part(order, order.job.rival)
            elif order.deaths == MOST_DEATHS or len(order.outages) == MOST_OUTAGES:
                self._blame(order, error, recovery)
            else:
                self.retries += 1
                self._orders.appendleft(order)
                self._change.notify_all()
        if trouble is not None:
            self._mend(n, recovery)

    def _given_up(self, order: Order) -> bool:
        return self._closed.is_set() or order.epoch != self._epoch

    def _trouble(self, n: int, recovery: Recovery) -> RunError | None:
        """What is wrong with a worker; None: it passes its test."""
        try:
            evaluation = self._fitness(n).evaluate(recovery.test)
        except RunError as error:
            return error
        except BadInput as error:  # it went well before: something that the problem needs is gone
            return RunError(str(error))
        failure = evaluation.failures[0]
        return (
            RunError(f"the seed program fails by now: {failure.kind}: {failure.detail}") if failure else None
        )

    def _part(self, order: Order, rival: Files) -> None:
        """Give each of two programs a job of its own."""
        own = replace(order.job, rival=None)
        parts = [
            replace(order, job=job, future=Future(), survived=list(order.survived), deaths=0, outages=set())
            for job in (own, replace(own, files=rival))
        ]
        missing = len(parts)

        def land(_: Future[Evaluation]) -> None:
            nonlocal missing
            with self._change:
                missing -= 1
                last = missing == 0
            if last:
                errors = [part.future.exception() for part in parts]
                if any(errors):
                    order.future.set_exception(next(filter(None, errors)))
                else:
                    one, other = (part.future.result() for part in parts)
                    order.future.set_result(replace(one, rival=other))

        for part in parts:
            part.future.add_done_callback(land)
        self._orders.extendleft(reversed(parts))
        self._change.notify_all()

    def _blame(self, order: Order, error: RunError, recovery: Recovery) -> None:
        """It was the program, so that is a failure like any other; unless it would be every program."""
        self._blamed += 1
        if self._blamed > MOST_BLAMED:
            what = f"{error} (so it was with {self._blamed} programs in a row: {RESUMABLE})"
            order.future.set_exception(type(error)(what))
            self._give_up(type(error)(what))
            return
        cases = len(order.job.cases)
        failure = Failure("machinery", f"sound workers died of it: {order.survived[-1]}")
        evaluation = Evaluation(
            (recovery.worst,) * cases, (failure,) * cases, (0.0,) * cases, survived=tuple(order.survived)
        )
        rival = None if order.job.rival is None else evaluation
        order.future.set_result(replace(evaluation, rival=rival))

    def _goes_out(self, n: int, trouble: RunError, recovery: Recovery) -> None:
        if not self._out:
            self._outage += 1
            if self._worked:
                recovery.notice(f"{trouble}; trying again for {recovery.patience_seconds:g} s")
        self._out.add(n)
        if len(self._out) == self.workers:
            self._all_out = time.monotonic()

    def _mend(self, n: int, recovery: Recovery) -> None:
        """Test a worker that is out again and again, until it passes."""
        pause = FIRST_PAUSE
        while not self._closed.wait(pause):
            trouble = self._trouble(n, recovery)
            with self._change:
                if trouble is None:
                    self._out.discard(n)
                    self._lost = None
                    if not self._out:
                        recovery.notice("")
                    return
                waited = time.monotonic() - self._all_out
                if len(self._out) == self.workers and waited >= recovery.patience_seconds:
                    self._give_up(type(trouble)(f"{trouble} (for {waited:.0f} s now: {RESUMABLE})"))
            pause = min(2 * pause, LAST_PAUSE)
