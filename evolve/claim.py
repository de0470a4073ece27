"""The sealed draws: opened once the search is over, for the claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace

from evolve.budget import Budget
from evolve.history import History
from evolve.landing import Landing
from evolve.loop import Search
from evolve.types import TURNS, CaseKey, Evaluation, Executor, Files, Job
from fitness.gate import CHECK_PAIRS, draw, nonce_of, sealed_claim
from fitness.problem import Problem
from fitness.statistics import Reading

CASES_A_JOB = 50  # small enough to spread over workers and to stop between, large enough to cost nothing


def run_cases(
    executor: Executor,
    files: Files,
    cases: Sequence[CaseKey],
    stop: Callable[[], object],
    landing: Landing | None = None,
) -> list[float] | None:
    """Raw scores of one program on many cases, spread over the workers; None: somebody wants to stop."""
    both = run_jobs(executor, Job(files, tuple(cases)), stop, landing)
    return None if both is None else both[0]


def run_jobs(
    executor: Executor, whole: Job, stop: Callable[[], object], landing: Landing | None = None
) -> tuple[list[float], list[float]] | None:
    """The same of a job's program and of its rival, if it has one."""
    cases = whole.cases
    size = max(1, min(CASES_A_JOB, -(-len(cases) // (2 * executor.workers))))
    jobs = [replace(whole, cases=cases[at : at + size]) for at in range(0, len(cases), size)]

    def submit(job: Job) -> Future[Evaluation]:
        return landing.submit(executor, job)[1] if landing is not None else executor.submit(job)

    waiting = {submit(job): n for n, job in enumerate(jobs)}
    landed: dict[int, Evaluation] = {}
    while waiting:
        if stop():
            for future in waiting:
                future.cancel()
            return None
        done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            landed[waiting.pop(future)] = future.result()
    sides = [landed[n] for n in range(len(jobs))], [landed[n].rival for n in range(len(jobs))]
    own, rival = ([score for each in side if each is not None for score in each.scores] for side in sides)
    return own, rival


def open_sealed(search: Search, problem: Problem, stop: Callable[[], object]) -> None:
    """Open the sealed draws on champion and seed, unless they were opened for this champion already."""
    history, parts = search.history, search.parts
    if history.start is None or history.champion is None:
        return
    if history.sealed is not None and history.sealed.index > history.champion_moved:
        return
    nonce = nonce_of(history.start.decision)
    cases = [CaseKey("sealed", draw(nonce, "sealed", n)) for n in range(problem.sealed_cases)]
    scores: dict[str, list[float]] = {}
    ids = list(dict.fromkeys((history.champion, history.seed)))
    programs = [parts.ledger.variant(id).files for id in ids]
    runs = len(ids)
    if problem.resource is not None and len(ids) == 2:
        job = Job(programs[0], tuple(cases), rival=programs[1])
        if (both := run_jobs(parts.executor, job, stop, parts.landing)) is None:
            return
        scores, runs = dict(zip(ids, both, strict=True)), TURNS
    else:
        for id, files in zip(ids, programs, strict=True):
            found = run_cases(parts.executor, files, cases, stop, parts.landing)
            if found is None:
                return
            scores[id] = found
    decision = {
        "opening": history.openings + 1,
        "champion": history.champion,
        "seed": history.seed,
        "count": len(cases),
        "seen": history.openings > 0,
    }
    champion, seed = scores[history.champion], scores[history.seed]
    reading = Reading.from_json(history.start.decision["reading"])
    claimed = sealed_claim(champion, seed if len(ids) == 2 else None, problem.sign, reading.differences)
    measured = {"champion": champion, "seed": seed, "ran": len(cases) * runs, **claimed}
    search.append("sealed", decision, measured, variant=history.champion)


def reserve(problem: Problem, workers: int, budget: Budget) -> Callable[[History, bool], float]:
    """Seconds to keep for the check pairs and the sealed claim, and (where asked) for one more duel."""

    def seconds(history: History, duels: bool) -> float:
        if budget.seconds is None or history.start is None or history.champion is None:
            return 0.0
        case = max(history.variants[id].seconds_a_case for id in {history.seed, history.champion})
        if problem.claim == "artifact":
            return 0.2
        pair = 2 if problem.resource is None else TURNS
        sealed = (pair if history.champion != history.seed else 1) * problem.sealed_cases * case
        check = pair * CHECK_PAIRS * case
        duel = (
            min(pair * history.start.measured["n_max"] * case, 0.05 * budget.seconds * workers)
            if duels
            else 0.0
        )
        return 0.3 + 1.15 * (sealed + check + duel) / workers

    return seconds
