"""Finding a run by what people type, and reading it back."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from evolve import garbage
from evolve.cli.story import Story
from evolve.finding import find as find
from evolve.types import BadInput, Json
from populations.ledger import GitLedger

if TYPE_CHECKING:
    from fitness.gate import OpenGate


class Record:
    """A run read back: its ledger, its story, what its problem says."""

    def __init__(self, path: Path, ledger: GitLedger, story: Story) -> None:
        self.path, self.ledger, self.story = path, ledger, story
        # problem.toml as recorded
        self.table: dict[str, Any] = tomllib.loads(ledger.file(0, "problem/problem.toml").decode())
        self._gate: OpenGate | None = None

    @classmethod
    def read(cls, run: str) -> Self:
        """Read a run; see `find`. Raises LedgerError where its history is damaged."""
        path = find(run)
        ledger, story = GitLedger.read(path), Story()
        with garbage.not_looked_for():
            for event in ledger.events():
                story.tell(event)
        if story.champion is None:
            raise BadInput("RUN", "a run whose seed has been evaluated", run)
        return cls(path, ledger, story)

    @property
    def gate(self) -> OpenGate:
        """The gate as it was at the last event; folded when somebody asks, as few do."""
        from fitness.gate import DuelGate, OpenGate  # with `result` 50 ms that few commands need

        if self._gate is None:
            self._gate = DuelGate() if self.story.start["gate"] == "duel" else OpenGate()
            with garbage.not_looked_for():
                for event in self.ledger.events():
                    self._gate.tell(event)
        return self._gate

    @property
    def unit(self) -> str:
        """Of the scores."""
        return str(self.table.get("unit", ""))

    @property
    def leader(self) -> str | None:
        """The best guess that is not proven, if somebody is ahead of the champion."""
        found = self.gate.leader()
        return found["id"] if found else None

    def result(self) -> dict[str, Json]:
        """The object that `evolve run --json` prints, as it would be now."""
        from evolve.result import summary

        history = self.story.history
        assert history.start is not None
        sandbox = history.session.get("sandbox") or history.start.measured["sandbox"]
        return summary(self.ledger, self.gate, history, self.story.stopped_by, sandbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()

    def variant(self, name: str) -> str:
        """The id that `name` means: an id, its beginning, a trial's number, champion, leader or seed."""
        story, known = self.story, self.story.history.variants
        words = {"champion": story.champion, "leader": self.leader, "seed": story.history.seed}
        if (found := words.get(name)) is not None:
            return found
        matches = [id for id in known if id == name or id.split("-")[0] == name]
        matches = matches or [id for id in known if id.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BadInput(
                "VARIANT", f"one variant ({', '.join(matches[:6])})", f"{name!r}, which is several"
            )
        near = get_close_matches(name, known, 3, 0.6)
        raise BadInput(
            "VARIANT", f"{' or '.join(near) if near else 'an id, champion, leader or seed'}", repr(name)
        )
