"""Error rates of whole runs: real loop, gate and git; operator and programs are stand-ins of known truth.

    python benchmarks/promotion_runs.py [--runs 40] [--trials 200] [--write docs]

A/A runs, in which every child is equal to the seed; runs in which one child is better by half a standard
deviation of a paired difference; what the sealed draws confirm of their champions; and the search's speed
while duels are open. Prints a Markdown table with exact 95 % intervals; `--write` puts it into
docs/promotion.md. Exit status 1 where a promise is broken by more than chance explains (once in a thousand
times). About half a second a run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the stand-ins live

import numpy as np
from noisy import FAMILIES, Equal, Family, Planted, play, quality, write_problem
from promotion import CHANCE, Table, put, shown
from scipy.stats import binom

from evolve.types import Json, Parent, Proposal
from fitness.account import Account
from populations.ledger import GitLedger

PLANTED_FOUND, COVERED, THROUGHPUT = 0.85, 0.9, 0.55
CASE_SECONDS, TIMED_TRIALS, TIMES = 0.005, 100, 3


class Worse(Planted):
    """No child is any good: nobody ever duels."""

    name = "worse"

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """A worse one."""
        self.gain, self.at = -1.0, self.made + 1
        return super().propose(parents, rng)


def truth(result: dict[str, Json]) -> float:
    """True quality of a run's champion."""
    with GitLedger.read(Path(result["run"])) as ledger:
        return quality(ledger.variant(result["champion"]["id"]).files)


def within(value: float, interval: list[float]) -> bool:
    return interval[0] <= value <= interval[1]


def error_rates(family: Family, runs: int, trials: int, folder: Path, table: Table) -> list[str]:
    """One row; what is broken."""
    problem = write_problem(folder / "noisy", declared=family.declared)

    def played(seed: int, operator: type[Planted]) -> dict[str, Json]:
        to = folder / "run.git"
        shutil.rmtree(to, ignore_errors=True)
        return play(problem, seed, operator, trials=trials, to=to, score=family.score(seed))

    false = sum(played(seed, Equal)["promotions"] > 0 for seed in range(runs))
    found = promoted = covered = gains = 0
    for seed in range(1000, 1000 + runs):
        result = played(seed, family.planted)
        champion, true = result["champion"], truth(result)
        found += true == family.planted.gain
        if result["promotions"]:
            promoted += 1
            covered += within(family.centre + true, champion["interval"])
            gains += within(true, champion["gain_interval"])
    table.add(
        family.name,
        "yes" if family.repeats else "no",
        shown(false, runs, 2),
        shown(found, runs, 2),
        shown(covered, promoted, 2) if promoted else "-",
        shown(gains, promoted, 2) if promoted else "-",
    )
    broken = []
    if false > binom.ppf(1 - CHANCE, runs, Account().alpha):
        broken.append(f"{family.name}: false promotions in {false} of {runs} runs")
    if found < binom.ppf(CHANCE, runs, PLANTED_FOUND):
        broken.append(f"{family.name}: winner found in {found} of {runs} runs")
    if covered < binom.ppf(CHANCE, promoted, COVERED):
        broken.append(f"{family.name}: truth covered in {covered} of {promoted} runs")
    return broken


def trials_a_second(folder: Path, operator: type[Planted]) -> tuple[float, float]:
    """While the search goes on: from the seed to the last trial; and the duels' share of its case runs."""
    family, to = FAMILIES[2], folder / "timed.git"
    problem = folder / "timed"
    if not problem.exists():
        write_problem(problem, declared=family.declared)
    shutil.rmtree(to, ignore_errors=True)
    play(problem, 0, operator, trials=TIMED_TRIALS, to=to, score=family.score(0), seconds=CASE_SECONDS)
    with GitLedger.read(to) as ledger:
        events = list(ledger.events())
    last = max(event.index for event in events if event.kind == "trial")
    during = events[: last + 1]
    searched = sum(len(event.measured["scores"]) for event in during if event.kind == "trial")
    dueled = sum(event.measured["ran"] for event in during if event.kind == "duel_batch")
    elapsed = events[last].measured["elapsed"] - events[1].measured["elapsed"]
    return TIMED_TRIALS / elapsed, dueled / (searched + dueled)


def throughput(folder: Path) -> tuple[float, str]:
    """With duels open against without, and a sentence; the best of a few times each, in turn."""
    rates: dict[type[Planted], list[tuple[float, float]]] = {Worse: [], Equal: []}
    for _ in range(TIMES):
        for operator, found in rates.items():
            found.append(trials_a_second(folder, operator))
    (alone, _), (beside, share) = (max(found) for found in rates.values())
    return beside / alone, (
        f"Speed: {beside:.1f} trials a second while duels are open, {alone:.1f} without any: "
        f"{beside / alone:.0%}. Duels took {share:.0%} of the case runs meanwhile (16 search cases a trial, "
        f"{1000 * CASE_SECONDS:g} ms each, best of {TIMES})."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--write", type=Path, metavar="DOCS", help="folder of promotion.md")
    options = parser.parse_args()
    print(f"{options.runs} runs a cell of {options.trials} trials\n")
    table, broken = (
        Table(
            "noise",
            "scores repeat",
            "any promoted, all are equal",
            "planted winner is champion",
            "`confirmed` covers the truth",
            "`gain` covers the truth",
        ),
        [],
    )
    with tempfile.TemporaryDirectory() as folder:
        for number, family in enumerate(FAMILIES):
            place = Path(folder, str(number))
            place.mkdir()
            broken += error_rates(family, options.runs, options.trials, place, table)
        ratio, said = throughput(Path(folder))
    print("\n" + said)
    if ratio < THROUGHPUT:
        broken.append(f"throughput {ratio:.2f}")
    if options.write is not None:
        chosen = f"--runs {options.runs} --trials {options.trials}"
        made = f"`python benchmarks/promotion_runs.py {chosen} --write docs`"
        put(options.write / "promotion.md", "whole runs", f"{table}\n\n{said}\n\n{made}")
    for each in broken:
        print("broken:", each, file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
