"""How a run begins: the seed is inspected first, then the start and its trial are written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from evolve.budget import Budget, Clock
from evolve.history import evaluation_record
from evolve.memory.loading import Loaded
from evolve.models.broker import asked_file, asked_record
from evolve.operators.territory import Territory
from evolve.types import SCHEMA, CaseKey, Evaluation, Event, Executor, Job, Json, Proposal, Variant
from fitness.check import require_scores
from fitness.presets import PRESETS
from fitness.problem import Problem
from fitness.simplicity import program_size, weighs
from fitness.statistics import Reading, choose_n_max, choose_reading
from populations.ledger import GitLedger
from populations.trees import tree_id, variant_id

REPEATS = 3  # of one case at the start: bit-equal scores permit caching, and nothing else


@dataclass(frozen=True, slots=True)
class Session:
    """What one session of a run is made of, as far as its first event must say."""

    problem: Problem
    seed: int
    rule: Literal["duel", "open"]  # of the gate
    executor: Executor
    budget: Budget
    settings: Mapping[str, Json]
    prices: Callable[[], Mapping[str, Json]]  # of the models; asked late, as a price list takes seconds
    contexts: Callable[[], Mapping[str, Json]]  # of the models, in tokens, likewise
    rooms: Callable[[], Mapping[str, Json]]  # bytes of a prompt, by model; likewise
    clock: Clock
    loaded: Loaded | None = None  # lessons of another run
    agents: tuple[str, ...] = ()  # of other runs, which edit this one's programs

    @property
    def search_cases(self) -> tuple[CaseKey, ...]:
        """What every program is scored on."""
        return tuple(CaseKey("search", n) for n in range(self.problem.search_cases))

    def measured(self) -> dict[str, Json]:
        """What `start` and `resume` say of a session."""
        return {
            "workers": self.executor.workers,
            "sandbox": self.executor.level,
            "settings": self.settings,
            "prices": self.prices(),
            "rooms": self.rooms(),
            "contexts": self.contexts(),
        }


def identity(
    problem: Problem, seed: int, gate: str, parent: str | None, loaded: Sequence[str] = ()
) -> dict[str, Json]:
    """What makes a run the run that it is: its draws follow from this, so it holds nothing measured.

    `parent`: head of the run that this one is forked from; `loaded`: of those whose lessons it begins with.
    """
    constraints = {"constraints": [each.as_json() for each in problem.constraints]}
    return {
        "schema": SCHEMA,
        "problem": {"name": problem.name, "digest": problem.digest},
        "seed": seed,
        "parent": parent,
        "loaded": list(loaded),
        "claim": problem.claim,
        "reading": reading_of(problem)[0].as_json(),
        "direction": problem.direction,
        "gate": gate,
        "account": {"alpha": problem.alpha, "duels": problem.duels, "error": problem.error},
        **(constraints if problem.constraints else {}),
    }


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the seed showed before the run began."""

    evaluation: Evaluation
    repeatable: bool
    case_seconds: float


def inspect_seed(session: Session, stop: Callable[[], str | None]) -> Inspected | None:
    """Evaluate the seed, and one case of it three times if that may show something; None: stop.

    There is no run before that went well, so a session that is killed meanwhile leaves nothing, and the next
    one evaluates the seed anew. Raises BadInput where nothing can start from it.
    """
    problem, executor, cases = session.problem, session.executor, session.search_cases
    whole = Job(problem.seed_files, cases, keep_answers=problem.claim == "artifact", first=True)
    jobs = [whole, *[Job(problem.seed_files, cases[:1])] * (REPEATS if problem.may_repeat else 0)]
    futures = [executor.submit(job) for job in jobs]
    while wait(futures, timeout=0.2).not_done:
        if stop():
            return None
    evaluation, *repeats = [future.result() for future in futures]
    require_scores(problem, evaluation)
    repeatable = problem.may_repeat and len({repeat.scores for repeat in repeats}) == 1
    return Inspected(evaluation, repeatable, sum(evaluation.seconds) / len(evaluation.seconds))


