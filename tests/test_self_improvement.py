"""The benchmark of `evolve self` at a size for every day: the same commands, with binomial bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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
