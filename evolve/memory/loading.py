"""Lessons of an earlier run, to begin another one with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evolve.history import History
from evolve.memory.archive import Archive
from evolve.memory.lessons import Lessons
from evolve.types import BadInput
from populations.ledger import GitLedger


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run begins with. Its draws follow from `head`, as the lessons have seen those of that run."""

    run: str  # as it was named
    head: str
    lessons: tuple[str, ...]  # the most useful first


def lessons_of(run: str, path: Path, problem: str) -> Loaded:
    """Lessons of the run at `path`, for a new one. Raises BadInput where there are none for this problem."""
    history, archive, lessons = History(), Archive(), Lessons()
    with GitLedger.read(path) as ledger:
        for event in ledger.events():
            if (trial := history.tell(event)) is None:
                lessons.hear(event)
            else:
                fact = archive.tell(trial)
                lessons.tell(trial, fact and fact.gain)
        head = ledger.head
    name = history.start.decision["problem"]["name"] if history.start is not None else "none"
    if name != problem:
        raise BadInput("--lessons-from", f"a run of {problem}", f"{run}, a run of {name}")
    if not (found := lessons.useful()):
        raise BadInput(
            "--lessons-from", "a run that learned lessons (--memory lessons)", f"{run}, without any"
        )
    return Loaded(run, head, tuple(found))
