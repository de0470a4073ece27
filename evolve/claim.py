"""The sealed draws: opened once the search is over, for the claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import replace
from itertools import accumulate, chain

from evolve.budget import Budget
from evolve.history import History, failures_record
from evolve.landing import Landing
from evolve.loop import Search
from evolve.models.broker import asked_file, asked_record, of_side
from evolve.types import TURNS, CaseKey, Evaluation, Executor, Job, Json
from fitness.constraints import sealed_constraints
from fitness.gate import CHECK_PAIRS, draw, nonce_of, sealed_claim
from fitness.problem import Problem
from fitness.statistics import Reading

CASES_A_JOB = 50  # at the most: small enough to stop between, large enough to cost nothing
JOBS_A_WORKER = 8  # rather more than fewer: at the end the workers wait for the last one
LANDING_JOBS = (
    1.5  # that a worker still has when the search ends; a child that takes longer waits for a resume
)
DUEL_SHARE = 0.05  # of a budget, for one duel after the search
ALONE_SECONDS = 0.2  # to start a sandbox for one program alone
SAFETY = 1.1  # of a measured time, as the machine may be busier by then


def run_cases(
    executor: Executor, wholes: Sequence[Job], stop: Callable[[], object], landing: Landing | None = None
) -> list[Evaluation] | None:
    """Jobs of many cases, each spread over the workers; None: somebody wants to stop."""
    parts: list[tuple[int, Job]] = []
    for n, whole in enumerate(wholes):
        size = max(1, min(CASES_A_JOB, -(-len(whole.cases) // (JOBS_A_WORKER * executor.workers))))
        cuts = range(0, len(whole.cases), size)
        parts += [(n, replace(whole, cases=whole.cases[at : at + size])) for at in cuts]

    def submit(job: Job) -> Future[Evaluation]:
        return landing.submit(executor, job)[1] if landing is not None else executor.submit(job)

    futures = [submit(job) for _, job in parts]
    while (state := wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)).not_done:
        for future in state.done:
            future.result()  # raises what the machinery failed with
        if stop():
            for future in futures:
                future.cancel()
            return None
    landed: list[list[Evaluation]] = [[] for _ in wholes]
    for (n, _), future in zip(parts, futures, strict=True):
        landed[n].append(future.result())
    return [_joined(evaluations) for evaluations in landed]


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations of one program, or of two that took turns, as one."""
    rivals = [part.rival for part in parts if part.rival is not None]
    before = accumulate((len(part.scores) for part in parts), initial=0)
    return Evaluation(
        scores=tuple(chain.from_iterable(part.scores for part in parts)),
        failures=tuple(chain.from_iterable(part.failures for part in parts)),
        seconds=tuple(chain.from_iterable(part.seconds for part in parts)),
        survived=tuple(chain.from_iterable(part.survived for part in parts)),
        constrained={
            metric: tuple(chain.from_iterable(part.constrained[metric] for part in parts))
            for metric in parts[0].constrained
            if all(metric in part.constrained for part in parts)
        },
        rival=_joined(rivals) if rivals else None,
        asked=tuple(
            replace(each, parameters={**each.parameters, "case": each.parameters["case"] + first})
            for first, part in zip(before, parts, strict=False)
            for each in part.asked
        ),
    )


def open_sealed(search: Search, problem: Problem, stop: Callable[[], object]) -> None:
    """Open the sealed draws on champion and seed, unless they were opened for this champion already."""
    history, parts = search.history, search.parts
    if history.start is None or history.champion is None:
        return
    if history.sealed is not None and history.sealed.index > history.champion_moved:
        return
    nonce = nonce_of(history.start.decision)
    cases = tuple(CaseKey("sealed", draw(nonce, "sealed", n)) for n in range(problem.sealed_cases))
    proven = history.champion != history.seed
    jobs = [Job(parts.ledger.variant(history.champion).files, cases, alone=True)]
    if proven:
        jobs.append(Job(parts.ledger.variant(history.seed).files, cases, alone=True))
        if problem.resource is not None:
            jobs = [replace(jobs[0], rival=jobs[1].files)]
    if (found := run_cases(parts.executor, jobs, stop, parts.landing)) is None:
        return
    champion, seed = found[0], found[0].rival or found[-1]
    decision = {
        "opening": history.openings + 1,
        "champion": history.champion,
        "seed": history.seed,
        "count": len(cases),
        "seen": history.openings > 0,
    }
    reading = Reading.from_json(history.start.decision["reading"])
    runs = len(jobs) if jobs[0].rival is None else TURNS
    sides = {"champion": champion, "seed": seed}
    measured: dict[str, Json] = {side: list(each.scores) for side, each in sides.items()}
    measured |= {"ran": len(cases) * runs}
    measured |= sealed_claim(champion.scores, seed.scores if proven else None, problem.sign, reading)
    if problem.constraints and all(each.constrained for each in sides.values()):
        record: dict[str, Json] = {
            side: {metric: list(values) for metric, values in each.constrained.items()}
            for side, each in sides.items()
        }
        measured["constrained"] = record
        measured["constraints"] = sealed_constraints(problem.constraints, record, proven)
    if failures := {side: why for side, each in sides.items() if (why := failures_record(each))}:
        measured["failures"] = failures
    if survived := {side: list(each.survived) for side, each in sides.items() if each.survived}:
        measured["survived"] = survived
    files = {}
    said = zip(("champion", "seed"), found, strict=False)
    if asked := [exchange for side, each in said for exchange in of_side(side, each.asked)]:
        measured["asked"] = asked_record(asked)
        measured["tokens_a_case"] = {
            side: sum(said.prompt_tokens + said.reply_tokens for said in each.asked) / len(cases)
            for side, each in zip(("champion", "seed"), found, strict=False)
        }
        files["asked.jsonl"] = asked_file(asked)
    search.append("sealed", decision, measured, variant=history.champion, files=files)


def reserve(problem: Problem, workers: int) -> Callable[[History, bool, Budget], float]:
    """Seconds of a budget to keep for what must still be done after the search, by what it took so far.

    That is the sealed claim and, where a duel is open, its check pairs; with `duels` also the pairs that the
    longest open duel may still ask for, and the children under way.
    """
    pair = 2 if problem.resource is None else TURNS

    def seconds(history: History, duels: bool, budget: Budget) -> float:
        if budget.seconds is None or history.start is None or history.champion is None:
            return 0.0
        seed, cost = history.seed, history.seconds_a_case
        landing = LANDING_JOBS * problem.search_cases * cost(history.champion) if duels else 0.0
        if problem.claim == "artifact":
            return 0.2 + landing
        most = owed = 0.0
        for duel in history.open_duels.values():  # its challenger may be the champion by then
            a_pair = pair / 2 * (cost(duel.challenger) + cost(duel.champion))
            sealed = pair / 2 * problem.sealed_cases * (cost(duel.challenger) + cost(seed))
            most = max(most, sealed + (CHECK_PAIRS - (duel.checks or 0)) * a_pair)
            if duel.checks is None:
                owed = max(owed, (history.start.measured["n_max"] - duel.pairs) * a_pair)
        proven = history.champion != seed
        sealed = problem.sealed_cases * (cost(seed) + (cost(history.champion) if proven else 0.0))
        most = max(most, sealed * (pair / 2 if proven else 1))
        if duels:
            most += min(owed, DUEL_SHARE * budget.seconds * workers)
        alone = ALONE_SECONDS * (4 if history.open_duels else 2)  # check pairs of both, sealed draws of both
        return 0.3 + landing + alone + SAFETY * most / workers

    return seconds
