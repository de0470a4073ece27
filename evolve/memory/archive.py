"""The variants that a prompt may tell of: what each is, how it did, where it came from."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evolve.types import Failure, Trial

POOL = 64  # of the best variants that differ in what they score, an inspiration is one
DRAWN = 8  # of them, the one is taken that suits a parent best
ANCESTORS = 6  # edits that a prompt tells of at the most


class Fact(NamedTuple):
    """One variant, without its program."""

    variant: str
    trial: int
    arm: str
    asked: bool  # a model made it
    parents: tuple[str, ...]
    idea: str
    value: float | None  # oriented
    gain: float | None  # over its best parent
    failure: Failure | None  # the first of its cases


class Archive:
    """Folds trials. All that it chooses follows from them and from the generator that it is given."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self._values: dict[str, NDArray[np.float64]] = {}  # oriented, on each search case
        self._pool: list[tuple[float, int, str]] = []  # (-value, trial, variant): best first
        self._scores: dict[bytes, str] = {}  # of the pool, on each case

    def tell(self, trial: Trial) -> Fact | None:
        """Remember a finished trial's variant, if there is one."""
        if trial.variant is None:
            return None
        known = [self.facts[id].value for id in trial.parents if id in self.facts]
        best = max((value for value in known if value is not None), default=None)
        gain = None if trial.value is None or best is None else trial.value - best
        failures = trial.evaluation.failures if trial.evaluation else ()
        fact = self.facts[trial.variant] = Fact(
            trial.variant,
            trial.index,
            trial.arm,
            trial.model is not None,
            trial.parents,
            trial.idea,
            trial.value,
            gain,
            next((failure for failure in failures if failure is not None), trial.failure),
        )
        if trial.value is not None:
            self._keep(trial.variant, trial.index, trial.value, np.array(trial.values or (trial.value,)))
        return fact

    def _keep(self, variant: str, trial: int, value: float, values: NDArray[np.float64]) -> None:
        self._values[variant] = values
        if (key := values.tobytes()) in self._scores:
            return
        self._scores[key] = variant
        insort(self._pool, (-value, trial, variant))
        for _, _, gone in self._pool[POOL:]:
            del self._scores[self._values[gone].tobytes()]
        del self._pool[POOL:]

    def inspirations(self, rng: np.random.Generator, parents: Sequence[str]) -> list[str]:
        """The best variant, one that is good where the first parent is weak, and the one most like it."""
        known = {self._values[id].tobytes() for id in parents if id in self._values}
        others = [
            id for _, _, id in self._pool if id not in parents and self._values[id].tobytes() not in known
        ]
        if not others:
            return []
        chosen, mine = [others.pop(0)], self._values.get(parents[0])
        if mine is None:
            return chosen
        for suits in (_complements, _resembles):
            drawn = [others[i] for i in sorted(rng.permutation(len(others))[:DRAWN])]
            if not drawn:
                break
            chosen.append(max(drawn, key=lambda id, suits=suits: suits(self._values[id], mine)))  # type: ignore[misc]
            others.remove(chosen[-1])
        return chosen

    def ancestors(self, variant: str) -> list[Fact]:
        """A variant and those that it came from, by first parents, the latest first, without the seed."""
        line: list[Fact] = []
        while (fact := self.facts.get(variant)) is not None and fact.parents and len(line) < ANCESTORS:
            line.append(fact)
            variant = fact.parents[0]
        return line

    def lineage(self, variants: Sequence[str], most: int = 64) -> list[str]:
        """Variants and everything that they came from, the nearest first, `most` at the most."""
        line = list(dict.fromkeys(variants))
        for id in line:  # grows
            if (fact := self.facts.get(id)) is not None:
                line += [parent for parent in fact.parents if parent not in line]
            if len(line) >= most:
                break
        return line[:most]


def _complements(other: NDArray[np.float64], mine: NDArray[np.float64]) -> float:
    """By how much the other is better, on the cases where it is."""
    return float(np.maximum(other - mine, 0).sum()) if other.shape == mine.shape else -np.inf


def _resembles(other: NDArray[np.float64], mine: NDArray[np.float64]) -> float:
    """How near the other's scores are, case by case; 0 at the most."""
    return -float(np.abs(other - mine).sum()) if other.shape == mine.shape else -np.inf
