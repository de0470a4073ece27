"""Does `evolve self` find what helps an agent, and nothing else? The model of known effects knows.

    python benchmarks/self_improvement.py --runs 5              # planted edits: are they found?
    python benchmarks/self_improvement.py --runs 20 --useless   # useless edits: is one promoted?

Agents run in this process, without a sandbox, as their edits are known; loop, gate, git and broker are real.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from evolve.agents import assemble
from evolve.doubles import InlineExecutor
from evolve.models.broker import DeskBroker
from evolve.models.effects import PLANTED, ceiling
from evolve.options import RunOptions
from evolve.run import run
from fitness.binomial import binomial_interval
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from populations.ledger import GitLedger

WORDS = {  # what a planted edit is known by
    "instruction": "edge cases",
    "tool": "tools/calculator.py",
    "feedback": "These examples fail",
    "vote": "found.append(attempt",
}


def one(folder: Path, seed: int, trials: int, useless: bool) -> dict[str, object]:
    """One run: what was promoted, what of the planted the champion has, its share of the ceiling."""
    place = assemble(folder / f"problem-{seed}", "drills")
    problem, began = load(place), time.monotonic()
    broker = DeskBroker(problem.allowance)
    executor = InlineExecutor(ProblemFitness(problem, TrustedSandbox(), broker))
    model = "known-effects:useless" if useless else "known-effects"
    options = RunOptions(
        str(place), folder / f"run-{seed}", trials, seed=seed, models=(model,), operators=("scaffold",)
    )
    result = run(options, executor=executor, brokered=broker)
    broker.close()
    with GitLedger.read(Path(result["run"])) as ledger:
        files = ledger.variant(result["champion"]["id"]).files
    text = "\n".join(f"{path}\n{data.decode(errors='replace')}" for path, data in files.items())
    found = {name: WORDS[name] in text for name in PLANTED}
    return {
        "seed": seed,
        "trials": result["trials"],
        "promotions": result["promotions"],
        "found": [name for name in PLANTED if found[name]],
        "of_ceiling": round(ceiling(found) / ceiling(dict.fromkeys(PLANTED, True)), 3),
        "confirmed": result["champion"]["confirmed"],
        "seconds": round(time.monotonic() - began),
    }


def main() -> None:
    """Print a line a run, and what they say together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--useless", action="store_true")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.first, asked.first + asked.runs):
            rows.append(one(Path(folder), seed, asked.trials, asked.useless))
            print(json.dumps(rows[-1]), flush=True)
    if asked.useless:
        wrong = sum(row["promotions"] > 0 for row in rows)  # type: ignore[operator]
        low, high = binomial_interval(wrong, len(rows))
        print(f"{wrong} of {len(rows)} runs promoted anything [{low:.3f}, {high:.3f}]; alpha is 0.1")
    else:
        good = sum(len(row["found"]) >= 3 for row in rows)  # type: ignore[arg-type]
        near = sum(row["of_ceiling"] >= 0.9 for row in rows)  # type: ignore[operator]
        print(f"{good} of {len(rows)} have 3 of the 4 edits, {near} reach 90 % of the ceiling")


if __name__ == "__main__":
    main()
