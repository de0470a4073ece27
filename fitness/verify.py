"""Judges a run again from its raw evidence: every level, e-value, decision and claim, in order.

A fresh gate is told the events one by one. Each event that a gate decides must be what this gate decides at
that point, and whatever it decides must be in the log before the search goes on. So no pair can be edited, no
duel dropped, no level re-spread without a later event giving it away. What it cannot see: an end cut off
(compare the head), and scores forged consistently (run some again: `--rerun`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evolve.types import SCHEMA, Decision, Event, Json
from fitness.constraints import sealed_constraints
from fitness.gate import CHECK_PAIRS, Contest, DuelGate, OpenGate, nonce_of
from fitness.intervals import FIRST, sealed_claim

BUDGETS = frozenset({"trials", "usd"})  # reasons to stop that leave nothing in flight
FROZEN = frozenset({"problem", "seed", "claim", "account", "constraints", "reading", "direction", "gate"})
UNDECIDED = frozenset({"elapsed", "late"})  # what the loop adds to the measured part of any event
OF_PAIRS = frozenset(
    {"n", "verdict", "log_e", "constraints_log_e", "duel_gain", "duel_gain_interval", "retries"}
)
Pair = tuple[float, float]  # (challenger, champion), raw
STRETCH = 8  # pairs, all different: other draws do not give them in the same order by chance
MALFORMED = (KeyError, ValueError, TypeError, IndexError, AttributeError)  # what a forged event may cause


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing in a run that does not follow from its evidence."""

    event: int
    kind: str
    expected: str
    found: str
    field: str  # of the event, or the kind of what is missing before it
    follows: tuple[int, ...] = ()  # events whose pairs it follows from: perhaps what was edited

    def __str__(self) -> str:
        expected, found = _short(self.expected), _short(self.found)
        text = f"event {self.event} ({self.kind}), {self.field}: expected {expected}, found {found}"
        return f"{text}; it follows from events {_ranges(self.follows)}" if self.follows else text


def _short(text: str, most: int = 200) -> str:
    """The beginning and the end of what would fill the screen: a batch has hundreds of scores."""
    return text if len(text) <= most else f"{text[: most - 60]} ... {text[-50:]}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """Ascending numbers, neighbours together: 3-5, 8."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and parts[-1][-1] == n - 1:
            parts[-1] = [parts[-1][0], n]
        else:
            parts.append([n])
    return ", ".join("-".join(map(str, part)) for part in parts)


def verify(events: Iterable[Event]) -> list[Mismatch]:
    """Everything in a run's events that does not follow from what came before; empty for an honest run."""
    review = _Review()
    for event in events:
        review.tell(event)
    review.end()
    return review.mismatches


