"""`evolve verify --rerun`: evaluate recorded evaluations again, and score the kept answers again.

That runs the problem's evaluate.py as trusted code, so it is a copy that the user has: the gallery's, or the
folder that they name; never the one that somebody else's run brings along.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from evolve.history import failures_of
from evolve.models.broker import read_asked
from evolve.models.retold import Retold
from evolve.types import (
    BadInput,
    CaseKey,
    EvaluatorError,
    Event,
    Exchange,
    Failure,
    Handler,
    Job,
    Json,
    Limits,
    Outcome,
    Program,
    Split,
    Walls,
)
from fitness.evaluation import ProblemFitness
from fitness.gate import draw, draws_of, nonce_of
from fitness.problem import Problem, digest, gallery, load, read_files
from fitness.worker import Worker
from populations.ledger import GitLedger

# What a busy or smaller machine may cause: such a difference proves nothing.
MACHINE_FAILURES = frozenset({"timeout", "out_of_memory", "machinery"})


def trusted_copy(recorded: Mapping[str, Json], folder: Path | None, what: str = "--rerun") -> Problem:
    """The user's copy of a run's problem: in `folder`, else in the gallery. Raises BadInput without one."""
    problem = gallery_copy(recorded["digest"]) if folder is None else load(folder)
    if problem is None:
        expected = "--problem FOLDER, your copy of the run's problem, as its evaluate.py is trusted"
        raise BadInput(what, expected, "a problem that is not the gallery's")
    if problem.digest != recorded["digest"]:
        expected = f"the problem of this run, of digest {recorded['digest'][:12]}"
        raise BadInput("--problem", expected, f"{problem.name}, of digest {problem.digest[:12]}")
    return problem


def gallery_copy(wanted: Json) -> Problem | None:
    """The problem in the gallery that has a digest."""
    found = (folder for _, _, folder in gallery() if digest(read_files(folder)) == wanted)
    return next(map(load, found), None)


# ---------------------------------------------------------------------------------------- what was recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """An evaluation as the events tell it: raw scores, a case each."""

    event: int
    what: str
    variant: str
    cases: tuple[CaseKey, ...]
    scores: tuple[float, ...]
    failures: Mapping[int, Failure]
    fingerprint: str = ""  # of the answers, where it was recorded
    side: str | None = None  # of a duel, or of the sealed draws


def recorded(events: Sequence[Event]) -> Iterator[Recorded]:
    """Every evaluation of a run: of trials, of both sides of duels, of the sealed draws."""
    nonce = nonce_of(events[0].decision)
    duels: dict[int, Mapping[str, Json]] = {}
    for event in events:
        decision, measured = event.decision, event.measured
        failures = measured.get("failures", {})
        if event.kind == "duel_open":
            duels[decision["duel"]] = decision
        elif event.kind == "trial" and "scores" in measured:
            scores = tuple(measured["scores"])
            cases = tuple(CaseKey("search", n) for n in range(len(scores)))
            answered = measured.get("fingerprint", "")
            why = failures_of(failures)
            yield Recorded(event.index, "trial", decision["variant"], cases, scores, why, answered)
        elif event.kind == "duel_batch":
            duel, first = duels[decision["duel"]], decision["first"]
            numbers = range(first, first + decision["count"])
            names = draws_of(duel, decision["phase"], duel.get("identical", False))
            split: Split = "gate" if decision["phase"] == "duel" else "check"
            cases = tuple(CaseKey(split, draw(nonce, *names, n)) for n in numbers)
            for side in ("challenger", "champion"):
                if side == "champion" and measured["ran"] < 2 * len(cases):
                    continue  # not run: known from another batch, which the gate compares
                why = failures_of(failures.get(side, {}))
                scores, answered = tuple(measured[side]), measured.get("fingerprints", {}).get(side, "")
                yield Recorded(event.index, f"{side}'s pairs", duel[side], cases, scores, why, answered, side)
        elif event.kind == "sealed":
            cases = tuple(CaseKey("sealed", draw(nonce, "sealed", n)) for n in range(decision["count"]))
            for side in ("champion", "seed"):
                why = failures_of(failures.get(side, {}))  # runs of old have none
                scores = tuple(measured[side])
                what = f"{side}'s sealed draws"
                yield Recorded(event.index, what, decision[side], cases, scores, why, side=side)


# ------------------------------------------------------------------------------------- doing it once more


@dataclass(slots=True)
class Again:
    """What came of it: the mismatches, and how many cases could not be compared."""

    what: str
    wrong: list[str]
    uncompared: int = 0
    differences: tuple[float, ...] = ()  # of the means, where scores do not repeat


def evaluations(
    ledger: GitLedger, events: Sequence[Event], problem: Problem, count: int, walls: Walls
) -> Again:
    """Evaluate some recorded evaluations again; programs that ask models are told what they were told then.

    Which ones follows from the head, so that a second look takes the same and a forger cannot know before.
    """
    everything = list(recorded(events))
    chosen = random.Random(ledger.head).sample(everything, min(count, len(everything)))
    # what a model said then it says again here
    repeatable = bool(events[0].measured["repeatable"]) or problem.allowance is not None
    name = f"{len(chosen)} of {len(everything):,} evaluations, run again, give the recorded scores"
    result, differences = Again(name, []), []
    teller = None if problem.allowance is None else Retold(problem.allowance)
    worker = Worker(problem, walls, broker=teller)
    try:
        for each in chosen:
            if teller is not None:
                teller.begin(_said(ledger, each))
            try:
                again = worker.evaluate(Job(ledger.variant(each.variant).files, each.cases))
            except EvaluatorError:
                if not any(failure.kind == "machinery" for failure in each.failures.values()):
                    raise
                result.uncompared += len(each.cases)  # it failed then as it fails now
                continue
            if teller is not None and teller.strayed:
                result.uncompared += len(each.cases)  # it may ask what it likes, but nobody knows the reply
                continue
            differences.append(again.mean - sum(each.scores) / len(each.scores))
            if not repeatable:
                result.uncompared += len(each.cases)
                continue
            where = f"event {each.event} ({each.what}): {each.variant}"
            if each.fingerprint and again.fingerprint and each.fingerprint != again.fingerprint:
                result.wrong.append(
                    f"{where}, answers: expected {again.fingerprint}, found {each.fingerprint}"
                )
            for n, (then, now) in enumerate(zip(each.scores, again.scores, strict=True)):
                if then == now:
                    continue
                if _by_machine(again.failures[n]) or (
                    _by_machine(each.failures.get(n)) and then == problem.worst
                ):
                    result.uncompared += 1
                else:
                    result.wrong.append(f"{where}, case {n}: expected {now!r}, found {then!r}")
    finally:
        worker.close()
    result.differences = () if repeatable else tuple(differences)
    return result


def _said(ledger: GitLedger, each: Recorded) -> list[Exchange]:
    """What the programs of an evaluation were told."""
    data = ledger.files(each.event).get("asked.jsonl", b"")
    return [said for said in read_asked(data) if said.parameters.get("side") == each.side]


def _by_machine(failure: Failure | None) -> bool:
    return failure is not None and failure.kind in MACHINE_FAILURES


def answers(ledger: GitLedger, events: Sequence[Event], problem: Problem) -> Again:
    """Score the kept answers of the seed and of every promoted variant again, exactly."""
    promoted = {event.decision["variant"] for event in events if event.kind == "promotion"}
    trials = [event for event in events if event.kind == "trial" and event.variant is not None]
    kept = [event for event in trials if event.decision["trial"] == 0 or event.variant in promoted]
    result = Again(f"{len(kept)} answers, of the seed and of all that were promoted, score what was said", [])
    for event in kept:
        answer = ledger.files(event.index).get("answer")
        where = f"event {event.index} (trial): the answer of {event.variant}: expected"
        if answer is None:
            result.wrong.append(f"{where} one that was kept, found none")
        elif problem.limits.calls:
            result.uncompared += 1  # its score may hang on what the program asked for, too
        else:
            with contextlib.chdir(problem.folder):  # where evaluate.py finds files of its own
                fitness = ProblemFitness(problem, _Stored(answer))
                now = list(fitness.evaluate(Job({}, (CaseKey("search", 0),))).scores)
            if now != (then := event.measured["scores"]):
                result.wrong.append(f"{where} {now[0]!r}, found {then[0] if len(then) == 1 else then!r}")
    return result


class _Stored:
    """A sandbox that runs nothing: it hands over an answer that was kept."""

    level = "none"

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def run(
        self, program: Program, cases: Sequence[Json], limits: Limits, call: Handler | None = None
    ) -> list[Outcome]:
        """The answer, whatever the program."""
        return [Outcome(self._answer) for _ in cases]

    def apart(self, what: object = None) -> AbstractContextManager[None]:
        """Nothing is kept between runs that could be kept apart."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to free."""
