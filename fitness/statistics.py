"""How a challenger is proven better than the champion: a betting e-process on paired differences.

    E_n = (1/K) sum_k prod_{i<=n} (1 + bet_k g_i),   g_i >= -1,   H0: E[g_i | past] <= 0

Under H0 every product is a non-negative supermartingale that starts at 1, hence so is their mean, and by
Ville's inequality P(ever E_n >= 1/level) <= level, however often one looks and whenever one stops. The bets
follow from level and n_max, so none depends on the data. Sequential ranks are known before the sign is
drawn: the same argument serves them. Sources: Ville 1939; Waudby-Smith & Ramdas, JRSS-B 2024 (betting for
bounded means).

Everything here is pure, and oriented: greater is better.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evolve.types import BadInput, Claim, Json
from fitness.presets import STANDARD, Preset

BETS = (0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
MOST_IDENTICAL = 200  # pairs of a duel for identity: more would prove the same of a rarer difference
OPTIMISM = 1.64  # standard errors granted to a challenger before it is given up
FIRST_LOOK, LOOK_EVERY = 12, 4  # pairs; when futility is asked: any stop is valid, rarer ones guard power
FACTOR = math.log(2)  # at which log ratios are clipped where the problem says nothing else

Floats = NDArray[np.float64]
Verdict = Literal["promoted", "futile", "budget"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How paired differences D become evidence, and what a promotion then says.

    `bounded`, `pass_fail`: D lies in +-span (clipped to it where `clipped`); H0: E[D] <= margin.
    `signed_rank`: no range known; H0: D - margin is symmetric about a point <= 0.
    `exact`: no draws at all, the answer itself is the result.
    `identical`: H0: a share of 1 - level^(1/n_max) of the draws, or more, is answered differently. One such
    draw ends the duel; of the scores, only their being equal counts.
    """

    kind: Literal["bounded", "pass_fail", "signed_rank", "exact", "identical"]
    span: float = 1.0  # in the unit of D; ignored by signed_rank and exact
    margin: float = 0.0  # in the unit of D, > 0: more than this is asked; < 0: non-inferiority
    clipped: bool = False
    ratio: bool = (
        False  # D is the logarithm of the scores' ratio; else their difference, in the problem's unit
    )

    @property
    def simpler(self) -> Reading:
        """Of a smaller program's duel: not worse by the margin or more; without one, the same answers."""
        return self.not_worse if self.margin > 0 else replace(self, kind="identical")

    @property
    def not_worse(self) -> Reading:
        """The reading of a duel for non-inferiority: within the margin, on the other side."""
        return replace(self, margin=-abs(self.margin))

    @property
    def says(self) -> str:
        """What a promotion claims, in words."""
        if self.margin < 0:
            most = f"{math.expm1(-self.margin):.2%}" if self.ratio else f"{-self.margin:g}"
            return f"not worse by more than {most}: {replace(self, margin=0.0).says.removeprefix('better ')}"
        if self.kind == "exact":
            return "this answer scores more, exactly"
        if self.kind == "identical":
            return "the same answers, on every search case and on every draw of the duel"
        if self.kind == "signed_rank":
            return "typically better (sign-symmetric)"
        if self.kind == "pass_fail":
            return "solves more"
        if self.ratio:
            return f"better in the mean log ratio (clipped at a factor of {math.exp(self.span):.3g})"
        return f"better in the clipped mean (+-{self.span:g})" if self.clipped else "better on average"

    def differences(self, challenger: Floats, champion: Floats) -> Floats:
        """D of oriented scores, pair by pair, not clipped; positive where the challenger is better.

        Raises ValueError where a ratio has no logarithm.
        """
        if not self.ratio:
            return challenger - champion
        if (challenger * champion <= 0).any():
            raise ValueError("scores: expected numbers other than 0 and of one sign")
        return np.sign(challenger) * np.log(challenger / champion)

    def difference(self, challenger: float, champion: float) -> float:
        """D of one pair; see `differences`."""
        if not self.ratio:
            return challenger - champion
        if challenger * champion <= 0:
            raise ValueError(f"scores: expected two of one sign, got {challenger:g} and {champion:g}")
        return math.copysign(1.0, challenger) * math.log(challenger / champion)

    def as_json(self) -> dict[str, Json]:
        """The reading as it stands in the start event."""
        data = asdict(self)
        return data if self.ratio else {key: data[key] for key in data if key != "ratio"}

    @staticmethod
    def from_json(data: Mapping[str, Json]) -> Reading:
        """The reading of a start event."""
        span, margin = float(data["span"]), float(data["margin"])
        return Reading(data["kind"], span, margin, bool(data["clipped"]), bool(data.get("ratio", False)))


