"""What the search cases say of every variant: who may challenge, and how much of a good score is luck."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evolve.types import Event, mean

ELITE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A variant's oriented scores on the search cases, shape (cases,): the same cases for every variant."""

    id: str
    trial: int
    scores: NDArray[np.float64]
    value: float  # their mean
    constrained: Mapping[str, Sequence[float]] = field(default_factory=dict)  # metric -> raw, a value a case
    size: int = 0  # of the program; 0: not known, as it does not matter in this run
    fingerprint: str = ""  # of its answers; "": not known, or a case failed

    @property
    def order(self) -> tuple[float, int]:
        """Sorts the best first, the older one first among equals."""
        return -self.value, self.trial


class Candidates:
    """Every evaluated variant of a run. Adding one costs O(log elite)."""

    def __init__(self) -> None:
        self.by_id: dict[str, Candidate] = {}
        self._elite: list[tuple[float, int, str]] = []  # a heap whose root is the worst of the best

    def add(self, trial: Event, sign: int) -> Candidate | None:
        """Take in a trial event; None where nothing was scored. `sign` orients the scores."""
        id, raw = trial.decision["variant"], trial.measured.get("scores")
        if id is None or not raw or trial.decision["verdict"] != "evaluated":
            return None
        # the mean of the raw scores, as everybody computes it, so that ties are ties everywhere
        scores = np.asarray(raw, float)
        constrained, size = trial.measured.get("constrained", {}), trial.measured.get("size", 0)
        value = sign * mean(scores)
        candidate = Candidate(
            id,
            trial.decision["trial"],
            sign * scores,
            value,
            constrained,
            size,
            trial.measured.get("fingerprint", ""),
        )
        self.by_id[id] = candidate
        place = (candidate.value, -candidate.trial, id)
        if len(self._elite) < ELITE:
            heapq.heappush(self._elite, place)
        else:
            heapq.heappushpop(self._elite, place)
        return candidate

    def top(self) -> Candidate | None:
        """The best of all."""
        return self.by_id[max(self._elite)[2]] if self._elite else None

    def best(self) -> list[Candidate]:
        """The elite, best first."""
        return [self.by_id[id] for _, _, id in sorted(self._elite, reverse=True)]

    def shrunk(self, candidate: Candidate) -> float:
        """The candidate's oriented score without the luck that the elite's spread betrays.

        elite mean + r (score - elite mean), r = between / (between + within / n): how far variants differ,
        against the noise of a mean of n cases once the cases' own difficulty is removed.
        """
        scores = np.array([each.scores for each in self.best()])
        variants, cases = scores.shape
        centre = float(scores.mean())
        if variants < 2 or cases < 2:
            return candidate.value
        means = scores.mean(axis=1, keepdims=True)
        residuals = scores - means - scores.mean(axis=0) + centre
        noise = float((residuals**2).sum()) / ((variants - 1) * (cases - 1)) / cases
        between = max(float(means.var(ddof=1)) - noise, 0.0)
        if between + noise == 0.0:
            return candidate.value
        return float(centre + between / (between + noise) * (candidate.value - centre))
