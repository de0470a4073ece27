"""A run as plain data for every view: what page, report, exports and the terminal's `--json` show.

A fold over events, so that a run at work is followed by telling what is new. Scores are raw, gains positive
where better. Text that a program or a model wrote comes out without what could drive or mislead a reader's
screen, and cut where nobody could read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evolve.cli.evidence import Evidence, claimed
from evolve.cli.screen import harmless, one_line
from evolve.cli.story import Duel, Promotion, Story, ending
from evolve.history import failure_kind, trial_of
from evolve.result import champion as champion_entry
from evolve.types import Event, Json, Trial
from fitness.constraints import constraints_of
from fitness.intervals import FIRST, mean_interval, sealed_interval
from fitness.statistics import Reading
from populations.ledger import GitLedger
from populations.pareto import front

IDEA = 160  # signs of an idea in the list of all; the variant's own page has it whole
TEXT = 200_000  # signs of one text
HEAT_ROWS = 48  # variants in the map of cases
COLUMNS = (
    "trial", "id", "parents", "operator", "model", "verdict", "failure", "score", "gain", "seconds", "usd",
    "idea", "island",
)  # fmt: skip


def readable(text: str, most: int = TEXT) -> str:
    """Foreign text for a page: no control signs, no bidirectional ones, cut where it is long."""
    shown = harmless(text[:most])
    return shown if len(text) <= most else f"{shown}\n… and {len(text) - most:,} more signs"


class Names:
    """Gives names small numbers, in the order in which they come."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str | None) -> int:
        """Of a name; -1 where there is none."""
        if name is None:
            return -1
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(one_line(name)[:80])
        return self._numbers[name]


@dataclass(slots=True)
class Why:
    """Attempts that ended without a score in one way."""

    count: int = 0
    details: Counter[str] = field(default_factory=Counter)
    newest: str | None = None  # variant, where there is one

    def tell(self, trial: Trial) -> None:
        """Count one."""
        self.count += 1
        self.newest = trial.variant or self.newest
        if trial.verdict == "duplicate":
            return
        failures = [trial.failure, *(trial.evaluation.failures if trial.evaluation else ())]
        detail = next((failure.detail for failure in failures if failure and failure.detail), "")
        if detail and (len(self.details) < 200 or detail in self.details):
            self.details[one_line(detail[:400])[:200]] += 1


@dataclass(slots=True)
class Arm:
    """What an operator, or one with a model, did."""

    operator: str
    model: str | None
    trials: int = 0
    failed: int = 0
    better: int = 0
    best_gain: float = 0.0
    advance: float = 0.0
    promotions: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class When:
    """Where on each axis something happened."""

    trials: int
    seconds: float
    usd: float