def choose_reading(
    claim: Claim,
    score_range: tuple[float, float] | None,
    difference_range: tuple[float, float] | None,
    margin: float = 0.0,
    resource: str | None = None,
) -> tuple[Reading, str]:
    """The reading that fits what the problem declares, and the reason in one sentence.

    `margin` in the problem's unit, in per cent where a `resource` is scored.
    Raises BadInput for claim `cases` without any range: ranks do not speak of averages (a rare catastrophe is
    one rank among many).
    """
    if claim == "artifact":
        return Reading("exact", margin=margin), "the answer itself is the result and is scored exactly"
    if resource is not None:
        span = FACTOR if difference_range is None else difference_range[1]
        return (
            Reading("bounded", span, math.log1p(margin / 100), clipped=True, ratio=True),
            f"{resource} is scored: log ratios, clipped at a factor of {math.exp(span):.3g}",
        )
    hard = math.inf if score_range is None else score_range[1] - score_range[0]
    if difference_range is not None and difference_range[1] < hard:
        span = difference_range[1]
        return (
            Reading("bounded", span, margin, clipped=True),
            f"differences are declared within +-{span:g} and clipped there",
        )
    if hard < math.inf:
        if claim == "tasks" and score_range == (0.0, 1.0):
            return Reading("pass_fail", 1.0, margin), "scores lie in [0, 1]: solved or not, or in part"
        return Reading("bounded", hard, margin), f"scores are declared within a range {hard:g} wide"
    if claim == "cases":
        raise BadInput("range", "range or difference_range for claim 'cases' (averages need one)", "neither")
    return Reading(
        "signed_rank", margin=margin
    ), "no range is declared: ranks, which say 'typically', not 'on average'"


@lru_cache(maxsize=1024)
def bets_for(level: float, n_max: int) -> tuple[float, ...]:
    """The bets that are worth a share of the mixture in a duel of at most `n_max` pairs.

    A bet b on g with mean m and second moment s <= 1 gains about b m - s b^2 / 2 a pair, most at b = m / s.
    n_max pairs prove only what has n_max m^2 / (2 s) >= log(1/level); there b >= sqrt(2 log(1/level)/n_max).
    Smaller bets would win no duel and only dilute the others.
    """
    least = math.sqrt(-2.0 * math.log(level) / n_max)
    return tuple(bet for bet in BETS if bet >= least) or BETS[-1:]


