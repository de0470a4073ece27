"""The problem of drills, small, and runs of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from evolve.agents import assemble


def small(folder: Path) -> Path:
    """The problem with few cases."""
    place = assemble(folder / "agents-problem", "drills")
    toml = (place / "problem.toml").read_text()
    for before, after in (("search = 24", "search = 6"), ("sealed = 164", "sealed = 8"), ("600\n", "48\n")):
        assert before in toml
        toml = toml.replace(before, after)
    toml = toml.replace("duels = 20", "duels = 2")  # so few pairs can prove something
    (place / "problem.toml").write_text(toml)
    return place


def evolve(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, its user's agents being in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "evolve", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "EVOLVE_AGENTS": str(folder / "agents")},
    )
