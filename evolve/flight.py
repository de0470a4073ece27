"""Work that is under way: children being written by models, jobs on workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from evolve.landing import Landing
from evolve.models.background import Background
from evolve.models.desk import Talk
from evolve.types import TURNS, Batch, Evaluation, Exchange, Executor, Job, Json, Mission, Proposal


@dataclass(slots=True, eq=False)
class Attempt:
    """A trial under way."""

    decision: Mapping[
        str, Json
    ]  # trial, told, operator, model, parents; tree, idea and details once there is a child
    proposal: Proposal | None = None
    talk: Talk | None = None  # with a model
    # the last child that was run, did not run and went back: what counts if no better one comes of it
    broken: tuple[Proposal, Evaluation] | None = None
    mission: Mission | None = None  # of an agent that makes the child
    asked: tuple[Exchange, ...] = ()  # by that agent; what is said of its child comes after it


@dataclass(slots=True, eq=False)
class Duel:
    """A batch of pairs under way; what the machinery failed on one side is run again on both."""

    batch: Batch
    jobs: Mapping[
        str, Job
    ]  # side -> job; a side whose scores are known, or that is another's rival, has none
    landed: dict[str, Evaluation] = field(default_factory=dict)
    again: bool = False  # both sides have run again where one had to

    @property
    def runs(self) -> int:
        """Runs that a pair takes."""
        return sum(1 if job.rival is None else TURNS for job in self.jobs.values())

    def sides(self) -> Iterator[tuple[str, Evaluation]]:
        """What landed for each side."""
        for side, evaluation in self.landed.items():
            yield side, evaluation
            if evaluation.rival is not None:
                yield "champion", evaluation.rival


Task = Attempt | Duel
Talking = Coroutine[Any, Any, Proposal]  # a conversation with a model


@dataclass(slots=True, eq=False)
class Landed:
    """What came back for a task; `side` tells the two jobs of a duel apart."""

    task: Task
    side: str
    result: Proposal | Evaluation


class Flight:
    """Keeps work in the air. What is added leaves with `launch`, after the ledger is in sync."""

    def __init__(
        self,
        executor: Executor,
        landing: Landing | None = None,
        settled: Callable[[Collection[str]], None] = lambda keys: None,
    ) -> None:
        self._executor = executor
        self._settled = settled  # told the keys of jobs that the ledger has
        self._landing = landing
        self._keys: dict[Future[Any], str] = {}  # of the jobs under way, where their landing is kept
        self._landed: list[tuple[Task, str]] = []  # keys of those that have landed, and no event may have
        self._waiting: list[tuple[Task, str, Job | Talking]] = []
        self._flying: dict[Future[Any], tuple[Task, str]] = {}  # in the order of their launch
        self._jobs: dict[Future[Any], Job] = {}
        self._error: Exception | None = None  # raised by the next `wait`
        self._models = Background("models")
        self.jobs = 0  # on workers or about to be
        self.proposing = 0  # model calls under way

    def __bool__(self) -> bool:
        return bool(self._waiting or self._flying)

    def tasks(self) -> Iterable[Task]:
        """Every task under way; a duel once for each of its jobs."""
        yield from (task for task, _, _ in self._waiting)
        yield from (task for task, _ in self._flying.values())

    @property
    def cases(self) -> int:
        """Runs of cases under way."""
        jobs = [work for _, _, work in self._waiting if isinstance(work, Job)]
        return sum(len(job.cases) for job in (*jobs, *self._jobs.values()))

    def add(self, task: Task, work: Job | Talking, side: str = "") -> None:
        """Have work done for a task, from the next `launch` on."""
        self._waiting.append((task, side, work))
        if isinstance(work, Job):
            self.jobs += 1
        else:
            self.proposing += 1

    def launch(self) -> None:
        """Send out what was added. Everything that has landed before is in the ledger by now."""
        for task, side, work in self._waiting:
            future = self._submit(work) if isinstance(work, Job) else self._models.run(work)
            self._flying[future] = task, side
            if isinstance(work, Job):
                self._jobs[future] = work
        self._waiting.clear()
        if self._landing is not None:
            kept = self._talked_about() if self.proposing else []
            gone = [key for _, key in self._landed if key not in kept]
            self._landing.settle(gone)
            self._settled(gone)
            self._landed = [(task, key) for task, key in self._landed if key in kept]

    def _talked_about(self) -> list[str]:
        """Keys of jobs whose results a model is asked about, before an event has them."""
        talking = {task for future, (task, _) in self._flying.items() if future not in self._jobs}
        return [key for task, key in self._landed if task in talking]

    def _submit(self, job: Job) -> Future[Evaluation]:
        if self._landing is None:
            return self._executor.submit(job)
        key, future = self._landing.submit(self._executor, job)
        self._keys[future] = key
        return future

    def wait(self, seconds: float) -> list[Landed]:
        """What has landed, in the order of launch; waits up to `seconds` for the first.

        With one worker only the oldest may land, so that two runs of one seed see the same order.
        """
        if self._error is not None:
            raise self._error
        strictly = self._executor.workers == 1
        oldest = next(iter(self._flying), None)
        if oldest is None:
            return []
        wait([oldest] if strictly else self._flying, timeout=seconds, return_when=FIRST_COMPLETED)
        done = [oldest] if strictly and oldest.done() else []
        if not strictly:
            done = [future for future in self._flying if future.done()]
        landed = []
        for future in done:
            try:
                landed.append(self._land(future))
            except Exception as error:  # what has landed with it is recorded first
                self._error = self._error or error
        return landed

    def close(self) -> None:
        """Forget what is under way. Idempotent."""
        for _, _, work in self._waiting:
            if not isinstance(work, Job):
                work.close()
        self._waiting.clear()
        for future in self._flying:
            future.cancel()
        self._flying.clear()
        self._jobs.clear()
        self._models.close()

    def _land(self, future: Future[Any]) -> Landed:
        task, side = self._flying.pop(future)
        job = self._jobs.pop(future, None)
        if (key := self._keys.pop(future, None)) is not None:
            self._landed.append((task, key))
        if job is None:
            self.proposing -= 1
        else:
            self.jobs -= 1
        return Landed(task, side, future.result())
