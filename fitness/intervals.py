"""95 % intervals for means of skewed scores.

The studentised bootstrap (Efron & Tibshirani 1993, ch. 12) follows the skew, Student's t guards small and
discrete samples; each side takes the wider of the two. Deterministic: a fixed stream of resamples, taken raw
from PCG64, the part of numpy's randomness that is promised never to change, because intervals undo promotions
and `verify` computes them again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
TAIL = 0.025
T_FIRST = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706)  # 97.5 % quantiles for 1 to 5 degrees of freedom
LEAST_SPREAD = 0.25  # of the sample's own: a resample that lost a rare value would claim certainty

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def mean_interval(values: Sequence[float] | Floats) -> Interval | None:
    """95 % interval of the mean behind independent values, shape (n,), any skew; None for fewer than two."""
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n < 2:
        return None
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(n)
    if error == 0.0:
        return mean, mean
    low, high = _studentised(x - mean, error)
    t = _t_quantile(n - 1)
    return mean - max(high, t) * error, mean - min(low, -t) * error


def _studentised(x: Floats, error: float) -> Interval:
    """The 2.5 % and 97.5 % quantiles of (mean* - mean) / error* over resamples of centred values."""
    n = len(x)
    stream = np.random.PCG64(n)
    ratios = np.empty(RESAMPLES)
    rows = max(1, 100_000 // n)  # what a cache holds
    for start in range(0, RESAMPLES, rows):
        count = min(rows, RESAMPLES - start)
        raw = stream.random_raw(count * n) >> np.uint64(32)
        sample = x[((raw * np.uint64(n)) >> np.uint64(32)).astype(np.intp)].reshape(count, n)
        means = sample.mean(axis=1)
        errors = np.sqrt(np.maximum((sample**2).mean(axis=1) - means**2, 0.0) / (n - 1))
        ratios[start : start + count] = means / np.maximum(errors, LEAST_SPREAD * error)
    low, high = np.quantile(ratios, (TAIL, 1 - TAIL))
    return float(low), float(high)


def _t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t: few degrees tabled, then Cornish-Fisher (within .1 %)."""
    if freedom <= len(T_FIRST):
        return T_FIRST[freedom - 1]
    z, v = 1.959963984540054, float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def sealed_claim(
    champion: Sequence[float],
    seed: Sequence[float] | None,
    sign: int,
    differences: Callable[[Floats, Floats], Floats] = np.subtract,
) -> dict[str, float | Interval | None]:
    """What the sealed draws say: the champion's mean, its gain over the seed, and their 95 % intervals.

    Raw scores, paired, in draw order; `seed` is None where it is the champion, and the gain is None then. The
    gain is oriented by `sign` (+1 maximise, -1 minimise): positive is better. `differences`: those of the
    reading, of oriented scores.
    """
    gains = None
    if seed is not None:
        gains = differences(sign * np.asarray(champion, float), sign * np.asarray(seed, float))
    return {
        "confirmed": float(np.mean(champion)),
        "interval": mean_interval(champion),
        "gain": None if gains is None else float(gains.mean()),
        "gain_interval": None if gains is None else mean_interval(gains),
    }
