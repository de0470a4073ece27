"""Which arm makes the next child: the more often one improved on its parents of late, the likelier.

An arm is an operator or, of those that ask language models, an operator with one of the models.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Collection, Iterable

import numpy as np

from evolve.types import Trial


class Portfolio:
    """Draws arms by reward: the squared share of recent values that a child beats.

    A child that does not beat its parents earns nothing.

    Only comparisons of values enter, so shifting and scaling all scores changes nothing. Attempts in flight
    count as attempts without a reward. `spread` of the draws is shared out evenly: no arm is given up.
    """

    def __init__(self, names: Iterable[str], spread: float = 0.1, memory: int = 128) -> None:
        self._names = list(names)
        self._spread = spread
        self._recent: deque[float] = deque(maxlen=memory)  # values, oldest first
        self._sorted: list[float] = []  # the same, least first
        self._values: dict[str, float] = {}  # variant -> value
        self._keep = 1 - 1 / memory  # what is left of a reward after one more attempt of its arm
        self._rewards = dict.fromkeys(self._names, 0.0)
        self._attempts = dict.fromkeys(self._names, 0.0)

    def ask(self, rng: np.random.Generator, pending: Collection[str]) -> str:
        """Name of the next arm."""
        return self._names[int(rng.choice(len(self._names), p=self.shares(pending)))]

    def shares(self, pending: Collection[str] = ()) -> np.ndarray:
        """Probability of each arm, in the order of the names."""
        prior = 8.0  # attempts with the mean reward of all, before an arm's own count
        mean = (sum(self._rewards.values()) + 1) / (sum(self._attempts.values()) + 2)
        under_way = Counter(pending)
        merit = np.array(
            [
                (self._rewards[name] + prior * mean) / (self._attempts[name] + prior + under_way[name])
                for name in self._names
            ]
        )
        return np.asarray(self._spread / len(merit) + (1 - self._spread) * merit / merit.sum())

    def tell(self, trial: Trial) -> None:
        """Credit the arm of a finished trial."""
        if (name := trial.arm) in self._attempts:
            self._attempts[name] = self._keep * self._attempts[name] + 1
            self._rewards[name] = self._keep * self._rewards[name] + self._reward(trial)
        if trial.value is not None and trial.variant is not None:
            self._values[trial.variant] = trial.value
            if len(self._recent) == self._recent.maxlen:
                del self._sorted[bisect_left(self._sorted, self._recent[0])]
            self._recent.append(trial.value)
            insort(self._sorted, trial.value)

    def _reward(self, trial: Trial) -> float:
        if trial.value is None or not self._sorted:
            return 0.0
        for parent in trial.parents:
            if trial.value <= self._values.get(parent, -math.inf):
                return 0.0
        return (bisect_left(self._sorted, trial.value) / len(self._sorted)) ** 2
