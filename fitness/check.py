"""`evolve check`: what a problem's seed does, and what a run could prove, before anything is spent."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from evolve.types import TURNS, BadInput, CaseKey, Evaluation, Files, Fitness, Job
from fitness.account import Account
from fitness.presets import PRESETS
from fitness.problem import Problem
from fitness.statistics import (
    Reading,
    choose_n_max,
    choose_reading,
    pairs_needed,
    smallest_detectable_gain,
    smallest_provable_gain,
)

REPEATS = 3  # of the same case: bit-equal scores are repeatable
NOISE_CASES = 5  # that are repeated
FRESH_CASES, FRESH_SECONDS = 30, 10.0  # of the check's own draws, as many as this time allows, at least 5
GAINS = (0.01, 0.05)  # shares of the seed's score whose proof is priced
DUELS_SHARE = 0.4  # of a run's cases, at most
MUTANT_SECONDS = 10.0  # for all mutants together, on at least 5 cases each
LEAST_MUTANTS = 3  # whose differences tell more than the seed alone


@dataclass(frozen=True, slots=True)
class Priced:
    """A gain and what its proof takes."""

    share: float  # of the seed's score
    gain: float  # in the problem's unit
    pairs: float  # inf: no duel proves it


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found. Scores are raw."""

    level: str  # what protected from the seed program
    seed_score: float  # mean over the search cases
    seed_range: tuple[float, float]  # least and greatest of them
    repeatable: bool
    noise: float  # sd of one case when it is run again
    spread: float  # sd between fresh cases; 0 where there are none
    skew: float  # of the fresh cases
    case_seconds: float  # wall clock a case, all overheads included
    reading: Reading
    reason: str  # why this reading
    duel_level: float  # alpha of the first duel
    n_max: int  # pairs of a duel, in a run as long as `seconds`
    difference_sd: float  # sd of one paired difference, in the problem's unit
    difference_from: str  # how it was found
    priced: tuple[Priced, ...]
    constraints: tuple[tuple[str, float], ...]  # what each says, and the least pairs that prove it
    smallest_provable: float  # gain that the range lets n_max pairs prove
    smallest_detectable: float  # gain that n_max pairs find with power .8
    trial_seconds: float  # one trial on one worker
    seconds: float  # of the run that is planned
    workers: int
    trials: int  # that it makes, about
    sealed_seconds: float  # the final claim, on all workers


def check(
    problem: Problem,
    fitness: Fitness,
    level: str = "",
    mutants: Sequence[Files] = (),
    seconds: float = 60.0,
    workers: int = 2,
) -> Report:
    """Try the seed, and plan a run of so many seconds on so many workers.

    `mutants`: some children of the seed, which show how far paired scores really differ. Raises BadInput
    where nothing can start from the seed: see `require_scores`.
    """
    search = tuple(CaseKey("search", i) for i in range(problem.search_cases))
    if problem.claim != "tasks":  # says what is wrong before time is spent
        require_scores(problem, fitness.evaluate(Job(problem.seed_files, search[:1])))
    start = time.perf_counter()
    whole = fitness.evaluate(Job(problem.seed_files, search))
    case_seconds = (time.perf_counter() - start) / len(search)
    require_scores(problem, whole)
    again = [
        fitness.evaluate(Job(problem.seed_files, search[:NOISE_CASES])).scores for _ in range(REPEATS - 1)
    ]
    repeats = list(zip(whole.scores, *again, strict=False))
    noise = math.sqrt(statistics.fmean(statistics.variance(scores) for scores in repeats))

    artifact = problem.claim == "artifact"
    count = 0 if artifact else max(5, min(FRESH_CASES, int(FRESH_SECONDS / max(case_seconds, 1e-9))))
    fresh = tuple(CaseKey("check", i) for i in range(count))
    scores = fitness.evaluate(Job(problem.seed_files, fresh)).scores if fresh else whole.scores
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0

    reading, reason = choose_reading(
        problem.claim, problem.range, problem.difference_range, problem.margin, problem.resource
    )
    difference_sd, difference_from = _difference_sd(
        problem, reading, fitness, mutants, fresh, scores, case_seconds
    )
    duel_level = Account(problem.alpha, problem.duels, problem.error).level
    n_max = problem.n_max or choose_n_max(
        case_seconds=case_seconds,
        search_cases=len(search),
        trials=None,
        seconds=seconds,
        workers=workers,
        preset=PRESETS[problem.preset],
    )
    scale = abs(whole.mean) or reading.span
    gains = [(share, math.log1p(share) if reading.ratio else share * scale) for share in GAINS]
    trial_seconds = case_seconds * len(search)
    sealed_seconds = 2 * problem.sealed_cases * case_seconds / workers
    left = max(seconds - sealed_seconds, 0.0) * (1.0 if artifact else 1 - DUELS_SHARE)
    return Report(
        level=level,
        seed_score=whole.mean,
        seed_range=(min(whole.scores), max(whole.scores)),
        repeatable=problem.may_repeat and all(len(set(scores)) == 1 for scores in repeats),
        noise=noise,
        spread=spread,
        skew=_skew(scores),
        case_seconds=case_seconds,
        reading=reading,
        reason=reason,
        duel_level=duel_level,
        n_max=n_max,
        difference_sd=difference_sd,
        difference_from=difference_from,
        priced=tuple(
            Priced(share, gain, pairs_needed(reading, duel_level, gain, difference_sd))
            for share, gain in gains
        ),
        constraints=tuple(
            (each.says, pairs_needed(each.reading, duel_level, 0.0, 0.0)) for each in problem.constraints
        ),
        smallest_provable=smallest_provable_gain(reading, duel_level, n_max),
        smallest_detectable=smallest_detectable_gain(reading, duel_level, n_max, difference_sd),
        trial_seconds=trial_seconds,
        seconds=seconds,
        workers=workers,
        trials=int(left * workers / trial_seconds),
        sealed_seconds=sealed_seconds,
    )


