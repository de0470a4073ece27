"""Exact intervals for shares: what so many successes out of so many trials say of the probability."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934), never narrower than it claims; (0, 1) without trials."""
    tail = (1 - confidence) / 2
    low, high = 0.0, 1.0
    if successes > 0:
        fewer = _at_most(successes - 1, trials)
        low = _crossing(lambda p: 1 - fewer(p) >= tail)
    if successes < trials:
        no_more = _at_most(successes, trials)
        high = _crossing(lambda p: no_more(p) <= tail)
    return low, high


def _at_most(successes: int, trials: int) -> Callable[[float], float]:
    """P(X <= successes) of a binomial X, by p."""
    k = np.arange(successes + 1)
    ways = np.array([math.lgamma(i + 1) + math.lgamma(trials - i + 1) for i in range(successes + 1)])
    ways = math.lgamma(trials + 1) - ways

    def probability(p: float) -> float:
        if p in (0.0, 1.0):
            return float(p == 0.0 or successes == trials)
        return float(np.exp(ways + k * math.log(p) + (trials - k) * math.log1p(-p)).sum())

    return probability


def _crossing(holds: Callable[[float], bool]) -> float:
    """Where in (0, 1) a monotone condition begins to hold, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
