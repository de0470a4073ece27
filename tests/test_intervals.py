import math

import numpy as np
import pytest
from costs import least_seconds
from scipy.stats import binom, binomtest, t

from fitness.intervals import BEYOND, FIRST, NEWEST, _t_quantile, mean_interval, sealed_claim, sealed_interval
from fitness.statistics import Reading

SAMPLES, CHANCE = 200, 0.001  # of a cell; of a false alarm
PASSES = Reading("pass_fail")


def catastrophes(rng, n):
    """Rare, beside noise: .01 more, and .99 less in one case of a hundred."""
    return np.where(rng.random(n) < 0.01, -0.99, 0.01) + 0.05 * rng.normal(size=n)


@pytest.mark.parametrize("n", [30, 200, 1000])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda r, n: r.lognormal(0, 1, n), math.exp(0.5)),
        (lambda r, n: -r.lognormal(0, 1, n), -math.exp(0.5)),
        (lambda r, n: r.normal(3, 1, n), 3.0),
        (lambda r, n: (r.random(n) < 0.15).astype(float), 0.15),
        (lambda r, n: r.lognormal(0, 1, n) - r.lognormal(0, 1, n), 0.0),
    ],
    ids=["log-normal", "minus log-normal", "normal", "pass/fail", "paired"],
)
def test_at_least_90_of_100_intervals_cover(draw, mean, n):
    rng = np.random.default_rng(3)
    intervals = [mean_interval(draw(rng, n)) for _ in range(100)]
    assert sum(low <= mean <= high for low, high in intervals) >= 90


@pytest.mark.parametrize("n", [30, 300])
def test_intervals_are_no_wider_than_they_must_be(n):
    rng = np.random.default_rng(4)
    samples = [rng.normal(0, 1, n) for _ in range(50)]
    widths = [high - low for low, high in map(mean_interval, samples)]
    exact = [2 * t.ppf(0.975, n - 1) * x.std(ddof=1) / math.sqrt(n) for x in samples]
    assert np.mean(widths) < 1.08 * np.mean(exact)


def test_the_same_values_give_the_same_interval_whatever_the_global_generator():
    values = np.array([(37 * i % 101) ** 2 for i in range(100)], float)
    np.random.seed(1)
    one = mean_interval(values)
    np.random.seed(2)
    assert mean_interval(values.tolist()) == one
    # a fixed stream: these figures must never change, or old runs would not verify
    assert one == pytest.approx((2738.883194105376, 3980.06035744338), rel=1e-12)


def test_units_and_directions_do_not_matter():
    values = np.random.default_rng(6).lognormal(0, 1, 80)
    low, high = mean_interval(values)
    assert mean_interval(10 + 3 * values) == pytest.approx((10 + 3 * low, 10 + 3 * high))
    assert mean_interval(-values) == pytest.approx((-high, -low), rel=1e-3)


def test_small_and_constant_samples():
    assert mean_interval([2.0] * 30) == (2.0, 2.0)
    assert mean_interval([1.0]) is None
    assert mean_interval([]) is None
    low, high = mean_interval([1.0, 2.0])
    assert low < 1.5 < high


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_few_losses_among_ties_are_no_proof_of_harm(losses):
    # 3 of 3 discordant pairs happen by chance in one of eight; an interval below 0 would undo the promotion
    low, high = mean_interval([-1.0] * losses + [0.0] * (30 - losses))
    assert low < -losses / 30 < 0 < high


def test_plain_harm_is_proven():
    assert mean_interval([-1.0] * 12 + [0.0] * 18)[1] < 0


@pytest.mark.parametrize("freedom", [1, 2, 5, 6, 10, 29, 199, 999])
def test_student_quantile(freedom):
    assert _t_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-3)


def test_ten_times_the_values_take_nowhere_near_a_hundred_times_as_long():
    values = np.random.default_rng(7).normal(size=2000)
    few, many = (least_seconds(lambda n=n: mean_interval(values[:n])) for n in (200, 2000))
    assert many < 40 * few


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda r, n: r.lognormal(0, 1, n), math.exp(0.5), 0.93),
        (lambda r, n: r.normal(3, 1, n), 3.0, 0.94),
        (lambda r, n: r.standard_t(2, n), 0.0, 0.94),
        (lambda r, n: r.beta(0.5, 3, n), 1 / 7, 0.94),
        (lambda r, n: (r.random(n) < 0.9).astype(float), 0.9, 0.95),
        (catastrophes, 0.0, 0.8),  # a sample that has met none cannot know
    ],
    ids=["log-normal", "normal", "heavy tails", "bounded", "pass/fail", "rare catastrophes"],
)
def test_intervals_of_sealed_draws_cover_the_truth(draw, mean, least, n):
    rng = np.random.default_rng([9, n])
    samples = [draw(rng, n).tolist() for _ in range(SAMPLES)]
    found = [sealed_interval(x, PASSES if set(x) <= {0, 1} else None, NEWEST) for x in samples]
    assert sum(low <= mean <= high for low, high in found) >= binom.ppf(CHANCE, SAMPLES, least)


