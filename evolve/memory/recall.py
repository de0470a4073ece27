"""What a memory looks up by name: programs and how they did. Both never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from evolve.types import Files, Parent, Trial, Variant


class Programs(Protocol):
    """Where programs are kept; a ledger is one."""

    def variant(self, id: str) -> Variant:
        """A variant by its id, program included."""
        ...

    def files(self, index: int) -> Files:
        """The files of an event."""
        ...


class Recall:
    """Of a run, in the thread that writes it."""

    def __init__(self, programs: Programs, known: Mapping[str, Trial]) -> None:
        self._programs, self._known = programs, known

    def variant(self, id: str) -> Parent:
        """A variant and how it did."""
        return Parent(self._programs.variant(id), self._known[id])

    def proposed(self, event: int) -> Files:
        """The program of a `proposal` event."""
        files = self._programs.files(event)
        return {
            path.removeprefix("program/"): data for path, data in files.items() if path.startswith("program/")
        }
