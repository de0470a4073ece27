"""What a child is worth: by ranks alone, so that no increasing function of the scores changes it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from statistics import NormalDist

from evolve.types import Trial

MEMORY = 128  # values that a child is ranked among
_NORMAL = NormalDist()


class Ranks:
    """Ranks each child among the most recent values.

    One that beats its parents is worth the normal score of its rank, where that is positive: what it does
    better than the median child, in standard deviations (the rank-based advantages of SoftRankPO, 2025). Any
    other child is worth nothing.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MEMORY)  # values, oldest first
        self._sorted: list[float] = []  # the same, least first
        self._values: dict[str, float] = {}  # variant -> value

    def tell(self, trial: Trial) -> float:
        """What a finished trial brought; from now on others are ranked beside it."""
        worth = self._worth(trial)
        if trial.value is not None and trial.variant is not None:
            self._values[trial.variant] = trial.value
            if len(self._recent) == MEMORY:
                del self._sorted[bisect_left(self._sorted, self._recent[0])]
            self._recent.append(trial.value)
            insort(self._sorted, trial.value)
        return worth

    def _worth(self, trial: Trial) -> float:
        if trial.value is None or not self._sorted:
            return 0.0
        for parent in trial.parents:
            if trial.value <= self._values.get(parent, -math.inf):
                return 0.0
        below, above = bisect_left(self._sorted, trial.value), bisect_right(self._sorted, trial.value)
        rank = ((below + above) / 2 + 0.5) / (len(self._sorted) + 1)
        return max(0.0, _NORMAL.inv_cdf(rank))


def guess(total: float, attempts: float, expected: float, under_way: int = 0) -> float:
    """Mean worth of attempts, after `prior` ones that brought what was expected."""
    prior = 8.0
    return (total + prior * expected) / (attempts + prior + under_way)
