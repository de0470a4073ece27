"""Real scores to draw from: programs about as good as the seed, on cases of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evolve.types import BadInput, CaseKey, Evaluation, Files, Fitness, Job
from fitness.check import require_scores
from fitness.problem import Problem
from fitness.statistics import Reading

MOST_CASES, LEAST_CASES = 200, 20
TIMES = 4  # that the seed runs, where its own noise is all there is

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pool:
    """Raw scores and constrained metrics, shape (programs, cases) each; any two rows are as good as equal."""

    scores: Floats
    metrics: Mapping[str, Floats] = field(default_factory=dict)
    origin: str = ""  # whose scores these are

    def difference_sd(self, reading: Reading, sign: int) -> float:
        """Standard deviation of one paired difference between two of its programs."""
        pairs = [(i, j) for i in range(len(self.scores)) for j in range(len(self.scores))]
        found = [reading.differences(sign * self.scores[i], sign * self.scores[j]) for i, j in pairs]
        return float(np.std(found))


def measure(problem: Problem, fitness: Fitness, mutants: Sequence[Files], seconds: float = 20.0) -> Pool:
    """Run the seed and those mutants that score about like it, for so long about.

    Where no mutant does, scores of the seed on other cases stand in for those of other programs: then two
    programs have nothing in common on a case, the worst that can be. Raises BadInput where all score alike,
    and for an artifact, which is proven exactly.
    """
    if problem.claim == "artifact":
        raise BadInput(problem.name, "claim cases or tasks: an artifact is proven exactly", "artifact")
    cases = tuple(CaseKey("check", n) for n in range(MOST_CASES))
    first = fitness.evaluate(Job(problem.seed_files, cases[:LEAST_CASES]))
    require_scores(problem, first)
    programs = len(mutants) + 1 if problem.resource is None else TIMES
    case_seconds = max(sum(first.seconds) / LEAST_CASES, 1e-4)
    count = min(max(LEAST_CASES, int(seconds / programs / case_seconds)), MOST_CASES)
    if problem.resource is not None:
        found = [side for _ in range(TIMES // 2) for side in _in_turn(problem, fitness, cases[:count])]
        origin = f"the seed, run {len(found)} times in turn with itself"
    else:
        job = Job(problem.seed_files, cases[:count])
        found = [fitness.evaluate(job)]
        tried = [fitness.evaluate(Job(files, cases[:count])) for files in mutants]
        found += [each for each in tried if _alike(each, found[0])]
        origin = f"the seed and {len(found) - 1} mutants that score about like it"
    for each in found:
        require_scores(problem, each)
    scores = np.array([each.scores for each in found])
    metrics = {
        each.metric: np.array([one.constrained[each.metric] for one in found]) for each in problem.constraints
    }
    if (scores == scores[0]).all():
        shifts = range(0, count, max(1, count // 8))
        scores, origin = _rolled(scores, shifts), "the seed, on other cases: as if nothing were in common"
        metrics = {metric: _rolled(values, shifts) for metric, values in metrics.items()}
    if (scores == scores[0]).all():
        raise BadInput(
            problem.name, "scores that differ between cases or programs", f"{scores[0, 0]:g} always"
        )
    return Pool(scores, metrics, origin)


def _in_turn(problem: Problem, fitness: Fitness, cases: tuple[CaseKey, ...]) -> tuple[Evaluation, Evaluation]:
    both = fitness.evaluate(Job(problem.seed_files, cases, rival=problem.seed_files))
    assert both.rival is not None
    return both, both.rival


def _alike(mutant: Evaluation, seed: Evaluation) -> bool:
    """It differs, fails nowhere, and is about as good: within half the spread between cases."""
    if any(mutant.failures) or mutant.scores == seed.scores:
        return False
    return bool(abs(mutant.mean - seed.mean) <= 0.5 * np.std(seed.scores))


def _rolled(values: Floats, shifts: range) -> Floats:
    return np.array([np.roll(values[0], shift) for shift in shifts])
