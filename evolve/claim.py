"""The sealed draws: opened once the search is over, for the claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from evolve.budget import Budget
from evolve.history import History
from evolve.landing import Landing
from evolve.loop import Search
from evolve.types import CaseKey, Evaluation, Executor, Files, Job, RunError
from fitness.gate import CHECK_PAIRS, draw, nonce_of, sealed_claim
from fitness.problem import Problem

CASES_A_JOB = 50  # small enough to spread over workers and to stop between, large enough to cost nothing


def run_cases(
    executor: Executor,
    files: Files,
    cases: Sequence[CaseKey],
    stop: Callable[[], object],
    landing: Landing | None = None,
) -> list[float] | None:
    """Raw scores of one program on many cases, spread over the workers; None: somebody wants to stop.

    Raises RunError when the machinery failed on the same cases three times.
    """
    size = max(1, min(CASES_A_JOB, -(-len(cases) // (2 * executor.workers))))
    jobs = [Job(files, tuple(cases[at : at + size])) for at in range(0, len(cases), size)]

    def submit(job: Job) -> Future[Evaluation]:
        return landing.submit(executor, job)[1] if landing is not None else executor.submit(job)

    waiting = {submit(job): (n, 1) for n, job in enumerate(jobs)}
    scores: dict[int, tuple[float, ...]] = {}
    while waiting:
        if stop():
            for future in waiting:
                future.cancel()
            return None
        done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            n, tries = waiting.pop(future)
            try:
                scores[n] = future.result().scores
            except RunError:
                if tries == 3:
                    raise
                waiting[submit(jobs[n])] = n, tries + 1
    return [score for n in range(len(jobs)) for score in scores[n]]


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
    for id in dict.fromkeys((history.champion, history.seed)):
        files = parts.ledger.variant(id).files
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
    claimed = sealed_claim(champion, seed if history.champion != history.seed else None, problem.sign)
    measured = {"champion": champion, "seed": seed, "ran": len(cases) * len(scores), **claimed}
    search.append("sealed", decision, measured, variant=history.champion)


def reserve(problem: Problem, workers: int, budget: Budget) -> Callable[[History, bool], float]:
    """Seconds to keep for the check pairs and the sealed claim, and (where asked) for one more duel."""

    def seconds(history: History, duels: bool) -> float:
        if budget.seconds is None or history.start is None or history.champion is None:
            return 0.0
        case = max(history.variants[id].seconds_a_case for id in {history.seed, history.champion})
        if problem.claim == "artifact":
            return 0.2
        sealed = (1 + (history.champion != history.seed)) * problem.sealed_cases * case
        check = 2 * CHECK_PAIRS * case
        duel = (
            min(2 * history.start.measured["n_max"] * case, 0.05 * budget.seconds * workers) if duels else 0.0
        )
        return 0.3 + 1.15 * (sealed + check + duel) / workers

    return seconds
