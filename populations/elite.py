"""The best variants so far, each the less likely to breed the more children it has."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection

import numpy as np

from evolve.types import Trial


class Elite:
    """The best `size` evaluated variants; of equal ones the older comes first.

    A parent is drawn by the weight sigmoid((value - median) / MAD) / (1 + children), others of a crossover by
    a tournament of 3. Shifting and scaling all values changes no draw. Weights: ShinkaEvolve, DGM.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._kept: list[tuple[float, int, str]] = []  # (-value, trial, variant): best first
        self._children: Counter[str] = Counter()
        self._merit: np.ndarray | None = None  # of the kept, before children count; None: to be computed

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """Ids of `count` parents, distinct where there are enough; children under way count as children."""
        if self._merit is None:
            self._merit = merit(np.array([-value for value, _, _ in self._kept]))
        under_way = Counter(pending)
        names = [name for _, _, name in self._kept]
        weights = self._merit / [1 + self._children[name] + under_way[name] for name in names]
        shares = np.cumsum(weights)
        first = min(int(np.searchsorted(shares, rng.random() * shares[-1], side="right")), len(names) - 1)
        chosen = [first]
        while len(chosen) < count:
            others = [place for place in range(len(names)) if place not in chosen] or [first]
            chosen.append(min(others[i] for i in rng.integers(len(others), size=3)))
        return tuple(names[place] for place in chosen)

    def tell(self, trial: Trial) -> None:
        """Keep the variant if it is among the best."""
        self._children.update(trial.parents)
        if trial.verdict != "evaluated" or trial.variant is None or trial.value is None:
            return
        insort(self._kept, (-trial.value, trial.index, trial.variant))
        del self._kept[self._size :]
        self._merit = None


def merit(values: np.ndarray) -> np.ndarray:
    """sigmoid((value - median) / MAD) for each value; .5 for all where the MAD is 0."""
    centred = values - np.median(values)
    spread = np.median(np.abs(centred))
    # Rounding noise of a common offset is no spread; and it must not decide a draw either.
    if spread <= 1e-12 * np.max(np.abs(values)):
        return np.full(len(values), 0.5)
    scaled = np.round(np.clip(centred / spread, -50, 50), 9)
    return np.asarray(1 / (1 + np.exp(-scaled)))
