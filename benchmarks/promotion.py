"""Who gets promoted: the duel beside what others do, under the null and with planted winners.

    python benchmarks/promotion.py [--runs 1000] [--seed 1]

Prints two Markdown tables. Every cell is simulated `runs` times with independent noise for every (variant,
case); with 1,000 runs a share carries a standard error of at most .016. Takes about three minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from fitness.account import Account
from fitness.statistics import Duel, Reading

Pairs = Callable[[np.random.Generator, int, bool], np.ndarray]  # (generator, n, is it the winner?) -> (2, n)
CANDIDATES, WINNER = 100, 50  # a run's challengers, and which of them is better
SEARCH_CASES, FIXED_PAIRS, T_95 = 8, 30, 1.699  # T_95: one-sided, 29 degrees of freedom
RANKS, BOUNDED, CLIPPED = Reading("signed_rank"), Reading("bounded"), Reading("bounded", 1.0, clipped=True)
PASS_FAIL = Reading("pass_fail")


# ------------------------------------------------------------------------------------- one duel: its power


def normal(mean: float, sd: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, n: rng.normal(mean, sd, n)


def passes(gain: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[0.25 + gain / 2, 0.25 - gain / 2, 0.5])


POWER = [
    # name, reading, differences, planned duels, target at n_max 200 and 600 (None: none set)
    ("signed rank, d = .5 sd of D", RANKS, normal(0.5, 1.0), 100, 0.96, 0.98),
    ("signed rank, d = .25", RANKS, normal(0.25, 1.0), 100, 0.28, 0.87),
    ("bounded, gain .05 of the span, sd .1", CLIPPED, normal(0.05, 0.1), 100, 0.28, 0.97),
    ("bounded, gain .1, sd .1", CLIPPED, normal(0.1, 0.1), 100, 0.99, 1.0),
    ("pass/fail, half tied, +20 points", PASS_FAIL, passes(0.2), 20, 0.61, 0.92),
    ("pass/fail, half tied, +10 points", PASS_FAIL, passes(0.1), 20, 0.09, 0.38),
    ("equal, signed rank", RANKS, normal(0.0, 1.0), 100, None, None),
    ("equal, bounded", CLIPPED, normal(0.0, 0.1), 100, None, None),
    ("equal, pass/fail", PASS_FAIL, passes(0.0), 20, None, None),
]


def duel(reading: Reading, level: float, n_max: int, differences: np.ndarray) -> Duel:
    made = Duel(reading, level, n_max)
    for difference in differences.tolist():
        if made.add(difference, 0.0) is not None:
            break
    return made


def power_table(runs: int, rng: np.random.Generator) -> None:
    print("| one duel | duels planned | n_max 200: promoted (mean pairs) | target | n_max 600 | target |")
    print("|---|---|---|---|---|---|")
    for name, reading, differences, planned, *targets in POWER:
        cells = []
        for n_max, target in zip((200, 600), targets, strict=True):
            made = [
                duel(reading, Account(duels=planned).level, n_max, differences(rng, n_max))
                for _ in range(runs)
            ]
            share = np.mean([each.verdict == "promoted" for each in made])
            cells.append(f"{share:.3f} ({np.mean([each.n for each in made]):.0f})")
            cells.append("-" if target is None else f"{target:.2f}")
        print(f"| {name} | {planned} | {' | '.join(cells)} |", flush=True)


# ---------------------------------------------------------------------- a run of a hundred: who is believed


def gauss(rng: np.random.Generator, n: int, winner: bool) -> np.ndarray:
    return rng.normal([[winner * 0.5 * math.sqrt(2)], [0.0]], 1.0, (2, n))


def heavy(rng: np.random.Generator, n: int, winner: bool) -> np.ndarray:
    return rng.standard_t(2, (2, n)) + np.array([[winner * 1.5], [0.0]])


def skewed(rng: np.random.Generator, n: int, winner: bool) -> np.ndarray:
    return (rng.lognormal(0, 1, (2, n)) + np.array([[winner * 1.5], [0.0]])) / 10


def hard_tasks(rng: np.random.Generator, n: int, winner: bool) -> np.ndarray:
    p = rng.choice([0.0, 0.05, 0.5, 1.0], n, p=[0.4, 0.2, 0.3, 0.1])
    return (rng.random((2, n)) < np.array([np.minimum(p + 0.3 * winner, 1), p])).astype(float)


def catastrophes(rng: np.random.Generator, n: int, winner: bool) -> np.ndarray:
    # a champion that scores .5 always; equals score .01 more, and .99 less in one case of a hundred
    challenger = np.where(rng.random(n) < 0.01, -0.49, 0.51) + 0.15 * winner
    return np.array([challenger, np.full(n, 0.5)])


FAMILIES: list[tuple[str, Reading, Pairs]] = [
    ("Gaussian", RANKS, gauss),
    ("t(2)", RANKS, heavy),
    ("log-normal", CLIPPED, skewed),
    ("pass/fail, hard tasks", PASS_FAIL, hard_tasks),
    ("rare catastrophes", Reading("bounded", 1.5), catastrophes),
]


def ours(rng: np.random.Generator, reading: Reading, pairs: Pairs, planted: bool) -> list[int]:
    account, promoted = Account(duels=CANDIDATES), []
    for number in range(CANDIDATES):
        challenger, champion = pairs(rng, 200, planted and number == WINNER)
        if duel(reading, account.open(), 200, challenger - champion).verdict == "promoted":
            promoted.append(number)
    return promoted


def best_of(rng: np.random.Generator, reading: Reading, pairs: Pairs, planted: bool) -> list[int]:
    """Keep it if it scored higher than the champion once did."""
    best, promoted = pairs(rng, SEARCH_CASES, False)[1].mean(), []
    for number in range(CANDIDATES):
        score = pairs(rng, SEARCH_CASES, planted and number == WINNER)[0].mean()
        if score > best:
            best = score
            promoted.append(number)
    return promoted


def fixed_test(rng: np.random.Generator, reading: Reading, pairs: Pairs, planted: bool) -> list[int]:
    """A paired t test on 30 pairs at 5 % for each."""
    promoted = []
    for number in range(CANDIDATES):
        challenger, champion = pairs(rng, FIXED_PAIRS, planted and number == WINNER)
        differences = challenger - champion
        if differences.mean() > T_95 * differences.std(ddof=1) / math.sqrt(FIXED_PAIRS):
            promoted.append(number)
    return promoted


RULES = [("duel", ours), ("best of one evaluation", best_of), ("30-pair t test, 5 % each", fixed_test)]


def run_table(runs: int, rng: np.random.Generator) -> None:
    print(
        f"| runs of {CANDIDATES} challengers | rule | any promoted, all equal | promoted a run, all equal ",
        end="",
    )
    print("| winner promoted | equals promoted beside it |")
    print("|---|---|---|---|---|---|")
    for name, reading, pairs in FAMILIES:
        for rule, promote in RULES:
            null = [promote(rng, reading, pairs, False) for _ in range(runs)]
            planted = [promote(rng, reading, pairs, True) for _ in range(runs)]
            cells = [
                f"{np.mean([bool(each) for each in null]):.3f}",
                f"{np.mean([len(each) for each in null]):.2f}",
                f"{np.mean([WINNER in each for each in planted]):.3f}",
                f"{np.mean([len(set(each) - {WINNER}) for each in planted]):.2f}",
            ]
            print(f"| {name} | {rule} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.runs} runs a cell, seed {options.seed}; alpha .1 a run, family-wise\n")
    power_table(options.runs, np.random.default_rng([options.seed, 1]))
    print()
    run_table(options.runs, np.random.default_rng([options.seed, 2]))


if __name__ == "__main__":
    main()
