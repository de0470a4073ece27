"""What a budget buys, beside baselines: `python benchmarks/search.py PROBLEM --seconds 60 --seeds 0 1 2 3 4`.

Runs the command that a user types, for the search and for each baseline, with the same budget and the same
sealed draws a seed, then evaluates the champion on `--truth` further instances that no run has drawn.
Prints a markdown table. `--keep DIR` keeps the runs, and takes those that are there already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from evolve.claim import run_cases
from evolve.executor import LocalExecutor
from evolve.types import CaseKey, Job, Json
from fitness.gate import draw
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations.ledger import GitLedger

RULES = ("evolve", "hill-climb", "random", "best-of-n")


def play(problem: str, rule: str, seed: int, budget: list[str], folder: Path) -> dict[str, Json]:
    command = [sys.executable, "-m", "evolve", "run", problem, "--seed", str(seed), *budget, "--json"]
    command += ["--to", str(folder / f"{problem}-{rule}-{seed}.git")]
    if rule != "evolve":
        command += ["--baseline", rule]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    result: dict[str, Json] = json.loads(done.stdout)
    return result


def truth(problem: Problem, result: dict[str, Json], count: int) -> float | None:
    """Mean raw score of the champion on fresh instances."""
    if problem.claim == "artifact" or not count:
        return None
    with GitLedger.read(Path(result["run"])) as ledger:
        files = ledger.variant(result["champion"]["id"]).files
    executor = LocalExecutor(lambda: Worker(problem), 2)
    try:
        cases = tuple(CaseKey("sealed", draw("truth", "benchmark", n)) for n in range(count))
        found = run_cases(executor, [Job(files, cases)], lambda: None)
    finally:
        executor.close()
    return None if found is None else statistics.fmean(found[0].scores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--truth", type=int, default=0, metavar="N")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    budget = [f"--{name}={value}" for name in ("seconds", "trials") if (value := getattr(options, name))]
    problem = load(options.problem)
    folder = options.keep or Path(tempfile.mkdtemp())
    print(
        "| rule | seed | trials | evaluations/s | promotions | champion on sealed draws | truth | covered |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for rule in options.rules:
        found = []
        for seed in options.seeds:
            result = play(options.problem, rule, seed, budget, folder)
            champion = result["champion"]
            true = truth(problem, result, options.truth)
            low, high = champion["interval"] or (float("nan"),) * 2
            covered = "" if true is None else "yes" if low <= true <= high else "no"
            found.append(champion["confirmed"])
            cells = [
                rule,
                str(seed),
                str(result["trials"]),
                str(result["evaluations_per_second"]),
                str(result["promotions"]),
                f"{champion['confirmed']:.4f} [{low:.4f}, {high:.4f}]",
                "" if true is None else f"{true:.4f}",
                covered,
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
        print(f"| **{rule}** | median | | | | **{statistics.median(found):.4f}** | | |", flush=True)


if __name__ == "__main__":
    main()
