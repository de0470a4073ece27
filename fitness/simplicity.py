"""Smaller programs that are not worse: whom the gate lets replace a champion for being simpler.

A smaller program duels the last champion that was promoted for being *better*, whoever reigns now: so a
chain of ever simpler ones cannot slide down by a margin each. Where the problem declares a margin, it must be
proven not worse by more than that. Without one, no number of equal scores proves equal means; then only a
program counts that gives the same answers, byte for byte, on every search case and every draw of its duel.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping

import numpy as np

from evolve.types import Files, Json
from fitness.candidates import Candidate
from fitness.statistics import Reading, optimistic_gain, smallest_provable_gain

SMALLER = 0.95  # of the champion's size, at most: less is not worth a level
SHARE = 0.25  # of the planned duels, at most

_COMMENT = re.compile(rb"#[^\n]*")
_PART = re.compile(rb"[A-Za-z0-9_.]+|[^\sA-Za-z0-9_.]")


def program_size(files: Files) -> int:
    """Words and signs of a program; in Python files without comments.

    Crude, the same in any version of any language, and nothing that longer names or blank lines could change.
    """
    return sum(
        len(_PART.findall(_COMMENT.sub(b"", data) if path.endswith(".py") else data))
        for path, data in files.items()
    )


class Simplicity:
    """The smaller candidates of a run, and which of them have had their duel. Pure."""

    def __init__(self, reading: Reading, repeatable: bool) -> None:
        """`repeatable`: a program scores the same again on the same case, so that answers can be compared."""
        self.wanted = weighs(reading, repeatable)
        self.reading = reading.simpler if self.wanted else reading
        self.duels = 0  # opened
        self._met: set[tuple[str, str]] = set()  # (challenger, better champion) that have met
        self._queue: list[tuple[int, int, str]] = []  # heap: the smallest first, the older one among equals

    def enqueue(
        self, candidate: Candidate, champion: Candidate, better: Candidate, level: float, n_max: int
    ) -> None:
        """Queue a candidate that is smaller than the champion, and may be proven not worse than `better`."""
        if not self.wanted or not _is_smaller(candidate, champion):
            return
        if self.reading.kind == "identical":
            hopeful = _answers_alike(candidate, better)
        else:
            hope = optimistic_gain(self.reading, candidate.scores, better.scores)
            hopeful = hope is None or hope >= smallest_provable_gain(self.reading, level, n_max)
        if hopeful:
            heapq.heappush(self._queue, (candidate.size, candidate.trial, candidate.id))

    def clear(self) -> None:
        """Empty the queue, for another champion."""
        self._queue.clear()

    def challenger(self, better: str, line: Iterable[str], planned: int) -> str | None:
        """The smallest that may duel now, while the share of the `planned` duels lasts."""
        if self.duels >= SHARE * planned:
            return None
        reigned = set(line)
        while self._queue:
            id = self._queue[0][2]
            if id not in reigned and (id, better) not in self._met:
                return id
            heapq.heappop(self._queue)
        return None

    def meet(self, challenger: str, better: str) -> None:
        """Their duel is open: there will be no other one."""
        self.duels += 1
        self._met.add((challenger, better))


def weighs(reading: Reading, repeatable: bool) -> bool:
    """Whether a run asks how large its programs are."""
    return reading.kind != "exact" and (reading.margin > 0 or repeatable)


def same_answers(batch: Mapping[str, Json]) -> bool:
    """Whether both sides of a recorded batch gave the same answers; scores are compared elsewhere."""
    mine, theirs = (batch.get("fingerprints", {}).get(side) for side in ("challenger", "champion"))
    metrics = batch.get("constrained", {})
    return bool(mine) and mine == theirs and metrics.get("challenger") == metrics.get("champion")


def _answers_alike(one: Candidate, other: Candidate) -> bool:
    """On the search cases; equal scores too, as those may hang on what else a program asked for."""
    same = one.fingerprint != "" and one.fingerprint == other.fingerprint
    return same and np.array_equal(one.scores, other.scores) and one.constrained == other.constrained


def _is_smaller(one: Candidate, other: Candidate) -> bool:
    return 0 < one.size <= SMALLER * other.size