@pytest.mark.parametrize("n", [20, 60])
def test_an_unseen_value_widens_intervals_of_skewed_scores_and_hardly_others(n):
    def widths(samples, beyond):
        return np.array([high - low for low, high in (mean_interval(x, beyond) for x in samples)])

    rng = np.random.default_rng(10)
    skewed = rng.lognormal(0, 1, (100, n))
    normal = rng.normal(0, 1, (100, n))
    assert 1.01 < widths(skewed, BEYOND).mean() / widths(skewed, 0).mean() < 1.2
    assert 0.98 < widths(normal, BEYOND).mean() / widths(normal, 0).mean() < 1.02
    missed = [sum(mean_interval(x, beyond)[1] < math.exp(0.5) for x in skewed) for beyond in (0, BEYOND)]
    assert missed[1] <= missed[0]


def test_intervals_of_sealed_draws_know_no_unit_and_no_direction():
    values = np.random.default_rng(6).lognormal(0, 1, 80)
    low, high = sealed_interval(values.tolist(), None, NEWEST)
    # a fixed stream: these figures must never change, or old runs would not verify
    assert (low, high) == pytest.approx((1.2932686271234348, 2.0268677286098673), rel=1e-12)
    moved = sealed_interval((3 * values - 7).tolist(), None, NEWEST)
    assert moved == pytest.approx((3 * low - 7, 3 * high - 7), rel=1e-9)
    turned = sealed_interval((-3 * values - 7).tolist(), None, NEWEST)
    assert turned == pytest.approx((-3 * high - 7, -3 * low - 7), rel=1e-9)


@pytest.mark.parametrize(("passed", "n"), [(60, 60), (0, 60), (57, 60), (80, 164)])
def test_passes_and_failures_have_the_exact_interval(passed, n):
    scores = [1.0] * passed + [0.0] * (n - passed)
    exact = binomtest(passed, n).proportion_ci()
    assert sealed_interval(scores, PASSES, NEWEST) == pytest.approx((exact.low, exact.high))
    assert sealed_interval([*scores, 0.5], PASSES, NEWEST) == mean_interval([*scores, 0.5], BEYOND)
    # what another reading happens to score 0 or 1 is no share
    assert sealed_interval(scores, Reading("bounded"), NEWEST) == mean_interval(scores, BEYOND)


def test_claims_of_the_first_version_stay_what_they_were():
    rng = np.random.default_rng(11)
    champion, seed = rng.lognormal(0.2, 1, 60).tolist(), rng.lognormal(0, 1, 60).tolist()
    old, new = (sealed_claim(champion, seed, 1, version=version) for version in (FIRST, NEWEST))
    assert "intervals" not in old
    assert old["interval"] == mean_interval(champion)
    assert old["gain_interval"] == mean_interval(np.subtract(champion, seed))
    assert new["intervals"] == NEWEST
    assert new["interval"] != old["interval"]
    assert sealed_claim([1.0] * 9, None, 1, PASSES, FIRST)["interval"] == (1.0, 1.0)
    with pytest.raises(ValueError, match="version of intervals: expected 1 to 2, got 3"):
        sealed_claim(champion, seed, 1, version=3)


def test_sealed_claim_orients_the_gain_and_not_the_score():
    rng = np.random.default_rng(8)
    seed = rng.normal(7.0, 0.3, 200)
    champion = seed - 0.5 + rng.normal(0, 0.05, 200)
    claim = sealed_claim(champion.tolist(), seed.tolist(), -1)
    assert claim["confirmed"] == pytest.approx(6.5, abs=0.1)
    assert claim["gain"] == pytest.approx(0.5, abs=0.02)
    assert 0.48 < claim["gain_interval"][0] < claim["gain"] < claim["gain_interval"][1] < 0.52
    assert claim["interval"][0] < claim["confirmed"] < claim["interval"][1]
    assert sealed_claim(champion.tolist(), seed.tolist(), 1)["gain"] == -claim["gain"]


def test_a_champion_that_is_the_seed_has_no_gain():
    claim = sealed_claim([1.0, 2.0, 3.0], None, 1)
    assert claim["gain"] is None
    assert claim["gain_interval"] is None
    assert claim["confirmed"] == 2.0