class Duel:
    """One challenger against one champion at one level; pairs are added in the order of their draws.

    >>> duel = Duel(Reading("bounded", span=1.0), level=0.01, n_max=200)
    >>> while duel.add(0.9, 0.2) is None: pass
    >>> duel.verdict, duel.n
    ('promoted', 11)
    """

    def __init__(self, reading: Reading, level: float, n_max: int) -> None:
        self.reading, self.level = reading, level
        self.n_max = min(n_max, MOST_IDENTICAL) if reading.kind == "identical" else n_max
        self.n = 0
        self.verdict: Verdict | None = None
        self._bets = bets_for(level, n_max)
        if reading.kind == "identical":
            # n_max equal pairs reach 1/level, and no fewer; a hair more, for what multiplying rounds off
            self._bets = ((1 + 1e-9) * level ** (-1 / self.n_max) - 1,)
        # products: E stays below 1/level, they cannot overflow
        self._wealth = [1.0 / len(self._bets)] * len(self._bets)
        self._total = self._squares = 0.0
        self._sizes: list[float] = []  # |D - margin| so far, sorted: for ranks
        # g >= -1 for every sign of the margin; below a negative margin g may pass 1, which no bet minds
        self._scale = reading.span + max(reading.margin, 0.0)
        self._most = (reading.span - reading.margin) / self._scale

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value after `n` pairs."""
        return math.log(sum(self._wealth))

    @property
    def says(self) -> str:
        """What a promotion claims, in words; for `identical` with the share of draws that it rules out."""
        if self.reading.kind != "identical":
            return self.reading.says
        return (
            f"{self.reading.says}: another one on fewer than {1 - self.level ** (1 / self.n_max):.1%} of all"
        )

    def give_up(self) -> None:
        """End it without a promotion, whatever the pairs said: any stop is valid."""
        self.verdict = self.verdict or "futile"

    def add(self, challenger: float, champion: float) -> Verdict | None:
        """Count one pair of oriented scores; the verdict, once there is one (pairs after it are not counted).

        O(log n) comparisons. Raises ValueError for a difference that is not finite or outside the range.
        """
        if self.verdict is None and self.reading.kind == "identical" and challenger != champion:
            self.n += 1
            self.verdict = "futile"  # its e-value is 0 from here on; `log_e` stays what the others made
        if self.verdict is None:
            g = self._step(self.reading.difference(challenger, champion))
            self.n += 1
            self._wealth = [
                wealth * (1.0 + bet * g) for wealth, bet in zip(self._wealth, self._bets, strict=True)
            ]
            self._total += g
            self._squares += g * g
            if sum(self._wealth) * self.level >= 1.0:
                self.verdict = "promoted"
            elif self.n >= self.n_max:
                self.verdict = "budget"
            elif self._looks() and self._futile():
                self.verdict = "futile"
        return self.verdict

    def _step(self, difference: float) -> float:
        if not math.isfinite(difference):
            raise ValueError(f"difference: expected a finite number, got {difference}")
        if self.reading.kind == "identical":
            return 1.0
        if self.reading.kind == "signed_rank":
            excess = difference - self.reading.margin
            size = abs(excess)
            low, high = bisect_left(self._sizes, size), bisect_right(self._sizes, size)
            self._sizes.insert(high, size)
            # the mid-rank among the first i: known once |D_i| is, before its sign
            rank = 1 + (low + high) / 2
            return 0.0 if excess == 0 else math.copysign(rank / len(self._sizes), excess)
        span = self.reading.span
        if self.reading.clipped:
            difference = min(max(difference, -span), span)
        elif abs(difference) > span * (1 + 1e-9):
            raise ValueError(f"difference: expected within +-{span:g}, got {difference:g}")
        return max((difference - self.reading.margin) / self._scale, -1.0)

    def _looks(self) -> bool:
        """Whether futility is asked now; equal pairs are on their way to the end of their duel."""
        return self.reading.kind != "identical" and self.n >= FIRST_LOOK and self.n % LOOK_EVERY == 0

    def _futile(self) -> bool:
        """Whether even an optimistic mean could not finish with the pairs left. Any stop is valid."""
        n, mean, second = self.n, self._total / self.n, self._squares / self.n
        if second == 0.0:  # nothing but ties: the rule of three bounds how rare a difference may still be
            hope = second = 3.0 / n
        else:
            sd = max(math.sqrt(max(second - mean * mean, 0.0)), 0.05 * math.sqrt(second))
            hope = min(mean + OPTIMISM * sd / math.sqrt(n), self._most)
        if hope <= 0:
            return True
        bet = min(hope / max(second, hope * hope), BETS[-1])
        return self.log_e + (self.n_max - n) * math.log1p(bet * hope) < -math.log(self.level)


# --------------------------------------------------------------------------------------- planning a duel


def choose_n_max(
    *,
    case_seconds: float,
    search_cases: int,
    trials: int | None,
    seconds: float | None,
    workers: int,
    preset: Preset = STANDARD,
) -> int:
    """Most pairs of a duel: what a share of the budget buys, within the preset's bounds.

    By counts where trials are budgeted, so that equal runs agree; else by the measured seconds of a case.
    """
    case_runs = 0.0
    if trials is not None:
        case_runs = trials * search_cases
    elif seconds is not None:
        case_runs = seconds * workers / max(case_seconds, 1e-6)
    return min(max(preset.least_pairs, int(preset.share * case_runs / 2)), preset.most_pairs)


def optimistic_gain(reading: Reading, challenger: Floats, champion: Floats) -> float | None:
    """The most that oriented scores on the same cases let one hope for; None where they say too little.

    As optimistic as futility is: what could not be proven even so would only spend a level.
    """
    if reading.kind == "signed_rank" or len(challenger) < 2:
        return None
    gains = reading.differences(challenger, champion)
    if reading.clipped:
        gains = np.clip(gains, -reading.span, reading.span)
    return float(gains.mean() + OPTIMISM * gains.std(ddof=1) / math.sqrt(len(gains)))


@lru_cache(maxsize=1024)  # a gate asks at every duel, mostly at one and the same level
def smallest_provable_gain(reading: Reading, level: float, n_max: int) -> float:
    """Least gain, in the problem's unit, that `n_max` equal pairs can prove; inf where none can.

    About (span log(1/level)) / n_max + margin. Signed ranks know no such bound: 0, or inf at hopeless levels.
    """
    bets, need = np.array(bets_for(level, n_max)), -math.log(level)

    def proves(g: float) -> bool:
        return _log_mean_exp(n_max * np.log1p(bets * g)) >= need

    most = (reading.span - reading.margin) / (reading.span + max(reading.margin, 0.0))
    if reading.kind == "signed_rank":
        return reading.margin if proves(0.5) else math.inf
    if reading.kind == "exact":
        return reading.margin
    if not proves(most):
        return math.inf
    return _smallest(proves, most) * (reading.span + max(reading.margin, 0.0)) + reading.margin


def pairs_needed(reading: Reading, level: float, gain: float, sd: float, power: float = 0.8) -> float:
    """Pairs after which a gain is proven with this power, for normal differences; inf where never.

    `gain` and `sd` (of one paired difference) in the problem's unit. Ignores that crossing earlier counts
    too: errs on the safe side by a few per cent.
    """
    if reading.kind == "exact":
        return 1.0
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((i + 0.5) / 400) for i in range(400)])
    excess = gain - reading.margin + sd * quantiles
    if reading.kind == "signed_rank":
        sizes = np.sort(np.abs(excess))
        ranks = np.searchsorted(sizes, np.abs(excess), "left") + np.searchsorted(
            sizes, np.abs(excess), "right"
        )
        g = np.sign(excess) * ranks / 2 / len(sizes)
    else:
        clipped = np.clip(excess, -reading.span - reading.margin, reading.span - reading.margin)
        g = clipped / (reading.span + max(reading.margin, 0.0))
    growth = np.log1p(np.outer(BETS, g))
    rate, spread = growth.mean(axis=1), growth.std(axis=1)
    if rate.max() <= 0:
        return math.inf
    unlucky, need = normal.inv_cdf(power), -math.log(level)

    def enough(n: float) -> bool:
        paying = np.isin(BETS, bets_for(level, math.ceil(n)))
        return _log_mean_exp((n * rate - unlucky * math.sqrt(n) * spread)[paying]) >= need

    most = 16.0
    while not enough(most):
        if most > 1e9:
            return math.inf
        most *= 2
    return float(math.ceil(_smallest(enough, most)))


def smallest_detectable_gain(
    reading: Reading, level: float, n_max: int, sd: float, power: float = 0.8
) -> float:
    """Least gain, in the problem's unit, that a duel of `n_max` pairs finds with this power; inf where none.

    What "no significant improvement" leaves open. `sd` of one paired difference, in the problem's unit.
    """
    most = 10 * sd + reading.margin if reading.kind == "signed_rank" else reading.span
    if reading.kind == "exact":
        return reading.margin

    def finds(gain: float) -> bool:
        return pairs_needed(reading, level, gain, sd, power) <= n_max

    return _smallest(finds, most, steps=25) if most > 0 and finds(most) else math.inf


def _log_mean_exp(values: Floats) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).mean()))


def _smallest(holds: Callable[[float], bool], most: float, steps: int = 60) -> float:
    """The least value in (0, most] for which a monotone condition holds, by bisection."""
    low = 0.0
    for _ in range(steps):
        middle = (low + most) / 2
        low, most = (low, middle) if holds(middle) else (middle, most)
    return most
