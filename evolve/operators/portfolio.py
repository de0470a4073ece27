"""Which arm makes the next child: the more its children improved on their parents, for what they cost.

An arm is an operator or, of those that ask language models, an operator with one of the models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from evolve.ranks import MEMORY, Ranks, guess
from evolve.types import Trial, arm_parts


@dataclass(slots=True)
class _Arm:
    """What an arm did of late: its older attempts count less and less."""

    operator: str
    model: str | None
    attempts: float = 0.0
    reward: float = 0.0
    usd: float = 0.0
    tokens: float = 0.0

    def tell(self, trial: Trial, reward: float) -> None:
        keep = 1 - 1 / MEMORY
        self.attempts = keep * self.attempts + 1
        self.reward = keep * self.reward + reward
        self.usd = keep * self.usd + trial.usd
        self.tokens = keep * self.tokens + trial.tokens


class Portfolio:
    """Draws arms by what their children were worth (`Ranks`), a cost.

    An attempt costs 1, for the evaluation, and with a model as much again as it pays, in units of what one
    with a model pays on average: dollars, or tokens where nobody is paid. Time does not enter: it would not
    repeat. Attempts in flight count as attempts without a reward. What an arm will do is guessed from what
    all did, of an arm with a model from what its operator and its model did. `spread` of the draws is shared
    out evenly: no arm is given up.
    """

    def __init__(self, names: Iterable[str], spread: float = 0.1) -> None:
        self._arms = {name: _Arm(*arm_parts(name)) for name in names}
        self._names = list(self._arms)
        self._spread = spread
        self._ranks = Ranks()

    def ask(self, rng: np.random.Generator, pending: Collection[str]) -> str:
        """Name of the next arm."""
        upto = self.shares(pending).cumsum()  # as `rng.choice` draws, but for its checks, which take longer
        return self._names[int((upto / upto[-1]).searchsorted(rng.random(), side="right"))]

    def shares(self, pending: Collection[str] = ()) -> np.ndarray:
        """Probability of each arm, in the order of the names."""
        under_way, costs = Counter(pending), self._costs()
        merit = np.array(
            [
                guess(arm.reward, arm.attempts, self._expected(arm), under_way[name]) / costs[name]
                for name, arm in self._arms.items()
            ]
        )
        return np.asarray(self._spread / len(merit) + (1 - self._spread) * merit / merit.sum())

    def tell(self, trial: Trial) -> None:
        """Credit the arm of a finished trial."""
        reward = self._ranks.tell(trial)
        if (arm := self._arms.get(trial.arm)) is not None:
            arm.tell(trial, reward)

    def _expected(self, arm: _Arm) -> float:
        """Reward of an attempt, before the arm's own count: of all arms, and of its nearest."""
        arms = self._arms.values()
        mean = (sum(each.reward for each in arms) + 1) / (sum(each.attempts for each in arms) + 2)
        if arm.model is None:
            return mean
        near = [each for each in arms if each.operator == arm.operator or each.model == arm.model]
        return guess(sum(each.reward for each in near), sum(each.attempts for each in near), mean)

    def _costs(self) -> dict[str, float]:
        """Of an attempt of each arm, an evaluation costing 1."""
        asking = {name: arm for name, arm in self._arms.items() if arm.model is not None}
        paid = {name: arm.usd for name, arm in asking.items()}
        if not any(paid.values()):
            paid = {name: arm.tokens for name, arm in asking.items()}
        costs = dict.fromkeys(self._names, 1.0)
        if total := sum(paid.values()):
            mean = total / sum(arm.attempts for arm in asking.values())
            for name, amount in paid.items():
                costs[name] += guess(amount / mean, asking[name].attempts, 1.0)
        return costs
