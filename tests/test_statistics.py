import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from costs import least_seconds
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from evolve.types import BadInput
from fitness.account import Account
from fitness.presets import PRESETS
from fitness.statistics import (
    Duel,
    Reading,
    bets_for,
    choose_n_max,
    choose_reading,
    pairs_needed,
    smallest_detectable_gain,
    smallest_provable_gain,
)

BOUNDED, RANKS = Reading("bounded"), Reading("signed_rank")
CLIPPED = Reading("bounded", 1.0, clipped=True)
Draw = Callable[[np.random.Generator, int], np.ndarray]


def play(duel: Duel, differences) -> Duel:
    for difference in differences:
        if duel.add(difference, 0.0) is not None:
            break
    return duel


def wins(reading: Reading, draw: Draw, level: float, n_max: int, runs: int, seed: int = 1) -> int:
    rng = np.random.default_rng(seed)
    duels = (play(Duel(reading, level, n_max), draw(rng, n_max).tolist()) for _ in range(runs))
    return sum(duel.verdict == "promoted" for duel in duels)


# ------------------------------------------------------------------------------------ exact expectations


@pytest.mark.parametrize("level", [1e-12, 0.05])
@pytest.mark.parametrize(
    ("reading", "outcomes"),
    [
        (BOUNDED, ((1.0, 0.5), (-1.0, 0.5))),
        (BOUNDED, ((0.8, 1 / 3), (-0.4, 2 / 3))),
        (Reading("bounded", 2.0, margin=0.5), ((1.5, 0.5), (-0.5, 0.5))),
        (Reading("bounded", 2.0, margin=-0.5), ((2.0, 0.375), (-2.0, 0.625))),
        (Reading("pass_fail"), ((1.0, 0.25), (0.0, 0.5), (-1.0, 0.25))),
    ],
)
def test_the_expectation_is_one_at_every_stop(reading, outcomes, level):
    # Futility and promotion stop some paths early: a martingale bears it, any look ahead would show
    n = 7 if len(outcomes) == 3 else 10 if level < 0.01 else 13  # futility is asked after 12
    total = 0.0
    for path in itertools.product(outcomes, repeat=n):
        duel = play(Duel(reading, level, n_max=99), [difference for difference, _ in path])
        total += math.prod(p for _, p in path) * math.exp(duel.log_e)
    assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("level", [1e-12, 0.05])
def test_the_expectation_over_signs_is_one(level):
    sizes = (1.0, 3.0, 2.0, 3.0, 8.0, 0.5, 9.0, 7.0)  # a tie among them
    total = sum(
        math.exp(play(Duel(RANKS, level, 99), [s * d for s, d in zip(signs, sizes, strict=True)]).log_e)
        for signs in itertools.product((-1, 1), repeat=8)
    )
    assert total / 256 == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.sampled_from([1.0, 0.0, -1.0]), max_size=60))
def test_pass_fail_is_the_mixture_sprt_on_discordant_pairs(differences):
    duel = play(Duel(Reading("pass_fail"), 1e-9, 1000), differences)
    counted = differences[: duel.n]
    up, down = counted.count(1.0), counted.count(-1.0)
    closed = np.mean([(1 + bet) ** up * (1 - bet) ** down for bet in bets_for(1e-9, 1000)])
    assert duel.log_e == pytest.approx(math.log(closed), abs=1e-9)
    if up + down:
        # whoever stops at a fixed n may use the exact sign test: it is never weaker than the e-value
        p = binomtest(up, up + down, alternative="greater").pvalue
        assert p <= math.exp(-duel.log_e) * (1 + 1e-9)


# -------------------------------------------------------------------------------------------- properties


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=80), st.integers(-9, 9))
def test_the_unit_does_not_matter(differences, power):
    unit = 2.0**power  # exact in floating point, so that nothing may differ at all
    for kind in ("bounded", "signed_rank"):
        one = play(Duel(Reading(kind), 0.05, 200), [round(d, 6) for d in differences])
        other = play(Duel(Reading(kind, unit), 0.05, 200), [unit * round(d, 6) for d in differences])
        assert (one.n, one.verdict, one.log_e) == (other.n, other.verdict, other.log_e)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5), st.integers(0, 4), st.floats(0, 1))
def test_a_better_score_is_never_weaker_evidence(differences, place, more):
    better = list(differences)
    place %= len(better)
    better[place] = min(1.0, better[place] + more)
    one, other = (play(Duel(BOUNDED, 1e-9, 200), each) for each in (differences, better))
    assert other.log_e >= one.log_e - 1e-12


def test_ranks_do_not_look_ahead():
    # a later, larger difference must not change what an earlier pair was worth
    duel = Duel(RANKS, 1e-9, 200)
    duel.add(1.0, 0.0)
    before = duel.log_e
    assert before == pytest.approx(math.log(np.mean([1 + bet for bet in bets_for(1e-9, 200)])))
    duel.add(100.0, 100.0)  # D = 0 says nothing
    assert duel.log_e == before


