"""The run's account of error: what level each duel of a run may spend.

Family-wise, the levels of all duels together never pass alpha: P(any false promotion in the run) <= alpha
by the union bound, whatever the duels depend on. `fdr` is e-LOND (Xu & Ramdas, AISTATS 2024): level x
(promotions so far + 1) bounds the expected share of false promotions by alpha, under arbitrary dependence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ErrorRate = Literal["family-wise", "fdr"]
RESERVE = 0.1  # share of alpha kept for duels past the planned number


@dataclass(slots=True)
class Account:
    """Levels for the duels of one run; `alpha`, `duels` and `error` are frozen when it starts."""

    alpha: float = 0.1
    duels: int = 100  # planned; more are possible, on a slow tail
    error: ErrorRate = "family-wise"
    opened: int = 0
    promotions: int = 0  # those undone later included: they were discoveries when the levels were set

    @property
    def level(self) -> float:
        """Level of the next duel."""
        share = self.share(self.opened + 1)
        if self.error == "fdr":
            # with duels still open `promotions` may lag behind e-LOND's count, which only lowers the level
            share *= self.promotions + 1
        return self.alpha * min(share, 1.0)

    def share(self, duel: int) -> float:
        """Share of alpha that duel number `duel` (from 1) gets; all shares, without end, sum to 1."""
        if duel <= self.duels:
            return (1 - RESERVE) / self.duels
        return RESERVE * 6 / (math.pi * (duel - self.duels)) ** 2

    def open(self) -> float:
        """Spend the next duel's level."""
        level = self.level
        self.opened += 1
        return level

    def promote(self) -> None:
        """Count a promotion."""
        self.promotions += 1