class View:
    """Folds a run's events into rows, one an attempt, and a head that says the rest."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self.unit = ""  # of the scores
        self.story = Story()
        self.rows: dict[str, list[Json]] = {column: [] for column in COLUMNS}
        self.row: dict[str, int] = {}  # variant -> its row
        self.events = 0
        self.trial_events: dict[str, int] = {}  # variant -> the event that brought it
        self.controls: list[dict[str, Json]] = []
        self.lessons: list[dict[str, Json]] = []
        self.critiques: dict[str, str] = {}  # failed variant -> what a model said of it
        self._operators, self._models, self._failures, self._islands = Names(), Names(), Names(), Names()
        self._why: dict[str, Why] = {}
        self._arms: dict[str, Arm] = {}
        self._record = 0.0
        self._when: dict[tuple[str, int], When] = {}  # ("duel" or "promotion", its number)
        self._evidence = Evidence()
        self._confirmed: dict[int, dict[str, Json]] = {}  # promotion -> its champion on fresh draws
        self._intervals: dict[int, Json] = {}  # opening of the sealed draws -> of the seed's mean
        self._paused = False
        self._raised: list[dict[str, Json]] = []  # in this session

    # ---------------------------------------------------------------------------------------- folding

    def tell(self, event: Event) -> None:
        """Fold one event."""
        story, decision = self.story, event.decision
        story.tell(event)
        self.events = event.index + 1
        match event.kind:
            case "trial":
                self._trial(event)
            case "duel_open":
                self._when["duel", decision["duel"]] = self._now()
            case "promotion":
                self._when["promotion", decision["promotion"]] = self._now()
                trial = story.history.variants.get(decision["variant"])
                if trial is not None and trial.arm in self._arms:
                    self._arms[trial.arm].promotions += 1
            case "lesson":
                self._lesson(decision)
            case "control":
                self._control(event)
            case "resume":
                self._paused = False
                self._raised.clear()
            case _:
                pass

    def _now(self) -> When:
        history = self.story.history
        return When(history.trials, round(history.elapsed, 3), round(history.usd, 6))

    def _trial(self, event: Event) -> None:
        story, measured = self.story, event.measured
        id = event.decision["variant"]
        trial = story.history.variants.get(id) if id else None
        trial = trial if trial is not None else trial_of(event, story.sign)
        if id is not None:
            self.row[id] = len(self.rows["trial"])
            self.trial_events[id] = event.index
        said = trial.details.get("critique")
        if isinstance(said, Mapping) and "of" in said:
            self.critiques.setdefault(str(said["of"]), readable(str(said.get("text", "")), 4000))
        failed = trial.verdict != "evaluated"
        kind = failure_kind(trial) if failed else None
        gain = story.gain(trial)
        parents = [self.row[parent] for parent in trial.parents if parent in self.row]
        island = trial.details.get("island", event.decision.get("island"))
        for column, value in zip(
            COLUMNS,
            (
                trial.index,
                id,
                parents,
                self._operators.number(trial.operator),
                self._models.number(trial.model),
                trial.verdict[0],
                self._failures.number(kind),
                story.score(id) if not failed else None,
                gain,
                round(measured.get("elapsed", 0.0), 2),
                round(trial.usd, 6),
                one_line(trial.idea[: 2 * IDEA])[:IDEA],
                self._islands.number(None if island is None else str(island)),
            ),
            strict=True,
        ):
            self.rows[column].append(value)
        if kind is not None:
            self._why.setdefault(kind, Why()).tell(trial)
        if trial.index == 0:
            self._record = trial.value or 0.0
            return
        arm = self._arms.setdefault(trial.arm, Arm(trial.operator, trial.model))
        arm.trials += 1
        arm.failed += failed
        arm.usd += trial.usd
        arm.better += gain is not None and gain > 0
        arm.best_gain = max(arm.best_gain, gain or 0.0)
        if trial.value is not None and trial.value > self._record:
            arm.advance += trial.value - self._record
            self._record = trial.value

    def _lesson(self, decision: Mapping[str, Json]) -> None:
        if "dropped" in decision:
            for lesson in self.lessons:
                if lesson["number"] == decision["dropped"]:
                    lesson["dropped"] = one_line(decision.get("why", ""))
        else:
            text = readable(str(decision.get("text", "")), 2000)
            self.lessons.append({"number": decision.get("lesson"), "text": text, "dropped": None})

    def _control(self, event: Event) -> None:
        decision = event.decision
        self._paused = {"pause": True, "resume": False}.get(decision["action"], self._paused)
        if decision["action"] == "budget":
            self._raised.append(decision["limits"])
        told = {
            key: readable(value, 2000) if isinstance(value, str) else value for key, value in decision.items()
        }
        self.controls.append({**told, "event": event.index, "at": vars_of(self._now())})

    # -------------------------------------------------------------------------------------- what is told

    @property
    def begun(self) -> bool:
        """Whether there is anything to see: the seed has been evaluated."""
        return self.story.champion is not None

    def budget(self) -> dict[str, Json]:
        """What limits the session, as it was asked for and raised since; None: no limit."""
        budget = dict(self.story.history.session.get("settings", {}).get("budget", {}))
        for raised in self._raised:
            budget |= raised
        return budget

    def columns(self, first: int = 0) -> dict[str, list[Json]]:
        """The attempts from a row on, a list for each column, as tables of names in the head explain."""
        return {column: values[first:] for column, values in self.rows.items()}

    def head(self) -> dict[str, Json]:
        """Everything but the attempts themselves; small, and told anew whenever something happens."""
        story, history = self.story, self.story.history
        start = history.start
        told: dict[str, Json] = {
            "name": self.name,
            "run": self.path,
            "events": self.events,
            "begun": self.begun,
        }
        if start is None:
            return told
        decision, session = start.decision, history.session
        told |= {
            "problem": one_line(decision["problem"]["name"]),
            "claim": decision["claim"],
            "direction": decision["direction"],
            "unit": one_line(self.unit),
            "seed_number": decision["seed"],
            "parent": decision.get("parent"),
            "sandbox": session.get("sandbox"),
            "workers": session.get("workers"),
            "settings": session.get("settings", {}),
            "versions": start.measured.get("versions", {}),
            "started": start.measured.get("at"),
            "gate": decision["gate"],
            "account": decision["account"],
            "n_max": start.measured.get("n_max"),
        }
        if not self.begun:
            return told
        seed = history.variants[history.seed]
        cases = len(seed.evaluation.scores) if seed.evaluation else 0
        claim = claimed(story)
        return told | {
            "names": {
                "operators": self._operators.names,
                "models": self._models.names,
                "failures": self._failures.names,
                "islands": self._islands.names,
            },
            "trials": history.trials,
            "evaluations": history.evaluations,
            "case_runs": history.case_runs,
            "seconds": round(history.elapsed, 3),
            "usd": round(history.usd, 6),
            "tokens": history.tokens,
            "calls": history.calls,
            "rate": round(story.rate(), 2),
            "search_cases": cases,
            "stopped_by": story.stopped_by,
            "paused": self._paused,
            "budget": self.budget(),
            "seed": history.seed,
            "seed_score": story.score(history.seed),
            "champion": champion_entry(history),
            "leader": story.leader,
            "says": {
                "claim": claim.says,
                "because": claim.because,
                "guarantee": claim.guarantee,
                "smallest": claim.smallest,
            },
            "ratio": bool(story.duels) and next(iter(story.duels.values())).reading.ratio,
            "sealed": self._sealed(),
            "promotions": [self._promotion(each) for each in story.promotions],
            "duels": [self._duel(each) for each in story.duels.values()],
            "failures": self._reasons(),
            "arms": [vars_of(arm) for arm in self._arms.values()],
            "faults": dict(story.history.faults),
            "lost": {one_line(model): one_line(why) for model, why in story.lost.items()},
            "controls": self.controls[-200:],
            "lessons": self.lessons[-40:],
            "metrics": sorted(
                {one_line(name) for name in (seed.evaluation.metrics if seed.evaluation else {})}
            ),
        }

    def _sealed(self) -> Json:
        sealed = self.story.history.sealed
        if sealed is None:
            return None
        known = "seed" in sealed.measured and sealed.decision["champion"] != sealed.decision["seed"]
        seed = list(sealed.measured["seed"]) if known else []
        return {
            "seed_confirmed": sum(seed) / len(seed) if seed else None,
            "seed_interval": self._seed_interval(sealed, seed),
            "champion": sealed.decision["champion"],
            "count": sealed.decision["count"],
            "seen": bool(sealed.decision.get("seen")),
            "current": sealed.index > self.story.history.champion_moved,
            "failed": len(sealed.measured.get("failures", {}).get("champion", {})),
            **{key: sealed.measured[key] for key in ("confirmed", "interval", "gain", "gain_interval")},
        }

    def _seed_interval(self, sealed: Event, scores: Sequence[float]) -> Json:
        if sealed.index not in self._intervals:
            reading = Reading.from_json(self.story.start["reading"])
            version = sealed.measured.get("intervals", FIRST)
            self._intervals[sealed.index] = sealed_interval(scores, reading, version)
        return self._intervals[sealed.index]

    def _promotion(self, promotion: Promotion) -> dict[str, Json]:
        when = self._when["promotion", promotion.number]
        return {
            "number": promotion.number,
            "variant": promotion.variant,
            "before": promotion.before,
            "duel": promotion.duel,
            "undone": promotion.undone,
            "simpler": promotion.simpler,
            "score": self.story.score(promotion.variant),
            "at": vars_of(when),
            **self._fresh(promotion),
        }

    def _fresh(self, promotion: Promotion) -> dict[str, Json]:
        """What a champion scored on draws that played no part in choosing it: its check pairs."""
        duel = self.story.duels.get(promotion.duel or -1)
        if duel is None or duel.verdict is None:
            return {"confirmed": None, "interval": None, "checks": 0, "gain": None, "gain_interval": None}
        if promotion.number not in self._confirmed:
            scores = duel.pairs["check"][0]
            before = duel.pairs["check"][1]
            self._confirmed[promotion.number] = {
                "confirmed": sum(scores) / len(scores) if scores else None,
                "interval": mean_interval(scores) if scores else None,
                "before_confirmed": sum(before) / len(before) if before else None,
                "before_interval": mean_interval(before) if before else None,
                "checks": len(scores),
                "gain": duel.gain,
                "gain_interval": duel.gain_interval,
            }
        return self._confirmed[promotion.number]

    def _duel(self, duel: Duel) -> dict[str, Json]:
        log_e = duel.log_e
        if log_e is None and duel.verdict is None:
            log_e = self._evidence.log_e(self.story, duel)
        return {
            "number": duel.number,
            "challenger": duel.challenger,
            "champion": duel.champion,
            "level": duel.level,
            "n": duel.n,
            "checks": len(duel.pairs["check"][0]),
            "verdict": duel.verdict,
            "log_e": log_e,
            "promotion": duel.promotion,
            "at": vars_of(self._when["duel", duel.number]),
        }

    def _reasons(self) -> list[dict[str, Json]]:
        found = sorted(self._why.items(), key=lambda item: -item[1].count)
        return [
            {"kind": kind, "count": why.count, "variant": why.newest,
             "details": [[text, count] for text, count in why.details.most_common(3)]}
            for kind, why in found
        ]  # fmt: skip

    def duel(self, number: int) -> dict[str, Json] | None:
        """A duel whole: a gain a pair, the evidence after each, how it ended; None: there is none."""
        duel = self.story.duels.get(number)
        if duel is None:
            return None
        path = Evidence().path(self.story, duel)
        return self._duel(duel) | {
            "ending": ending(duel),
            "claim": duel.reading.says,
            "ratio": duel.reading.ratio,
            "margin": duel.reading.margin,
            "gains": [round(gain, 9) for gain in duel.gains(self.story.sign)],
            "check_gains": [round(gain, 9) for gain in duel.gains(self.story.sign, "check")],
            "path": [round(each, 5) for each in path],
            "gain": duel.gain,
            "gain_interval": duel.gain_interval,
            "retries": duel.retries,
        }

    def line(self, id: str | None) -> list[str]:
        """A variant and its first parents, the seed first."""
        return list(self.story.line(id))[::-1]

    # ------------------------------------------------------------------------------------------ the map

    def heat(self) -> dict[str, Json]:
        """Case by variant: how much better than the seed, for those on the champion's line and the best."""
        story, known = self.story, self.story.history.variants
        seed = known[story.history.seed].evaluation
        if seed is None:
            return {"rows": [], "cases": 0}
        scored = [trial for trial in known.values() if trial.value is not None]
        best = sorted(scored, key=lambda trial: (-(trial.value or 0.0), trial.index))
        wanted = [*self.line(story.champion), *(each.variant for each in story.promotions)]
        names = list(dict.fromkeys([*wanted, *(trial.variant or "" for trial in best)]))[:HEAT_ROWS]
        names.sort(key=lambda id: known[id].index)
        rows = []
        for id in names:
            evaluation = known[id].evaluation
            if evaluation is None or len(evaluation.scores) != len(seed.scores):
                continue
            rows.append(
                {
                    "id": id,
                    "gains": [
                        round(story.sign * (mine - theirs), 9)
                        for mine, theirs in zip(evaluation.scores, seed.scores, strict=True)
                    ],
                    "failed": [n for n, failure in enumerate(evaluation.failures) if failure is not None],
                }
            )
        return {"rows": rows, "cases": len(seed.scores)}

    def plane(self) -> dict[str, Json]:
        """Every scored variant in the plane of its score and another measure, and the Pareto front of each.

        Measures: the evaluator's metrics, and the seconds that a case took.
        """
        story = self.story
        constraints = {each.metric: each.sign for each in constraints_of(story.start)}
        scored = [trial for trial in story.history.variants.values() if trial.value is not None]
        names = sorted(
            {
                name
                for trial in scored[:500]
                for name in (trial.evaluation.metrics if trial.evaluation else ())
            }
        )
        measures: list[dict[str, Json]] = []
        for name in [*names, None]:
            points = {
                trial.variant or "": (trial.value or 0.0, value)
                for trial in scored
                if (value := _measure(trial, name)) is not None
            }
            sign = -1 if name is None else constraints.get(name, 0)
            ahead = front({id: (a, sign * b) for id, (a, b) in points.items()}) if sign else []
            measures.append(
                {
                    "name": "seconds a case" if name is None else one_line(name),
                    "better": sign,
                    "rows": [self.row[id] for id in points],
                    "values": [float(f"{value:.6g}") for _, value in points.values()],
                    "front": [self.row[id] for id in ahead],
                }
            )
        return {"measures": measures}

    # --------------------------------------------------------------------------------------- a variant

    def variant(self, ledger: GitLedger, id: str) -> dict[str, Json]:
        """All that is known of one variant but its duels' pairs."""
        story, event = self.story, ledger.event(self.trial_events[id])
        trial = trial_of(event, story.sign)
        parents = [story.history.variants[each] for each in trial.parents if each in story.history.variants]
        best = max(
            parents, key=lambda each: each.value if each.value is not None else float("-inf"), default=None
        )
        evaluation = trial.evaluation
        files = ledger.variant(id).files
        return {
            "id": id,
            "trial": trial.index,
            "event": event.index,
            "operator": one_line(trial.operator),
            "model": trial.model and one_line(trial.model),
            "parents": list(trial.parents),
            "children": self.children(id)[:200],
            "verdict": trial.verdict,
            "failure": None if trial.verdict == "evaluated" else failure_kind(trial),
            "score": story.score(id),
            "gain": story.gain(trial),
            "idea": readable(trial.idea, 4000),
            "critique": self.critiques.get(id, ""),
            "feedback": readable(evaluation.feedback if evaluation else "", 20_000),
            "scores": list(evaluation.scores) if evaluation else [],
            "case_failures": [
                [n, failure.kind, one_line(failure.detail[:400])]
                for n, failure in enumerate(evaluation.failures if evaluation else ())
                if failure is not None
            ],
            "seconds_a_case": trial.seconds_a_case,
            "metrics": {one_line(k): v for k, v in (evaluation.metrics.items() if evaluation else ())},
            "beside": None if best is None or best.evaluation is None else
            {"id": best.variant, "scores": list(best.evaluation.scores)},
            "usd": trial.usd,
            "size": event.measured.get("size"),
            "details": readable(_plain(trial.details), 4000),
            "files": {one_line(p): readable(data.decode(errors="replace")) for p, data in files.items()},
            "said": list(self._said(ledger, trial.index)),
            "duels": [each.number for each in story.duels.values() if each.challenger == id],
            "defended": [each.number for each in story.duels.values() if each.champion == id],
        }  # fmt: skip

    def children(self, id: str) -> list[str]:
        """Variants that came from this one."""
        return [child for child, trial in self.story.history.variants.items() if id in trial.parents]

    def _said(self, ledger: GitLedger, trial: int) -> Iterable[dict[str, Json]]:
        """What was asked and answered for a trial, in order."""
        for index in self.story.said.get(trial, ()):
            rows: Sequence[Mapping[str, Json]] = ledger.event(index).measured["exchanges"]
            files = ledger.files(index)
            for number, row in enumerate(rows):
                suffix = "" if number == 0 else f"-{number + 1}"
                texts = {name: files.get(f"{name}{suffix}.md", b"") for name in ("prompt", "reply")}
                yield {
                    **{name: readable(data.decode(errors="replace")) for name, data in texts.items()},
                    "model": one_line(row["model"]),
                    "usd": row["usd"],
                    "prompt_tokens": row["prompt_tokens"],
                    "reply_tokens": row["reply_tokens"],
                    "seconds": row["seconds"],
                    "error": readable(row.get("error", ""), 2000),
                }


def _measure(trial: Trial, name: str | None) -> float | None:
    if name is None:
        return trial.seconds_a_case
    return trial.evaluation.metrics.get(name) if trial.evaluation else None


def _plain(details: Mapping[str, Json]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in details.items())


def vars_of(record: Arm | When) -> dict[str, Json]:
    """A small record as a mapping."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
