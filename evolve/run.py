"""Put a run together from what was asked for, let it search, open the sealed draws, say what came out."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from evolve.budget import Budget, Clock
from evolve.claim import open_sealed, reserve
from evolve.executor import LocalExecutor, Recovery, cores
from evolve.landing import Landing
from evolve.loop import Parts, Search, search
from evolve.operators import create as create_operators
from evolve.operators.portfolio import Portfolio
from evolve.operators.rewrite import Rewrite
from evolve.operators.territory import Territory
from evolve.place import find_place
from evolve.result import summary, totals
from evolve.start import Session, begin, inspect_seed
from evolve.types import (
    ANY_WALLS,
    BadInput,
    CaseKey,
    Executor,
    Fitness,
    Gate,
    Job,
    Json,
    Listener,
    Operator,
    Walls,
)
from fitness.gate import DuelGate, OpenGate
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations import create as create_population
from populations.ledger import GitLedger

STOPPED = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}
BASELINES = {"best-of-n": "best-of-n", "random": "random", "hill-climb": "hill-climb"}  # -> population


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line, or a caller, asks of a run. None: the default, or no limit."""

    problem: str  # folder, or name in the gallery
    to: Path | None = None  # the run's repository; runs/PROBLEM-SEED.git
    trials: int | None = None
    seconds: float | None = None
    usd: float | None = None
    workers: int | None = None  # one a core
    seed: int = 0
    models: tuple[str, ...] = ()  # as LiteLLM names them
    operators: tuple[str, ...] | None = None
    population: str | None = None
    walls: Walls = ANY_WALLS
    baseline: str | None = None
    fork: bool = False


class Stop:
    """Whether somebody wants the run to stop, by Ctrl-C or SIGTERM; a second time kills."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self) -> str | None:
        """Why; None: go on."""
        return self.reason

    def hear(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.reason is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.reason = STOPPED[signal.Signals(signum)]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals within; a no-op outside the main thread, which gets none."""
        try:
            before = {signum: signal.signal(signum, self.hear) for signum in STOPPED}
        except ValueError:
            before = {}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def run(
    options: RunOptions,
    listeners: Sequence[Listener] = (),
    executor: Executor | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> dict[str, Json]:
    """Start or resume a run; return the object that `--json` prints.

    `executor` is used, and left open, instead of worker processes of this machine. `notice` is told, from any
    thread, why the run waits, and "" when it goes on. Raises BadInput for what the user got wrong, RunError
    when the run cannot do its work.
    """
    clock = Clock()
    problem = load(options.problem)
    stop = Stop()

    slots = cores() if problem.resource is not None else []
    if slots and (options.workers or 1) > len(slots):
        expected = f"at most {len(slots)}, a core each, as {problem.name} scores what programs use"
        raise BadInput("--workers", expected, f"{options.workers}")
    free = itertools.cycle(slots or [None])

    def worker() -> Fitness:
        return Worker(problem, options.walls, core=next(free))

    with stop.listening():
        if executor is not None:
            return _run(options, problem, clock, executor, stop, listeners)
        known = Job(problem.seed_files, (CaseKey("search", 0),))
        recovery = Recovery(known, problem.worst, notice=notice)
        count = options.workers or len(slots) or os.cpu_count() or 1
        own = LocalExecutor(worker, count, recovery)
        try:
            return _run(options, problem, clock, own, stop, listeners)
        finally:
            own.close()


def run_path(options: RunOptions, problem: Problem) -> Path:
    """Where the run is kept."""
    name = "-".join(filter(None, (problem.name, options.baseline, str(options.seed))))
    path = options.to or Path("runs") / name
    return path if path.suffix == ".git" else path.with_name(path.name + ".git")


def _run(
    options: RunOptions,
    problem: Problem,
    clock: Clock,
    executor: Executor,
    stop: Stop,
    listeners: Sequence[Listener],
) -> dict[str, Json]:
    operators = create_operators(options.operators, problem, options.models)
    session = _session(options, problem, clock, executor, operators)
    population = create_population(options.population or BASELINES.get(options.baseline or "", "elite"))
    place = find_place(run_path(options, problem), problem, options.seed, session.rule, options.fork)
    new, inspected = len(place.begun) < 2, None
    if new and (inspected := inspect_seed(session, stop)) is None:
        raise KeyboardInterrupt if stop() == "interrupt" else SystemExit(143)  # there is no run yet
    with (
        GitLedger.open_or_create(place.path) as ledger,
        closing(Landing(ledger.folder / "landed")) as landing,
    ):
        if inspected is not None:
            begin(ledger, place.begun, session, inspected, place.forked)
        gate: Gate = OpenGate() if session.rule == "open" else DuelGate()
        parts = Parts(
            ledger=ledger,
            executor=executor,
            population=population,
            selector=Portfolio(operators),
            operators=operators,
            gate=gate,
            territory=Territory(problem.seed_files, problem.editable),
            budget=session.budget,
            seed=options.seed,
            search_cases=session.search_cases,
            artifact=problem.claim == "artifact",
            sized=problem.margin > 0,
            in_turn=problem.resource is not None,
            session=None if new else session.measured(),
            landing=landing,
            clock=clock,
            listeners=listeners,
            stop=stop,
            reserve=reserve(problem, executor.workers, session.budget),
        )
        ended = search(parts)
        reason = _end(ended, problem, stop)
        ledger.flush()
        sandbox = str(ended.history.session["sandbox"])  # as the last session recorded it
        return summary(ledger, gate, ended.history, reason, sandbox)


def _session(
    options: RunOptions, problem: Problem, clock: Clock, executor: Executor, operators: Mapping[str, Operator]
) -> Session:
    """What was asked for, as the run's first event will tell it. Raises BadInput where it cannot be."""
    if options.usd is not None:
        unpriced = [model for model, price in _prices(operators).items() if price is None]
        if unpriced:  # a budget in dollars could not bound it
            got = f"{', '.join(unpriced)}, which LiteLLM has no price for"
            raise BadInput("--usd", "models whose price is known (or --trials, --seconds instead)", got)
    return Session(
        problem=problem,
        seed=options.seed,
        rule="open" if options.baseline == "hill-climb" else "duel",
        executor=executor,
        budget=Budget(options.trials, options.seconds, options.usd),
        settings={
            "budget": {"trials": options.trials, "seconds": options.seconds, "usd": options.usd},
            "operators": list(operators),
            "models": list(options.models),
            "population": options.population,
            "baseline": options.baseline,
            "sandbox": options.walls.kind,
            "runtime": options.walls.runtime,
        },
        prices=partial(_prices, operators),
        clock=clock,
    )


def _prices(operators: Mapping[str, Operator]) -> dict[str, Json]:
    """What each model that an operator asks costs."""
    asking = [operator for operator in operators.values() if isinstance(operator, Rewrite)]
    return {name: price and price._asdict() for each in asking for name, price in each.prices.items()}


def _end(ended: Search, problem: Problem, stop: Stop) -> str | None:
    """Open the sealed draws of a run whose budget is spent, write down that it stopped, and say why."""
    if ended.reason not in STOPPED.values() and problem.claim != "artifact":
        open_sealed(ended, problem, stop)
    reason = stop() or ended.reason
    if ended.history.last > ended.replayed:
        ended.append("stop", {"reason": reason}, totals(ended.history))
        ended.sync()
    return reason
