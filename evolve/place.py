"""Where a run is kept: a new place, one that goes on, or a fork of one that cannot."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evolve.start import identity
from evolve.types import BadInput, Event
from fitness.problem import Problem
from populations.ledger import GitLedger


@dataclass(frozen=True, slots=True)
class Place:
    """The path of a run, how it began so far, and the run that it is forked from, if it is."""

    path: Path
    begun: list[Event]  # start and seed trial, as far as they were written
    forked: Path | None = None
    variant: str | None = None  # of the forked run, that comes first; None: its champion


def find_place(
    path: Path, problem: Problem, seed: int, rule: str, fork: bool, lessons_from: str | None = None
) -> Place:
    """Where this run goes on or begins; beside `path` where that is another run, and `fork` allows it.

    Raises BadInput for another run otherwise.
    """
    begun = first_events(path)
    changed = changes(begun[0], problem, seed, rule, lessons_from) if begun else []
    if not changed:
        return Place(path, begun)
    if not fork:
        if begun[0].decision["problem"]["name"] == problem.name and (files := _changed_files(path, problem)):
            changed = [f"{changed[0]}: {', '.join(files)} changed"]
        raise BadInput(str(path), "a run of the same problem and seed (or --fork)", "; ".join(changed))
    stem = path.name.removesuffix(".git")
    for n in itertools.count(1):
        beside = path.with_name(f"{stem}-fork{n}.git")
        begun = first_events(beside)
        if not begun or not changes(begun[0], problem, seed, rule, lessons_from):
            return Place(beside, begun, path)
    raise AssertionError("count ends")


def find_fork(path: Path, problem: Problem, seed: int, rule: str, origin: tuple[Path, str]) -> Place:
    """Where a run begins that goes on from a variant of another. Raises BadInput where one is already."""
    begun = first_events(path)
    if len(begun) > 1 or (begun and changes(begun[0], problem, seed, rule)):
        raise BadInput(str(path), "a new run (evolve run --to goes on with one)", "one that has begun")
    return Place(path, begun, *origin)


def first_events(path: Path) -> list[Event]:
    """Start and seed trial of the run at `path`, as far as it got; nothing where there is no run."""
    if not (path / "HEAD").exists() and not (path / ".git").exists():
        return []  # nothing, or a folder that an earlier session was killed in the middle of making
    with GitLedger.read(path) as ledger:
        return list(islice(ledger.events(), 2))


def changes(
    start: Event, problem: Problem, seed: int, rule: str, lessons_from: str | None = None
) -> list[str]:
    """What forbids to go on with a run: its problem, seed, claim, account or first lessons are others."""
    then, now = start.decision, identity(problem, seed, rule, None)
    if then["problem"] != now["problem"]:
        before, after = then["problem"]["name"], now["problem"]["name"]
        return [f"its problem is {before}, not {after}" if before != after else f"another version of {after}"]
    began = start.measured.get("settings", {}).get("lessons_from")
    if lessons_from is not None and lessons_from != began:
        return [f"it began with the lessons of {began or 'no run'}, not {lessons_from}"]
    return [
        f"its {key} is {then[key]!r}, not {now[key]!r}"
        for key in ("seed", "claim", "account", "gate")
        if then[key] != now[key]
    ]


def _changed_files(path: Path, problem: Problem) -> list[str]:
    """Files of a problem that are others than those that a run recorded."""
    with GitLedger.read(path) as ledger:
        then = {
            name.removeprefix("problem/"): data
            for name, data in ledger.files(0).items()
            if name.startswith("problem/")
        }
        seed = next(iter(ledger.variants()), None)
        program = problem.seed_files if seed is None else ledger.variant(seed).files
    now = {**problem.documents, **{f"program/{name}": data for name, data in problem.seed_files.items()}}
    then |= {f"program/{name}": data for name, data in program.items()}
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
