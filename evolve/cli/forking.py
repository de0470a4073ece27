"""`evolve fork`: go on from any variant in a new run, which names where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.cli.rerunning import trusted_copy
from evolve.cli.running import run_and_show
from evolve.cli.runs import Record
from evolve.options import RunOptions
from evolve.types import BadInput, Walls
from fitness.problem import load

BUDGETS = ("trials", "seconds", "usd", "tokens", "calls")


def fork(
    run: str,
    name: str,
    to: Path | None,
    folder: Path | None,
    budget: dict[str, Any],
    workers: int | None,
    walls: Walls,
    as_json: bool,
) -> dict[str, Any]:
    """Begin the run and let it search, with the settings of the one that it comes from; what came out."""
    with Record.read(run) as record:
        id, start, path = record.variant(name), record.story.start, record.path
        settings = record.story.history.session["settings"]
    problem = trusted_copy(start["problem"], folder, "evolve fork")
    limits = budget if any(budget.values()) else {key: settings["budget"].get(key) for key in BUDGETS}
    if not any(limits.values()):
        raise BadInput(
            "evolve fork", "a budget, such as --trials 100", "none, and the run that it forks had none"
        )
    target = to or path.with_name(f"{path.name.removesuffix('.git')}-from-{id}.git")
    options = RunOptions(
        problem=str(folder or problem.folder),
        to=target,
        workers=workers,
        seed=start["seed"],
        models=tuple(settings["models"]),
        monitor=settings.get("monitor"),
        operators=tuple(settings["operators"]),
        population=settings["population"],
        walls=walls,
        baseline=settings["baseline"],
        origin=(path, id),
        **limits,
    )
    load(options.problem)  # a folder that has changed is told before anything is started
    return run_and_show(options, as_json=as_json)
