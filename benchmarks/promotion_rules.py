"""Families of noise, and rules that say who gets promoted: ours, fixed tests, and what other systems do.

A program is an integer: SEED, EQUAL to it, or the planted WINNER. Every score of every (program, case) has
noise of its own; the seed's, or a later champion's, are the same for all that meet it on a case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from fitness.account import Account
from fitness.statistics import Duel, Reading

SEED, EQUAL, WINNER = 0, 1, 2
CHALLENGERS, PLACE = 100, 50  # of a run, and which of them is the winner where there is one
SEARCH_CASES, FIXED_PAIRS, MOST_PAIRS = 8, 30, 200
FIRST_PEEK = 3
RANKS, BOUNDED, CLIPPED = Reading("signed_rank"), Reading("bounded"), Reading("bounded", clipped=True)

Floats = NDArray[np.float64]
Kinds = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Family:
    """Scores with a name; `draw(generator, kinds (k,), difficulty (n,))` gives shape (k, n).

    Difficulty is uniform on [0, 1], one a case, and the same for all programs on it.
    """

    name: str
    reading: Reading
    draw: Callable[[np.random.Generator, Kinds, Floats], Floats]

    def scores(self, rng: np.random.Generator, kinds: Kinds, cases: int) -> Floats:
        """Of these programs on so many fresh cases."""
        return self.draw(rng, kinds, rng.random(cases))


def _column(kinds: Kinds, gain: float) -> Floats:
    return np.where(kinds == WINNER, gain, 0.0)[:, None]


def _gauss(rng: np.random.Generator, kinds: Kinds, difficulty: Floats) -> Floats:
    return rng.normal(_column(kinds, 0.5 * math.sqrt(2)), 1.0, (len(kinds), len(difficulty)))


def _heavy(rng: np.random.Generator, kinds: Kinds, difficulty: Floats) -> Floats:
    return rng.standard_t(2, (len(kinds), len(difficulty))) + _column(kinds, 1.5)


def _skewed(rng: np.random.Generator, kinds: Kinds, difficulty: Floats) -> Floats:
    return (rng.lognormal(0, 1, (len(kinds), len(difficulty))) + _column(kinds, 1.5)) / 10


def _hard_tasks(rng: np.random.Generator, kinds: Kinds, difficulty: Floats) -> Floats:
    """Solved or not: two tasks of five never, one in ten always, the others now and then."""
    p = np.array([0.0, 0.05, 0.5, 1.0])[np.searchsorted([0.4, 0.6, 0.9], difficulty)]
    return (rng.random((len(kinds), len(p))) < np.minimum(p + _column(kinds, 0.3), 1.0)).astype(float)


def _catastrophes(rng: np.random.Generator, kinds: Kinds, difficulty: Floats) -> Floats:
    """The seed always scores .5; its equals .01 more, and .99 less in one case of a hundred: no gain."""
    struck = rng.random((len(kinds), len(difficulty))) < 0.01
    other = np.where(struck, -0.49, 0.51) + _column(kinds, 0.15)
    return np.where(kinds[:, None] == SEED, 0.5, other)


FAMILIES = [
    Family("Gaussian", RANKS, _gauss),
    Family("t(2)", RANKS, _heavy),
    Family("log-normal", CLIPPED, _skewed),
    Family("pass/fail, hard tasks", Reading("pass_fail"), _hard_tasks),
    Family("rare catastrophes", Reading("bounded", 1.5), _catastrophes),
]


@dataclass(frozen=True, slots=True)
class Run:
    """Who was promoted, by number from 0, and what it took."""

    promoted: list[int]
    case_runs: int


Rule = Callable[[np.random.Generator, Family, Kinds], Run]


# ----------------------------------------------------------------- rules that run the champion beside each


def _against_champions(
    rng: np.random.Generator,
    family: Family,
    kinds: Kinds,
    pairs: int,
    beats: Callable[[Floats], tuple[bool, int]],
) -> Run:
    """One after another on draws of the champion's reign; who beats it reigns from then on."""
    promoted: list[int] = []
    champion, first, used = SEED, 0, 0
    while first < len(kinds):
        reign = family.scores(rng, np.array([champion, *kinds[first:]]), pairs)
        for number in range(first, len(kinds)):
            won, n = beats(reign[1 + number - first] - reign[0])
            used += 2 * n
            if won:
                promoted.append(number)
                champion = kinds[number]
                break
        first = number + 1
    return Run(promoted, used)


def duel(reading: Reading, level: float, n_max: int, differences: Floats) -> Duel:
    """The gate's own, fed until it has a verdict or there are no more pairs."""
    made = Duel(reading, level, n_max)
    for difference in differences.tolist():
        if made.add(difference, 0.0) is not None:
            break
    return made


