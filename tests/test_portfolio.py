import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.contribution import Contributions
from evolve.operators.portfolio import Portfolio
from evolve.types import Trial, arm_parts

NAMES = ["syntax", "crossover", "tune"]


def trial(index, arm, value, parent="0", usd=0.0, tokens=0):
    operator, model = arm_parts(arm)
    verdict = "no_child" if value is None else "evaluated"
    variant = None if value is None else str(index)
    return Trial(
        index, index - 1, operator, (parent,), variant, verdict, value, usd=usd, tokens=tokens, model=model
    )


def started(spread=0.1):
    portfolio = Portfolio(NAMES, spread)
    portfolio.tell(Trial(0, 0, "seed", (), "0", "evaluated", 0.0))
    return portfolio


HISTORY = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(-50, 50)), st.integers(0, 5)),
    max_size=60,
)


INCREASING = [lambda x: 3.0 * x - 7.0, lambda x: 1e-3 * x**3, lambda x: 2.0**x, lambda x: np.arctan(x) + 1e9]


@given(HISTORY, st.sampled_from(INCREASING))
def test_no_increasing_function_of_the_scores_changes_a_share(history, of):
    plain, moved = started(), Portfolio(NAMES)
    moved.tell(Trial(0, 0, "seed", (), "0", "evaluated", of(0.0)))
    for index, (operator, value, parent) in enumerate(history, start=1):
        plain.tell(trial(index, operator, value, str(parent)))
        moved.tell(trial(index, operator, None if value is None else of(value), str(parent)))
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


ARMS = ["syntax", "rewrite@a", "rewrite@b", "diff@a", "diff@b"]


def paid(usd, tokens, rounds=30, good=("syntax", *ARMS[1:]), factor=1.0):
    """Shares after rounds in which each arm made a child a time; `good` ones improved on their parents."""
    portfolio = Portfolio(ARMS)
    portfolio.tell(Trial(0, 0, "seed", (), "0", "evaluated", 0.0))
    for index in range(1, 1 + rounds * len(ARMS)):
        arm = ARMS[index % len(ARMS)]
        value = float(index) if arm in good else -1.0
        spent = {"usd": factor * usd.get(arm[-2:], 0.0), "tokens": tokens.get(arm[-2:], 0)}
        portfolio.tell(trial(index, arm, value, **spent))
    return dict(zip(ARMS, portfolio.shares(), strict=True))


def test_of_two_models_that_help_alike_the_cheaper_is_asked_more():
    shares = paid({"@a": 0.01, "@b": 0.1}, {"@a": 100, "@b": 1})
    assert shares["rewrite@a"] > 1.5 * shares["rewrite@b"] and shares["diff@a"] > 1.5 * shares["diff@b"]
    assert shares["syntax"] > shares["rewrite@a"], "what helps alike for nothing comes before both"
    in_cents = paid({"@a": 0.01, "@b": 0.1}, {}, factor=100.0)
    assert list(in_cents.values()) == pytest.approx(list(shares.values())), "the unit does not matter"


def test_where_nobody_is_paid_tokens_count():
    shares = paid({}, {"@a": 1000, "@b": 100})
    assert shares["rewrite@b"] > 1.5 * shares["rewrite@a"]


def test_a_dear_model_that_alone_helps_is_asked_most():
    shares = paid({"@a": 0.01, "@b": 0.1}, {}, good=("rewrite@b", "diff@b"))
    assert shares["rewrite@b"] + shares["diff@b"] > 0.6


def test_what_a_model_did_with_one_operator_is_expected_of_it_with_another():
    portfolio = Portfolio(ARMS)
    portfolio.tell(Trial(0, 0, "seed", (), "0", "evaluated", 0.0))
    for index in range(1, 80):
        arm = "rewrite@a" if index % 2 else "rewrite@b"
        portfolio.tell(trial(index, arm, float(index) if arm == "rewrite@a" else None))
    shares = dict(zip(ARMS, portfolio.shares(), strict=True))
    assert shares["diff@a"] > 1.5 * shares["diff@b"], "neither has been tried"


def test_what_each_arm_brought():
    found = Contributions()
    variants = {}
    history = [("seed", 0.0, 0), ("syntax", 1.0, 0), ("rewrite@a", 3.0, 1), ("rewrite@a", None, 2)]
    for index, (arm, value, parent) in enumerate([*history, ("syntax", 2.0, 2)]):
        each = trial(index, arm, value, str(parent), usd=0.5 * ("@" in arm), tokens=7 * ("@" in arm))
        found.tell(each, variants)
        if value is not None:
            variants[str(index)] = each
    found.promoted(variants["2"], 1)
    rewrite, syntax = sorted(found.as_json(), key=lambda row: row["arm"])
    assert rewrite == {
        "arm": "rewrite@a", "trials": 2, "share": 0.5, "children": 1, "improvements": 1, "gain": 2.0,
        "promotions": 1, "usd": 1.0, "tokens": 14,
    }  # fmt: skip
    assert (syntax["improvements"], syntax["gain"], syntax["usd"]) == (1, 1.0, 0.0)
    found.promoted(variants["2"], -1)
    assert found.arms["rewrite@a"].promotions == 0
