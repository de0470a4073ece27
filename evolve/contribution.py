"""What each arm brought to a run: a fold over its trials and promotions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evolve.types import Json, Trial


@dataclass(slots=True)
class Contribution:
    """What an operator, or one with a model, did."""

    trials: int = 0
    children: int = 0  # programs that were evaluated
    better: int = 0  # children that scored more than their best parent on the search cases
    advance: float = 0.0  # by how much its children moved the best search score, all together
    promotions: int = 0  # that stand
    usd: float = 0.0
    tokens: int = 0


class Contributions:
    """Every arm's, in the order of their first trials."""

    def __init__(self) -> None:
        self.arms: dict[str, Contribution] = {}
        self._record: float | None = None  # the best search score so far, oriented

    def tell(self, trial: Trial, variants: Mapping[str, Trial]) -> None:
        """Credit a finished trial; `variants`: those that were evaluated, by id."""
        if trial.index == 0:
            self._record = trial.value
            return
        arm = self.arms.setdefault(trial.arm, Contribution())
        arm.trials += 1
        arm.children += trial.variant is not None
        arm.usd += trial.usd
        arm.tokens += trial.tokens
        if trial.value is None:
            return
        parents = [parent.value for id in trial.parents if (parent := variants.get(id)) is not None]
        known = [value for value in parents if value is not None]
        arm.better += bool(known) and trial.value > max(known)
        if self._record is None or trial.value > self._record:
            arm.advance += trial.value - (self._record or 0.0)
            self._record = trial.value

    def promoted(self, trial: Trial, count: int) -> None:
        """A promotion of this trial's variant, or, with -1, its undoing."""
        if (arm := self.arms.get(trial.arm)) is not None:
            arm.promotions += count

    def as_json(self) -> list[dict[str, Json]]:
        """The most active first; gains are positive where better."""
        total = sum(arm.trials for arm in self.arms.values())
        return [
            {
                "arm": name,
                "trials": arm.trials,
                "share": round(arm.trials / total, 4),
                "children": arm.children,
                "improvements": arm.better,
                "gain": arm.advance,
                "promotions": arm.promotions,
                "usd": round(arm.usd, 6),
                "tokens": arm.tokens,
            }
            for name, arm in sorted(self.arms.items(), key=lambda item: -item[1].trials)
        ]
