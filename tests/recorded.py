"""A small, plausible run, for tests of everything that looks back: the same each time, and verifiable.

Scripted children with a true mean and independent noise; the real gate decides and the real ledger records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evolve.history import History
from evolve.result import totals
from evolve.types import SCHEMA, EventKind, Files, Json, Variant
from fitness.gate import DuelGate, sealed_claim
from fitness.problem import digest
from fitness.statistics import Reading
from populations.ledger import GitLedger
from populations.trees import tree_id

SPAN, SD, SEARCH, SEALED, N_MAX = 2.0, 0.25, 8, 40, 400
SETTINGS = {"budget": {"trials": 2000, "seconds": None}}  # of which a duel gets N_MAX pairs
TOML = b"""name = "tours"
claim = "cases"
direction = "minimise"
unit = "mean tour length"
worst = 20.0
range = [0, 20]
difference_range = [-2, 2]
[program]
entry = "program.py:select"
[cases]
search = 8
sealed = 40
"""
SEED = """def select(current, home, unvisited, distances):
    near = distances[current]
    return min(unvisited, key=lambda city: near[city])
"""


EVALUATE = """def case(split, seed):
    return seed


def score(case, answer):
    return float(answer)
"""
DOCUMENTS = {
    "problem.toml": TOML,
    "statement.md": b"Visit every city.\n",
    "evaluate.py": EVALUATE.encode(),
}
DIGEST = digest({**DOCUMENTS, "program/program.py": SEED.encode()})


@dataclass(frozen=True)
class Child:
    """An attempt of the script: its true mean score, or the failure that it met."""

    parents: tuple[int, ...]
    operator: str
    idea: str
    mean: float | None
    failure: str = ""
    source: str = ""


CHILDREN = (
    Child((0,), "syntax", "near[city] becomes near[city] * 2", 7.0),
    Child((0,), "syntax", "subtract the way home", 6.55, source="near[city] - 0.3 * distances[home][city]"),
    Child((0,), "syntax", "distances[current] becomes distances", None, "crash"),
    Child((0,), "syntax", "min becomes max", 16.2, source="-near[city]"),
    Child((2,), "tune", "0.3 becomes 0.45", 6.56, source="near[city] - 0.45 * distances[home][city]"),
    Child((2,), "syntax", "0.3 becomes 0.3", None, "duplicate"),
    Child((2, 4), "crossover", "the key of 4 in 2", None, "timeout"),
    Child((5,), "tune", "0.45 becomes 0.41", 6.52, source="near[city] - 0.41 * distances[home][city]"),
    Child(
        (5,), "rewrite", "[red]look[/red] one city\x1b[31m ahead", 6.1,
        source="near[city] - 0.45 * distances[home][city] + 0.2 * min(distances[city])",
    ),
    Child((9,), "syntax", "min becomes max", 6.6, source="near[city] + 0.2 * max(distances[city])"),
    Child((9,), "tune", "0.2 becomes 0.25", 6.09, source="near[city] + 0.25 * min(distances[city])"),
)  # fmt: skip
EQUALS = tuple(
    Child((0,), "syntax", f"+ {n}", 7.0, source=f"near[city] + 0 * {n}") for n in range(1, 6)
)  # none is better than the seed


def record(path: Path, children: Sequence[Child] = CHILDREN, *, finished: bool = True) -> Path:
    """Write a run to a repository; `finished`: with its sealed claim and its stop."""
    with GitLedger.create(path) as ledger:
        recorder = _Recorder(ledger)
        for child in (Child((), "seed", "", 7.0), *children):
            recorder.attempt(child)
        if finished:
            recorder.end()
        ledger.sync()
    return path


class _Recorder:
    def __init__(self, ledger: GitLedger) -> None:
        self._ledger, self._gate, self._rng = ledger, DuelGate(), np.random.default_rng(0)
        self._history = History()
        self._index = 0
        self._ids: list[str | None] = []
        self._means: dict[str, float] = {}
        decision = {
            "schema": SCHEMA, "problem": {"name": "tours", "digest": DIGEST}, "seed": 0, "parent": None,
            "loaded": [], "claim": "cases", "reading": Reading("bounded", SPAN, clipped=True).as_json(),
            "direction": "minimise", "gate": "duel",
            "account": {"alpha": 0.1, "duels": 100, "error": "family-wise"},
        }  # fmt: skip
        measured = {
            "at": 1_700_000_000, "n_max": N_MAX, "batch": 20, "repeatable": False, "case_seconds": 0.001,
            "sandbox": "bubblewrap", "workers": 2, "settings": SETTINGS, "versions": {"python": "3.11.0"},
        }  # fmt: skip
        files = {f"problem/{name}": data for name, data in DOCUMENTS.items()}
        self._append("start", decision, measured, files=files)

    def attempt(self, child: Child) -> None:
        """A trial, and whatever the gate makes of it."""
        source = SEED.replace("near[city]", child.source or f"near[city] + {len(self._ids)}")
        files = {"program.py": (source if self._ids else SEED).encode()}
        parents = [self._ids[n] for n in child.parents]
        tree = tree_id(files)
        decision = {
            "trial": len(self._ids), "told": self._index - 1, "operator": child.operator, "parents": parents,
            "tree": tree, "idea": child.idea, "details": {}, "variant": None, "verdict": child.failure,
        }  # fmt: skip
        measured: dict[str, Json] = {"usd": 0.0123} if child.operator == "rewrite" else {}
        variant = None
        if child.failure == "duplicate":
            measured["failure"] = {"kind": "duplicate", "detail": str(self._ids[2])}
        else:
            variant = Variant(f"{len(self._ids)}-{tree[:6]}", files, tuple(map(str, parents)), child.operator)
            decision |= {"variant": variant.id, "verdict": "failed" if child.failure else "evaluated"}
            scores = [20.0] * SEARCH
            if child.mean is not None:
                self._means[variant.id] = child.mean
                scores = self._scores(variant.id, SEARCH)
            measured |= {"scores": scores, "seconds": [0.001] * SEARCH}
            if child.failure:
                failure = {"kind": child.failure, "detail": "TypeError: 'list' object is not callable"}
                measured["failures"] = {str(n): failure for n in range(SEARCH)}
        self._ids.append(variant.id if variant else None)
        self._append("trial", decision, measured, variant)
        while (batch := self._gate.ask(finishing=True)) is not None:
            count = len(batch.cases)
            decision = {"duel": batch.duel, "phase": batch.phase, "first": batch.first, "count": count}
            sides = {name: self._scores(getattr(batch, name), count) for name in ("challenger", "champion")}
            self._append("duel_batch", decision, {**sides, "ran": 2 * count}, batch.challenger)

    def end(self) -> None:
        """The sealed draws and the stop."""
        champion, seed = self._gate.champion, str(self._ids[0])
        scores = {side: self._scores(id, SEALED) for side, id in (("champion", champion), ("seed", seed))}
        claim = sealed_claim(scores["champion"], scores["seed"] if champion != seed else None, -1)
        decision = {"opening": 1, "champion": champion, "seed": seed, "count": SEALED, "seen": False}
        self._append("sealed", decision, {**scores, **claim, "ran": 2 * SEALED}, champion)
        self._append("stop", {"reason": "trials"}, totals(self._history))

    def _scores(self, id: str, count: int) -> list[float]:
        return [float(score) for score in self._means[id] + SD * self._rng.standard_normal(count)]

    def _append(
        self,
        kind: EventKind,
        decision: Mapping[str, Json],
        measured: Mapping[str, Json],
        variant: Variant | str | None = None,
        files: Files | None = None,
    ) -> None:
        timed = {**measured, "elapsed": self._index * 0.5}
        event = self._ledger.append(kind, decision, timed, variant=variant, files=files)
        self._history.tell(event)
        self._gate.tell(event)
        self._index += 1
        while decisions := self._gate.judge():
            for each in decisions:
                self._append(each.kind, each.decision, each.measured, each.variant)
