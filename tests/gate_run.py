"""A run in miniature for the tests of the gate: events, a gate and a score, no programs and no git."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from evolve.types import CaseKey, Decision, Event, EventKind, Gate, Json
from fitness.constraints import Constraint
from fitness.gate import DuelGate
from fitness.statistics import Reading
from fitness.verify import verify

Score = Callable[[str, CaseKey, int], float]  # (variant, case, how many were scored before) -> raw score
ACCOUNT = {"alpha": 0.1, "duels": 100, "error": "family-wise"}


def noise(*names: object) -> np.random.Generator:
    """A generator of its own for every (variant, case): A/A noise is never shared."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


class Run:
    """Appends, tells and drains as the loop does; every event passes through JSON."""

    def __init__(
        self,
        score: Score,
        *,
        reading: Reading | None = None,
        direction: str = "maximise",
        claim: str = "cases",
        search_cases: int = 8,
        n_max: int = 200,
        batch: int = 10,
        repeatable: bool = False,
        seed: int = 0,
        account: Mapping[str, Json] = ACCOUNT,
        gate: Gate | None = None,
        size: Callable[[str], int] | None = None,
        constraints: Sequence[Constraint] = (),
        metrics: Mapping[str, Score] | None = None,
        answer: Callable[[str, CaseKey], object] | None = None,
    ) -> None:
        self.answer = answer
        self.metrics = metrics or {}
        self.size = size
        self.score, self.search_cases, self.runs = score, search_cases, 0
        self.gate = gate or DuelGate()
        self.events: list[Event] = []
        self.append(
            "start",
            {
                "schema": 1,
                "problem": {"name": "toy", "digest": "0" * 64},
                "seed": seed,
                "parent": None,
                "loaded": [],
                "claim": claim,
                "direction": direction,
                "reading": (reading or Reading("bounded", 1.0)).as_json(),
                "account": dict(account),
                "gate": "duel" if isinstance(self.gate, DuelGate) else "open",
                **({"constraints": [each.as_json() for each in constraints]} if constraints else {}),
            },
            {"n_max": n_max, "batch": batch, "repeatable": repeatable},
        )
        self.trial("0-seed")

    def append(
        self,
        kind: EventKind,
        decision: Mapping[str, Json],
        measured: Mapping[str, Json] | None = None,
        variant: str | None = None,
    ) -> Event:
        """Append and tell one event."""
        text = json.dumps([decision, measured or {}], allow_nan=False)
        event = Event(len(self.events), kind, *json.loads(text), variant=variant)
        self.events.append(event)
        self.gate.tell(event)
        return event

    def drain(self) -> list[Decision]:
        """Append whatever the gate decides now."""
        made: list[Decision] = []
        while decisions := self.gate.judge():
            for each in decisions:
                self.append(each.kind, each.decision, each.measured, each.variant)
                made.append(each)
        return made

    def run(self, variant: str, case: CaseKey) -> float:
        """One case run."""
        self.runs += 1
        return float(self.score(variant, case, self.runs))

    def trial(self, variant: str | None = None, verdict: str = "evaluated") -> str:
        """A child scored on the search cases; its id."""
        index = sum(event.kind == "trial" for event in self.events)
        variant = variant or f"{index}-child"
        scores = [self.run(variant, CaseKey("search", i)) for i in range(self.search_cases)]
        parents = [] if index == 0 else ["0-seed"]
        decision = {"trial": index, "told": len(self.events) - 1, "operator": "seed" if index == 0 else "toy"}
        decision |= {"parents": parents, "variant": variant, "tree": variant, "verdict": verdict}
        sized: dict[str, Json] = {"size": self.size(variant)} if self.size else {}
        if self.metrics:
            cases = [CaseKey("search", i) for i in range(self.search_cases)]
            sized["constrained"] = self.constrained(variant, cases)
        if self.answer:
            sized["fingerprint"] = self.fingerprint(
                variant, [CaseKey("search", i) for i in range(self.search_cases)]
            )
        self.append("trial", decision, {"scores": scores, **sized}, variant)
        self.drain()
        return variant

    def fingerprint(self, variant: str, cases: Sequence[CaseKey]) -> str:
        """Of a variant's answers."""
        return hashlib.sha256(
            repr([self.answer and self.answer(variant, case) for case in cases]).encode()
        ).hexdigest()

    def constrained(self, variant: str, cases: Sequence[CaseKey]) -> dict[str, list[float]]:
        """The other metrics of a variant on some cases."""
        return {name: [float(f(variant, case, 0)) for case in cases] for name, f in self.metrics.items()}

    def duel(self, finishing: bool = False) -> bool:
        """One batch of pairs, if the gate asks for one."""
        batch = self.gate.ask(finishing)
        if batch is None:
            return False
        self.land(batch)
        return True

    def land(self, batch) -> None:
        """Score a batch, append and drain."""
        challenger = [self.run(batch.challenger, case) for case in batch.cases]
        known, ran = batch.known, len(challenger)
        champion = list(known) if known else [self.run(batch.champion, case) for case in batch.cases]
        measured = {"challenger": challenger, "champion": champion, "ran": ran if known else 2 * ran}
        if self.metrics:
            sides = {"challenger": batch.challenger, "champion": batch.champion}
            sides |= {"reference": batch.reference} if batch.reference else {}
            measured["constrained"] = {side: self.constrained(id, batch.cases) for side, id in sides.items()}
        if batch.identical and self.answer:
            sides = {"challenger": batch.challenger, "champion": batch.champion}
            measured["fingerprints"] = {side: self.fingerprint(id, batch.cases) for side, id in sides.items()}
        self.append(
            "duel_batch",
            {"duel": batch.duel, "phase": batch.phase, "first": batch.first, "count": len(batch.cases)},
            measured,
            batch.challenger,
        )
        self.drain()

    def finish(self) -> None:
        """Everything that is still to be decided, then the end."""
        while self.duel(finishing=True):
            pass
        for each in self.gate.stop("trials"):
            self.append(each.kind, each.decision, each.measured, each.variant)
        self.append("stop", {"reason": "trials"}, {"trials": self.count("trial") - 1})
        self.drain()

    def play(self, trials: int) -> Run:
        """All of a run, whose record must be in order."""
        for _ in range(trials):
            self.trial()
            while self.duel():
                pass
        self.finish()
        assert verify(self.events) == []
        return self

    def count(self, kind: str) -> int:
        """How many events of a kind there are."""
        return sum(event.kind == kind for event in self.events)

    def closes(self) -> list[str]:
        """How the closed duels ended."""
        return [event.decision["verdict"] for event in self.events if event.kind == "duel_close"]