def test_scores_outside_the_declared_range_are_an_error():
    with pytest.raises(ValueError, match="within"):
        Duel(BOUNDED, 0.05, 200).add(1.5, 0.0)
    with pytest.raises(ValueError, match="finite"):
        Duel(BOUNDED, 0.05, 200).add(math.nan, 0.0)
    clipped, unit = Duel(CLIPPED, 0.05, 200), Duel(CLIPPED, 0.05, 200)
    clipped.add(70.0, 0.0)
    unit.add(1.0, 0.0)
    assert clipped.log_e == unit.log_e


def test_a_decided_duel_counts_no_more_pairs():
    duel = play(Duel(BOUNDED, 0.05, 200), [1.0] * 50)
    n, log_e = duel.n, duel.log_e
    assert duel.add(-1.0, 0.0) == "promoted"
    assert (duel.n, duel.log_e) == (n, log_e)


def test_the_equal_and_the_worse_are_given_up_early():
    assert play(Duel(BOUNDED, 0.001, 200), [-0.1, -0.2] * 100).n == 12
    ties = play(Duel(BOUNDED, 0.001, 200), [0.0] * 200)
    assert ties.verdict == "futile"
    assert ties.n < 100
    rare = play(Duel(BOUNDED, 0.05, 5000), ([0.0] * 19 + [1.0]) * 250)  # a rare gain survives the ties before
    assert rare.verdict == "promoted"


def test_a_duel_of_5000_pairs_is_cheap():
    differences = np.random.default_rng(1).normal(0.02, 1, 5000).tolist()
    few, many = (
        least_seconds(lambda n=n: play(Duel(RANKS, 1e-300, n), differences[:n]), 3) for n in (500, 5000)
    )
    assert many < 40 * few  # pair by pair anew, it would be a hundred times


# ------------------------------------------------------------------------------------ calibration, power


def hard_tasks(rng, n, gain=0.0):
    p = rng.choice([0.0, 0.02, 0.5, 1.0], n, p=[0.4, 0.2, 0.3, 0.1])
    challenger = rng.random(n) < np.minimum(p + gain, 1)
    return challenger.astype(float) - (rng.random(n) < p)


def catastrophes(rng, n, gain=0.0):
    return np.where(rng.random(n) < 0.01, -0.99, 0.01) + gain


FAMILIES: dict[str, tuple[Reading, Draw, Draw]] = {
    "gauss, ranks": (RANKS, lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0.5, 1, n)),
    "gauss, clipped": (CLIPPED, lambda r, n: r.normal(0, 0.3, n), lambda r, n: r.normal(0.15, 0.3, n)),
    "t(2), ranks": (RANKS, lambda r, n: r.standard_t(2, n), lambda r, n: 0.8 + r.standard_t(2, n)),
    "t(2), clipped": (
        CLIPPED,
        lambda r, n: 0.2 * r.standard_t(2, n),
        lambda r, n: 0.2 + 0.2 * r.standard_t(2, n),
    ),
    "log-normal": (
        CLIPPED,
        lambda r, n: (r.lognormal(0, 1, n) - r.lognormal(0, 1, n)) / 10,
        lambda r, n: (1 + r.lognormal(0, 1, n) - r.lognormal(0, 1, n)) / 10,
    ),
    "hard tasks": (Reading("pass_fail"), hard_tasks, lambda r, n: hard_tasks(r, n, 0.3)),
    "catastrophes": (BOUNDED, catastrophes, lambda r, n: catastrophes(r, n, 0.15)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_are_promoted_no_more_often_than_the_level_and_winners_are_found(family):
    reading, null, winner = FAMILIES[family]
    level, runs = 0.1, 300  # a look after every pair
    assert wins(reading, null, level, 200, runs) <= binom.ppf(0.999, runs, level)
    assert wins(reading, winner, level, 200, 60) >= binom.ppf(0.001, 60, 0.95)


def test_ranks_reject_a_mean_of_zero_and_so_never_speak_of_averages():
    assert wins(RANKS, catastrophes, 0.1, 200, 50) >= 45
    with pytest.raises(BadInput, match="difference_range"):
        choose_reading("cases", None, None)


def passes(gain: float) -> Draw:
    up = 0.25 + gain / 2
    return lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[up, 0.5 - up, 0.5])


def normal(mean: float, sd: float) -> Draw:
    return lambda rng, n: np.clip(rng.normal(mean, sd, n), -1, 1) if sd < 0.5 else rng.normal(mean, sd, n)


