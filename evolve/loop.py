"""The loop: steady state, asynchronous, written down first and acted on second.

population.ask -> parents -> operator.propose -> child -> evaluate -> trial
      ^                                                                |
      +--- population, selector, operators, gate .tell <-- ledger <----+
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from evolve import garbage, threads
from evolve.asking import Asking, admission
from evolve.budget import Budget, Clock, Spent
from evolve.control import Mailbox, requested
from evolve.exchange import Exchange, decision_of
from evolve.flight import Attempt, Duel, Flight, Landed
from evolve.history import History, evaluation_record, failures_record
from evolve.landing import Landing
from evolve.memory.recall import Recall
from evolve.models import Amount
from evolve.models.broker import asked_file, asked_record, of_side
from evolve.models.desk import Desk, Talk
from evolve.operators.territory import Territory
from evolve.stopping import REQUEST
from evolve.types import (
    BadInput,
    Batch,
    CaseKey,
    Evaluation,
    Event,
    EventKind,
    Executor,
    Failure,
    Files,
    Gate,
    Job,
    Json,
    Ledger,
    Listener,
    Mission,
    ModelError,
    Proposal,
    Variant,
    Verdict,
)
from fitness.beside import beside_seed
from fitness.simplicity import program_size
from populations.records import encode_paid
from populations.trees import variant_id

PAUSE_SECONDS = 0.2  # between two looks for a request to go on
GATE_KINDS = ("duel_open", "duel_close", "promotion", "demotion")


@garbage.looked_at_once()
def search(parts: Parts) -> Search:
    """Evolve until the budget is spent or somebody stops the run; `reason` of the result says which."""
    run = Search(parts)
    try:
        run.replay()
        with threads.short_turns():
            while run.reason is None:
                run.heed()
                run.start_duels()
                run.start_attempts()
                run.end_if_over()
                run.sync()
                run.flight.launch()
                for landed in run.flight.wait(seconds=0.2):
                    run.land(landed)
    finally:
        run.flight.close()
    return run


@dataclass(frozen=True, slots=True)
class Parts:
    """What a search is made of. The ledger holds at least the start and the seed's trial."""

    ledger: Ledger
    executor: Executor
    asking: Asking
    desk: Desk
    gate: Gate
    territory: Territory
    budget: Budget
    search_cases: tuple[CaseKey, ...]
    artifact: bool = False  # the answer is the result: keep it
    sized: bool = False  # how large programs are matters
    in_turn: bool = False  # the sides of a duel take turns in one job: what they use is compared
    session: Mapping[str, Json] | None = None  # what the `resume` event measures; None: the run is new
    exchange: Exchange | None = None  # with other runs
    landing: Landing | None = None  # keeps what a kill would lose between a worker and the ledger
    clock: Clock = field(default_factory=Clock)
    listeners: Sequence[Listener] = ()
    mail: Mailbox | None = None  # where people leave requests
    stop: Callable[[], str | None] = lambda: None  # why somebody wants the run to stop; None: go on
    settled: Callable[[Collection[str]], None] = lambda keys: None  # told the keys of jobs that events have
    a_case: Amount | None = None  # what a program may use of models at the most; None: it can ask none
    owed_cases: int = 0  # that the claim still needs when the search is over
    model_calls: int = 16  # of one model in flight at the most, unless it says otherwise
    # seconds of a budget that are kept for the claim
    reserve: Callable[[History, bool, Budget], float] = lambda history, duels, budget: 0.0


_Pending = tuple[Mapping[str, Json], Proposal]


