"""Exact intervals for shares: what so many successes out of so many trials say of the probability."""

from __future__ import annotations

import math
from collections.abc import Callable


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934), never narrower than it claims; (0, 1) without trials."""
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _crossing(lambda p: 1 - _at_most(successes - 1, trials, p) >= tail)
    high = 1.0 if successes == trials else _crossing(lambda p: _at_most(successes, trials, p) <= tail)
    return low, high


def _at_most(successes: int, trials: int, p: float) -> float:
    """P(X <= successes) of a binomial X."""
    if p in (0.0, 1.0):
        return float(p == 0.0 or successes == trials)
    logs = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(p) + (trials - k) * math.log1p(-p)
        for k in range(successes + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))


def _crossing(holds: Callable[[float], bool]) -> float:
    """Where in (0, 1) a monotone condition begins to hold, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
