"""The benchmark of `evolve self` at a size for every day: the same commands, with binomial bounds."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from evolve.agents import assemble
from evolve.doubles import InlineExecutor
from evolve.models.broker import DeskBroker
from evolve.options import RunOptions
from evolve.run import run
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from populations.ledger import GitLedger

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "self_improvement.py"
SMALL = ["--trials", "16", "--search", "12", "--sealed", "30"]


def runs(count: int, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--runs", str(count), *SMALL, *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_planted_edits_are_found_and_promoted() -> None:
    """One at least, in 16 trials: if 95 % of runs did, fewer than 3 of 4 would in 1.4 % of all tests."""
    rows = runs(4)
    assert sum(bool(row["promotions"] and row["found"]) for row in rows) >= 3, rows


def test_useless_edits_are_not_promoted() -> None:
    """Alpha is .1 a run: more than 3 of 8 would be promoted in 0.5 % of all tests."""
    rows = runs(8, "--useless")
    assert sum(row["promotions"] > 0 for row in rows) <= 3, rows
    assert not any(row["found"] for row in rows)


# drills that the model of known effects answers the better the cooler it is asked, and no others
COOL = """
import importlib.util
from pathlib import Path
from evolve.models.effects import group

spec = importlib.util.spec_from_file_location("drills", Path(__file__).parent / "drills.py")
drills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(drills)
papers, solved = drills.papers, drills.solved

def task(split, seed):
    mine = (n for n in range(100 * seed, 100 * seed + 100) if group(f"{split}-{n}") == "vote")
    return drills.task(split, next(mine))
"""


def tuned(folder: Path, seed: int) -> tuple[int, float]:
    """Promotions of a run in which nothing but numbers may change, and its champion's temperature."""
    (folder / "cool.py").write_text(COOL)
    place = assemble(folder / f"problem-{seed}", str(folder / "cool.py"))
    toml = (place / "problem.toml").read_text()
    for before, after in (("search = 24", "search = 8"), ("sealed = 164", "sealed = 8"), ("600\n", "100\n")):
        assert before in toml
        toml = toml.replace(before, after)
    (place / "problem.toml").write_text(toml.replace("duels = 20", "duels = 4"))
    problem = load(place)
    broker = DeskBroker(problem.allowance)
    executor = InlineExecutor(ProblemFitness(problem, TrustedSandbox(), broker))
    to = folder / f"run-{seed}"
    options = RunOptions(str(place), to, trials=24, seed=seed, models=("known-effects",), operators=("tune",))
    result = run(options, executor=executor, brokered=broker)
    broker.close()
    with GitLedger.read(Path(result["run"])) as ledger:
        policy = ledger.variant(result["champion"]["id"]).files["policy.toml"].decode()
    return result["promotions"], tomllib.loads(policy)["temperature"]


def test_the_temperature_is_tuned_through_the_gate(tmp_path: Path) -> None:
    """If 95 % of runs promoted a cooler policy, fewer than 3 of 4 would in 1.4 % of all tests."""
    found = [tuned(tmp_path, seed) for seed in range(4)]
    assert sum(promotions > 0 and temperature < 1 for promotions, temperature in found) >= 3, found
