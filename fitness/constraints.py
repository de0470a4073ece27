"""What a better program must not lose: other metrics, each with a margin, measured against the seed.

A challenger is promoted if it is proven better in its score *and* proven not worse than the seed by more than
the margin in every constraint. Each of these is a betting e-process at the level of the whole duel: a false
promotion takes that a true null hypothesis is rejected, so the level needs no division (an intersection-union
test, Berger 1982). Against the seed, whoever reigns: what may be lost is lost once, not at each promotion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evolve.types import Json
from fitness.candidates import Candidate
from fitness.intervals import NEWEST, sealed_claim
from fitness.statistics import Duel, Reading, optimistic_gain, smallest_provable_gain


@dataclass(frozen=True, slots=True)
class Constraint:
    """One metric of `score`, how its paired differences are read, and what a failing case counts."""

    metric: str
    sign: int  # what a raw value is multiplied with so that greater is better
    worst: float  # raw, in the metric's unit, as the rest
    span: float  # differences are clipped to +-span
    margin: float  # > 0: what may be lost

    @property
    def reading(self) -> Reading:
        """H0: its mean is worse than the seed's by the margin or more."""
        return Reading("bounded", self.span, -self.margin, clipped=True)

    @property
    def says(self) -> str:
        """The claim, in words."""
        return f"{self.metric} is not worse than the seed's by more than {self.margin:g} (clipped mean)"

    def as_json(self) -> dict[str, Json]:
        """The constraint as it stands in the start event."""
        return {name: getattr(self, name) for name in ("metric", "sign", "worst", "span", "margin")}

    def values(self, metrics: Sequence[Mapping[str, float] | None]) -> tuple[float, ...]:
        """Its raw value on each case; `worst` where that has none or has failed (None)."""
        return tuple(self.worst if each is None else each.get(self.metric, self.worst) for each in metrics)

    def may_hold(self, candidate: Candidate, seed: Candidate, level: float, n_max: int) -> bool:
        """Whether the search cases leave a hope that a duel could prove it."""
        mine, theirs = candidate.constrained.get(self.metric), seed.constrained.get(self.metric)
        if mine is None or theirs is None:
            return False
        hope = optimistic_gain(self.reading, self.sign * np.asarray(mine), self.sign * np.asarray(theirs))
        return hope is None or hope >= smallest_provable_gain(self.reading, level, n_max)


def constraints_of(start_decision: Mapping[str, Json]) -> tuple[Constraint, ...]:
    """The constraints that a start event froze."""
    return tuple(Constraint(**each) for each in start_decision.get("constraints", ()))


def sealed_constraints(
    constraints: Sequence[Constraint], record: Mapping[str, Json], proven: bool, version: int = NEWEST
) -> dict[str, dict[str, Json]]:
    """What the sealed draws say of each metric, as `sealed_claim` does; no gain where nothing was `proven`.

    `record`: side ("champion", "seed") -> metric -> raw values, a case each; `version`: of the intervals.
    """
    claims: dict[str, dict[str, Json]] = {}
    for each in constraints:
        seed = record["seed"][each.metric] if proven else None
        claim = sealed_claim(record["champion"][each.metric], seed, each.sign, version=version)
        claims[each.metric] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in claim.items()
            if key != "intervals"
        }
    return claims


class Constrained:
    """The constraints' part of one duel: told pair by pair, of challenger and seed on the same draw."""

    def __init__(self, constraints: Sequence[Constraint], level: float, n_max: int) -> None:
        self._constraints = constraints
        self.duels = {each.metric: Duel(each.reading, level, n_max) for each in constraints}

    def add(self, record: Mapping[str, Json], seed: str, n: int) -> None:
        """Count pair `n` of a batch; `record`: side -> metric -> values, `seed`: the side that it is.

        What the machinery lost on either side counts as lost: no promotion may come of it.
        """
        for constraint in self._constraints:
            duel = self.duels[constraint.metric]
            sides = [record.get(side, {}).get(constraint.metric) for side in ("challenger", seed)]
            if sides[0] is None or sides[1] is None:
                duel.add(-constraint.span, 0.0)
            else:
                duel.add(constraint.sign * sides[0][n], constraint.sign * sides[1][n])

    @property
    def log_e(self) -> dict[str, float]:
        """Evidence for each, so far."""
        return {metric: duel.log_e for metric, duel in self.duels.items()}
