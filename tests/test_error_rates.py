"""False promotions and power, end to end: real loop, gate and git; only the programs' runs are simulated."""

from pathlib import Path

import numpy as np
import pytest
from noisy import SD, Equal, OneBetter, play, quality, write_problem

from populations.ledger import GitLedger

RUNS = 20


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_problem(tmp_path_factory.mktemp("noisy") / "noisy")


def test_equal_children_are_not_promoted(problem: Path) -> None:
    """At alpha .1, more than 5 of 20 runs promote anything with probability .011 at the most."""
    promoted = [play(problem, seed, Equal)["promotions"] > 0 for seed in range(RUNS)]
    assert sum(promoted) <= 5


def test_a_planted_winner_is_found(problem: Path) -> None:
    """Power .99 (gain .1 of the span, sd .1, 200 pairs): fewer than 17 of 20 with probability < .01."""
    found = []
    for seed in range(100, 100 + RUNS):
        result = play(problem, seed, OneBetter)
        with GitLedger.read(Path(result["run"])) as ledger:
            found.append(quality(ledger.variant(result["champion"]["id"]).files) == 0.1)
    assert sum(found) >= 17


def test_the_confirmed_interval_covers_the_truth(problem: Path) -> None:
    """Of 100 runs at least 90 (95 % intervals: fewer with probability .01)."""
    covered = 0
    for seed in range(1000, 1100):
        result = play(problem, seed, OneBetter, trials=12)
        with GitLedger.read(Path(result["run"])) as ledger:
            truth = quality(ledger.variant(result["champion"]["id"]).files)
        low, high = result["champion"]["interval"]
        covered += low <= truth <= high
        assert high - low < 8 * SD / np.sqrt(60)
    assert covered >= 90
