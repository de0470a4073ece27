"""What people see of a run: a fold over its events, for live progress and for everything that looks back."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from evolve.history import History
from evolve.memory.lessons import Lessons
from evolve.types import Event, Json, Trial
from fitness.statistics import Reading

_WINDOW_SECONDS = 10.0  # over which a rate is taken


@dataclass(slots=True)
class Duel:
    """A duel's pairs so far, raw, and how it ended."""

    number: int
    challenger: str
    champion: str
    level: float
    opened: int  # index of the event
    reading: Reading
    pairs: dict[str, tuple[list[float], list[float]]] = field(  # phase -> scores of (challenger, champion)
        default_factory=lambda: {"duel": ([], []), "check": ([], [])}
    )
    retries: dict[str, int] = field(default_factory=lambda: {"challenger": 0, "champion": 0})
    verdict: str | None = None  # None: open
    promotion: int | None = None
    gain: float | None = None  # from the check pairs
    gain_interval: tuple[float, float] | None = None
    log_e: float | None = None  # at the end

    @property
    def n(self) -> int:
        """Pairs that the decision saw or may see."""
        return len(self.pairs["duel"][0])

    def gains(self, sign: int, phase: str = "duel") -> list[float]:
        """How much better the challenger was, a value a pair; log ratios where the run reads those."""
        challenger, champion = self.pairs[phase]
        return [
            self.reading.difference(sign * a, sign * b) for a, b in zip(challenger, champion, strict=True)
        ]


@dataclass(slots=True)
class Promotion:
    """A champion's coming, and going where it was undone."""

    number: int
    variant: str
    before: str  # the champion that it replaced
    duel: int | None  # None: an artifact, re-scored exactly
    event: int
    elapsed: float
    undone: bool = False
    simpler: bool = False  # smaller and not worse, rather than better


