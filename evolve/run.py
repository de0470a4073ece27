"""Put a run together from what was asked for, let it search, open the sealed draws, say what came out."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from evolve.budget import Budget, Clock
from evolve.claim import open_sealed, reserve
from evolve.executor import LocalExecutor, Recovery, cores
from evolve.history import History
from evolve.landing import Landing
from evolve.loop import Parts, search
from evolve.operators import create as create_operators
from evolve.operators.portfolio import Portfolio
from evolve.operators.rewrite import Rewrite
from evolve.operators.territory import Territory
from evolve.result import summary, totals
from evolve.start import begin, changes, first_events, inspect_seed
from evolve.types import (
    ANY_WALLS,
    BadInput,
    CaseKey,
    Event,
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
    thread, why the run waits, and "" when it goes on. Raises BadInput for what
    the user got wrong, RunError when the run cannot do its work.
    """
    clock = Clock()
    budget = Budget(options.trials, options.seconds, options.usd)
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
            return _run(options, problem, budget, clock, executor, stop, listeners)
        known = Job(problem.seed_files, (CaseKey("search", 0),))
        recovery = Recovery(known, problem.worst, notice=notice)
        count = options.workers or len(slots) or os.cpu_count() or 1
        own = LocalExecutor(worker, count, recovery)
        try:
            return _run(options, problem, budget, clock, own, stop, listeners)
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
    budget: Budget,
    clock: Clock,
    executor: Executor,
    stop: Stop,
    listeners: Sequence[Listener],
) -> dict[str, Json]:
    path = run_path(options, problem)
    search_cases = tuple(CaseKey("search", n) for n in range(problem.search_cases))
    operators = create_operators(options.operators, problem, options.models)
    if options.usd is not None:
        _require_prices(operators)
    population = create_population(options.population or BASELINES.get(options.baseline or "", "elite"))
    rule = "open" if options.baseline == "hill-climb" else "duel"
    gate: Gate = OpenGate() if rule == "open" else DuelGate()
    settings = {
        "budget": {"trials": options.trials, "seconds": options.seconds, "usd": options.usd},
        "operators": list(operators),
        "models": list(options.models),
        "population": options.population,
        "baseline": options.baseline,
        "sandbox": options.walls.kind,
        "runtime": options.walls.runtime,
    }
    forked, begun = None, first_events(path)
    if begun and (changed := changes(begun[0], problem, options.seed, rule)):
        if not options.fork:
            raise BadInput(str(path), "a run of the same problem and seed (or --fork)", "; ".join(changed))
        (path, begun), forked = _fork(path, problem, options.seed, rule), path
    inspected = None
    if len(begun) < 2 and (inspected := inspect_seed(problem, executor, search_cases, stop)) is None:
        raise KeyboardInterrupt if stop() == "interrupt" else SystemExit(143)  # there is no run yet
    with GitLedger.open_or_create(path) as ledger, closing(Landing(ledger.folder / "landed")) as landing:
        if inspected is not None:
            begin(
                ledger,
                begun,
                problem,
                options.seed,
                rule,
                inspected,
                executor,
                budget,
                settings,
                clock,
                forked,
            )
        here = {"workers": executor.workers, "sandbox": executor.level, "settings": settings}
        parts = Parts(
            ledger=ledger,
            executor=executor,
            population=population,
            selector=Portfolio(operators),
            operators=operators,
            gate=gate,
            territory=Territory(problem.seed_files, problem.editable),
            budget=budget,
            seed=options.seed,
            search_cases=search_cases,
            artifact=problem.claim == "artifact",
            sized=problem.margin > 0,
            in_turn=problem.resource is not None,
            session=here if inspected is None else None,
            landing=landing,
            clock=clock,
            listeners=listeners,
            stop=stop,
            reserve=reserve(problem, executor.workers, budget),
        )
        ended = search(parts)
        if ended.reason not in STOPPED.values() and problem.claim != "artifact":
            open_sealed(ended, problem, stop)
        if ended.history.last > ended.replayed:
            ended.append("stop", {"reason": stop() or ended.reason}, totals(ended.history))
            ended.sync()
        ledger.flush()
        return summary(ledger, gate, ended.history, stop() or ended.reason, _level(ended.history))


def _level(history: History) -> str:
    """The sandbox's, as the last session recorded it."""
    return str(history.session["sandbox"])


def _require_prices(operators: Mapping[str, Operator]) -> None:
    """Raise BadInput where a model's price is not known: a budget in dollars could not bound it."""
    for operator in operators.values():
        if isinstance(operator, Rewrite) and (unpriced := operator.unpriced):
            got = f"{', '.join(unpriced)}, which LiteLLM has no price for"
            raise BadInput("--usd", "models whose price is known (or --trials, --seconds instead)", got)


def _fork(path: Path, problem: Problem, seed: int, gate: str) -> tuple[Path, list[Event]]:
    """The fork of a run that can go on with this problem, and how it began; else a path for a new one."""
    stem = path.name.removesuffix(".git")
    for n in itertools.count(1):
        fork = path.with_name(f"{stem}-fork{n}.git")
        begun = first_events(fork)
        if not begun or not changes(begun[0], problem, seed, gate):
            return fork, begun
    raise AssertionError("count ends")