def ours(rng: np.random.Generator, family: Family, kinds: Kinds) -> Run:
    """Duels on the run's account."""
    account = Account(duels=CHALLENGERS)

    def beats(differences: Floats) -> tuple[bool, int]:
        made = duel(family.reading, account.open(), MOST_PAIRS, differences)
        if made.verdict == "promoted":
            account.promote()
        return made.verdict == "promoted", made.n

    return _against_champions(rng, family, kinds, MOST_PAIRS, beats)


def t_test(level: float, pairs: int) -> Rule:
    """A paired t test on so many pairs, at this level each."""
    quantile = float(t.ppf(1 - level, pairs - 1))

    def beats(differences: Floats) -> tuple[bool, int]:
        return bool(differences.mean() > quantile * differences.std(ddof=1) / math.sqrt(pairs)), pairs

    return lambda rng, family, kinds: _against_champions(rng, family, kinds, pairs, beats)


# --------------------------------------------------------------- rules that keep the scores of a program


def best_score(rng: np.random.Generator, family: Family, kinds: Kinds) -> Run:
    """Whoever scores higher than the best so far is the best (OpenEvolve, SkyDiscover)."""
    scores = family.scores(rng, np.array([SEED, *kinds]), SEARCH_CASES).mean(axis=1)
    promoted, best = [], scores[0]
    for number, score in enumerate(scores[1:].tolist()):
        if score > best:
            promoted.append(number)
            best = score
    return Run(promoted, SEARCH_CASES * len(scores))


def best_of_all(rng: np.random.Generator, family: Family, kinds: Kinds) -> Run:
    """The best of all at the end, if it scored more than the seed."""
    scores = family.scores(rng, np.array([SEED, *kinds]), SEARCH_CASES).mean(axis=1)
    best = int(scores.argmax())
    return Run([best - 1] if best else [], SEARCH_CASES * len(scores))


def peeking(rng: np.random.Generator, family: Family, kinds: Kinds) -> Run:
    """A normal posterior looked at after every case from the third on (ShinkaEvolve's early stop).

    Better: P(mean > the best's recorded mean) > .95; not: < .05, or all cases run.
    """
    scores = family.scores(rng, np.array([SEED, *kinds]), FIXED_PAIRS)
    n = np.arange(1, FIXED_PAIRS + 1)
    means = scores.cumsum(axis=1) / n
    spread = np.maximum((scores**2).cumsum(axis=1) / n - means**2, 0.0)
    errors = np.sqrt(spread / np.maximum(n - 1, 1))
    sure = float(norm.ppf(0.95))
    promoted, best, used = [], means[0, -1], FIXED_PAIRS
    for number in range(len(kinds)):
        above = (means[number + 1] - best)[FIRST_PEEK - 1 :]
        bound = np.maximum(sure * errors[number + 1], 1e-10)[FIRST_PEEK - 1 :]
        looks = np.flatnonzero(np.abs(above) > bound)
        last = int(looks[0]) if len(looks) else len(above) - 1
        used += FIRST_PEEK + last
        if len(looks) and above[last] > 0:
            promoted.append(number)
            best = means[number + 1, FIRST_PEEK - 1 + last]
    return Run(promoted, used)


def overlap(rng: np.random.Generator, family: Family, kinds: Kinds) -> Run:
    """Whose mean is not below the 95 % interval of the best is the next base (SICA)."""
    scores = family.scores(rng, np.array([SEED, *kinds]), FIXED_PAIRS)
    means = scores.mean(axis=1)
    lower = means - float(t.ppf(0.975, FIXED_PAIRS - 1)) * scores.std(axis=1, ddof=1) / math.sqrt(FIXED_PAIRS)
    promoted, best = [], 0
    for number in range(len(kinds)):
        if means[number + 1] > means[best]:
            best = number + 1
        if means[number + 1] >= lower[best]:
            promoted.append(number)
    return Run(promoted, scores.size)


ALPHA = Account().alpha
RULES: dict[str, Rule] = {
    "duels (evolve)": ours,
    "best single score": best_score,
    "best of all": best_of_all,
    "peeking, P > .95": peeking,
    "overlap of 95 % intervals": overlap,
    "30-pair t test, 5 % each": t_test(0.05, FIXED_PAIRS),
    "30-pair t test, alpha/100 each": t_test(ALPHA / CHALLENGERS, FIXED_PAIRS),
    "200-pair t test, alpha/100 each": t_test(ALPHA / CHALLENGERS, MOST_PAIRS),
}


def challengers(planted: bool) -> Kinds:
    """Of one run: equals, and the winner in its place."""
    kinds = np.full(CHALLENGERS, EQUAL)
    if planted:
        kinds[PLACE] = WINNER
    return kinds
