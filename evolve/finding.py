"""Finding a run by what people type."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from evolve.types import BadInput

RUNS = Path("runs")


def find(run: str) -> Path:
    """The repository of a run: a path, or a name under runs/, with or without .git.

    Raises BadInput that offers the nearest runs.
    """
    for path in (Path(run), Path(run + ".git"), RUNS / run, RUNS / (run + ".git")):
        if (path / "objects").is_dir() and (path / "HEAD").is_file():
            return path
        if (path / ".git" / "objects").is_dir():  # a clone with a working tree
            return path / ".git"
    known = sorted(path.name.removesuffix(".git") for path in RUNS.glob("*.git"))
    near = get_close_matches(Path(run).name.removesuffix(".git"), known, 5, 0.4) or known[:8]
    raise BadInput("RUN", f"a run ({', '.join(near) if near else 'none under runs/ yet'})", run)
