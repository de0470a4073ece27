import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from online_fdr.e_values.sequential import ELond
from scipy.stats import binom

from fitness.account import Account
from fitness.statistics import Duel, Reading


@pytest.mark.parametrize("duels", [1, 20, 100])
def test_all_levels_together_are_alpha(duels):
    account = Account(alpha=0.1, duels=duels)
    spent = sum(account.open() for _ in range(20_000))
    assert spent <= 0.1
    assert spent == pytest.approx(0.1, rel=1e-3)


def test_planned_duels_share_alike():
    account = Account(alpha=0.1, duels=100)
    assert [account.open() for _ in range(100)] == pytest.approx([0.0009] * 100)


class Shares:
    """The account's shares of alpha, written down anew."""

    def __init__(self, duels):
        self.gamma = [0.9 / duels] * duels + [0.6 / (math.pi**2 * j**2) for j in range(1, 200)]

    def calc_gamma(self, j):
        return self.gamma[j - 1]


@given(st.lists(st.booleans(), max_size=150), st.integers(1, 60), st.floats(0.01, 0.5))
def test_fdr_is_e_lond(outcomes, duels, alpha):
    """As `online-fdr` has it, with the same gamma."""
    account, theirs = Account(alpha, duels, "fdr"), ELond(alpha, Shares(duels))
    for promoted in outcomes:
        level = account.open()
        assert theirs.test_one(1e12 if promoted else 0.0) == promoted
        assert level == pytest.approx(min(theirs.current_level, alpha))
        if promoted:
            account.promote()


def planted(rng, winners: int, account: Account, duels: int) -> tuple[int, int]:
    """True and false promotions of a run of duels, winners and equals mixed."""
    found = [0, 0]
    real = rng.permutation([True] * winners + [False] * (duels - winners))
    for wins in real:
        duel = Duel(Reading("pass_fail"), account.open(), 200)
        p = (0.55, 0.05, 0.4) if wins else (0.3, 0.3, 0.4)
        for difference in rng.choice([1.0, -1.0, 0.0], 200, p=p).tolist():
            if duel.add(difference, 0.0):
                break
        if duel.verdict == "promoted":
            account.promote()
            found[not wins] += 1
    return found[0], found[1]


def test_runs_of_equals_promote_anything_at_most_alpha_of_the_time():
    rng, runs = np.random.default_rng(7), 100
    false = sum(planted(rng, 0, Account(alpha=0.1, duels=30), 30)[1] > 0 for _ in range(runs))
    assert false <= binom.ppf(0.999, runs, 0.1)


@pytest.mark.parametrize("error", ["family-wise", "fdr"])
def test_winners_are_found_among_equals(error):
    rng, runs = np.random.default_rng(8), 20
    found = [planted(rng, 10, Account(0.1, 30, error), 30) for _ in range(runs)]
    assert sum(true for true, _ in found) >= 0.9 * 10 * runs
    shares = [false / max(true + false, 1) for true, false in found]
    assert np.mean(shares) <= 0.1  # the false share that e-LOND bounds; family-wise does better still
