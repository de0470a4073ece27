"""The gate: decides from fresh, paired evidence whether a child becomes champion.

Pure: a fold over the run's events. The same events give the same decisions, so a killed run resumes and
`fitness.verify` judges again. Only the batches under way are known here and not in the events.

    judge -> duel_open -> ask -> duel_batch ... -> promotion -> 30 check pairs -> duel_close promoted
                                           `-> duel_close futile | budget    `-> demotion, duel_close undone

Draw i against champion c is the same for every challenger of c and known to none: nothing that breeds,
prompts or chooses challengers and bets ever sees a gate score. Search scores choose who may challenge; they
are no evidence.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evolve.types import TURNS, Batch, CaseKey, Decision, Event, Json, Split
from fitness.account import Account
from fitness.candidates import Candidate, Candidates
from fitness.constraints import Constrained, Constraint, constraints_of
from fitness.intervals import Interval, mean_interval
from fitness.intervals import sealed_claim as sealed_claim
from fitness.simplicity import Simplicity, same_answers
from fitness.statistics import Duel, Reading, optimistic_gain, smallest_provable_gain
from fitness.statistics import choose_n_max as choose_n_max

MOST_OPEN = 2  # duels at once
SHARE = 0.4  # of all case runs that duels may take while the search goes on
CHECK_PAIRS = 30
LOST = frozenset({"futile", "budget", "undone"})


def nonce_of(start_decision: Mapping[str, Json]) -> str:
    """The run's nonce: SHA-256 of the canonical JSON of what the start decided."""
    text = json.dumps(start_decision, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def draws_of(opening: Mapping[str, Json], phase: str, identical: bool) -> tuple[object, ...]:
    """What names the draws of a duel: shared by all against a champion, or this duel's own."""
    if phase == "check":
        return "check", opening["duel"]
    return ("same", opening["duel"]) if identical else ("gate", opening["champion"])


def draw(nonce: str, *names: object) -> int:
    """The seed of a case: 63 bits of a hash, so that nobody can choose or foresee it without the nonce."""
    digest = hashlib.sha256("/".join(map(str, (nonce, *names))).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


@dataclass(slots=True)
class Contest:
    """One duel as the events tell it."""

    number: int
    challenger: str
    champion: str
    duel: Duel
    constrained: Constrained
    simpler: bool = False  # non-inferiority, of a smaller challenger, against the last better champion
    received: int = 0  # pairs in the duel phase, those after the decision included
    checks: list[float] = field(default_factory=list)  # oriented differences of the check pairs
    differs: bool = False  # a check pair was not answered alike, where that was promised
    promotion: int | None = None
    demoted: bool = False
    verdict: str | None = None  # as closed
    retries: dict[str, int] = field(default_factory=lambda: {"challenger": 0, "champion": 0})

    @property
    def identical(self) -> bool:
        """Whether it is about the same answers, and no score."""
        return self.duel.reading.kind == "identical"

    @property
    def outcome(self) -> str | None:
        """How it was decided: promoted where the score and every constraint are proven; None: not yet."""
        verdicts = [self.duel.verdict, *(each.verdict for each in self.constrained.duels.values())]
        lost = next((verdict for verdict in verdicts if verdict not in (None, "promoted")), None)
        return lost or (None if None in verdicts else "promoted")

    @property
    def n(self) -> int:
        """Pairs that the decision has seen."""
        return max(self.duel.n, *(each.n for each in self.constrained.duels.values()), 0)

    @property
    def evidence(self) -> dict[str, Json]:
        """Logarithms of its e-values."""
        log_e: dict[str, Json] = {"log_e": self.duel.log_e}
        return {**log_e, "constraints_log_e": self.constrained.log_e} if self.constrained.duels else log_e

    @property
    def wants(self) -> int:
        """Pairs that it still may ask for in its present phase."""
        if self.promotion is not None:
            return CHECK_PAIRS - len(self.checks)
        return 0 if self.outcome is not None else self.duel.n_max - self.received

    @property
    def gain_interval(self) -> Interval | None:
        """95 % interval of the gain on the check pairs."""
        return mean_interval(self.checks)

    @property
    def undone(self) -> bool:
        """Whether the check pairs refute what was proven."""
        if self.identical:
            return self.differs
        interval = self.gain_interval
        return interval is not None and interval[1] < min(self.duel.reading.margin, 0.0)


class OpenGate:
    """Promotes whatever has the best search score, and proves nothing: for `--baseline hill-climb`.

    The part of the gate that needs no draws; for exact scores (claim `artifact`) it is all there is.
    """

    def __init__(self) -> None:
        self.champion = ""
        self.promotions = 0
        self.candidates = Candidates()
        self.line: list[str] = []  # champions in order, the undone ones taken out; the last one reigns
        self.sign = 1
        self.reading = Reading("exact")
        self.margin = 0.0
        self.last = -1  # index of the newest event
        self.banned: set[str] = set()  # by a person: they may not become champion

    def tell(self, event: Event) -> None:
        """Fold one event of any kind."""
        self.last = event.index
        match event.kind:
            case "start":
                self.sign = -1 if event.decision["direction"] == "minimise" else 1
                self.reading = Reading.from_json(event.decision["reading"])
            case "trial":
                self._trial(event)
            case "promotion":
                self.promotions += 1
                self._crown([*self.line, event.decision["variant"]])
            case "demotion":
                self._crown(self.line[:-1])
            case "control" if event.decision["action"] in ("ban", "unban"):
                self._ban(event.decision["variant"], event.decision["action"] == "ban")
            case _:
                pass

    def judge(self, finishing: bool = False) -> Sequence[Decision]:
        """The next decision that follows from what it was told; call again once it is appended and told."""
        decision = self._next()
        return () if decision is None else (decision,)

    def ask(self, finishing: bool = False) -> Batch | None:
        """Nothing: search scores are all it looks at."""
        return None

    def stop(self, reason: str) -> Sequence[Decision]:
        """Nothing is open."""
        return ()

    def leader(self) -> dict[str, Json] | None:
        """Nobody: the best is the champion."""
        return None

    def _trial(self, event: Event) -> Candidate | None:
        candidate = self.candidates.add(event, self.sign)
        if candidate is not None and not self.line:
            self._crown([candidate.id])  # the seed
        return candidate

    def _ban(self, variant: str, banned: bool) -> None:
        (self.banned.add if banned else self.banned.discard)(variant)

    def _crown(self, line: list[str]) -> None:
        self.line = line
        self.champion = line[-1]

    def _next(self) -> Decision | None:
        best = self.candidates.top()
        if self.banned and best is not None and best.id in self.banned:
            best = next((each for each in self.candidates.best() if each.id not in self.banned), None)
        if best is None or best.value <= self.candidates.by_id[self.champion].value + self.margin:
            return None
        return self._promotion(best.id, None, len(best.scores), {})

    def _promotion(self, variant: str, duel: int | None, n: int, measured: Mapping[str, Json]) -> Decision:
        decision = {
            "promotion": self.promotions + 1,
            "duel": duel,
            "variant": variant,
            "champion": self.champion,
            "n": n,
        }
        return Decision("promotion", decision, measured, variant)


class DuelGate(OpenGate):
    """Promotes after a duel on fresh draws. Everything it needs stands in the start event, told first."""

    def __init__(self) -> None:
        super().__init__()
        self.nonce = ""
        self.account = Account()
        self.n_max = self.batch = 0
        self.repeatable = False
        self.contests: dict[int, Contest] = {}
        self.open: list[Contest] = []
        self.known: dict[str, list[float]] = {}  # champion -> raw scores on its first draws, where repeatable
        self.searched = self.dueled = 0  # case runs
        self._under_way: dict[int, int] = {}  # duel -> case runs of the batch that was asked for
        self._met: dict[object, dict[str, str]] = {}  # behaviour -> champion -> how their duel ended
        self.constraints: tuple[Constraint, ...] = ()
        self.simplicity = Simplicity(self.reading, repeatable=False)
        self._simpler: set[str] = set()  # champions that were promoted for being simpler
        self._level = 0.0  # of the next duel, when somebody was last asked for
        self._queue: list[tuple[tuple[float, int], str]] = []  # heap of those that may challenge
        self._resting = False  # time is out or the run has ended: no duel is opened before a `resume`

    # ---------------------------------------------------------------------------------------- folding

    def tell(self, event: Event) -> None:
        """Fold one event of any kind."""
        if event.kind == "promotion" and event.decision.get("simpler"):
            self._simpler.add(event.decision["variant"])
        super().tell(event)
        match event.kind:
            case "start":
                self._start(event)
            case "duel_open":
                self._open(event)
            case "duel_batch":
                self._batch(event)
            case "promotion" if event.decision["duel"] is not None:
                contest = self.contests[event.decision["duel"]]
                contest.promotion = event.decision["promotion"]
                self.account.promote()
            case "demotion":
                for contest in self.open:
                    contest.demoted |= contest.promotion == event.decision["promotion"]
            case "duel_close":
                self._close(event)
            case _:
                pass
        if event.kind == "resume":
            self._resting = False
        elif event.kind in ("sealed", "stop") or event.measured.get("late"):
            self._resting = True

    def _start(self, event: Event) -> None:
        decision, measured = event.decision, event.measured
        self.nonce = nonce_of(decision)
        self.margin = self.reading.margin
        self.simplicity = Simplicity(self.reading, measured["repeatable"])
        self.account = Account(**decision["account"])
        self.n_max, self.batch = measured["n_max"], measured["batch"]
        self.constraints = constraints_of(decision)
        # scores that are known tell nothing of other metrics
        self.repeatable = measured["repeatable"] and not self.constraints

    def _trial(self, event: Event) -> Candidate | None:
        self.searched += len(event.measured.get("scores", ()))
        candidate = super()._trial(event)
        if candidate is not None:
            self._enqueue(candidate)
        return candidate

    @property
    def better(self) -> str:
        """The last champion that was promoted for being better, or the seed; "" before there is one."""
        return next((id for id in reversed(self.line) if id not in self._simpler), "")

    def _ban(self, variant: str, banned: bool) -> None:
        super()._ban(variant, banned)
        self._requeue()

    def _crown(self, line: list[str]) -> None:
        self._simpler &= set(line)
        super()._crown(line)
        self._requeue()

    def _open(self, event: Event) -> None:
        decision, simpler = event.decision, event.decision.get("simpler", False)
        reading = self.simplicity.reading if simpler else self.reading
        duel = Duel(reading, decision["level"], self.n_max)
        # the same answers are as good in everything
        constraints = () if reading.kind == "identical" else self.constraints
        constrained = Constrained(constraints, decision["level"], self.n_max)
        contest = Contest(
            decision["duel"], decision["challenger"], decision["champion"], duel, constrained, simpler
        )
        self.account.open()
        self._level = self.account.level
        self.contests[contest.number] = contest
        self.open.append(contest)
        if simpler:
            self.simplicity.meet(contest.challenger, contest.champion)
        self._meet(contest, "open")

    def _batch(self, event: Event) -> None:
        decision, measured = event.decision, event.measured
        contest = self.contests[decision["duel"]]
        self._under_way.pop(contest.number, None)
        self.dueled += measured["ran"]
        for side, count in measured.get("retries", {}).items():
            contest.retries[side] += count
        if contest.verdict is not None:
            return  # it was under way when its duel was overtaken
        pairs = list(zip(measured["challenger"], measured["champion"], strict=True))
        same = not contest.identical or same_answers(measured)
        if decision["phase"] == "check":
            contest.checks += [self.reading.difference(self.sign * a, self.sign * b) for a, b in pairs]
            contest.differs |= not same or (contest.identical and any(a != b for a, b in pairs))
            return
        if not same:
            contest.duel.give_up()
        contest.received += len(pairs)
        failures = measured.get("failures", {})
        failed, excused = failures.get("challenger", {}), failures.get("champion", {})
        seed = "champion" if contest.champion == self.line[0] else "reference"
        for n, (challenger, champion) in enumerate(pairs):
            if contest.outcome is not None:
                break
            contest.constrained.add(measured.get("constrained", {}), seed, n)
            contest.duel.add(self.sign * challenger, self.sign * champion)
            if self.reading.ratio and str(n) in failed and str(n) not in excused:
                contest.duel.give_up()  # a clipped ratio prices failures low: none buys speed
        if self.repeatable and not contest.identical:
            self._know(contest.champion, decision["first"], event)

    def _know(self, champion: str, first: int, event: Event) -> None:
        """Keep the champion's scores up to the first draw that the machinery failed on: that is no score."""
        known, scores = self.known.setdefault(champion, []), event.measured["champion"]
        failures = event.measured.get("failures", {}).get("champion", {})
        lost = (int(n) for n, failure in failures.items() if failure["kind"] == "machinery")
        if first <= len(known):  # those before may have been lost
            known += scores[len(known) - first : min(lost, default=len(scores))]

    def _close(self, event: Event) -> None:
        contest = self.contests[event.decision["duel"]]
        contest.verdict = event.decision["verdict"]
        self.open.remove(contest)
        self._under_way.pop(contest.number, None)
        self._meet(contest, contest.verdict)
        if contest.verdict == "stopped":
            self._resting = True
            self._requeue()

    # --------------------------------------------------------------------------------- who may challenge

    def _enqueue(self, candidate: Candidate) -> None:
        """Queue a candidate that scored above the champion, by enough that a duel could prove it.

        Optimistic about its gain, as futility is: a gain that no duel could prove would only spend a level.
        """
        champion, better = self.candidates.by_id[self.champion], self.candidates.by_id[self.better]
        seed = self.candidates.by_id[self.line[0]]
        if not all(each.may_hold(candidate, seed, self._level, self.n_max) for each in self.constraints):
            return
        self.simplicity.enqueue(candidate, champion, better, self._level, self.n_max)
        if candidate.value <= champion.value or self.reading.kind == "exact":
            return
        hope = optimistic_gain(self.reading, candidate.scores, champion.scores)
        if hope is not None and hope < smallest_provable_gain(self.reading, self._level, self.n_max):
            return
        heapq.heappush(self._queue, (candidate.order, candidate.id))

    def _requeue(self) -> None:
        """Ask again of everybody: the champion, or what is known of somebody, has changed."""
        self._queue.clear()
        self.simplicity.clear()
        self._level = self.account.level
        for candidate in self.candidates.by_id.values():
            self._enqueue(candidate)

    def _meet(self, contest: Contest, result: str) -> None:
        if contest.simpler:
            return  # who is not proven no worse may still be better
        challenger = self.candidates.by_id[contest.challenger]
        self._met.setdefault(self._behaviour(challenger), {})[contest.champion] = result

    def _behaviour(self, candidate: Candidate) -> object:
        """Where scores repeat, equal ones on every search case are taken for the same program."""
        return candidate.scores.tobytes() if self.repeatable else candidate.id

    def _may_challenge(self, id: str) -> bool:
        """Met this champion never before and lost to none of the line: overtaken ones may return."""
        met = self._met.get(self._behaviour(self.candidates.by_id[id]), {})
        if id in self.line or id in self.banned:
            return False
        if met.get(self.champion, "stopped") not in ("stopped", "banned"):
            return False
        return not any(met.get(champion) in LOST for champion in self.line)

    def _challenger(self) -> Candidate | None:
        while self._queue:
            _, id = self._queue[0]
            if self._may_challenge(id):
                return self.candidates.by_id[id]
            heapq.heappop(self._queue)
        return None

    # ----------------------------------------------------------------------------------------- deciding

    def _next(self) -> Decision | None:
        if self.reading.kind == "exact":
            return super()._next()
        for contest in self.open:
            if (decision := self._conclude(contest)) is not None:
                return decision
        checking = any(contest.promotion is not None for contest in self.open)
        if self._resting or checking or len(self.open) == MOST_OPEN:
            return None
        if (challenger := self._challenger()) is not None:
            return self._opening(challenger.id, self.champion)
        if self.open:  # a simpler champion would overtake them
            return None
        smaller = self.simplicity.challenger(self.better, [*self.line, *self.banned], self.account.duels)
        return None if smaller is None else self._opening(smaller, self.better, simpler=True)

    def _opening(self, challenger: str, champion: str, simpler: bool = False) -> Decision:
        decision = {
            "duel": len(self.contests) + 1,
            "challenger": challenger,
            "champion": champion,
            "level": self.account.level,
            "told": self.last,
        }
        if simpler:
            decision["simpler"] = True
            if self.simplicity.reading.kind == "identical":
                decision["identical"] = True
        return Decision("duel_open", decision, {}, challenger)

    def _overtaken(self, contest: Contest) -> bool:
        """Whether it would end a reign that is over, or be no simplification any more."""
        if not contest.simpler:
            return contest.champion != self.champion
        sizes = [self.candidates.by_id[id].size for id in (contest.challenger, self.champion)]
        return contest.champion != self.better or sizes[0] >= sizes[1]

    def _conclude(self, contest: Contest) -> Decision | None:
        """What follows for one open duel, if anything does yet."""
        if contest.promotion is None:
            if self._overtaken(contest):
                return self._closing(contest, "overtaken")
            if contest.challenger in self.banned:
                return self._closing(contest, "banned")
            if contest.outcome == "promoted":
                if contest.simpler and any(self._undecided(each) for each in self.open):
                    return None  # it would overtake them, and their levels would be lost
                promotion = self._promotion(contest.challenger, contest.number, contest.n, contest.evidence)
                if contest.simpler:
                    promotion = promotion._replace(decision={**promotion.decision, "simpler": True})
                return promotion
            return None if contest.outcome is None else self._closing(contest, contest.outcome)
        if len(contest.checks) < CHECK_PAIRS:
            return None
        if contest.undone and not contest.demoted:
            decision = {
                "promotion": contest.promotion,
                "variant": contest.challenger,
                "champion": self.line[-2],
            }
            return Decision("demotion", decision, {}, contest.challenger)
        return self._closing(contest, "undone" if contest.undone else "promoted")

    def _undecided(self, contest: Contest) -> bool:
        """Whether it may still prove somebody better than the champion."""
        unproven = contest.promotion is None and contest.outcome in (None, "promoted")
        return unproven and not contest.simpler

    def _closing(self, contest: Contest, verdict: str) -> Decision:
        decision = {"duel": contest.number, "verdict": verdict, "n": contest.n}
        measured = contest.evidence
        if contest.promotion is not None:
            decision["promotion"] = contest.promotion
            interval = contest.gain_interval
            measured["duel_gain"] = float(np.mean(contest.checks))
            measured["duel_gain_interval"] = None if interval is None else list(interval)
        if any(contest.retries.values()):
            measured["retries"] = dict(contest.retries)
        return Decision("duel_close", decision, measured, contest.challenger)

    def stop(self, reason: str) -> Sequence[Decision]:
        """What closes the duels that the budget left undecided; those that only lack check pairs stay open.

        For a run that has ended for good, not for one that was interrupted. A stopped challenger may duel
        again, should the run go on after all: at a fresh level, so that the union bound covers both.
        """
        return [self._closing(contest, "stopped") for contest in self.open if contest.promotion is None]

    # ------------------------------------------------------------------------------------ gathering pairs

    @property
    def _pair_runs(self) -> int:
        """Most case runs of a pair: where ratios are read, sides take turns; constraints take the seed."""
        return (TURNS if self.reading.ratio else 2) + bool(self.constraints)

    def ask(self, finishing: bool = False) -> Batch | None:
        """The next batch of pairs to evaluate, if one may start now: one at a time a duel, in draw order.

        Duels take at most 40 % of all case runs; `finishing`, the best one may take a whole duel more.
        Check pairs are never refused: a promotion that was announced is owed them.
        """
        reserve = self._pair_runs * (self.n_max + CHECK_PAIRS) if finishing else 0
        for contest in sorted(self.open, key=lambda each: self.candidates.by_id[each.challenger].order):
            if contest.number not in self._under_way and contest.wants > 0:
                batch = self._next_batch(contest)
                cost = len(batch.cases) * (1 if batch.known is not None else self._pair_runs)
                spent = self.dueled + sum(self._under_way.values()) + cost
                owed = contest.promotion is not None
                if owed or spent <= SHARE / (1 - SHARE) * self.searched + reserve:
                    self._under_way[contest.number] = cost
                    return batch
            reserve = 0
        return None

    def _next_batch(self, contest: Contest) -> Batch:
        count, known = min(self.batch, contest.wants), None
        phase: Literal["duel", "check"] = "duel" if contest.promotion is None else "check"
        opening = {"duel": contest.number, "champion": contest.champion}
        names = draws_of(opening, phase, contest.identical)
        first = contest.received if phase == "duel" else len(contest.checks)
        if phase == "duel" and not contest.identical:
            drawn = self.known.get(contest.champion, [])[first : first + count]
            known = tuple(drawn) or None
            count = len(drawn) or count  # all of a batch is known, or nothing
        seed = self.line[0]
        apart = contest.constrained.duels and phase == "duel" and contest.champion != seed
        split: Split = "gate" if contest.promotion is None else "check"
        return Batch(
            duel=contest.number,
            phase=phase,
            first=first,
            cases=tuple(CaseKey(split, draw(self.nonce, *names, first + i)) for i in range(count)),
            challenger=contest.challenger,
            champion=contest.champion,
            reference=seed if apart else None,
            known=known,
            identical=contest.identical,
        )

    # ------------------------------------------------------------------------------------------ telling

    def leader(self) -> dict[str, Json] | None:
        """The best guess that is not proven: above the champion on the search cases, refuted by no duel.

        Its raw score is shrunk for the luck of being chosen; `n` is the number of search cases.
        """
        champion = self.candidates.by_id[self.champion]
        for candidate in self.candidates.best():
            if candidate.value <= champion.value:
                break
            met = self._met.get(self._behaviour(candidate), {})
            passed = candidate.id in self.line or candidate.id in self.banned
            if not passed and not {"futile", "undone"} & {met.get(c) for c in self.line}:
                score = self.sign * self.candidates.shrunk(candidate)
                return {"id": candidate.id, "score": score, "n": len(candidate.scores), "proven": False}
        return None

    def evidence(self, duel: int) -> dict[str, Json]:
        """What is known of a duel, for its tag and for `evolve show`.

        Retries too uneven for chance are flagged: a candidate might provoke them on bad draws.
        """
        contest = self.contests[duel]
        retries, interval = contest.retries, contest.gain_interval
        uneven = abs(retries["challenger"] - retries["champion"])
        names = "/".join(
            map(str, draws_of({"duel": duel, "champion": contest.champion}, "duel", contest.identical))
        )
        held = [each.says for each in self.constraints if each.metric in contest.constrained.duels]
        return {
            "duel": duel,
            "challenger": contest.challenger,
            "champion": contest.champion,
            "claim": ("simpler, and " if contest.simpler else "") + contest.duel.says,
            "constraints": held,
            "level": contest.duel.level,
            "pairs": contest.n,
            **contest.evidence,
            "draws": [f"{names}/0", f"{names}/{contest.n - 1}"],
            "verdict": contest.verdict,
            "check_pairs": len(contest.checks),
            "duel_gain": float(np.mean(contest.checks)) if contest.checks else None,
            "duel_gain_interval": None if interval is None else list(interval),
            "retries": dict(retries),
            "retries_uneven": uneven > 5 and uneven > 3 * math.sqrt(sum(retries.values())),
        }
