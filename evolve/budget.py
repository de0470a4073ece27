"""What a run may spend over its whole life, resumes included."""

from __future__ import annotations

import time
from dataclasses import dataclass

from evolve.types import BadInput


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has spent, work in flight counted as spent."""

    trials: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Totals over the run's life; None: no limit. What models may use, `evolve.models.purse` watches over."""

    trials: int | None = None  # attempts after the seed, duplicates and refused children included
    seconds: float | None = None  # wall clock while the run runs
    usd: float | None = None  # paid to language models
    tokens: int | None = None  # of their prompts and replies
    calls: int | None = None  # of them

    def __post_init__(self) -> None:
        for name in ("trials", "seconds", "usd", "tokens", "calls"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadInput(f"--{name}", "a number above 0", str(value))

    def spent(self, spent: Spent, reserve_seconds: float = 0.0) -> str | None:
        """Name of the first budget that leaves no room for another attempt, of any kind; None: go on.

        `reserve_seconds` are kept for the confirmation and the sealed claim.
        """
        if self.trials is not None and spent.trials >= self.trials:
            return "trials"
        if self.seconds is not None and spent.seconds >= self.seconds - reserve_seconds:
            return "seconds"
        return None


class Clock:
    """Seconds of the run's life: those of earlier sessions plus this one's."""

    def __init__(self, began: float | None = None) -> None:
        self._began = time.monotonic() if began is None else began
        self._before = 0.0

    def resume(self, before: float) -> None:
        """Count `before` seconds of earlier sessions."""
        self._before = max(before, self._before)

    def __call__(self) -> float:
        """Seconds so far."""
        return round(self._before + time.monotonic() - self._began, 6)
