"""What language models may use over a run's whole life: dollars, tokens and calls, of all and of each.

A call holds its worst case before it is sent. So what is spent and what is held never pass a limit together,
whatever is in flight, and what a reply leaves over is free for the next one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

from evolve.models import Amount
from evolve.types import BadInput, Event

ROUNDING = 1e-12  # dollars: a sum of floats must not refuse the last call of a budget


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be used; None: no limit."""

    usd: float | None = None
    tokens: int | None = None  # of prompts and replies
    calls: int | None = None  # prompts that were sent, answered or not

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "calls"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadInput(name, "a number above 0", str(value))

    def passed(self, amount: Amount) -> str | None:
        """Name of the first limit that this amount is beyond; None: it is within all."""
        if self.usd is not None and amount.usd > self.usd + ROUNDING:
            return "usd"
        if self.tokens is not None and amount.tokens > self.tokens:
            return "tokens"
        if self.calls is not None and amount.calls > self.calls:
            return "calls"
        return None


NO_LIMITS = Limits()


class Purse:
    """Keeps all calls within the limits. Safe to use from any thread."""

    def __init__(self, whole: Limits = NO_LIMITS, own: Mapping[str, Limits] | None = None) -> None:
        self._whole, self._own = whole, own or {}
        self._spent: defaultdict[str, Amount] = defaultdict(Amount)  # by model, as the run's events say
        self._owed: defaultdict[str, Amount] = defaultdict(Amount)  # asked by programs, and in no event yet
        self._tickets: set[Ticket] = set()
        self._lock = Lock()

    def tell(self, event: Event) -> None:
        """Fold one event: what the exchanges in it used."""
        said = [(row, 1, "case" in row.get("parameters", {})) for row in event.measured.get("exchanges", ())]
        said += [(row, row["calls"], True) for row in event.measured.get("asked", ())]
        for row, calls, by_program in said:
            used = Amount(row["usd"], row["prompt_tokens"] + row["reply_tokens"], calls)
            with self._lock:
                self._spent[row["model"]] = self._spent[row["model"]].plus(used)
                if by_program:
                    self._owed[row["model"]] = self._owed[row["model"]].minus(used)

    def owe(self, model: str, amount: Amount) -> None:
        """A program used this, and an event will say so."""
        with self._lock:
            self._owed[model] = self._owed[model].plus(amount)

    def allow(self, whole: Limits) -> None:
        """Other limits for all together."""
        with self._lock:
            self._whole = whole

    def limited(self, model: str) -> bool:
        """Whether its own dollars are limited."""
        return self._own.get(model, NO_LIMITS).usd is not None

    def lacks(self, model: str, amount: Amount, own: bool = True) -> str | None:
        """Name of the limit that leaves no room for this now; None: there is room. `own`: its own count."""
        with self._lock:
            return self._lacks(model, amount, own)

    def _lacks(self, model: str, amount: Amount, own: bool = True) -> str | None:
        others = [(ticket.model, ticket.held.plus(ticket.used)) for ticket in self._tickets]
        everything = [*self._spent.items(), *self._owed.items(), *others]
        used = _total(each for _, each in everything).plus(amount)
        if (wrong := self._whole.passed(used)) is not None or not own:
            return wrong
        used = _total(each for name, each in everything if name == model).plus(amount)
        return self._own.get(model, NO_LIMITS).passed(used)


class Ticket:
    """What one attempt has used and what its call under way may still use."""

    def __init__(self, purse: Purse, model: str) -> None:
        self.model, self.held, self.used = model, Amount(), Amount()
        self._purse = purse
        with purse._lock:
            purse._tickets.add(self)

    def hold(self, amount: Amount) -> bool:
        """Hold this much for the next call, instead of what is held now; False: there is no room for it."""
        with self._purse._lock:
            before, self.held = self.held, Amount()
            room = amount.within(before) or self._purse._lacks(self.model, amount) is None
            self.held = amount if room else before
            return room

    def settle(self, amount: Amount) -> None:
        """The call is over and used this; nothing is held any more."""
        with self._purse._lock:
            self.held, self.used = Amount(), self.used.plus(amount)

    def recorded(self) -> None:
        """An event has what was used: the purse has been told of it."""
        with self._purse._lock:
            self.used = Amount()

    def close(self) -> None:
        """Nothing is held, and what was used stands in an event. Idempotent."""
        with self._purse._lock:
            self._purse._tickets.discard(self)


def _total(amounts: Iterable[Amount]) -> Amount:
    found = Amount()
    for amount in amounts:
        found = found.plus(amount)
    return found
