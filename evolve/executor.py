"""Workers of one machine: a thread each, that drives whatever evaluates for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from evolve.types import Evaluation, Fitness, Job, RunError

START_SECONDS = 60.0  # for the first worker, on a machine that is busy


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
    in a run that is a `fitness.worker.Worker`, whose process owns a sandbox.
    """

    def __init__(self, make: Callable[[], Fitness], workers: int) -> None:
        self.workers = workers
        self._make = make
        self._jobs: SimpleQueue[tuple[Job, Future[Evaluation]] | None] = SimpleQueue()
        self._fitnesses: list[Fitness] = []
        self._first = Event()  # a fitness was made, or could not be
        self._closed = False
        self._threads = [Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def level(self) -> str:
        """The sandbox's level; waits until a worker has started."""
        self._first.wait(START_SECONDS)
        return self._fitnesses[0].level if self._fitnesses else "not started"

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job; see `evolve.types.Executor`."""
        future: Future[Evaluation] = Future()
        self._jobs.put((job, future))
        return future

    def interrupt(self) -> None:
        """Give up the jobs that run and drop those that wait; the workers go on with what comes next."""
        with suppress(Empty):
            while (item := self._jobs.get_nowait()) is not None:
                item[1].cancel()
        for fitness in self._fitnesses:
            fitness.interrupt()

    def close(self) -> None:
        """Drop what waits, kill what runs. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for fitness in self._fitnesses:
            fitness.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _work(self) -> None:
        fitness: Fitness | None = None
        with suppress(Exception):  # made again, and its error handed on, with the first job
            fitness = self._open()
        self._first.set()
        while (item := self._jobs.get()) is not None:
            job, future = item
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                fitness = fitness or self._open()
                future.set_result(fitness.evaluate(job))
            except BaseException as error:  # handed to whoever waits; a thread has nobody to raise to
                future.set_exception(RunError("the run was stopped") if self._closed else error)

    def _open(self) -> Fitness:
        fitness = self._make()
        self._fitnesses.append(fitness)
        if self._closed:
            fitness.close()
        return fitness
