import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.operators.portfolio import Portfolio
from evolve.types import Trial

NAMES = ["syntax", "crossover", "tune"]


def trial(index, operator, value, parent="0"):
    verdict = "no_child" if value is None else "evaluated"
    return Trial(index, index - 1, operator, (parent,), None if value is None else str(index), verdict, value)


def started(spread=0.1):
    portfolio = Portfolio(NAMES, spread)
    portfolio.tell(Trial(0, 0, "seed", (), "0", "evaluated", 0.0))
    return portfolio


HISTORY = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(-50, 50)), st.integers(0, 5)),
    max_size=60,
)


@given(HISTORY)
def test_shifting_and_scaling_scores_changes_no_share(history):
    plain, moved = started(), Portfolio(NAMES)
    moved.tell(Trial(0, 0, "seed", (), "0", "evaluated", -7.0))
    for index, (operator, value, parent) in enumerate(history, start=1):
        plain.tell(trial(index, operator, value, str(parent)))
        moved.tell(trial(index, operator, None if value is None else 3.0 * value - 7.0, str(parent)))
    assert np.array_equal(plain.shares(), moved.shares())


@given(HISTORY)
def test_shares_add_up_and_none_falls_below_its_part_of_the_spread(history):
    portfolio = started()
    for index, (operator, value, parent) in enumerate(history, start=1):
        portfolio.tell(trial(index, operator, value, str(parent)))
    shares = portfolio.shares(["tune"] * 3)
    assert shares.sum() == pytest.approx(1) and shares.min() >= 0.1 / 3 - 1e-12


def test_at_the_start_all_are_alike():
    assert started().shares() == pytest.approx([1 / 3] * 3)


def test_the_one_that_improves_on_its_parents_is_drawn_more():
    portfolio = started()
    for index in range(1, 100):
        operator = NAMES[index % 3]
        portfolio.tell(trial(index, operator, float(index) if operator == "tune" else -1.0))
    shares = dict(zip(NAMES, portfolio.shares(), strict=True))
    assert shares["tune"] > 0.7
    draws = [portfolio.ask(np.random.default_rng([1, i]), ()) for i in range(500)]
    assert abs(draws.count("tune") / 500 - shares["tune"]) < 0.08


def test_what_helped_long_ago_is_forgotten():
    portfolio = started()
    for index in range(1, 1500):
        good = "tune" if index < 300 else "syntax"
        operator = NAMES[index % 3]
        portfolio.tell(trial(index, operator, float(index) if operator == good else -1.0))
    shares = dict(zip(NAMES, portfolio.shares(), strict=True))
    assert shares["syntax"] > 0.6 > 0.2 > shares["tune"]


def test_an_improvement_on_a_bad_parent_is_worth_less_than_one_at_the_top():
    portfolio = started()
    for index in range(1, 50):
        portfolio.tell(trial(index, "seed", float(index)))
    for index in range(50, 90, 2):
        portfolio.tell(trial(index, "syntax", 2.5, parent="2"))
        portfolio.tell(trial(index + 1, "tune", 50.0, parent="49"))
    shares = dict(zip(NAMES, portfolio.shares(), strict=True))
    assert shares["tune"] > 2 * shares["syntax"]


def test_attempts_in_flight_count_as_attempts():
    shares = started().shares(["tune"] * 8)
    assert shares[2] < shares[0] == shares[1]
