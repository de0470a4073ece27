"""The Pareto front: variants that no other one beats in everything. It breeds; nothing is claimed of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evolve.types import Trial
from populations.elite import Elite, drawn

SHARE = 0.5  # of the attempts that breed from the front; the others from the elite


class _Point(NamedTuple):
    variant: str
    place: tuple[float, ...]  # greater is better in each


class Pareto(Elite):
    """An elite, and beside it the front, of which half of the first parents are drawn.

    Where a problem constrains metrics, a variant's point is its value and the mean of each metric, and the
    front is what nothing dominates. The best values alone are soon those of programs that paid with what must
    not be lost; the front keeps the others, and all that is between.

    Elsewhere every search case is an objective. Among so many nobody dominates anybody, so the front is
    whoever is the best on some case, the older one of equals (GEPA, arXiv 2507.19457).

    The more children a variant has, the less likely it is drawn, as in the elite. Shifting and scaling any of
    the objectives changes no draw.
    """

    def __init__(self, size: int = 64) -> None:
        super().__init__(size)
        self._most = size
        self._front: list[_Point] = []  # where metrics are constrained, the oldest first
        self._best: list[tuple[float, str]] = []  # elsewhere: on each search case

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """Ids of `count` parents, distinct where there are enough; children under way count as children."""
        elite = super().ask(rng, count, pending)
        if rng.random() >= SHARE:
            return elite
        names = self.front()
        under_way = Counter(pending)
        weights = 1 / np.array([1.0 + self._children[name] + under_way[name] for name in names])
        first = names[drawn(rng, weights)]
        return (first, *(other for other in elite if other != first), *elite)[:count]

    def front(self) -> list[str]:
        """Ids of those who are on it."""
        return [each.variant for each in self._front] or list(dict.fromkeys(id for _, id in self._best))

    def tell(self, trial: Trial) -> None:
        """Keep the variant if it is among the best, or is on the front."""
        super().tell(trial)
        if trial.verdict != "evaluated" or trial.variant is None or trial.value is None:
            return
        if trial.objectives:
            self._place(_Point(trial.variant, (trial.value, *trial.objectives)))
            return
        values = trial.values or (trial.value,)
        if not self._best:
            self._best = [(value, trial.variant) for value in values]
        for case, value in enumerate(values):
            if value > self._best[case][0]:
                self._best[case] = value, trial.variant

    def _place(self, new: _Point) -> None:
        if any(_covers(kept.place, new.place) for kept in self._front):
            return
        self._front = [kept for kept in self._front if not _covers(new.place, kept.place)]
        self._front.append(new)
        if len(self._front) > self._most:
            del self._front[_crowded([kept.place for kept in self._front])]


def front(points: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the points that none dominates, the best in the first value first; greater is better.

    Of equal points the one that comes first is kept. O(n log n + n x size of the front).
    """
    kept: list[str] = []
    # in this order nobody is dominated by one that follows
    for name in sorted(points, key=lambda name: tuple(-value for value in points[name])):
        if not any(_covers(points[other], points[name]) for other in kept):
            kept.append(name)
    return kept


def _covers(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether it is at least as good in everything."""
    return all(a >= b for a, b in zip(one, other, strict=True))


def _crowded(places: Sequence[tuple[float, ...]]) -> int:
    """Which point has its neighbours the nearest, the youngest of equals; never the best in anything.

    The crowding distance of NSGA-II (Deb et al. 2002): gaps as shares of each objective's range.
    """
    values = np.array(places)
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        gaps = column[order[2:]] - column[order[:-2]]
        distances[order[[0, -1]]] = np.inf
        if spread > 0:
            distances[order[1:-1]] += gaps / spread
    rounded = np.round(distances, 9)  # the unit of an objective must not decide by its last digits
    return int(np.flatnonzero(rounded == rounded.min())[-1])
