"""`evolve merge`: the best of another run of the same problem, let into a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from evolve.cli.runs import find
from evolve.cli.screen import screen
from evolve.exchange import merge as let_in
from evolve.operators.territory import Territory
from evolve.restored import restore
from populations.ledger import GitLedger


def merge(run: str, other: str, most: int) -> None:
    """Write them down as children of the run, and say what to do next."""
    out = screen()
    with GitLedger.read(find(other)) as there, GitLedger.open(find(run)) as here:
        with tempfile.TemporaryDirectory() as folder:
            problem = restore(here, Path(folder))
        merged = let_in(here, there, Territory(problem.seed_files, problem.editable), most)
    if not merged:
        out.print(f"Nothing to let in: {run} has the best of {other} already.", soft_wrap=True)
        return
    out.print(f"{', '.join(merged)} of {other} wait in {run}; evaluated when it goes on: ", soft_wrap=True)
    out.print(f"  evolve run {problem.name} --to {run} ...", soft_wrap=True)
