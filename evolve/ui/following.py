"""A run followed while another process may write it: its ledger, its view, and what is wrong with it."""

from __future__ import annotations

import base64
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from evolve import garbage
from evolve.cli.rerunning import gallery_copy
from evolve.finding import RUNS, find
from evolve.types import BadInput, CaseKey, EvolveError, Json, LedgerError
from evolve.ui.view import View
from fitness.evaluation import picture
from fitness.problem import Problem
from populations import repository
from populations.ledger import GitLedger

MALFORMED = (KeyError, TypeError, ValueError, IndexError, AssertionError, AttributeError)


class Followed:
    """One run, for any thread. A damaged one is said to be so, and tried again."""

    def __init__(self, key: str, path: Path) -> None:
        self.key, self.path = key, path
        self.name = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")
        self.trouble: str | None = None  # why it cannot be shown
        self.epoch = 0  # counts how often it was read from its beginning
        self._ledger: GitLedger | None = None
        self._view: View | None = None
        self._problem: Problem | None = None
        self._problem_known = False
        self._line: dict[str, Json] = {"problem": "", "begun": False}
        self._lock = RLock()

    @property
    def live(self) -> bool:
        """Whether a process works on it."""
        return repository.held(self.path)

    def look(self) -> int:
        """Read what is new; the number of events that are told now. Nothing is raised: see `trouble`."""
        with self._lock:
            try:
                self._read()
                self.trouble = None
            except (EvolveError, OSError) as error:
                self._forget(str(error))
            except MALFORMED as error:  # a forged or half-copied event
                self._forget(f"run {self.path}: damaged or incomplete: {type(error).__name__}: {error}")
            return self._view.events if self._view is not None else 0

    @contextmanager
    def opened(self) -> Iterator[tuple[GitLedger, View]]:
        """Ledger and view, for this thread alone. Raises LedgerError with the trouble where there is some."""
        if self._view is None:
            self.look()
        with self._lock:
            if self._ledger is None or self._view is None:
                raise LedgerError(self.trouble or f"run {self.path}: cannot be read")
            yield self._ledger, self._view

    def listed(self) -> dict[str, Json]:
        """Its line in the list of runs; what was known before where another thread reads it just now."""
        if self._lock.acquire(timeout=0.05):
            try:
                self._line = self._summary()
            except (EvolveError, OSError, *MALFORMED) as error:
                self._forget(str(error))
            finally:
                self._lock.release()
        told = {"key": self.key, "name": self.name, "live": self.live, "trouble": self.trouble}
        return {**self._line, **told}

    def _summary(self) -> dict[str, Json]:
        if self._view is not None:
            start, begun = self._view.story.start, self._view.begun
        else:
            ledger = self._open()
            start = ledger.event(0).decision if ledger.count else {}
            begun = ledger.count > 1
        return {"problem": start.get("problem", {}).get("name", ""), "begun": begun}

    def told(self, first: int = 0) -> dict[str, Json]:
        """Head and rows from `first` on."""
        with self.opened() as (_, view):
            return {
                "epoch": self.epoch,
                "head": view.head() | {"live": self.live},
                "rows": view.columns(first) if view.begun else {},
            }

    def variant(self, id: str) -> dict[str, Json]:
        """All of one variant, its picture too. Raises BadInput where there is none."""
        with self.opened() as (ledger, view):
            if id not in view.row:
                raise BadInput("VARIANT", "the id of a variant of this run", repr(id)[:80])
            return {**view.variant(ledger, id), "picture": self._picture(ledger, view, id)}

    def zipped(self, id: str) -> bytes:
        """A variant's files byte for byte, with the answer where it is the result."""
        with self.opened() as (ledger, view):
            if id not in view.row:
                raise BadInput("VARIANT", "the id of a variant of this run", repr(id)[:80])
            data = io.BytesIO()
            with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, content in ledger.variant(id).files.items():
                    archive.writestr(path, content)
            return data.getvalue()

    def close(self) -> None:
        """Free what it holds. Idempotent."""
        with self._lock:
            self._forget(None)

    # ------------------------------------------------------------------------------------------- inside

    def _open(self) -> GitLedger:
        if self._ledger is None:
            self._ledger = GitLedger.read(self.path)
        return self._ledger

    def _read(self) -> None:
        ledger = self._open()
        if self._view is None:
            self.epoch += 1
            self._view = View(self.name, str(self.path))
        else:
            ledger.refresh()
        view = self._view
        with garbage.not_looked_for():
            for event in ledger.events(view.events):
                if event.kind == "start":
                    view.unit = _unit(ledger)
                view.tell(event)

    def _forget(self, trouble: str | None) -> None:
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = self._view = None
        self.trouble = trouble

    def _picture(self, ledger: GitLedger, view: View, id: str) -> str | None:
        """The answer drawn by the gallery's copy of its problem, in base64: shown as an image alone."""
        answer = ledger.files(view.trial_events[id]).get("answer")
        if answer is None:
            return None
        if not self._problem_known:
            self._problem = gallery_copy(view.story.start["problem"]["digest"])
            self._problem_known = True
        svg = None if self._problem is None else picture(self._problem, CaseKey("search", 0), answer)
        return None if svg is None or len(svg) > 2_000_000 else base64.b64encode(svg.encode()).decode()


def _unit(ledger: GitLedger) -> str:
    return str(tomllib.loads(ledger.file(0, "problem/problem.toml").decode()).get("unit", ""))


class Runs:
    """The runs that are shown: those that were named, or whatever lies under runs/."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises BadInput where a name is no run's."""
        self._named = [find(name) for name in names]
        self._known: dict[Path, Followed] = {}

    def all(self) -> list[Followed]:
        """In the order in which they were named, else by name; new ones are found."""
        paths = self._named or sorted(path for path in RUNS.glob("*.git") if path.is_dir())
        for path in paths:
            if path not in self._known:
                self._known[path] = Followed(self._key(path), path)
        return [self._known[path] for path in paths]

    def get(self, key: str) -> Followed | None:
        """The run of a key."""
        return next((each for each in [*self._known.values(), *self.all()] if each.key == key), None)

    def close(self) -> None:
        """Free all. Idempotent."""
        for each in self._known.values():
            each.close()

    def _key(self, path: Path) -> str:
        name = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")
        key = plain = re.sub(r"[^A-Za-z0-9._-]", "_", name) or "run"
        taken = {each.key for each in self._known.values()}
        number = 2
        while key in taken:
            key, number = f"{plain}~{number}", number + 1
        return key
