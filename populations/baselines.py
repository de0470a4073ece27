"""What a population has to beat at equal budget."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evolve.types import Trial


class BestOfN:
    """Every child from the seed."""

    def __init__(self) -> None:
        self._seed: str | None = None

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """The seed, `count` times."""
        assert self._seed is not None, "told of the seed first"
        return (self._seed,) * count

    def tell(self, trial: Trial) -> None:
        """Remember the first variant."""
        self._seed = self._seed or trial.variant


class Random:
    """Parents uniform over all valid variants."""

    def __init__(self) -> None:
        self._valid: list[str] = []

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """Any of the valid variants, each draw alone."""
        return tuple(self._valid[i] for i in rng.integers(len(self._valid), size=count))

    def tell(self, trial: Trial) -> None:
        """Keep every variant that was evaluated."""
        if trial.verdict == "evaluated" and trial.variant is not None:
            self._valid.append(trial.variant)


class HillClimb:
    """Every child from the best search score so far; of equal ones the older stays."""

    def __init__(self) -> None:
        self._best: tuple[float, str] | None = None

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """The best variant, `count` times."""
        assert self._best is not None, "told of the seed first"
        return (self._best[1],) * count

    def tell(self, trial: Trial) -> None:
        """Replace the best by a better one."""
        if trial.verdict != "evaluated" or trial.variant is None or trial.value is None:
            return
        if self._best is None or trial.value > self._best[0]:
            self._best = trial.value, trial.variant
