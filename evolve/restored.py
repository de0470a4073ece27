"""The problem of a run, as the run recorded it."""

from __future__ import annotations

from pathlib import Path

from evolve.types import BadInput
from fitness.problem import Problem, load
from populations.ledger import GitLedger


def restore(ledger: GitLedger, folder: Path) -> Problem:
    """Write it to a folder and load it. Raises BadInput where it is none."""
    files = {
        name.removeprefix("problem/"): data
        for name, data in ledger.files(0).items()
        if name.startswith("problem/")
    }
    seed = next(iter(ledger.variants()))
    files |= {f"program/{name}": data for name, data in ledger.variant(seed).files.items()}
    for name, data in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BadInput("RUN", "paths inside the problem's folder", repr(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return load(folder)
