"""Programs that failed and what mended them, kept for when something fails alike (SiriuS, 2025)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from evolve.memory.archive import Fact
from evolve.types import Event, Failure

KEPT = 256  # pairs, the newest
LEAST = 0.25  # likeness of two failures for which a pair is of use


class Pair(NamedTuple):
    """A program that failed, a variant or the one of a `proposal` event, and the variant that came of it."""

    broken: str | int
    fixed: str
    error: str


class Pairs:
    """Folds trials and proposals; gives the pair whose failure is most like another."""

    def __init__(self) -> None:
        self._words: dict[Pair, frozenset[str]] = {}  # of the failure
        self._proposed: dict[int, int] = {}  # trial under way -> event of its newest child
        self._broken: dict[int, tuple[int, Failure]] = {}  # trial -> its newest child that did not run

    def hear(self, event: Event) -> None:
        """Note a child that a model mends: it was proposed, run, and went back."""
        if event.kind != "proposal":
            return
        trial = event.decision["trial"]
        why = next((row["after"] for row in event.measured.get("exchanges", ()) if "after" in row), None)
        if why is not None and trial in self._proposed:
            self._broken[trial] = self._proposed[trial], Failure(**why)
        self._proposed[trial] = event.index

    def tell(self, trial: int, fact: Fact | None, facts: Mapping[str, Fact]) -> None:
        """Keep a child that works and whose parent, or whose own first form, did not."""
        self._proposed.pop(trial, None)
        mended = self._broken.pop(trial, None)
        if fact is None or fact.value is None:
            return
        if mended is not None:
            self._keep(mended[0], fact.variant, mended[1])
        for id in fact.parents:
            broken = facts.get(id)
            if broken is not None and broken.value is None and broken.failure is not None:
                self._keep(id, fact.variant, broken.failure)

    def _keep(self, broken: str | int, fixed: str, failure: Failure) -> None:
        self._words[Pair(broken, fixed, last_line(failure))] = words(failure)
        for old in list(self._words)[:-KEPT]:
            del self._words[old]

    def like(self, failure: Failure, without: Collection[str | int]) -> Pair | None:
        """The pair of the most similar failure, of equal ones the newest; `without`: not of these."""
        mine, nearest, best = words(failure), LEAST, None
        for pair, theirs in self._words.items():
            if pair.broken not in without and (near := likeness(mine, theirs)) >= nearest:
                nearest, best = near, pair
        return best


def words(failure: Failure) -> frozenset[str]:
    """What a failure says, without numbers and quoted values, which differ from program to program."""
    return frozenset([failure.kind, *re.findall(r"[a-z]+", last_line(failure).lower())])


def last_line(failure: Failure) -> str:
    """The kind and, of what is said, the line that says most."""
    return f"{failure.kind}: {failure.detail.strip().rpartition(chr(10))[2][:300]}"


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Words in common, as a share of all (Jaccard)."""
    return len(one & other) / len(one | other) if one or other else 0.0
