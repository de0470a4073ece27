"""Smaller programs that are not worse: whom the gate lets replace a champion for being simpler.

Only where the problem declares a margin. A smaller program duels the last champion that was promoted for
being *better*, whoever reigns now, and must be proven not worse than it by more than the margin: so a chain
of ever simpler ones cannot slide down by a margin each.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable

from evolve.types import Files
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

    def __init__(self, reading: Reading) -> None:
        self.wanted = reading.margin > 0 and reading.kind != "exact"
        self.reading = reading.not_worse if self.wanted else reading
        self.duels = 0  # opened
        self._met: set[tuple[str, str]] = set()  # (challenger, better champion) that have met
        self._queue: list[tuple[int, int, str]] = []  # heap: the smallest first, the older one among equals

    def enqueue(
        self, candidate: Candidate, champion: Candidate, better: Candidate, level: float, n_max: int
    ) -> None:
        """Queue a candidate that is smaller than the champion, and may be proven not worse than `better`."""
        if not self.wanted or not _is_smaller(candidate, champion):
            return
        hope = optimistic_gain(self.reading, candidate.scores, better.scores)
        if hope is None or hope >= smallest_provable_gain(self.reading, level, n_max):
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


def _is_smaller(one: Candidate, other: Candidate) -> bool:
    return 0 < one.size <= SMALLER * other.size