def begin(
    ledger: GitLedger,
    begun: Sequence[Event],
    session: Session,
    inspected: Inspected,
    forked: Path | None,
    name: str | None = None,
) -> None:
    """Write the start and the seed's trial; a variant of the run that this one is forked from comes first.

    `name`: that variant, and the run is told by its commit; without one it is the champion, and the run is
    told by its head. `begun` holds what an earlier session wrote before it was killed.
    """
    old = head = None
    if forked is not None:
        with GitLedger.read(forked) as parent:
            chosen = name or parent.champion()
            head = parent.head if name is None else parent.variants()[name]
            old = parent.variant(chosen) if chosen else None
    if not begun:
        origin = {} if old is None or forked is None else {"forked": {"run": forked.name, "variant": old.id}}
        ledger.append(
            "start",
            identity(
                session.problem,
                session.seed,
                session.rule,
                head,
                [*([session.loaded.head] if session.loaded else []), *session.agents],
            ),
            {**origin, **_measured(session, inspected), "elapsed": session.clock()},
            files={f"problem/{name}": data for name, data in session.problem.documents.items()},
        )
    _seed_trial(ledger, session, inspected)
    if old is not None and forked is not None:
        _immigrate(ledger, session.problem, old, "champion" if name is None else "variant", forked)
    ledger.sync()


def reading_of(problem: Problem) -> tuple[Reading, str]:
    """How a problem's differences are read, and why so."""
    return choose_reading(
        problem.claim, problem.range, problem.difference_range, problem.margin, problem.resource
    )


def most_pairs(
    problem: Problem, case_seconds: float, trials: int | None, seconds: float | None, workers: int
) -> int:
    """Of a duel: what the problem says, else what its preset makes of the budget and of what a case takes."""
    return problem.n_max or choose_n_max(
        case_seconds=case_seconds,
        search_cases=problem.search_cases,
        trials=trials,
        seconds=seconds,
        workers=workers,
        preset=PRESETS[problem.preset],
    )


def _measured(session: Session, inspected: Inspected) -> dict[str, Json]:
    problem, budget, workers = session.problem, session.budget, session.executor.workers
    case_seconds, preset = round(inspected.case_seconds, 6), PRESETS[problem.preset]
    return {
        "at": round(time.time()),
        "n_max": most_pairs(problem, case_seconds, budget.trials, budget.seconds, workers),
        "batch": max(preset.least_batch, min(problem.search_cases, preset.most_batch)),
        "reading_because": reading_of(problem)[1],
        "repeatable": inspected.repeatable,
        "case_seconds": case_seconds,
        **session.measured(),
        **({"lessons": [{"text": text} for text in session.loaded.lessons]} if session.loaded else {}),
        "versions": versions(),
    }


def _seed_trial(ledger: GitLedger, session: Session, inspected: Inspected) -> None:
    problem = session.problem
    tree = tree_id(problem.seed_files)
    variant = Variant(variant_id(0, tree), problem.seed_files)
    decision = {
        "trial": 0,
        "told": 0,
        "operator": "seed",
        "parents": [],
        "tree": tree,
        "idea": "",
        "details": {},
        "variant": variant.id,
        "verdict": "evaluated",
    }
    answers = inspected.evaluation.answers
    files = {"answer": answers[0]} if answers and answers[0] is not None else {}
    asked: dict[str, Json] = {}
    if said := inspected.evaluation.asked:
        asked["asked"] = asked_record(said)
        files["asked.jsonl"] = asked_file(said)
    weighed = weighs(reading_of(problem)[0], inspected.repeatable)
    sized = {"size": program_size(problem.seed_files)} if weighed else {}
    ledger.append(
        "trial",
        decision,
        {**evaluation_record(inspected.evaluation), **asked, **sized, "elapsed": session.clock()},
        variant=variant,
        files=files or None,
    )


def _immigrate(ledger: GitLedger, problem: Problem, champion: Variant, what: str, run: Path) -> None:
    """A variant of the run that was forked, proposed as the first child."""
    tree = tree_id(champion.files)
    seed_tree = tree_id(problem.seed_files)
    if (
        tree != seed_tree
        and Territory(problem.seed_files, problem.editable).violation(champion.files) is None
    ):
        idea = f"{what} {champion.id} of {run.name.removesuffix('.git')}, which this run is forked from"
        decision = {"trial": 1, "told": 1, "operator": "fork", "parents": [variant_id(0, seed_tree)]}
        ledger.propose(
            {**decision, "tree": tree, "idea": idea, "details": {}}, Proposal(champion.files, idea)
        )
        ledger.sync()


def versions() -> dict[str, str]:
    """What the run's results may depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("evolve-code", "numpy", "optuna", "litellm", "xllamacpp"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
