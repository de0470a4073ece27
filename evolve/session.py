"""One session of a run: put together from what was asked for, searched, its sealed draws opened, told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from evolve.asking import Asking
from evolve.budget import Budget, Clock
from evolve.claim import open_sealed, reserve
from evolve.control import FOLDER, Mailbox
from evolve.exchange import Exchange
from evolve.finding import find
from evolve.landing import Landing
from evolve.loop import Parts, Search, search
from evolve.memory import chosen
from evolve.memory.loading import Loaded, lessons_of
from evolve.memory.memory import Memory
from evolve.memory.view import room_bytes
from evolve.models.broker import DeskBroker
from evolve.models.calls import Calls
from evolve.models.desk import Desk
from evolve.models.purse import Limits, Purse
from evolve.operators import create as create_operators
from evolve.operators import pinned
from evolve.operators.territory import Territory
from evolve.options import RunOptions
from evolve.place import find_fork, find_place
from evolve.result import summary, totals
from evolve.start import Session, begin, inspect_seed, reading_of
from evolve.stopping import REQUEST, STOPPED, Stop
from evolve.types import BadInput, Executor, Gate, Json, Listener
from fitness.gate import DuelGate, OpenGate
from fitness.problem import Problem
from fitness.simplicity import weighs
from populations import create as create_population
from populations.ledger import GitLedger
from populations.meeting import Meeting


def run_path(options: RunOptions, problem: Problem) -> Path:
    """Where the run is kept."""
    name = "-".join(filter(None, (problem.name, options.baseline, str(options.seed))))
    path = options.to or Path("runs") / name
    return path if path.suffix == ".git" else path.with_name(path.name + ".git")


def play(
    options: RunOptions,
    problem: Problem,
    clock: Clock,
    executor: Executor,
    stop: Stop,
    listeners: Sequence[Listener],
    broker: DeskBroker,
    notice: Callable[[str], None] = lambda text: None,
) -> dict[str, Json]:
    """Put a run together, let it search, open the sealed draws, say what came out; see `evolve.run.run`."""
    kinds = chosen(options.memory, options.baseline is not None, options.lessons_from is not None)
    rule: Literal["duel", "open"] = "open" if options.baseline == "hill-climb" else "duel"
    path = run_path(options, problem)
    if options.origin is not None:
        place = find_fork(path, problem, options.seed, rule, options.origin)
    else:
        place = find_place(path, problem, options.seed, rule, options.fork, options.lessons_from)
    loaded = None
    if options.lessons_from is not None and not place.begun:
        loaded = lessons_of(options.lessons_from, find(options.lessons_from), problem.name)
    begun_with = place.begun[0].decision.get("loaded", []) if place.begun else []
    names, sent = pinned(options.operators, problem, begun_with)
    options = replace(options, operators=None if names is None else tuple(names))
    operators = create_operators(options.operators, problem, options.models, options.monitor is not None)
    prices = place.begun[0].measured.get("prices", {}) if place.begun else {}
    desk = _desk(options, prices)
    if problem.allowance is not None and not options.models:
        raise BadInput("--model", f"at least one, as programs of {problem.name} ask models", "none")
    broker.serve(desk, options.seed)
    usual = problem.population or ("pareto" if problem.constraints else "elite")
    name = options.population or options.baseline or usual
    population = create_population(name)
    session = _session(options, problem, clock, executor, list(operators), name, desk, rule, kinds, loaded)
    session = replace(session, agents=tuple(sent))
    new, inspected = len(place.begun) < 2, None
    early = place.path.with_name(f"{place.path.name}.asked")  # what the seed asks, as long as there is no run
    if new and problem.allowance is not None:
        early.parent.mkdir(parents=True, exist_ok=True)
        broker.keep(early)
    if new and (inspected := inspect_seed(session, stop)) is None:
        raise KeyboardInterrupt if stop() == "interrupt" else SystemExit(143)  # there is no run yet
    with (
        closing(desk),
        GitLedger.open_or_create(place.path) as ledger,
        closing(Landing(ledger.folder / "landed")) as landing,
        closing(Calls(ledger.folder / "calls")) as calls,
        ExitStack() as stack,
    ):
        if inspected is not None:
            begin(ledger, place.begun, session, inspected, place.forked, place.variant)
        desk.keep(calls)
        exchange = stack.enter_context(_exchange(options, ledger, problem, notice))
        broker.keep(ledger.folder / "asked")
        early.unlink(missing_ok=True)  # the seed's trial has it
        gate: Gate = OpenGate() if session.rule == "open" else DuelGate()
        territory = Territory(problem.seed_files, problem.editable)
        memory = Memory(problem, territory, kinds)
        parts = Parts(
            ledger=ledger,
            executor=executor,
            asking=Asking(options.seed, operators.values(), desk.models, population, memory=memory),
            desk=desk,
            gate=gate,
            territory=territory,
            budget=session.budget,
            search_cases=session.search_cases,
            artifact=problem.claim == "artifact",
            sized=weighs(reading_of(problem)[0], ledger.event(0).measured["repeatable"]),
            in_turn=problem.resource is not None,
            session=None if new else session.measured(),
            exchange=exchange,
            landing=landing,
            settled=broker.settle,
            a_case=broker.most_of_a_case() if problem.allowance is not None else None,
            owed_cases=0 if problem.claim == "artifact" else 2 * problem.sealed_cases,
            clock=clock,
            listeners=[*listeners, *([exchange] if exchange is not None else [])],
            stop=stop,
            reserve=reserve(problem, executor.workers),
            mail=Mailbox(ledger.folder / FOLDER),
        )
        ended = search(parts)
        reason = _end(ended, problem, stop)
        ledger.flush()
        sandbox = str(ended.history.session["sandbox"])  # as the last session recorded it
        return summary(ledger, gate, ended.history, reason, sandbox)


@contextmanager
def _exchange(
    options: RunOptions, ledger: GitLedger, problem: Problem, notice: Callable[[str], None]
) -> Iterator[Exchange | None]:
    """With other runs, where a meeting place is named."""
    if options.exchange is None:
        yield None
        return
    ledger.flush()  # its first event names the run there
    folder = ledger.folder / "exchange.git"
    meeting = Meeting(ledger.folder.parent, folder, options.exchange, ledger.root, problem.digest)
    with closing(Exchange(meeting, ledger, notice)) as exchange:
        yield exchange


def _session(
    options: RunOptions,
    problem: Problem,
    clock: Clock,
    executor: Executor,
    operators: Sequence[str],
    population: str,
    desk: Desk,
    rule: Literal["duel", "open"],
    kinds: Sequence[str],
    loaded: Loaded | None,
) -> Session:
    """What was asked for, as the run's first event will tell it. Raises BadInput where it cannot be."""
    budget = Budget(options.trials, options.seconds, options.usd, options.tokens, options.calls)
    if (unpriced := desk.unpriced(everywhere=options.usd is not None)) is not None:
        expected = "a price for each model, as --model NAME,price=0.25/2: dollars for a million tokens"
        raise BadInput("--usd", expected, f"none for {unpriced}, which LiteLLM does not know")
    return Session(
        problem=problem,
        seed=options.seed,
        rule=rule,
        executor=executor,
        budget=budget,
        settings={
            "budget": asdict(budget),
            "operators": list(options.operators or operators),
            "models": list(options.models),
            **({"monitor": options.monitor} if options.monitor is not None else {}),
            "population": population,
            "baseline": options.baseline,
            **({"memory": list(kinds), "lessons_from": options.lessons_from} if options.models else {}),
            "sandbox": options.walls.kind,
            "runtime": options.walls.runtime,
            "cluster": options.cluster is not None,
        },
        prices=lambda: {name: price and price._asdict() for name, price in desk.prices.items()},
        rooms=lambda: _rooms(options.models, desk),
        contexts=lambda: desk.contexts,
        clock=clock,
        loaded=loaded,
    )


def _desk(options: RunOptions, prices: Mapping[str, Json]) -> Desk:
    """The models of a run; `prices` of those that it had before stay. Raises BadInput."""
    limits = Limits(options.usd, options.tokens, options.calls)
    if not options.models:
        return Desk(purse=Purse(limits))
    from evolve.models.named import desk  # late: all the ways to ask a model

    return desk(options.models, limits, prices, options.monitor)


def _rooms(models: Sequence[str], desk: Desk) -> dict[str, Json]:
    """Bytes that a prompt of each model may have."""
    if not models:
        return {}
    from evolve.models.named import parse

    asked, contexts = map(parse, models), desk.contexts
    return {each.name: room_bytes(contexts[each.name], each.settings.reply_tokens) for each in asked}


def _end(ended: Search, problem: Problem, stop: Stop) -> str | None:
    """Open the sealed draws of a run whose budget is spent, write down that it stopped, and say why."""
    if ended.reason not in (*STOPPED.values(), REQUEST) and problem.claim != "artifact":
        open_sealed(ended, problem, stop)
    reason = stop() or ended.reason
    if ended.history.last > ended.replayed:
        ended.append("stop", {"reason": reason}, totals(ended.history))
        ended.sync()
    return reason
