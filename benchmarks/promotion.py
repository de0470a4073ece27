"""Who gets promoted: power against targets, the null at every look, and the gate beside what others do.

    python benchmarks/promotion.py [--runs 1000] [--seed 1] [--only targets nulls rules] [--write docs]

Prints three Markdown tables, shares with exact 95 % intervals; `--write` puts them into docs/promotion.md
and draws docs/promotion.svg. `--runs` of 100 challengers a rule and family, and ten times as many single
duels a cell, all by the gate's own modules. Exit status 1 where a cell misses its bound by more than chance
explains (once in a thousand times a cell). Five minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from promotion_figure import figure, interval
from promotion_rules import (
    BOUNDED,
    CHALLENGERS,
    CLIPPED,
    EQUAL,
    FAMILIES,
    PLACE,
    RANKS,
    RULES,
    SEED,
    Family,
    Floats,
    challengers,
    duel,
)
from scipy.stats import binom

from fitness.account import Account
from fitness.statistics import Duel, Reading

Draw = Callable[[np.random.Generator, int], Floats]
CHANCE = 0.001  # of a false alarm in a cell
LOOKS = (12, 50, 200, 600)  # of all the looks, one after every pair, those that are printed
NULL_LEVEL = 0.1
PASS_FAIL = Reading("pass_fail")


def shown(successes: int, runs: int, digits: int = 3) -> str:
    low, high = interval(successes, runs)
    return f"{successes / runs:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


class Patient(Duel):
    """Never gives up: futility only takes away false promotions."""

    def _futile(self) -> bool:
        return False


class Table:
    """Rows of a Markdown table, printed as they come."""

    def __init__(self, *heads: str) -> None:
        self.lines: list[str] = []
        self.add(*heads)
        self.add(*["---"] * len(heads))

    def add(self, *cells: object) -> None:
        """One row."""
        line = "| " + " | ".join(map(str, cells)) + " |"
        print(line, flush=True)
        self.lines.append(line)

    def __str__(self) -> str:
        return "\n".join(self.lines)


# ---------------------------------------------------------------------------------------- one duel: its power


def normal(mean: float, sd: float) -> Draw:
    return lambda rng, n: rng.normal(mean, sd, n)


def inside(mean: float, sd: float) -> Draw:
    return lambda rng, n: np.clip(rng.normal(mean, sd, n), -1.0, 1.0)


def passes(gain: float) -> Draw:
    return lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[0.25 + gain / 2, 0.25 - gain / 2, 0.5])


TARGETS: list[tuple[str, Reading, Draw, int, tuple[float, ...], tuple[int | None, ...]]] = [
    # name, reading, differences, planned duels; share and mean pairs to reach with n_max 200 and 600
    ("signed rank, d = .5 sd of D", RANKS, normal(0.5, 1.0), 100, (0.96, 0.98), (77, 75)),
    ("signed rank, d = .25", RANKS, normal(0.25, 1.0), 100, (0.28, 0.87), (None, 264)),
    ("bounded, gain .05 of the span, sd .1", BOUNDED, inside(0.05, 0.1), 100, (0.28, 0.97), (None, 204)),
    ("bounded, gain .1, sd .1", BOUNDED, inside(0.1, 0.1), 100, (0.99, 1.0), (101, None)),
    ("pass/fail, half tied, +20 points", PASS_FAIL, passes(0.2), 20, (0.61, 0.92), (None, 151)),
    ("pass/fail, half tied, +10 points", PASS_FAIL, passes(0.1), 20, (0.09, 0.38), (None, None)),
]
EQUALS: list[tuple[str, Reading, Draw, int]] = [
    ("equal, signed rank", RANKS, normal(0.0, 1.0), 100),
    ("equal, bounded", BOUNDED, inside(0.0, 0.1), 100),
    ("equal, pass/fail", PASS_FAIL, passes(0.0), 20),
]


def duels(
    rng: np.random.Generator, reading: Reading, draw: Draw, level: float, n_max: int, runs: int
) -> list[Duel]:
    return [duel(reading, level, n_max, draw(rng, n_max)) for _ in range(runs)]


def targets(runs: int, rng: np.random.Generator) -> tuple[Table, list[str]]:
    """Every cell of the targets; what is missed."""
    table, missed = Table("one duel", "duels planned", "n_max", "target", "promoted", "mean pairs", ""), []
    cells = [
        (name, reading, draw, planned, n_max, share, pairs)
        for name, reading, draw, planned, shares, means in TARGETS
        for n_max, share, pairs in zip((200, 600), shares, means, strict=True)
    ]
    for name, reading, draw, planned, n_max, share, pairs in cells:
        made = duels(rng, reading, draw, Account(duels=planned).level, n_max, runs)
        won = sum(each.verdict == "promoted" for each in made)
        reached = won >= binom.ppf(CHANCE, runs, share)
        target = f"{share:.2f}" + (f" ({pairs} pairs)" if pairs else "")
        mark = ("better" if won / runs >= share else "reached") if reached else "MISSED"
        used = f"{np.mean([each.n for each in made]):.0f}"
        table.add(name, planned, n_max, target, shown(won, runs), used, mark)
        missed += [] if reached else [f"{name}, n_max {n_max}"]
    for name, reading, draw, planned in EQUALS:
        for n_max in (200, 600):
            level = Account(duels=planned).level
            made = duels(rng, reading, draw, level, n_max, runs)
            won = sum(each.verdict == "promoted" for each in made)
            held = won <= binom.ppf(1 - CHANCE, runs, level)
            used = f"{np.mean([each.n for each in made]):.0f}"
            table.add(
                name, planned, n_max, f"<= {level:.2g}", shown(won, runs), used, "held" if held else "BROKEN"
            )
            missed += [] if held else [f"{name}, n_max {n_max}"]
    return table, missed


# ------------------------------------------------------------------------------------ the null, at every look


def nulls(runs: int, rng: np.random.Generator) -> tuple[Table, list[str]]:
    """Share of equal challengers that have crossed the boundary by a look; a look follows every pair."""
    table, broken = Table("equal challengers", "reading", *(f"by pair {n}" for n in LOOKS), ""), []
    cases = [(family, reading) for family in FAMILIES for reading in _readings(family)]
    for family, reading in cases:
        crossed = np.zeros(len(LOOKS), int)
        for _ in range(runs):
            champion, challenger = family.scores(rng, np.array([SEED, EQUAL]), LOOKS[-1])
            made = Patient(reading, NULL_LEVEL, LOOKS[-1])
            for difference in (challenger - champion).tolist():
                if made.add(difference, 0.0) is not None:
                    break
            if made.verdict == "promoted":
                crossed += np.array(LOOKS) >= made.n
        held = crossed[-1] <= binom.ppf(1 - CHANCE, runs, NULL_LEVEL)
        cells = [shown(int(count), runs) for count in crossed]
        table.add(family.name, _name(reading), *cells, "held" if held else "BROKEN")
        broken += [] if held else [f"{family.name}, {_name(reading)}"]
    return table, broken


def _readings(family: Family) -> list[Reading]:
    """Its own, and ranks or a clipped mean beside it where differences of equals are symmetric."""
    if family.reading.kind == "signed_rank":
        return [RANKS, Reading("bounded", 3.0, clipped=True)]
    if family.reading.kind == "bounded" and not family.reading.clipped:
        return [BOUNDED]  # tight: equals differ from the seed by less than 1
    return [CLIPPED, RANKS] if family.reading == CLIPPED else [family.reading]


def _name(reading: Reading) -> str:
    name = (
        "clipped mean"
        if reading.clipped
        else reading.kind.replace("_", " ").replace("pass fail", "pass/fail")
    )
    return f"{name}, +-{reading.span:g}" if reading.kind == "bounded" else name


# ----------------------------------------------------------------------- a run of a hundred: who is believed


def rules(runs: int, seed: int) -> tuple[Table, list[str], str]:
    """Every rule on every family; broken promises of ours; the figure."""
    table = Table(
        f"runs of {CHALLENGERS} challengers",
        "rule",
        "any promoted, all are equal",
        "promoted a run",
        "winner promoted",
        "equals promoted beside it",
        "case runs a run",
    )
    rows: dict[str, list[tuple[int, int]]] = {rule: [] for rule in RULES}
    broken = []
    for place, family in enumerate(FAMILIES):
        for rule, judge in RULES.items():
            rng = np.random.default_rng([seed, 3, place])  # the same for every rule
            null = [judge(rng, family, challengers(False)) for _ in range(runs)]
            planted = [judge(rng, family, challengers(True)) for _ in range(runs)]
            false = sum(bool(each.promoted) for each in null)
            found = sum(PLACE in each.promoted for each in planted)
            rows[rule].append((false, found))
            table.add(
                family.name,
                rule,
                shown(false, runs),
                f"{np.mean([len(each.promoted) for each in null]):.2f}",
                shown(found, runs),
                f"{np.mean([len(set(each.promoted) - {PLACE}) for each in planted]):.2f}",
                f"{np.mean([each.case_runs for each in null]):,.0f}",
            )
        false, found = rows[next(iter(RULES))][-1]
        if false > binom.ppf(1 - CHANCE, runs, Account().alpha):
            broken.append(f"{family.name}: false promotions in {false} of {runs} runs")
        if found < binom.ppf(CHANCE, runs, 0.8):  # a gate that never promotes passes nothing
            broken.append(f"{family.name}: winner found in {found} of {runs} runs")
    return table, broken, figure([family.name for family in FAMILIES], rows, runs, Account().alpha)


# ------------------------------------------------------------------------------------------------ the command


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of `name` in a page. Raises ValueError where there are none."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=["targets", "nulls", "rules"])
    parser.add_argument("--write", type=Path, metavar="DOCS", help="folder of promotion.md")
    options = parser.parse_args()
    parts = options.only or ["targets", "nulls", "rules"]
    made: dict[str, Table] = {}
    missed: list[str] = []
    picture = None
    print(f"{options.runs} runs and {10 * options.runs} duels a cell, seed {options.seed}\n")
    for number, part in enumerate(("targets", "nulls", "rules"), 1):
        if part not in parts:
            continue
        if part == "rules":
            made[part], more, picture = rules(options.runs, options.seed)
        else:
            rng = np.random.default_rng([options.seed, number])
            made[part], more = (targets if part == "targets" else nulls)(10 * options.runs, rng)
        missed += more
        print(flush=True)
    if options.write is not None:
        note = f"`python benchmarks/promotion.py --runs {options.runs} --seed {options.seed} --write docs`"
        for part, table in made.items():
            put(options.write / "promotion.md", part, f"{table}\n\n{note}")
        if picture is not None:
            (options.write / "promotion.svg").write_text(picture)
    for each in missed:
        print("missed:", each, file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
