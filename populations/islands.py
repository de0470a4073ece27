"""Several elites that know little of each other: what one gave up too early another may still breed."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evolve.types import Trial
from populations.elite import Elite


class Islands:
    """`count` elites of `size` variants each, all begun from the seed.

    Every attempt takes its parents from one island, drawn uniformly, and its child lives where its first
    parent does (where that is on several: on the one of them that had the fewest attempts). After every
    `migration` evaluated children the best of each island also settles on the next one; after every `reset`
    of them the weaker half of the islands begins anew, each from the best of one of the stronger (FunSearch,
    Romera-Paredes et al. 2023; the ring: Tanese 1989). Which island is the weaker is told by its best value.
    """

    def __init__(self, count: int = 4, size: int = 16, migration: int = 60, reset: int = 360) -> None:
        self._size, self._migration, self._reset = size, migration, reset
        self._islands = [Elite(size) for _ in range(count)]
        self._attempts = [0] * count
        self._homes: dict[str, tuple[int, ...]] = {}  # variant -> where it has lived
        self._evaluated = 0

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """Ids of `count` parents of one island, distinct where it has enough."""
        return self._islands[rng.integers(len(self._islands))].ask(rng, count, pending)

    def tell(self, trial: Trial) -> None:
        """Let the child live with its first parent; now and then migrate, and begin anew."""
        homes = everywhere = tuple(range(len(self._islands)))
        if self._homes:  # not the seed; an immigrant of another run has no parent here
            near = self._homes[trial.parents[0]] if trial.parents else everywhere
            homes = (min(near, key=self._attempts.__getitem__),)
        for home in homes:
            self._attempts[home] += 1
            self._islands[home].tell(trial)
        if trial.verdict != "evaluated" or trial.variant is None:
            return
        self._homes[trial.variant] = homes
        self._evaluated += 1
        if self._evaluated % self._reset == 0:
            self._begin_anew()
        elif self._evaluated % self._migration == 0:
            for home, best in enumerate([island.best for island in self._islands]):
                self._settle(best.variant, (home + 1) % len(self._islands))
                self._islands[(home + 1) % len(self._islands)].admit(best)

    def _begin_anew(self) -> None:
        """Instead of the weaker half, of equal ones the later."""
        order = sorted(range(len(self._islands)), key=lambda home: self._islands[home].best.cost)
        half = (len(order) + 1) // 2
        stronger, weaker = order[:half], order[half:]
        for place, home in enumerate(weaker):
            founder = self._islands[stronger[place % len(stronger)]].best
            self._islands[home] = Elite(self._size)
            self._islands[home].admit(founder)
            self._settle(founder.variant, home)

    def _settle(self, variant: str, home: int) -> None:
        self._homes[variant] = tuple(sorted({*self._homes[variant], home}))