class Story:
    """Folds events. Scores are raw; gains are positive where better."""

    def __init__(self) -> None:
        self.history = History()
        self.duels: dict[int, Duel] = {}
        self.promotions: list[Promotion] = []
        self.said: dict[int, list[int]] = {}  # trial -> events that hold prompts and replies
        self.stopped_by: str | None = None
        self.differs: str | None = None  # where a prompt first was another than the recorded one
        self.lessons = Lessons()
        self.lost: dict[str, str] = {}  # model -> why it gave no reply the last time
        self._best: str | None = None  # by its search score, of those that no duel refuted
        self._refuted: set[str] = set()
        self._ranks: list[tuple[float, int, str]] = []  # a heap of all that have a score, the best first
        self._rates: deque[tuple[float, int]] = deque([(0.0, 0)])

    @property
    def sign(self) -> int:
        """-1 where less is better."""
        return self.history.sign

    @property
    def champion(self) -> str | None:
        """Id of the best proven variant; None before the seed has been evaluated."""
        return self.history.champion

    @property
    def start(self) -> Json:
        """The `decision` part of the start event."""
        return self.history.start.decision if self.history.start else {}

    def tell(self, event: Event) -> Trial | None:
        """Fold one event; the trial that it records, if it is one."""
        trial = self.history.tell(event)
        if trial is None:
            self.lessons.hear(event)
        else:
            self.lessons.tell(trial, self.gain(trial))
        decision, measured = event.decision, event.measured
        if measured.get("exchanges") and "trial" in decision:
            self.said.setdefault(decision["trial"], []).append(event.index)
        for row in measured.get("exchanges", ()):
            self.differs = self.differs or row["parameters"].get("differs")
            self.lost.pop(row["model"], None)
            if "error" in row:
                self.lost[row["model"]] = row["error"]
        match event.kind:
            case "trial":
                assert trial is not None
                self._trial(trial)
            case "duel_open":
                number, reading = decision["duel"], Reading.from_json(self.start["reading"])
                self.duels[number] = Duel(
                    number,
                    decision["challenger"],
                    decision["champion"],
                    decision["level"],
                    event.index,
                    reading.simpler if decision.get("simpler") else reading,
                )
            case "duel_batch":
                duel = self.duels[decision["duel"]]
                for mine, new in zip(
                    duel.pairs[decision["phase"]], (measured["challenger"], measured["champion"]), strict=True
                ):
                    mine.extend(new)
                for side, count in measured.get("retries", {}).items():
                    duel.retries[side] += count
            case "promotion":
                self._promotion(event)
            case "demotion":
                for promotion in self.promotions:
                    promotion.undone |= promotion.number == decision["promotion"]
            case "duel_close":
                duel = self.duels[decision["duel"]]
                duel.verdict = decision["verdict"]
                duel.promotion = decision.get("promotion")
                duel.log_e = measured.get("log_e")
                if duel.verdict in ("futile", "undone"):
                    self._refute(duel.challenger)
                duel.gain = measured.get("duel_gain")
                duel.gain_interval = measured.get("duel_gain_interval")
            case "resume":
                self.stopped_by = None
            case "stop":
                self.stopped_by = decision["reason"]
            case _:
                pass
        elapsed = measured.get("elapsed", 0.0)
        self._rates.append((elapsed, self.history.evaluations))
        while self._rates[0][0] < elapsed - _WINDOW_SECONDS and len(self._rates) > 2:
            self._rates.popleft()
        return trial

    def score(self, variant: str | None) -> float | None:
        """Mean raw score on the search cases; None where it has none."""
        trial = self.history.variants.get(variant or "")
        return None if trial is None or trial.value is None else self.sign * trial.value

    def gain_over(self, variant: str | None, other: str | None) -> float | None:
        """How much better a variant is than another on the search cases."""
        mine, theirs = self.score(variant), self.score(other)
        return None if mine is None or theirs is None else self.sign * (mine - theirs)

    def gain(self, trial: Trial) -> float | None:
        """How much better a trial's variant is than its best parent on the search cases."""
        gains = [
            gain for parent in trial.parents if (gain := self.gain_over(trial.variant, parent)) is not None
        ]
        return min(gains, default=None)

    def line(self, variant: str | None) -> Iterator[str]:
        """A variant and its first parents, back to the seed."""
        while variant is not None:
            yield variant
            parents = self.history.variants[variant].parents
            variant = parents[0] if parents else None

    @property
    def leader(self) -> str | None:
        """The best guess that is not proven: above the champion on the search cases, refuted by no duel."""
        ahead = self.gain_over(self._best, self.champion)
        return self._best if ahead is not None and ahead > 0 else None

    def open_duels(self) -> list[Duel]:
        """Duels that are not decided, and decided ones whose check pairs are still coming in."""
        return [duel for duel in self.duels.values() if duel.verdict is None]

    def rate(self) -> float:
        """Evaluations a second, lately."""
        (then, before), (now, after) = self._rates[0], self._rates[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _trial(self, trial: Trial) -> None:
        if trial.value is not None and trial.variant is not None:
            heapq.heappush(self._ranks, (-trial.value, trial.index, trial.variant))
            self._best = self._ranks[0][2]

    def _refute(self, variant: str) -> None:
        self._refuted.add(variant)
        while self._ranks and self._ranks[0][2] in self._refuted:
            heapq.heappop(self._ranks)
        self._best = self._ranks[0][2] if self._ranks else None

    def _promotion(self, event: Event) -> None:
        decision = event.decision
        self.promotions.append(
            Promotion(
                decision["promotion"],
                decision["variant"],
                decision["champion"],
                decision["duel"],
                event.index,
                event.measured.get("elapsed", 0.0),
                simpler=decision.get("simpler", False),
            )
        )


def ending(duel: Duel) -> str:
    """How a duel ended, in words."""
    won = "proven not worse" if duel.reading.margin < 0 else "proven better"
    lost = "given up: could not have been proven with the pairs left"
    if duel.reading.kind == "identical":
        won, lost = "the same answers on all its draws", "another answer on one of its draws"
    ends = {
        None: "still open",
        "promoted": won,
        "undone": f"{won}, then undone by its check pairs",
        "futile": lost,
        "budget": "not proven with the pairs that it had",
        "overtaken": "overtaken: another became champion meanwhile",
        "banned": "ended: a person banned the challenger",
        "stopped": "stopped with the run",
    }
    return ends[duel.verdict]
