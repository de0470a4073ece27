"""What a run may spend over its whole life, resumes included."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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

    def raised(self, limits: Mapping[str, float]) -> Budget:
        """With some limits raised; what is not limited stays so, and nothing is lowered."""
        higher: dict[str, Any] = {
            name: limit
            for name, limit in limits.items()
            if (now := getattr(self, name)) is not None and limit > now
        }
        return replace(self, **higher)

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
        self._held: float | None = None  # when it was stopped; None: it runs

    def resume(self, before: float) -> None:
        """Count `before` seconds of earlier sessions."""
        self._before = max(before, self._before)

    def hold(self, held: bool) -> None:
        """Stop, or go on: what a pause takes is not counted."""
        if held and self._held is None:
            self._held = time.monotonic()
        elif not held and self._held is not None:
            self._began += time.monotonic() - self._held
            self._held = None

    def __call__(self) -> float:
        """Seconds so far."""
        now = time.monotonic() if self._held is None else self._held
        return round(self._before + now - self._began, 6)
