"""A run; its workers, of this machine or of a cluster, are started first, as they take the longest."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from evolve.budget import Clock
from evolve.executor import LocalExecutor, Recovery, cores
from evolve.metrics import Metrics
from evolve.models.broker import DeskBroker
from evolve.options import RunOptions as RunOptions
from evolve.stopping import Stop
from evolve.types import BadInput, CaseKey, Executor, Fitness, Job, Json, Listener
from fitness.problem import Problem, load
from fitness.process import Zygote
from fitness.worker import Worker


def run(
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    executor: Executor | None = None,
    notice: Callable[[str], None] = lambda text: None,
    zygote: Zygote | None = None,
    brokered: DeskBroker | None = None,
) -> dict[str, Json]:
    """Start or resume a run; return the object that `--json` prints.

    `executor` is used, and left open, instead of worker processes of this machine, which are forked from
    `zygote`, where one is there already; `brokered` is what its programs reach models by. `notice` is told,
    from any thread, why the run waits, "" when it goes on. Raises BadInput for what the user got wrong,
    RunError when the run cannot do its work.
    """
    clock = Clock()
    problem = load(options.problem)
    stop = Stop()

    slots = cores() if problem.resource is not None and options.cluster is None else []
    if slots and (options.workers or 1) > len(slots):
        expected = f"at most {len(slots)}, a core each, as {problem.name} scores what programs use"
        raise BadInput("--workers", expected, f"{options.workers}")
    free = itertools.cycle(slots or [None])

    broker = DeskBroker(problem.allowance)
    sent = any(name.partition(":")[0] == "scaffold" for name in options.operators or ())
    asked = broker if sent or problem.allowance is not None else None

    with stop.listening(), closing(broker), ExitStack() as stack:
        if executor is not None:
            return _play(options, problem, clock, executor, stop, listeners, notice, brokered or broker)
        known = Job(problem.seed_files, (CaseKey("search", 0),))
        recovery = Recovery(known, problem.worst, notice=notice)
        own: LocalExecutor
        if options.cluster is not None:
            # late: only a run on a cluster needs it
            from evolve.cluster.seats import hire

            own = hire(options.cluster, problem, options.walls, options.workers, recovery, stop, broker=asked)
        else:
            origin = zygote or stack.enter_context(closing(Zygote(options.walls.kind)))

            def worker() -> Fitness:
                return Worker(problem, options.walls, core=next(free), zygote=origin, broker=asked)

            room = max(int((os.cpu_count() or 1) / problem.resources.cpus), 1)
            own = LocalExecutor(worker, options.workers or len(slots) or room, recovery)
        stack.enter_context(closing(own))
        if options.metrics is not None:
            listeners = [*listeners, stack.enter_context(closing(Metrics(options.metrics, own)))]
        return _play(options, problem, clock, own, stop, listeners, notice, broker)


def _play(
    options: RunOptions,
    problem: Problem,
    clock: Clock,
    executor: Executor,
    stop: Stop,
    listeners: Sequence[Listener],
    notice: Callable[[str], None],
    broker: DeskBroker,
) -> dict[str, Json]:
    # Late: loop, operators and gate take a tenth of a second, in which the workers start.
    from evolve.session import play

    return play(options, problem, clock, executor, stop, listeners, broker, notice)