class _Review:
    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        self.gate: OpenGate = OpenGate()
        self.position = 0
        self.event = Event(0, "start", {})
        self.seed: str | None = None
        self.cases = 0  # search cases
        self.told: dict[int, int] = {}  # trial -> told
        self.trial_events: dict[int, int] = {}  # trial -> event
        self.tried: set[str] = set()  # variants that were run
        self.resumes: list[int] = []
        self.openings = 0
        self.drawn: dict[int, int] = {}  # duel -> champion draws known when its next batch was asked for
        self.late: set[int] = set()  # closed duels whose batch under way has come in
        self.missing: object = None  # the absent decision that was reported last
        self.batches: dict[int, list[int]] = {}  # duel -> events of its pairs
        self.pairs: dict[int, tuple[list[Pair], list[Pair]]] = {}  # duel -> of the duel, of the check
        self.opened: dict[int, float] = {}  # the seed's scores on the sealed draws, where they repeat
        self.sealed = False  # nothing may follow but the end, or a resume

    def tell(self, event: Event) -> None:
        self.event = event
        if event.index != self.position:
            self._expect("index", self.position, event.index)
        self.position += 1
        if self.sealed and event.kind not in ("resume", "stop", "lesson"):
            self._report("order", "the sealed draws opened at the end", "more of the search after them")
            self.sealed = False
        try:
            match event.kind:
                case "start":
                    self._start()
                case "duel_open" | "duel_close" | "promotion" | "demotion":
                    self._decision()
                case "trial":
                    self._nothing_missing()
                    self._trial()
                case "duel_batch":
                    self._nothing_missing()
                    self._batch()
                case "sealed":
                    self._sealed()
                    self.sealed = True
                case "resume":
                    self.sealed = False
                    self.resumes.append(event.index)
                    self._expect(
                        "changes of what is frozen", [], sorted(FROZEN & set(event.decision["changes"]))
                    )
                case "stop":
                    self._stop()
                case _:
                    pass
            self.gate.tell(event)
            self._remember_draws()
        except MALFORMED as error:
            self._report("event", "an event that can be read", f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """What only the whole can show."""
        before = -1
        for trial, told in sorted(self.told.items()):
            if told < before:
                asked = f"trial {trial} asked after trial {trial - 1}"
                self._report("told", asked, f"told {told} < {before}", self.trial_events[trial])
            before = told

    def _report(
        self, field: str, expected: str, found: str, event: int | None = None, duel: int | None = None
    ) -> None:
        where, kind = (self.event.index, self.event.kind) if event is None else (event, "trial")
        follows = tuple(self.batches.get(duel, ())) if duel is not None else ()
        self.mismatches.append(Mismatch(where, kind, expected, found, field, follows))

    def _expect(self, field: str, expected: Json, found: Json, duel: int | None = None) -> None:
        if not _same(expected, found):
            self._report(field, str(expected), str(found), duel=duel)

    # --------------------------------------------------------------------------------- one kind at a time

    def _start(self) -> None:
        decision, measured = self.event.decision, self.event.measured
        if self.event.index != 0:
            self._report("start", "one start, first of all", "another one")
        if decision["schema"] > SCHEMA:
            self._report("schema", f"schema up to {SCHEMA}", str(decision["schema"]))
        if "nonce" in measured:
            self._expect("nonce", nonce_of(decision), measured["nonce"])
        if decision["gate"] not in ("open", "duel"):
            self._report("gate", "gate open or duel", str(decision["gate"]))
        self.gate = OpenGate() if decision["gate"] == "open" else DuelGate()

    def _decision(self) -> None:
        """A gate event: exactly what a gate told the same evidence decides here."""
        event, decisions = self.event, list(self.gate.judge())
        if event.kind == "duel_close" and event.decision["verdict"] == "stopped":
            decisions = [d for d in self.gate.stop("") if d.decision["duel"] == event.decision["duel"]]
        duel = event.decision.get("duel")
        if not decisions:
            self._report(event.kind, "no decision here", str(dict(event.decision)), duel=duel)
            return
        expected = decisions[0]
        if expected.kind != event.kind:
            self._report("kind", _told(expected), str(dict(event.decision)), duel=duel)
            return
        self._expect("variant", expected.variant, event.variant)
        self._expect("keys", sorted(expected.decision), sorted(event.decision))
        self._expect("measured keys", sorted(expected.measured), sorted(event.measured.keys() - UNDECIDED))
        for key, value in {**expected.decision, **expected.measured}.items():
            found = {**event.measured, **event.decision}.get(key)
            self._expect(key, value, found, duel if key in OF_PAIRS else None)

    def _nothing_missing(self) -> None:
        """The search went on, so everything decided must stand in the log."""
        for decision in self.gate.judge():
            name = decision.kind, decision.decision.get("duel"), decision.variant
            if name != self.missing:
                duel = decision.decision.get("duel")
                self._report(decision.kind, f"before it {_told(decision)}", "it is missing", duel=duel)
            self.missing = name

    def _trial(self) -> None:
        decision = self.event.decision
        trial, variant, scores = decision["trial"], decision["variant"], self.event.measured.get("scores")
        if trial in self.told:
            self._report("trial", f"trial {trial} once", f"it is event {self.trial_events[trial]} already")
        if not 0 <= decision["told"] < self.event.index:
            self._report("told", "told of events before it", f"told {decision['told']}")
        self.told[trial], self.trial_events[trial] = decision["told"], self.event.index
        if variant is not None:
            self._expect("trial of its variant", trial, int(variant.split("-")[0]))
        if variant is not None and self.seed is None:
            self.seed, self.cases = variant, len(scores or ())
            self._expect("trial of the seed", 0, trial)
        for metric, found in self.event.measured.get("constrained", {}).items():
            self._expect(f"search cases of {metric}", self.cases, len(found))
            self._finite(found)
        if scores is not None:
            self._expect("search cases", self.cases, len(scores))
            self._finite(scores)
        for parent in decision["parents"]:
            if parent not in self.tried:
                self._report("parents", "parents that were evaluated before", parent)
        if variant is not None and scores is not None:
            self.tried.add(variant)

    def _batch(self) -> None:
        decision, measured, gate = self.event.decision, self.event.measured, self.gate
        contest = gate.contests.get(decision["duel"]) if isinstance(gate, DuelGate) else None
        if contest is None or not isinstance(gate, DuelGate):
            self._report("duel", "an open duel", str(decision["duel"]))
            return
        self._expect("variant", contest.challenger, self.event.variant)
        for side in ("challenger", "champion"):
            self._expect(f"{side} scores", decision["count"], len(measured[side]))
            self._finite(measured[side])
        self._metrics(decision["count"], measured)
        if measured["ran"] < decision["count"]:
            self._report("ran", f"at least {decision['count']} case runs", str(measured["ran"]))
        if contest.verdict is not None:
            if contest.verdict not in ("overtaken", "stopped", "banned") or contest.number in self.late:
                self._report("duel", "an open duel", f"duel {contest.number}, closed as {contest.verdict}")
            self.late.add(contest.number)
            return
        checking = contest.promotion is not None
        first = len(contest.checks) if checking else contest.received
        most = CHECK_PAIRS if checking else contest.duel.n_max
        known: list[float] = []
        self._expect("phase", "check" if checking else "duel", decision["phase"])
        self._expect("first draw", first, decision["first"])
        if not 0 < decision["count"] <= most - first:
            self._report("count", f"1 to {most - first} pairs", str(decision["count"]))
        if contest.identical:
            known_sides = sorted(side for side, found in measured.get("fingerprints", {}).items() if found)
            failed = measured.get("failures", {})
            due = sorted(side for side in ("challenger", "champion") if side not in failed)
            self._expect("fingerprints of", due, known_sides)
        elif not checking:
            # champion scores that were known when the batch was asked for are those known ones
            known = gate.known.get(contest.champion, [])[first : first + decision["count"]]
            if measured["ran"] >= 2 * decision["count"]:
                known = known[: max(self.drawn.get(contest.number, 0) - first, 0)]
            self._expect("champion scores on known draws", known, measured["champion"][: len(known)])
        if measured["ran"] < 2 * decision["count"] and len(known) < decision["count"]:
            self._report(
                "ran", "both sides run", f"{measured['ran']} case runs for {decision['count']} pairs"
            )
        self._copied(contest, checking)
        self.batches.setdefault(contest.number, []).append(self.event.index)

    def _copied(self, contest: Contest, checking: bool) -> None:
        """Check pairs have draws of their own: their scores are not a stretch of the duel's, in its order."""
        batch = zip(self.event.measured["challenger"], self.event.measured["champion"], strict=True)
        dueled, checked = self.pairs.setdefault(contest.number, ([], []))
        if not checking:
            dueled += batch
            return
        before = len(checked)
        checked += batch
        stretches = {tuple(dueled[at : at + STRETCH]) for at in range(len(dueled) - STRETCH + 1)}
        for first in range(max(before - STRETCH + 1, 0), len(checked) - STRETCH + 1):
            stretch = tuple(checked[first : first + STRETCH])
            if stretch in stretches and len(set(stretch)) == STRETCH:
                found = f"pairs {first} to {first + STRETCH - 1} that the duel had"
                self._report("challenger", "check pairs of their own draws", found, duel=contest.number)
                return

    def _remember_draws(self) -> None:
        """A duel's next batch is asked for after its opening or the batch before, never earlier."""
        if self.event.kind in ("duel_open", "duel_batch") and isinstance(self.gate, DuelGate):
            contest = self.gate.contests[self.event.decision["duel"]]
            self.drawn[contest.number] = len(self.gate.known.get(contest.champion, ()))

    def _sealed(self) -> None:
        decision, measured = self.event.decision, self.event.measured
        self._expect("opening", self.openings + 1, decision["opening"])
        self._expect("seen", self.openings > 0, decision["seen"])
        self.openings += 1
        self._expect("champion", self.gate.champion, decision["champion"])
        self._expect("seed", self.seed, decision["seed"])
        for side in ("champion", "seed"):
            self._expect(f"{side} scores", decision["count"], len(measured[side]))
            self._finite(measured[side])
        if isinstance(self.gate, DuelGate) and self.gate.repeatable:
            failed = measured.get("failures", {}).get("seed", {})
            known = {
                n: x for n, x in enumerate(measured["seed"]) if str(n) not in failed
            }  # time may fail alone
            before = {n: x for n, x in self.opened.items() if n in known}
            self._expect("seed scores on known draws", before, {n: known[n] for n in before})
            self.opened |= known
        seed = None if self.gate.champion == self.seed else measured["seed"]
        version = measured.get("intervals", FIRST)
        for key, value in sealed_claim(
            measured["champion"], seed, self.gate.sign, self.gate.reading, version
        ).items():
            self._expect(key, value, measured.get(key))
        self._metrics(decision["count"], measured)
        if "constrained" in measured and isinstance(self.gate, DuelGate):
            proven = self.gate.champion != self.seed
            record = measured["constrained"]
            claims = sealed_constraints(self.gate.constraints, record, proven, version)
            self._expect("constraints", claims, measured.get("constraints"))

    def _metrics(self, count: int, measured: Mapping[str, Json]) -> None:
        """Every side's other metrics: a finite value a case."""
        for side, values in measured.get("constrained", {}).items():
            for metric, found in values.items():
                self._expect(f"{side} {metric}", count, len(found))
                self._finite(found)

    def _stop(self) -> None:
        self._expect("trials", sum(trial > 0 for trial in self.told), self.event.measured["trials"])
        if self.event.decision["reason"] in BUDGETS:
            for trial in self._lost_trials():
                self._report("trials", f"trial {trial} before it", "it is missing")

    def _lost_trials(self) -> list[int]:
        """Indices without a trial that no kill explains; one before a resume may have lost some in flight."""
        lost, after = [], max(self.told, default=-1)
        for trial in range(after, -1, -1):
            if trial in self.told:
                after = trial
            elif not any(resume > self.told[after] for resume in self.resumes):
                lost.append(trial)
        return lost[::-1]

    def _finite(self, scores: Iterable[float]) -> None:
        for score in scores:
            if not math.isfinite(score):
                self._report("scores", "finite scores", str(score))


def _told(decision: Decision) -> str:
    return f"{decision.kind} {dict(decision.decision)}"


def _same(expected: Json, found: Json) -> bool:
    """Equal; numbers up to the rounding that another machine may do."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(map(_same, expected, found))
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(_same(expected[key], found[key]) for key in expected)
    return bool(expected == found)
