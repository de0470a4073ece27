"""Evidence for display: each duel's e-value from its pairs, and the effect that a run could have found."""

from __future__ import annotations

import math
import statistics as moments
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolve.cli.screen import with_interval
from evolve.cli.story import Duel, Story
from evolve.types import Event
from fitness import statistics
from fitness.account import Account
from fitness.constraints import constraints_of
from fitness.statistics import Reading


class Evidence:
    """Follows the duels of one run; asked again, it counts only the pairs that are new."""

    def __init__(self) -> None:
        self._counted: dict[int, statistics.Duel] = {}
        self._paths: dict[int, list[float]] = {}

    def path(self, story: Story, duel: Duel) -> list[float]:
        """The logarithm of the e-value after each pair."""
        assert story.history.start is not None
        if duel.number not in self._counted:
            n_max = story.history.start.measured["n_max"]
            self._counted[duel.number] = statistics.Duel(duel.reading, duel.level, n_max)
            self._paths[duel.number] = []
        counted, path = self._counted[duel.number], self._paths[duel.number]
        challenger, champion = duel.pairs["duel"]
        while counted.n < len(challenger) and counted.verdict is None:
            counted.add(story.sign * challenger[counted.n], story.sign * champion[counted.n])
            path.append(counted.log_e)
        return path

    def says(self, story: Story, duel: Duel) -> str:
        """What its promotion claims, in words."""
        self.path(story, duel)
        return self._counted[duel.number].says

    def log_e(self, story: Story, duel: Duel) -> float:
        """The logarithm of the e-value now."""
        path = self.path(story, duel)
        return path[-1] if path else 0.0


def reading_of(start: Event) -> Reading:
    """How a run reads differences."""
    return Reading.from_json(start.decision["reading"])


def gain_text(reading: Reading, gain: float, interval: Sequence[float] | None) -> str:
    """A gain and its 95 % interval; a log ratio as the factor that it is."""
    if not reading.ratio:
        return with_interval(gain, interval, sign=True)
    return "x" + with_interval(math.exp(gain), interval and [math.exp(end) for end in interval])


def account_of(start: Event) -> Account:
    """A run's account as it was when it began."""
    account: Mapping[str, object] = start.decision["account"]
    return Account(**account)  # type: ignore[arg-type]  # its keys are Account's fields


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a run claims, in words."""

    says: str  # of one promotion
    because: str  # why differences are read in this way; "" in runs that did not say so
    guarantee: str  # over the whole run
    smallest: str | None  # the effect that a duel of this run would have found; None where nothing says so


def claimed(story: Story, unit: str = "") -> Claimed:
    """What a run claims, under which guarantee, and what it could have missed."""
    start = story.history.start
    assert start is not None
    reading, account, smallest = reading_of(start), account_of(start), smallest_effect(story)
    if start.decision["gate"] == "open":
        guarantee = "none: promotions rest on the search scores"
    elif reading.kind == "exact":
        guarantee = "exact: the kept answers can be scored again"
    elif account.error == "fdr":
        guarantee = (
            f"the expected share of false promotions in this run is at most {account.alpha:g} (e-LOND)"
        )
    else:
        spent = sum(duel.level for duel in story.duels.values())
        guarantee = f"P(any false promotion in this run) <= {account.alpha:g}, {spent:.2g} of it spent so far"
    size = None
    if smallest is not None:
        size = f"a factor of {math.exp(smallest):.3g}" if reading.ratio else f"{smallest:.2g}"
        size += f" {unit}" if unit and not reading.ratio else ""
    says = ", and ".join([reading.says, *(each.says for each in constraints_of(start.decision))])
    return Claimed(says, str(start.measured.get("reading_because", "")), guarantee, size)


def smallest_effect(story: Story) -> float | None:
    """The gain that a duel of this run would have found four times in five; None where nothing says so.

    From the spread of the differences in its duels; without any, the least gain that can be proven at all.
    """
    start = story.history.start
    assert start is not None
    reading, level, n_max = reading_of(start), account_of(start).level, start.measured["n_max"]
    if reading.kind == "exact":
        return None
    told = [duel for duel in story.duels.values() if duel.reading.kind != "identical"]
    spreads = [moments.pstdev(gains) for duel in told if len(gains := duel.gains(1)) >= 5]
    if spreads:
        found = statistics.smallest_detectable_gain(reading, level, n_max, moments.median(spreads))
    else:
        found = statistics.smallest_provable_gain(reading, level, n_max)
    return found if found < float("inf") else None