@pytest.mark.parametrize(
    ("reading", "draw", "duels", "n_max", "share"),
    [
        (RANKS, normal(0.5, 1), 100, 200, 0.96),
        (RANKS, normal(0.25, 1), 100, 200, 0.28),
        (RANKS, normal(0.5, 1), 100, 600, 0.98),
        (RANKS, normal(0.25, 1), 100, 600, 0.87),
        (BOUNDED, normal(0.05, 0.1), 100, 200, 0.28),
        (BOUNDED, normal(0.1, 0.1), 100, 200, 0.99),
        (BOUNDED, normal(0.05, 0.1), 100, 600, 0.97),
        (BOUNDED, normal(0.1, 0.1), 100, 600, 1.0),
        (Reading("pass_fail"), passes(0.2), 20, 200, 0.61),
        (Reading("pass_fail"), passes(0.1), 20, 200, 0.09),
        (Reading("pass_fail"), passes(0.2), 20, 600, 0.92),
        (Reading("pass_fail"), passes(0.1), 20, 600, 0.38),
    ],
)
def test_targets_of_power(reading, draw, duels, n_max, share):
    runs = 120  # reduced; benchmarks/promotion.py runs 1,000 a cell
    found = wins(reading, draw, Account(duels=duels).level, n_max, runs)
    assert found >= binom.ppf(0.005, runs, share)


# -------------------------------------------------------------------------------------- planning a duel


@pytest.mark.parametrize(
    "reading", [BOUNDED, Reading("bounded", 2.0, clipped=True), Reading("bounded", 2.0, 0.1)]
)
def test_the_smallest_provable_gain_is_the_smallest(reading):
    gain = smallest_provable_gain(reading, 0.0009, 200)
    assert play(Duel(reading, 0.0009, 200), [gain * 1.001] * 200).verdict == "promoted"
    assert play(Duel(reading, 0.0009, 200), [gain * 0.999] * 200).verdict != "promoted"
    assert smallest_provable_gain(reading, 1e-300, 200) == math.inf


@pytest.mark.parametrize(
    ("reading", "gain", "sd"), [(BOUNDED, 0.05, 0.1), (RANKS, 0.5, 1.0), (Reading("bounded", 2.0), 0.06, 0.3)]
)
def test_the_pairs_needed_give_the_power_asked_for(reading, gain, sd):
    level = 0.0009
    needed = pairs_needed(reading, level, gain, sd, power=0.8)
    share = wins(reading, lambda r, n: r.normal(gain, sd, n), level, int(needed), 200) / 200
    assert 0.7 < share < 0.97
    assert smallest_detectable_gain(reading, level, int(needed), sd) == pytest.approx(gain, rel=0.02)


def test_what_can_never_be_proven_needs_infinitely_many_pairs():
    assert pairs_needed(BOUNDED, 0.01, 0.0, 0.1) == math.inf
    assert smallest_detectable_gain(BOUNDED, 0.001, 3, 0.1) == math.inf


@pytest.mark.parametrize(
    ("claim", "range_", "difference", "kind", "span", "clipped"),
    [
        ("cases", (0.0, 70.0), (-2.0, 2.0), "bounded", 2.0, True),
        ("cases", (0.0, 1.0), (-2.0, 2.0), "bounded", 1.0, False),
        ("cases", (-3.0, 5.0), None, "bounded", 8.0, False),
        ("cases", None, (-2.0, 2.0), "bounded", 2.0, True),
        ("tasks", (0.0, 1.0), None, "pass_fail", 1.0, False),
        ("tasks", None, None, "signed_rank", 1.0, False),
        ("artifact", None, None, "exact", 1.0, False),
    ],
)
def test_the_reading_follows_from_what_is_declared(claim, range_, difference, kind, span, clipped):
    reading, reason = choose_reading(claim, range_, difference, margin=0.25)
    assert reading == Reading(kind, span, 0.25, clipped)
    assert reason
    assert Reading.from_json(reading.as_json()) == reading
    assert ("average" in reading.says) == (kind == "bounded" and not clipped)


@pytest.mark.parametrize(
    ("trials", "seconds", "expected"),
    [(None, None, 200), (10, None, 200), (1000, 5.0, 1600), (10**6, None, 5000), (None, 60.0, 750)],
)
def test_most_pairs_by_what_the_budget_buys(trials, seconds, expected):
    found = choose_n_max(case_seconds=0.004, search_cases=64, trials=trials, seconds=seconds, workers=2)
    assert found == expected


def test_presets_spend_less_and_more_on_a_proof():
    pairs = [
        choose_n_max(case_seconds=0.1, search_cases=20, trials=1000, seconds=None, workers=2, preset=preset)
        for preset in PRESETS.values()
    ]
    assert pairs == [300, 500, 1000]
    gains = [
        smallest_provable_gain(Reading("bounded"), Account(preset.alpha, preset.duels).level, most)
        for preset, most in zip(PRESETS.values(), pairs, strict=True)
    ]
    assert gains == sorted(gains, reverse=True)