@dataclass(slots=True)
class _Before:
    """What was in flight when a session ended, and in which order: with one worker, that of its landing."""

    batches: dict[int, tuple[int, Batch]] = field(default_factory=dict)  # duel -> told, and its pairs
    children: dict[int, int] = field(default_factory=dict)  # trial -> index of its newest proposal

    def tell(self, event: Event) -> None:
        """Fold one event."""
        if event.kind == "proposal":
            self.children[event.decision["trial"]] = event.index
        elif event.kind in ("duel_batch", "duel_close"):
            self.batches.pop(event.decision["duel"], None)

    def order(self, pending: Iterable[_Pending]) -> list[_Pending | Batch]:
        """Children that a proposal names are evaluated at once, then come pairs, then new attempts."""
        placed: list[tuple[tuple[int, int, int], _Pending | Batch]] = []
        for number, (told, batch) in enumerate(self.batches.values()):
            placed.append(((told, 1, number), batch))
        for each in pending:
            trial = each[0]["trial"]
            index = self.children.get(trial)
            placed.append(((each[0]["told"], 2, trial) if index is None else (index, 0, trial), each))
        return [each for _, each in sorted(placed, key=lambda one: one[0])]


class Search:
    """One session of a search: the folded history, the work in flight, and the verbs between them."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.history = History()
        self.flight = Flight(parts.executor, parts.landing, parts.settled)
        self._recall = Recall(parts.ledger, self.history.variants)
        self.reason: str | None = None  # why it ended
        self.replayed = -1  # index of the last event of earlier sessions
        self._unheard: list[Event] = []
        self._next = 0  # index of the next trial
        self._asked = -1  # index of the newest event when somebody was last asked
        self._late = False  # there was no time left to end a duel
        self._trees: set[str] = set()  # of the children under way
        self._answered: list[str] = []  # requests of people that are events, not yet durable
        self._stopped: str | None = None  # by a request

    # ------------------------------------------------------------------------------ what is known

    def replay(self) -> None:
        """Fold what has happened so far; evaluate first what was promised before the last stop."""
        talks: dict[int, Talk | Mission] = {}
        flight = _Before()
        with garbage.not_looked_for():
            begun, asked = self._begun(), self._asked_before()
            for event in self.parts.ledger.events():
                if event.kind not in (*GATE_KINDS, "lesson") and not self.history.paused:
                    finishing = bisect_left(asked, event.index - 1) >= len(asked) > 0
                    while (batch := self.parts.gate.ask(finishing)) is not None:  # as the loop did
                        flight.batches[batch.duel] = event.index - 1, batch
                self._tell(event)
                flight.tell(event)
                for decision, proposal in begun.get(event.index, ()):
                    if (again := self._begin_again(decision, proposal)) is not None:
                        talks[decision["trial"]] = again
        self.replayed = self.history.last
        if self.parts.session is not None:  # the first events of a new run are of this session
            self.parts.clock.resume(self.history.elapsed)
        # what was merged into a run whose budget is spent is evaluated all the same
        if self.parts.session is not None and (self.closing() is None or self.parts.ledger.pending()):
            self.append("resume", {"changes": self._changes()}, self.parts.session)
        self._judge()
        self._next = max(self._next, self.history.last_trial + 1)
        for each in flight.order(self.parts.ledger.pending()):
            if isinstance(each, Batch):
                if each.phase == "check" or not self._out_of_time():
                    self._start(each)
                continue
            decision, proposal = each
            self._next = max(self._next, decision["trial"] + 1)
            begun_as = talks.get(decision["trial"])
            if isinstance(begun_as, Mission) and proposal.files is None:
                self._send(Attempt(decision), begun_as)
            else:
                talk = None if isinstance(begun_as, Mission) else begun_as
                self._take_up(Attempt(decision, talk=talk), proposal)
        self.sync()

    def _begun(self) -> Mapping[int, list[tuple[Mapping[str, Json], Proposal]]]:
        """Conversations that a stop cut off, by the last event that their ask had seen."""
        begun: defaultdict[int, list[tuple[Mapping[str, Json], Proposal]]] = defaultdict(list)
        for decision, proposal in self.parts.ledger.pending() if self.parts.desk.models else ():
            if "model" in decision:
                begun[decision["told"]].append((decision, proposal))
        return begun

    def _asked_before(self) -> list[int]:
        """The events after which attempts were asked for, where these were all that the budget has."""
        parts = self.parts
        if parts.session is None or parts.budget.trials is None:
            return []
        decided = [event.decision for event in parts.ledger.events() if event.kind == "trial"]
        told = [each["told"] for each in (*decided, *(each for each, _ in parts.ledger.pending()))]
        return sorted(told)[1:] if len(told) > parts.budget.trials else []  # without the seed

    def _begin_again(self, decision: Mapping[str, Json], proposal: Proposal) -> Talk | Mission | None:
        """A conversation as far as it had come, its operator knowing what it knew; None: it cannot go on."""
        parts, trial = self.parts, decision["trial"]
        if (operator := parts.asking.operator(decision)) is None:
            return None
        conversation = parts.asking.begin(decision, operator, self._recall, np.random.default_rng())
        if isinstance(conversation, Mission):
            return conversation
        assert not isinstance(conversation, Proposal)
        talk = parts.desk.reopen(conversation, decision["model"], trial, proposal.exchanges)
        made = talk.step.files if isinstance(talk.step, Proposal) else None
        return talk if made == proposal.files else None

    def _take_up(self, attempt: Attempt, proposal: Proposal) -> None:
        """Go on where a stop cut off; calls that were under way count what they may have cost."""
        desk, trial, talk = self.parts.desk, attempt.decision["trial"], attempt.talk
        if proposal.files is not None:
            said = desk.earlier(trial, len(proposal.exchanges)) if talk is None else ()
            attempt.proposal = replace(proposal, exchanges=said)
            self._evaluate(attempt)
        elif talk is not None and talk.earlier:
            self.flight.add(attempt, desk.talk(talk))
        else:
            attempt.talk = None
            why = Failure("model", "the run was killed before a reply came")
            self._consider(attempt, Proposal(None, failure=why, exchanges=desk.earlier(trial)))

    def _changes(self) -> dict[str, Json]:
        """Settings that are others than those of the session before."""
        then = self.history.session.get("settings", {})
        now = (self.parts.session or {}).get("settings", {})
        return {key: [then.get(key), now[key]] for key in now if then.get(key) != now[key]}

    def spent(self) -> Spent:
        """What is spent, work in flight included."""
        return Spent(self.history.trials + len(self._attempts()), self.parts.clock())

    def _attempts(self) -> list[Attempt]:
        return [task for task in self.flight.tasks() if isinstance(task, Attempt)]

    def _children(self) -> int:
        """Those on workers or about to be, agents that make them included; duels take nobody's place."""
        return sum(each.proposal is not None or each.mission is not None for each in self._attempts())

    def closing(self) -> str | None:
        """Name of the budget that leaves no room for another attempt."""
        parts, asking = self.parts, self.parts.asking
        reason = parts.budget.spent(self.spent(), parts.reserve(self.history, True, parts.budget))
        reason = reason or parts.desk.spent(asking.prompt_bytes, alone=asking.needs_model)
        return reason or self._lacks(len(parts.search_cases))

    def _lacks(self, cases: int) -> str | None:
        """Name of the budget without room for so many cases of programs that ask models; None: start them."""
        parts = self.parts
        if parts.a_case is None:
            return None
        return parts.desk.lacks(parts.a_case.times(cases + self.flight.cases + parts.owed_cases))

    def end_if_over(self) -> None:
        """Somebody stopped the run, or its budget is spent and nothing is left to decide."""
        if (reason := self.parts.stop() or self._stopped) is not None:
            while landed := self.flight.wait(seconds=0):  # everything finished is recorded
                for each in landed:
                    self.land(each)
            self._abandon()
            self.reason = reason
        elif (reason := self.closing()) is not None and (not self.flight or self._hopeless()):
            self._stop_duels(reason)
            self.reason = reason

    def _hopeless(self) -> bool:
        """Time is out and only children still run, which may hang: they wait in the journal for more time."""
        if not self._out_of_time() or not all(isinstance(task, Attempt) for task in self.flight.tasks()):
            return False
        self._abandon()
        self.parts.executor.interrupt()
        return True

    def _abandon(self) -> None:
        """End what is under way. Children wait in the journal; models that were asked may send a bill.

        What agents have made waits, too, if the monitor has not said what it has against it.
        """
        attempts = [attempt for attempt in self._attempts() if attempt.mission is None]
        talking = [attempt for attempt in attempts if attempt.talk and attempt.proposal is None]
        self.flight.close()
        for attempt in talking:
            assert attempt.talk is not None
            self._consider(attempt, self.parts.desk.abandon(attempt.talk))
        self.flight.close()  # a child that there was nevertheless waits as well

    def _stop_duels(self, reason: str) -> None:
        for each in self.parts.gate.stop(reason):
            self.append(each.kind, each.decision, each.measured, variant=each.variant)

    def _out_of_time(self) -> bool:
        """Only what the claim needs is left."""
        reserve = self.parts.reserve(self.history, False, self.parts.budget)
        limit = self.parts.budget.seconds
        return limit is not None and self.parts.clock() >= limit - reserve

    # ------------------------------------------------------------------------------ what people ask for

    def heed(self) -> None:
        """Make events of the requests that people have left, and do what they ask; wait while paused."""
        letters = self.parts.mail.take() if self.parts.mail is not None else ()
        for letter in letters:
            self._answered.append(letter.name)
            if letter.name not in self.history.asked:  # a kill may have come before it was dropped
                with suppress(BadInput):  # what no run could do is not done, and not kept
                    self._heed(requested(letter.value, self.history.variants), letter.name)
        if letters:
            self.sync()
        self.parts.clock.hold(self.history.paused)
        if self.history.paused and not self.flight:
            time.sleep(PAUSE_SECONDS)

    def _heed(self, decision: Mapping[str, Json], name: str) -> None:
        self.append("control", decision, {"request": name}, variant=decision.get("variant"))
        self._asked = -1  # who breeds may be others now
        if decision["action"] == "stop":
            self._stopped = REQUEST
        elif decision["action"] == "budget":
            raised = self.parts.budget.raised(decision["limits"])
            self.parts = replace(self.parts, budget=raised)
            self.parts.desk.raise_limits(raised.usd, raised.tokens, raised.calls)

    # ------------------------------------------------------------------------------ what is started

    def start_duels(self) -> None:
        """Put the next pairs of the open duels in flight."""
        if self.history.paused:
            return
        reason = self.closing()
        finishing = reason is not None
        if reason is not None and self._out_of_time():
            self._stop_duels(reason)  # there is time left for the check pairs of a promotion, and for no more
        while (batch := self.parts.gate.ask(finishing)) is not None and self._start(batch):
            pass

    def _start(self, batch: Batch) -> bool:
        """Put pairs in flight; False: the budget leaves no room for them, and duels end."""
        if (lacking := self._lacks(2 * len(batch.cases))) is not None:
            self._stop_duels(lacking)
            return False
        sides = {"challenger": batch.challenger}
        if batch.known is None:
            sides["champion"] = batch.champion
        if batch.reference is not None:
            sides["reference"] = batch.reference
        alone = batch.phase == "check" or self._suspected(sides.values())
        jobs = {
            side: Job(self.parts.ledger.variant(id).files, batch.cases, alone=alone)
            for side, id in sides.items()
        }
        if self.parts.in_turn:
            jobs["challenger"] = replace(jobs["challenger"], rival=jobs.pop("champion").files)
        duel = Duel(batch, jobs)
        for side, job in jobs.items():
            self.flight.add(duel, job, side)
        return True

    def start_attempts(self) -> None:
        """Keep the workers busy while the budget is open."""
        if self.history.paused:
            return
        if self.flight.jobs and not self.flight.proposing and self.history.last == self._asked:
            return  # time alone asks nobody: equal runs on a slower machine decide the same
        room = refused = 2 * self.parts.executor.workers
        while refused and self._children() < room and self.closing() is None:
            before = self.flight.jobs + self.flight.proposing
            if not self._ask():
                break
            refused -= self.flight.jobs + self.flight.proposing == before  # its place is still free
        if not self.flight and self.parts.asking.needs_model and (why := self.parts.desk.nobody) is not None:
            raise ModelError(why)
        self._asked = self.history.last

    def _ask(self) -> bool:
        """Start one more attempt; False: there is nobody to ask now."""
        parts, pending = self.parts, self._attempts()
        if parts.exchange is not None:
            trees = self.history.trees
            immigrant = parts.exchange.take(self._next, lambda tree: tree in trees or tree in self._trees)
            if immigrant is not None:
                self._next += 1
                decision = decision_of(self._next - 1, self.history.last, self.history.seed)
                self._consider(Attempt(decision), immigrant)
                return True
        talking: Counter[str | None] = Counter(
            attempt.decision.get("model") for attempt in pending if attempt.proposal is None
        )
        without = parts.desk.unready(parts.asking.prompt_bytes, talking, parts.model_calls)
        asked = parts.asking.ask(self._next, self.history.last, [a.decision for a in pending], without)
        if asked is None:
            return False
        self._next += 1
        attempt = Attempt(asked.decision)
        made = parts.asking.begin(asked.decision, asked.operator, self._recall, asked.rng)
        if isinstance(made, Proposal):
            self._consider(attempt, made)
        elif isinstance(made, Mission):
            parts.ledger.propose(asked.decision, Proposal(None))  # a kill must not hide what it may cost
            self._send(attempt, made)
        else:
            assert asked.model is not None
            attempt.talk = parts.desk.open(made, asked.model, asked.decision["trial"])
            parts.ledger.propose(asked.decision, Proposal(None))  # a kill must not hide what it may cost
            self.flight.add(attempt, parts.desk.talk(attempt.talk))
        return True

    def _send(self, attempt: Attempt, mission: Mission) -> None:
        """Send an agent, which may ask the model that was chosen."""
        job = mission.job()
        assert job.errand is not None
        allowance = replace(job.errand.allowance, models=(attempt.decision["model"],))
        attempt.mission = mission
        self.flight.add(attempt, replace(job, errand=replace(job.errand, allowance=allowance)))

    def _consider(self, attempt: Attempt, proposal: Proposal) -> None:
        """Evaluate a child that may be one: inside its territory, readable, new."""
        tree, failure = admission(self.parts.territory, proposal, self.history.trees, self._trees)
        if failure is not None and attempt.talk is not None:
            if self._goes_back(attempt, failure):
                return
            proposal = replace(proposal, details=attempt.talk.step.details)
        if failure is not None and attempt.broken is not None:  # nothing came that could take its place
            child, evaluation = attempt.broken
            attempt.proposal = replace(child, exchanges=proposal.exchanges)
            attempt.decision = {**attempt.decision, "details": dict(proposal.details)}
            self._record(attempt, "failed", evaluation=evaluation)
            return
        attempt.proposal = proposal
        attempt.decision = {
            **attempt.decision,
            "tree": tree,
            "idea": proposal.idea,
            "details": dict(proposal.details),
        }
        if failure is None:
            timed = {"elapsed": self.parts.clock()}
            if (event := self.parts.ledger.propose(attempt.decision, proposal, timed)) is not None:
                self._tell(event)
            if attempt.talk is not None:
                attempt.talk.recorded()
            attempt.proposal = replace(proposal, exchanges=())  # an event has them
            self._evaluate(attempt)
        else:
            kinds: dict[str, Verdict] = {"duplicate": "duplicate", "refused": "refused"}
            self._record(attempt, kinds.get(failure.kind, "no_child"), failure=failure)

    def _goes_back(self, attempt: Attempt, failure: Failure, ran: bool = False) -> bool:
        """Whether a child goes back to the model that wrote it, with what is wrong."""
        if attempt.talk is None or not attempt.talk.mends(failure, ran):
            return False
        attempt.proposal = None
        self.flight.add(attempt, self.parts.desk.talk(attempt.talk))
        return True

    def _evaluate(self, attempt: Attempt) -> None:
        assert attempt.proposal is not None and attempt.proposal.files is not None
        self._trees |= self._trees_of(attempt)
        alone = self._suspected(attempt.decision["parents"])
        parts, files = self.parts, attempt.proposal.files
        job = Job(files, parts.search_cases, keep_answers=parts.artifact, alone=alone, first=True)
        if parts.in_turn:
            job = replace(job, rival=parts.ledger.variant(self.history.seed).files)
        self.flight.add(attempt, job)

    def _trees_of(self, attempt: Attempt) -> set[str]:
        """Of all children of an attempt so far."""
        return {attempt.decision["tree"], *self.history.proposed.get(attempt.decision["trial"], ())}

    def _suspected(self, variants: Iterable[str]) -> bool:
        """Whether one of them must not share a sandbox with others; so it is with all confirmations, too."""
        return not self.history.suspects.isdisjoint(variants)

    # ------------------------------------------------------------------------------ what has landed

    def land(self, landed: Landed) -> None:
        """Record what a task has brought."""
        task, result = landed.task, landed.result
        if isinstance(task, Duel):
            assert not isinstance(result, Proposal)
            task.landed[landed.side] = result
            if len(task.landed) == len(task.jobs):
                self._land_duel(task)
        elif isinstance(result, Proposal):
            self._consider(task, replace(result, exchanges=(*task.asked, *result.exchanges)))
        elif task.mission is not None and task.proposal is None:
            task.asked = result.asked
            made = task.mission.read(result)
            if isinstance(made, Proposal):
                self._consider(task, replace(made, exchanges=task.asked))
            else:
                task.talk = self.parts.desk.watch(made, task.decision["trial"])
                self.flight.add(task, self.parts.desk.talk(task.talk))
        else:
            self._land_child(task, result)

    def _land_child(self, attempt: Attempt, evaluation: Evaluation) -> None:
        """Record how a child did, unless it does not even run and can be mended."""
        if (why := evaluation.broken) is not None and attempt.talk is not None:
            assert attempt.proposal is not None
            attempt.broken = attempt.proposal, evaluation
            if self._goes_back(attempt, why, ran=True):
                return
            attempt.decision = {**attempt.decision, "details": dict(attempt.talk.step.details)}
        self._record(attempt, "failed" if evaluation.failed else "evaluated", evaluation=evaluation)

    def _record(
        self,
        attempt: Attempt,
        verdict: Verdict,
        evaluation: Evaluation | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Append the trial of an attempt, with its variant where there is one."""
        proposal, decision = attempt.proposal, dict(attempt.decision)
        assert proposal is not None
        variant, files = None, {}
        measured: dict[str, Json] = {}
        if evaluation is not None:
            assert proposal.files is not None
            variant = Variant(
                id=variant_id(decision["trial"], decision["tree"]),
                files=proposal.files,
                parents=tuple(decision["parents"]),
                operator=decision["operator"],
                idea=proposal.idea,
            )
            if evaluation.rival is not None:
                measured["seed_scores"] = list(evaluation.rival.scores)  # on this machine, at this hour
                seed = self.history.variants[self.history.seed].evaluation
                assert seed is not None
                evaluation = beside_seed(evaluation, seed.scores)
            measured |= evaluation_record(evaluation)
            files = self._answer(evaluation) | _asked(measured, evaluation)
            if self.parts.sized:
                measured["size"] = program_size(proposal.files)
            self._trees -= self._trees_of(attempt)
        if proposal.exchanges:  # there is no `proposal` event that holds what was said
            paid, said = encode_paid(proposal)
            measured |= paid
            files |= {name: data for name, data in said.items() if not name.startswith("program/")}
        if "model" in decision:
            measured["usd"] = proposal.usd + self.history.paid(decision["trial"])
        if failure is not None:
            measured["failure"] = asdict(failure)
        decision |= {"variant": variant.id if variant else None, "verdict": verdict}
        self.append("trial", decision, measured, variant=variant, files=files)
        if attempt.talk is not None:
            attempt.talk.ticket.close()

    def _answer(self, evaluation: Evaluation) -> dict[str, bytes]:
        """The answer of an artifact that beats the champion: kept, because it is the result."""
        best = self.history.variants.get(self.parts.gate.champion) if self.history.variants else None
        answer = evaluation.answers[0] if self.parts.artifact and evaluation.answers else None
        if answer is None or (best and self.history.sign * evaluation.mean <= (best.value or -np.inf)):
            return {}
        return {"answer": answer}

    def _land_duel(self, duel: Duel) -> None:
        failed = {side: list(each.survived) for side, each in duel.sides() if each.survived}
        spared = duel.jobs.keys() - failed.keys()
        if failed and spared and not duel.again:
            duel.again = True  # both sides: one that could provoke a failure must not gain by it
            for side in spared:
                del duel.landed[side]
                self.flight.add(duel, duel.jobs[side], side)
            return
        batch, scores, failures, constrained = duel.batch, {}, {}, {}
        for side, evaluation in duel.sides():
            if evaluation.constrained:
                constrained[side] = {metric: list(found) for metric, found in evaluation.constrained.items()}
            if side != "reference":
                scores[side] = list(evaluation.scores)
            if why := failures_record(evaluation):
                failures[side] = why
        ran = len(batch.cases) * duel.runs
        if batch.known is not None:
            scores["champion"] = list(batch.known)
        decision = {
            "duel": batch.duel,
            "phase": batch.phase,
            "first": batch.first,
            "count": len(batch.cases),
        }
        measured: dict[str, Json] = {**scores, "ran": ran}
        measured["seconds"] = {side: round(_seconds_a_case(each), 6) for side, each in duel.sides()}
        if failed:
            measured["survived"] = failed
            measured["retries"] = {side: len(failed.get(side, ())) for side in ("challenger", "champion")}
        if failures:
            measured["failures"] = failures
        if constrained:
            measured["constrained"] = constrained
        if batch.identical:
            measured["fingerprints"] = {side: each.fingerprint for side, each in duel.sides()}
        files = _asked(
            measured, *(replace(e, asked=tuple(of_side(s, e.asked))) for s, e in duel.landed.items())
        )
        self.append("duel_batch", decision, measured, variant=batch.challenger, files=files)

    # ------------------------------------------------------------------------------ written, then told

    def append(
        self,
        kind: EventKind,
        decision: Mapping[str, Json],
        measured: Mapping[str, Json] | None = None,
        *,
        variant: Variant | str | None = None,
        files: Files | None = None,
    ) -> None:
        """Append an event and tell everybody inside; listeners hear of it with `sync`."""
        timed = {**(measured or {}), "elapsed": self.parts.clock()}
        # once duels were stopped for time, there may be time again for children, but not to prove one
        self._late = self._late or self._out_of_time()
        if self._late:
            timed["late"] = True  # the gate opens no duel after it
        self._tell(self.parts.ledger.append(kind, decision, timed, variant=variant, files=files or None))
        if kind not in GATE_KINDS:
            self._judge()

    def _judge(self) -> None:
        """Append what follows from what the gate knows now, before anything else is appended."""
        while decisions := self.parts.gate.judge():
            for each in decisions:
                self.append(each.kind, each.decision, each.measured, variant=each.variant)
        while decisions := self.parts.asking.judge():
            for each in decisions:
                self.append(each.kind, each.decision, each.measured)

    def _tell(self, event: Event) -> None:
        trial = self.history.tell(event)
        if trial is not None:
            self.parts.asking.tell(trial)
        else:
            self.parts.asking.hear(event)
        if event.kind == "control":
            self.parts.asking.steer(event)
        self.parts.desk.tell(event)
        self.parts.gate.tell(event)
        self._unheard.append(event)

    def sync(self) -> None:
        """Make durable what was appended; only then may anybody hear of it or act on it."""
        self.parts.ledger.sync()
        self.parts.desk.settle()
        if self.parts.mail is not None:
            self.parts.mail.drop(self._answered)
            self._answered.clear()
        for event in self._unheard:
            for listener in self.parts.listeners:
                listener.tell(event)
        self._unheard.clear()


def _asked(measured: dict[str, Json], *evaluations: Evaluation) -> dict[str, bytes]:
    """Measure what programs asked of models; the file that has it word for word."""
    asked = [exchange for evaluation in evaluations for exchange in evaluation.asked]
    if not asked:
        return {}
    measured["asked"] = asked_record(asked)
    return {"asked.jsonl": asked_file(asked)}


def _seconds_a_case(evaluation: Evaluation) -> float:
    """Of a worker's time for one run."""
    if evaluation.rival is None:
        return evaluation.worker_seconds_a_case
    return sum(evaluation.seconds) / len(evaluation.seconds)
