"""95 % intervals for means of skewed scores.

The studentised bootstrap (Efron & Tibshirani 1993, ch. 12) follows the skew, Student's t guards small and
discrete samples; each side takes the wider of the two. Deterministic: a fixed stream of resamples, taken raw
from PCG64, the part of numpy's randomness that is promised never to change, because intervals undo promotions
and `verify` computes them again.

What the sealed draws say is an absolute score, as skewed as scores are, and a sample that has missed the long
tail shows neither its mean nor its skew. There one unseen value on each side is resampled with the values,
`BEYOND` times as far from the mean as the farthest: a pseudo-value as in the adjusted empirical likelihood
(Chen, Variyath & Abraham 2008). Scores that are passes and failures have an exact interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evolve.types import Json
from fitness.binomial import binomial_interval
from fitness.statistics import Reading

FIRST, NEWEST = 1, 2  # versions of the intervals of sealed draws; events that name none have the first
RESAMPLES = 2000
TAIL = 0.025
T_FIRST = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706)  # 97.5 % quantiles for 1 to 5 degrees of freedom
LEAST_SPREAD = 0.25  # of the sample's own: a resample that lost a rare value would claim certainty
BEYOND = 1.5  # times the distance of the farthest value, where an unseen one may lie

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def mean_interval(values: Sequence[float] | Floats, beyond: float = 0.0) -> Interval | None:
    """95 % interval of the mean behind independent values, shape (n,), any skew; None for fewer than two.

    `beyond`: how many times as far from the mean as the farthest value an unseen one may lie; 0: none does.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    if n < 2:
        return None
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(n)
    if error == 0.0:
        return mean, mean
    if beyond:
        ends = sorted((x.max() - mean, x.min() - mean), key=abs)  # in an order that knows no direction
        wider = np.append(x - mean, beyond * np.array(ends))
        low, high = _studentised(wider - wider.mean(), float(wider.std(ddof=1)) / math.sqrt(n + 2))
    else:
        low, high = _studentised(x - mean, error)
    t = _t_quantile(n - 1)
    return mean - max(high, t) * error, mean - min(low, -t) * error


def sealed_interval(scores: Sequence[float], reading: Reading | None, version: int) -> Interval | None:
    """95 % interval of the mean score behind sealed draws, raw; `reading` None: that of some other metric.

    Raises ValueError for a version that is not known here.
    """
    if version not in (FIRST, NEWEST):
        raise ValueError(f"version of intervals: expected {FIRST} to {NEWEST}, got {version}")
    if version == FIRST:
        return mean_interval(scores)
    if reading is not None and reading.kind == "pass_fail" and scores and set(scores) <= {0.0, 1.0}:
        return binomial_interval(int(sum(scores)), len(scores))
    return mean_interval(scores, BEYOND)


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
    reading: Reading | None = None,
    version: int = NEWEST,
) -> dict[str, Json]:
    """What the sealed draws say: the champion's mean, its gain over the seed, and their 95 % intervals.

    Raw scores, paired, in draw order; `seed` is None where it is the champion, and the gain is None then. The
    gain is oriented by `sign` (+1 maximise, -1 minimise): positive is better; `reading` says how it is taken,
    None: as a difference. `version`: of the intervals, recorded as `intervals` from the second on.
    """
    gains = None
    if seed is not None:
        differences = np.subtract if reading is None else reading.differences
        gains = differences(sign * np.asarray(champion, float), sign * np.asarray(seed, float))
    claim: dict[str, Json] = {
        "confirmed": float(np.mean(champion)),
        "interval": sealed_interval(champion, reading, version),
        "gain": None if gains is None else float(gains.mean()),
        "gain_interval": None if gains is None else sealed_interval(gains.tolist(), None, version),
    }
    return claim if version == FIRST else {**claim, "intervals": version}