def require_scores(problem: Problem, evaluation: Evaluation) -> None:
    """Raise BadInput unless the seed program got a score on every case: nothing can start from less.

    Of tasks one is enough: those that it cannot do are what others are to be better at.
    """
    tasks = problem.claim == "tasks"
    if tasks and not evaluation.failed:
        return
    for position, failure in enumerate(evaluation.failures):
        if failure is not None:
            expected = "a score on one search case at least" if tasks else "a score on every search case"
            got = f"{failure.kind} on case {position}: {failure.detail}"
            raise BadInput(f"{problem.name}: seed program", expected, got)


def _difference_sd(
    problem: Problem,
    reading: Reading,
    fitness: Fitness,
    mutants: Sequence[Files],
    fresh: tuple[CaseKey, ...],
    seed_scores: Sequence[float],
    case_seconds: float,
) -> tuple[float, str]:
    """Standard deviation of one paired difference, and how it was found."""
    if not fresh:
        return 0.0, "an artifact needs no draws"
    if reading.ratio:
        return _noise_in_turn(problem, reading, fitness, fresh, case_seconds), "the seed in turn with itself"
    spread = statistics.stdev(seed_scores)
    affordable = int(MUTANT_SECONDS / max(case_seconds * len(mutants), 1e-9))
    pairs = min(max(affordable, 5), len(fresh))
    found = []
    for files in mutants:
        evaluation = fitness.evaluate(Job(files, fresh[:pairs]))
        differences = [one - other for one, other in zip(evaluation.scores, seed_scores, strict=False)]
        # what would never get into a duel says nothing about duels
        if not any(evaluation.failures) and abs(statistics.fmean(differences)) <= 2 * spread:
            found.append(statistics.stdev(differences))
    changed = [sd for sd in found if sd > 0]
    if len(changed) >= LEAST_MUTANTS:
        return statistics.median(
            changed
        ), f"the median of {len(changed)} mutants that score about like the seed"
    bound = math.sqrt(2) * spread
    if problem.difference_range is not None:
        bound = min(bound, problem.difference_range[1])
    return bound, "as if scores of two programs on one case had nothing in common: the worst case"


def _noise_in_turn(
    problem: Problem, reading: Reading, fitness: Fitness, fresh: tuple[CaseKey, ...], case_seconds: float
) -> float:
    """Standard deviation of the log ratio of a program to itself: what is left of the machine's noise."""
    pairs = min(max(int(MUTANT_SECONDS / max(TURNS * case_seconds, 1e-9)), 5), len(fresh))
    both = fitness.evaluate(Job(problem.seed_files, fresh[:pairs], rival=problem.seed_files))
    assert both.rival is not None
    ratios = map(reading.difference, both.scores, both.rival.scores)
    return statistics.stdev(ratios)


def _skew(scores: Sequence[float]) -> float:
    """Third standardised moment; 0 where all are equal."""
    mean, sd = statistics.fmean(scores), statistics.pstdev(scores)
    return statistics.fmean(((score - mean) / sd) ** 3 for score in scores) if sd > 0 else 0.0
