"""`evolve replay`: every choice of a search made again, from what the models replied then.

Nobody is asked and nothing is evaluated: the recorded replies and scores stand for both. The events are gone
through in their order; each trial is asked for again in the state that its `told` names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from evolve.asking import Asking, admission
from evolve.history import History, evaluation_of
from evolve.memory.memory import Memory
from evolve.memory.recall import Recall
from evolve.models.desk import Talk
from evolve.models.named import parse
from evolve.models.purse import Purse
from evolve.models.recorded import first_difference
from evolve.operators import create as create_operators
from evolve.operators.territory import Territory
from evolve.types import Event, Exchange, Failure, Json, Mission, Proposal, Question
from fitness.problem import Problem
from populations import create as create_population
from populations import records
from populations.facts import digest_of
from populations.ledger import GitLedger
from populations.trees import variant_id

GIVEN = ("seed", "fork", "immigrant")  # children that nobody was asked for


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    trials: int = 0  # that were asked for again
    replies: int = 0  # of models, taken from the record
    different: list[str] = field(default_factory=list)  # where a choice is not the recorded one
    digest: str = ""  # of the decisions made again, with the gate's as recorded


@dataclass(slots=True)
class _Attempt:
    decision: Mapping[str, Json]
    proposal: Proposal
    talk: Talk | None = None
    tree: str | None = None
    failure: Failure | None = None
    sent: bool = False  # an agent made it: the child is taken from the record, as replies are


def replay(ledger: GitLedger, problem: Problem) -> Replayed:
    """Make all choices of a run again."""
    run = _Replay(ledger, problem)
    events = [run.tell(event) for event in ledger.events()]
    run.found.digest = digest_of(events)
    return run.found


class _Replay:
    def __init__(self, ledger: GitLedger, problem: Problem) -> None:
        self.found = Replayed()
        self._ledger, self._problem = ledger, problem
        self._territory = Territory(problem.seed_files, problem.editable)
        self._history = History()
        self._recall = Recall(ledger, self._history.variants)
        self._asking: Asking | None = None
        self._settings: Mapping[str, Json] = {}
        self._asks: defaultdict[int, list[Mapping[str, Json]]] = defaultdict(list)  # by told
        self._under_way: dict[int, _Attempt] = {}
        self._given: dict[int, Mapping[str, Json]] = {}  # under way, that nobody was asked for
        self._trees: set[str] = set()
        decisions = {decision["trial"]: decision for decision, _ in ledger.pending()}
        for event in ledger.events():
            if event.kind == "trial":
                decisions[event.decision["trial"]] = event.decision
        for _, decision in sorted(decisions.items()):
            if decision["operator"] != "seed":
                self._asks[decision["told"]].append(decision)

    def tell(self, event: Event) -> Event:
        """Check one event against what is decided again, and fold it; the event with that decision."""
        again = event
        if event.kind in ("proposal", "trial") and event.decision["operator"] not in GIVEN:
            again = replace(event, decision=self._again(event))
            if records.canonical(again.decision) != records.canonical(event.decision):
                self._differs(again.decision, event.decision)
        if event.kind == "trial" and (given := self._given.pop(event.decision["trial"], None)) is not None:
            self._trees.discard(given["tree"])
        if event.kind == "lesson":
            again = self._lesson(event)
        trial = self._history.tell(event)
        if event.kind in ("start", "resume"):
            self._sit_down(event)
            self._part()
        assert self._asking is not None
        if event.kind == "control":
            self._asking.steer(event)
        if trial is not None:
            self._asking.tell(trial)
        else:
            self._asking.hear(event)
        for decision in self._asks.get(event.index, ()):
            self._ask(decision)
        return again

    def _sit_down(self, event: Event) -> None:
        """Put together who is asked, as a session's settings say, and tell them all that happened before."""
        settings = event.measured.get("settings", {})
        who = {key: settings.get(key) for key in ("operators", "models", "population", "baseline", "memory")}
        if who == self._settings:
            return
        self._settings = who
        models = [parse(text).name for text in who["models"]]
        operators = create_operators(who["operators"], self._problem, models)
        population = create_population(who["population"] or who["baseline"] or "elite")
        seed = self._ledger.event(0).decision["seed"]
        memory = Memory(self._problem, self._territory, who["memory"] or ())
        self._asking = Asking(seed, operators.values(), models, population, memory=memory)
        history = History()
        for earlier in islice(self._ledger.events(), event.index):
            if (trial := history.tell(earlier)) is not None:
                self._asking.tell(trial)
            else:
                self._asking.hear(earlier)
            if earlier.kind == "control":
                self._asking.steer(earlier)

    def _part(self) -> None:
        """Whoever is not there any more ends its conversations."""
        assert self._asking is not None
        for attempt in self._under_way.values():
            if attempt.talk is not None and self._asking.operator(attempt.decision) is None:
                attempt.talk = None
                if attempt.tree is None:
                    attempt.failure = Failure("model", "the run was killed before a reply came")

    def _ask(self, recorded: Mapping[str, Json]) -> None:
        assert self._asking is not None
        trial, without = recorded["trial"], recorded.get("without", ())
        if recorded["operator"] in GIVEN:
            if recorded.get("variant", recorded["tree"]) is not None:  # it is, or is being, evaluated
                self._given[trial] = recorded
                self._trees.add(recorded["tree"])
            return
        under_way = {trial: attempt.decision for trial, attempt in self._under_way.items()}
        pending = [decision for _, decision in sorted((under_way | self._given).items())]
        asked = self._asking.ask(trial, recorded["told"], pending, without)
        self.found.trials += 1
        if asked is None:
            self.found.different.append(f"trial {trial}: nobody can be asked, but {recorded['operator']} was")
            return
        made = self._asking.begin(asked.decision, asked.operator, self._recall, asked.rng)
        if isinstance(made, Proposal):
            attempt = _Attempt(asked.decision, made)
            self._consider(attempt)
        elif isinstance(made, Mission):
            attempt = _Attempt(asked.decision, Proposal(None), sent=True)
        else:
            trial, model = asked.decision["trial"], asked.decision["model"]
            attempt = _Attempt(asked.decision, Proposal(None), Talk(made, model, trial, Purse()))
        self._under_way[trial] = attempt

    def _hear(self, attempt: _Attempt, talk: Talk, event: Event) -> None:
        """Go on with a conversation, by the replies that an event has of it."""
        ran = None
        if event.kind == "trial" and attempt.tree is not None:  # its last child was run
            evaluation = evaluation_of(event.measured)
            if (ran := evaluation.broken if evaluation else None) is None:
                return
            talk.mends(ran, ran=True)
        said = self._exchanges(event)
        for exchange in said:
            if isinstance(talk.step, Proposal) and not talk.over:
                talk.go_on(exchange.after or self._refused(talk.trial, talk.step))
            if not isinstance(talk.step, Question):
                self.found.different.append(f"trial {talk.trial}: more was asked than is asked now")
                break
            self._compare(talk.trial, talk.step.prompt, exchange)
            self.found.replies += not exchange.error
            talk.hear(exchange)
        if ran is None:
            attempt.proposal = _unasked(talk)
            self._consider(attempt)
        else:  # the child that was run stays what there is
            last = _Attempt(attempt.decision, _unasked(talk), talk)
            if said:
                self._consider(last)
                if last.failure is None:
                    self._refused(talk.trial, last.proposal)
            attempt.proposal = replace(attempt.proposal, details=last.proposal.details)

    def _refused(self, trial: int, child: Proposal) -> Failure:
        """Why a child was refused that the loop did not take."""
        if (failure := self._admission(child)[1]) is None:
            self.found.different.append(f"trial {trial}: a child was refused that is not refused now")
        return failure or Failure("duplicate")

    def _exchanges(self, event: Event) -> Sequence[Exchange]:
        if "exchanges" not in event.measured:
            return ()
        return records.decode_paid(event, self._ledger.files(event.index)).exchanges

    def _compare(self, trial: int, prompt: str, exchange: Exchange) -> None:
        """The prompt made again and the recorded one; a kill may have left none."""
        now, then = prompt.encode(errors="backslashreplace").decode(), exchange.prompt
        if now != then and (then or not exchange.error):
            self.found.different.append(f"trial {trial}: its prompt differs, {first_difference(then, now)}")

    def _consider(self, attempt: _Attempt) -> None:
        """What becomes of the child that was made last."""
        attempt.tree, attempt.failure = self._admission(attempt.proposal)
        if attempt.failure is not None and (talk := attempt.talk) is not None:
            if talk.mends(attempt.failure):
                attempt.proposal = _unasked(talk)
                attempt.tree, attempt.failure = None, attempt.proposal.failure
            attempt.proposal = replace(attempt.proposal, details=talk.step.details)
        if attempt.failure is None and attempt.tree is not None:
            self._trees.add(attempt.tree)

    def _admission(self, child: Proposal) -> tuple[str | None, Failure | None]:
        return admission(self._territory, child, self._history.trees, self._trees)

    def _again(self, event: Event) -> Mapping[str, Json]:
        """The decision of a `proposal` or `trial` event, made again."""
        attempt = self._under_way.get(event.decision["trial"])
        if attempt is None:  # nobody could be asked, which has been said
            return event.decision
        if attempt.sent and attempt.tree is None:
            self.found.replies += len(event.measured.get("exchanges", ()))
            if event.kind == "trial":  # there was no child
                del self._under_way[event.decision["trial"]]
                return {**event.decision, **attempt.decision}
            attempt.proposal = records.decode_paid(event, self._ledger.files(event.index))
            self._consider(attempt)
        if attempt.talk is not None:
            self._hear(attempt, attempt.talk, event)
        decision = {
            **attempt.decision,
            "tree": attempt.tree,
            "idea": attempt.proposal.idea,
            "details": dict(attempt.proposal.details),
        }
        if event.kind == "proposal":
            return decision
        del self._under_way[event.decision["trial"]]
        if attempt.failure is not None or attempt.tree is None:
            kind = attempt.failure.kind if attempt.failure else ""
            verdict = kind if kind in ("duplicate", "refused") else "no_child"
            return decision | {"variant": None, "verdict": verdict}
        self._trees -= {attempt.tree, *self._history.proposed.get(event.decision["trial"], ())}
        evaluation = evaluation_of(event.measured)
        ended = "failed" if evaluation is None or evaluation.failed else "evaluated"
        return decision | {"variant": variant_id(decision["trial"], attempt.tree), "verdict": ended}

    def _lesson(self, event: Event) -> Event:
        """A lesson that was learned or dropped, decided again."""
        assert self._asking is not None
        decided = next(iter(self._asking.judge()), None)
        again = event if decided is None else replace(event, decision=decided.decision)
        if decided is None or records.canonical(decided.decision) != records.canonical(event.decision):
            now = "nothing" if decided is None else decided.decision
            self.found.different.append(f"event {event.index}: {now} is learned, was {event.decision}")
        return again

    def _differs(self, now: Mapping[str, Json], then: Mapping[str, Json]) -> None:
        what = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
        shown = ", ".join(f"{key} is {now.get(key)!r}, was {then.get(key)!r}" for key in what[:2])
        self.found.different.append(f"trial {then['trial']}: {shown}")


def _unasked(talk: Talk) -> Proposal:
    """What came of a conversation whose further questions were not asked: no budget, or a kill."""
    if isinstance(talk.step, Question):
        talk.end(talk.without_room)
    assert isinstance(talk.step, Proposal)
    return talk.step
