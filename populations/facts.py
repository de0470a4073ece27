"""The little that the ledger itself must know of its events: a fold over them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from evolve.types import Event, Json
from populations import story
from populations.records import canonical

_UNDIGESTED = ("resume", "stop")  # when a run was interrupted is no decision of the run


def digest_of(events: Iterable[Event]) -> str:
    """Commits to every decision: a SHA-256 chain over the canonical JSON of [kind, decision]."""
    chain = b""
    for event in events:
        if event.kind not in _UNDIGESTED:
            chain = hashlib.sha256(chain + canonical([event.kind, event.decision]).encode()).digest()
    return chain.hex()


class Proof(NamedTuple):
    """A promotion that stands: what its tag says."""

    variant: str
    event: int
    date: int
    message: str


class Facts:
    """What the branch `champion`, the tags and the texts of commits need."""

    def __init__(self) -> None:
        self.count = 0
        self.champion: str | None = None
        self.proofs: dict[str, Proof] = {}  # by the tag's name
        self.models: dict[int, str] = {}  # of the paid proposals that wait for their trial
        self.sign = 1  # of a gain: positive is better
        self._start = 0
        self._duels: dict[int, Mapping[str, Json]] = {}
        self._promotions: dict[int, dict[str, Json]] = {}

    def date(self, event: Event) -> int:
        """Seconds since 1970: the start, and a second more for each event, to be reproducible."""
        return (_seconds(event.measured.get("at")) if event.kind == "start" else self._start) + event.index

    def tell(self, event: Event) -> None:
        """Fold one event."""
        decision = event.decision
        match event.kind:
            case "start":
                self._start = self.date(event)
                self.sign = -1 if decision.get("direction") == "minimise" else 1
            case "proposal":
                models = dict.fromkeys(exchange["model"] for exchange in event.measured["exchanges"])
                self.models[decision["trial"]] = ", ".join(models)
            case "trial":
                self.models.pop(decision["trial"], None)
                if decision["trial"] == 0:
                    self.champion = event.variant
            case "duel_open":
                self._duels[decision["duel"]] = decision
            case "promotion":
                number = decision["promotion"]
                self._promotions[number] = {**decision, **event.measured}
                self.champion = decision["variant"]
                if decision.get("duel") is None:
                    self._prove(event, number, {})
            case "duel_close":
                duel = self._duels.pop(decision["duel"], {})
                if decision["verdict"] == "promoted":
                    self._prove(event, self._promotion_of(decision), duel)
            case "demotion":
                self.champion = decision["champion"]
            case _:
                pass
        self.count += 1

    def _promotion_of(self, decision: Mapping[str, Json]) -> int:
        if decision.get("promotion") is not None:
            return int(decision["promotion"])
        numbers = {promotion["duel"]: number for number, promotion in self._promotions.items()}
        return numbers[decision["duel"]]

    def _prove(self, event: Event, number: int, duel: Mapping[str, Json]) -> None:
        promotion = self._promotions[number]
        message = story.evidence(event, duel, promotion)
        self.proofs[f"promotion/{number:04d}"] = Proof(
            promotion["variant"], event.index, self.date(event), message
        )


def _seconds(at: Any) -> int:
    if not isinstance(at, str):
        return int(at or 0)
    date = datetime.fromisoformat(at)
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
