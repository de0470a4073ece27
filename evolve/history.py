"""What the loop remembers of a run: a fold over its events, and nothing else."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from evolve.contribution import Contributions
from evolve.types import Evaluation, Event, Failure, Json, Trial, Verdict, mean
from fitness.constraints import Constraint, constraints_of


def evaluation_record(evaluation: Evaluation) -> dict[str, Json]:
    """The `measured` keys of an evaluation."""
    record: dict[str, Json] = {
        "scores": list(evaluation.scores),
        "seconds": [round(seconds, 6) for seconds in evaluation.seconds],
    }
    if failures := failures_record(evaluation):
        record["failures"] = failures
    if evaluation.metrics:
        record["metrics"] = dict(evaluation.metrics)
    if evaluation.feedback:
        record["feedback"] = evaluation.feedback
    if evaluation.constrained:
        record["constrained"] = {metric: list(values) for metric, values in evaluation.constrained.items()}
    if evaluation.fingerprint:
        record["fingerprint"] = evaluation.fingerprint
    if evaluation.busy:
        record["busy"] = evaluation.busy
    if evaluation.survived:
        record["survived"] = list(evaluation.survived)
    return record


def failures_record(evaluation: Evaluation) -> dict[str, Json]:
    """Why cases failed, by their position."""
    return {str(n): asdict(f) for n, f in enumerate(evaluation.failures) if f is not None}


def failures_of(record: Mapping[str, Json]) -> dict[int, Failure]:
    """What `failures_record` recorded."""
    return {int(n): Failure(**failure) for n, failure in record.items()}


def evaluation_of(measured: Mapping[str, Json]) -> Evaluation | None:
    """The evaluation in an event's `measured` part, if it holds one."""
    if "scores" not in measured:
        return None
    scores = tuple(measured["scores"])
    failures: tuple[Failure | None, ...] = (None,) * len(scores)
    if "failures" in measured:
        found = failures_of(measured["failures"])
        failures = tuple(found.get(n) for n in range(len(scores)))
    seconds = tuple(measured["seconds"])
    metrics, feedback = measured.get("metrics", {}), measured.get("feedback", "")
    survived = tuple(measured.get("survived", ()))
    constrained = {metric: tuple(values) for metric, values in measured.get("constrained", {}).items()}
    return Evaluation(
        scores,
        failures,
        seconds,
        metrics,
        feedback,
        fingerprint=measured.get("fingerprint", ""),
        constrained=constrained,
        survived=survived,
        busy=measured.get("busy", 0.0),
    )


def trial_of(event: Event, sign: int, constraints: Sequence[Constraint] = (), tokens: int = 0) -> Trial:
    """The trial that an event records; `sign` is -1 where the problem's scores are minimised.

    `tokens`: of models, in earlier events of the trial.
    """
    decision, measured = event.decision, event.measured
    evaluation = evaluation_of(measured)
    verdict: Verdict = decision["verdict"]
    value: float | None = None
    values: tuple[float, ...] = ()
    objectives: tuple[float, ...] = ()
    if evaluation is not None and verdict == "evaluated":
        value, values = sign * evaluation.mean, tuple([sign * score for score in evaluation.scores])
        if evaluation.constrained:
            found = evaluation.constrained
            objectives = tuple(each.sign * mean(found[each.metric]) for each in constraints)
    failure = measured.get("failure")
    return Trial(  # by position: names would double the time, of which reading a long run has much
        decision["trial"],
        decision["told"],
        decision["operator"],
        tuple(decision["parents"]),
        decision["variant"],
        verdict,
        value,
        values,
        objectives,
        evaluation,
        Failure(**failure) if failure else None,
        decision.get("idea", ""),
        decision.get("details", {}),
        measured.get("usd", 0.0),
        decision.get("model"),
        decision.get("carried", {}),
        tokens + _tokens(measured),
    )


def _tokens(measured: Mapping[str, Json]) -> int:
    return sum(row["prompt_tokens"] + row["reply_tokens"] for row in measured.get("exchanges", ()))


RECENT = 15  # children whose time tells how busy the machine is
MOST_BUSIER = 2.0  # than when a program was measured; beyond, the children are just dearer


@dataclass(slots=True)
class OpenDuel:
    """A duel under way, as far as it must be paid for."""

    challenger: str
    champion: str
    pairs: int = 0  # so far
    checks: int | None = None  # check pairs so far; None: nothing is decided


class History:
    """Folds events; holds small facts alone, so that a long run stays small in memory."""

    def __init__(self) -> None:
        self.start: Event | None = None
        self.session: Mapping[str, Json] = {}  # workers and settings of the last one
        self.sign = 1
        self.constraints: tuple[Constraint, ...] = ()
        self.last = -1  # index of the newest event
        self.elapsed = 0.0  # seconds of the run's life
        self.last_trial = -1
        self.trials = 0  # finished attempts, the seed not counted
        self.evaluations = 0
        self.case_runs = 0
        self.usd = 0.0
        self.tokens = 0  # of language models
        self.calls = 0
        self.faults: Counter[str] = Counter()  # replies of models that could not be used, by stage
        self.survived = 0  # failures of the machinery that cost nothing but time
        self.contributions = Contributions()
        self._paid: dict[int, float] = {}  # trial -> usd of its proposal events
        self._said: Counter[int] = Counter()  # trial -> tokens, likewise
        self.proposed: dict[int, set[str]] = {}  # trial under way -> trees of the children that a model made
        self.failures: Counter[str] = Counter()
        self.variants: dict[str, Trial] = {}  # evaluated ones; without what only a listener needs
        self.trees: dict[str, str] = {}  # tree -> variant id: nothing is evaluated twice
        self.promotions = 0
        self.open_duels: dict[int, OpenDuel] = {}
        self._latest: dict[str, float] = {}  # variant -> seconds a case in its newest batch of pairs
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds a case of the newest children
        self.duel_gains: dict[str, float] = {}  # promoted variant -> mean gain on its check pairs
        self.sealed: Event | None = None  # the last opening
        self.openings = 0
        self.paused = False  # by a person, until they or the next session go on
        self.asked: set[str] = set()  # requests of people that are events by now
        self.suspects: set[str] = set()  # variants that violated a rule, and all that descend from them
        self.champion: str | None = None
        self.champion_moved = -1  # index of the event that moved it last

    @property
    def seed(self) -> str:
        """Id of the seed's variant."""
        return next(iter(self.variants))

    def score(self, variant: str) -> float | None:
        """Raw mean score of an evaluated variant on the search cases."""
        evaluation = self.variants[variant].evaluation
        return evaluation.mean if evaluation else None

    def tell(self, event: Event) -> Trial | None:
        """Fold one event; the trial that it records, if it is one."""
        self.last = event.index
        self.elapsed = max(self.elapsed, event.measured.get("elapsed", 0.0))
        if survived := event.measured.get("survived"):
            sides = survived.values() if isinstance(survived, Mapping) else [survived]
            self.survived += sum(map(len, sides))
        self.tokens += _tokens(event.measured)
        self.calls += len(event.measured.get("exchanges", ()))
        for row in event.measured.get("asked", ()):  # by programs
            self.usd += row["usd"]
            self.tokens += row["prompt_tokens"] + row["reply_tokens"]
            self.calls += row["calls"]
        match event.kind:
            case "start":
                self.start, self.session = event, event.measured
                self.sign = -1 if event.decision["direction"] == "minimise" else 1
                self.constraints = constraints_of(event.decision)
            case "resume":
                self.session, self.paused = event.measured, False
            case "control":
                self.paused = {"pause": True, "resume": False}.get(event.decision["action"], self.paused)
                self.asked.add(event.measured["request"])
            case "proposal":
                trial, usd = event.decision["trial"], event.measured["usd"]
                self.usd += usd
                self._paid[trial] = self.paid(trial) + usd
                self._said[trial] += _tokens(event.measured)
                self.proposed.setdefault(trial, set()).add(event.decision["tree"])
                if any("after" in row for row in event.measured["exchanges"]):  # the child before was run
                    seed = self.variants[self.seed].evaluation
                    cases = len(seed.scores) if seed else 0
                    self._count(cases, cases)
            case "trial":
                return self._trial(event)
            case "duel_open":
                challenger, champion = event.decision["challenger"], event.decision["champion"]
                self.open_duels[event.decision["duel"]] = OpenDuel(challenger, champion)
            case "duel_batch":
                self._count(event.measured["ran"], event.decision["count"])
                self._duel_batch(event)
            case "promotion":
                if (duel := self.open_duels.get(event.decision["duel"])) is not None:
                    duel.checks = 0
                self.promotions += 1
                self._promoted(event.decision["variant"], 1)
                self.champion = event.decision["variant"]
                self.champion_moved = event.index
            case "demotion":
                self.promotions -= 1
                self._promoted(event.decision["variant"], -1)
                self.champion = event.decision["champion"]
                self.champion_moved = event.index
            case "duel_close":
                self.open_duels.pop(event.decision["duel"], None)
                if event.decision["verdict"] == "promoted" and event.variant:
                    self.duel_gains[event.variant] = event.measured["duel_gain"]
            case "sealed":
                self.sealed = event
                self._suspect(event.measured, event.decision)
                self.openings += 1
                self._count(event.measured.get("ran", 0), event.decision["count"])
            case _:
                pass
        return None

    def seconds_a_case(self, variant: str) -> float:
        """Of a worker's time, as measured last; more where the newest children tell of a busier machine."""
        known = self._latest.get(variant)
        if known is None:
            evaluation = self.variants[variant].evaluation
            known = evaluation.worker_seconds_a_case if evaluation else 0.0
        return max(known, min(median(self._recent), MOST_BUSIER * known)) if self._recent else known

    def _duel_batch(self, event: Event) -> None:
        decision = event.decision
        duel = self.open_duels.get(decision["duel"])
        if duel is None:
            return  # it was under way when its duel was overtaken
        if duel.checks is None:
            duel.pairs += decision["count"]
        else:
            duel.checks += decision["count"]
        sides = {"challenger": duel.challenger, "champion": duel.champion}
        for side, seconds in event.measured.get("seconds", {}).items():
            if side in sides:
                self._latest[sides[side]] = seconds
        self._suspect(event.measured, sides)

    def _trial(self, event: Event) -> Trial:
        tokens = self._said.pop(event.decision["trial"], 0)
        trial = trial_of(event, self.sign, self.constraints, tokens)
        self.contributions.tell(trial, self.variants)
        self.usd += trial.usd - self._paid.pop(trial.index, 0.0)
        self.trials += trial.index > 0
        self.faults.update(faults_of(trial))
        for tree in self.proposed.pop(trial.index, ()):
            self.trees.setdefault(tree, f"a child of trial {trial.index} that did not run")
        self.last_trial = max(self.last_trial, trial.index)
        if trial.evaluation is not None:
            self._count(len(trial.evaluation.scores), len(trial.evaluation.scores))
        if trial.verdict != "evaluated":
            self.failures[failure_kind(trial)] += 1
        if trial.variant is not None:
            self.trees[event.decision["tree"]] = trial.variant
            if trial.evaluation is not None:
                self.champion = self.champion or trial.variant
                if trial.verdict == "evaluated":
                    self._recent.append(trial.evaluation.worker_seconds_a_case)
                self.variants[trial.variant] = _slim(trial, trial.evaluation)
                if not self.suspects.isdisjoint(trial.parents) or _violated(trial.evaluation.failures):
                    self.suspects.add(trial.variant)
        return trial

    def _promoted(self, variant: str, count: int) -> None:
        if (trial := self.variants.get(variant)) is not None:
            self.contributions.promoted(trial, count)

    def _suspect(self, measured: Mapping[str, Json], sides: Mapping[str, Json]) -> None:
        """Remember who violated a rule in a duel or on the sealed draws, and who descends from them."""
        for side, record in measured.get("failures", {}).items():
            if side in sides and _violated(failures_of(record).values()):
                self.suspects.add(sides[side])
                for id, trial in self.variants.items():  # parents come before their children
                    if not self.suspects.isdisjoint(trial.parents):
                        self.suspects.add(id)

    def paid(self, trial: int) -> float:
        """Dollars that stand in the `proposal` events of a trial under way."""
        return self._paid.get(trial, 0.0)

    def _count(self, ran: int, a_side: int) -> None:
        self.case_runs += ran
        self.evaluations += -(-ran // a_side) if a_side else 0


def _violated(failures: Iterable[Failure | None]) -> bool:
    return any(failure is not None and failure.violates for failure in failures)


def _slim(trial: Trial, evaluation: Evaluation) -> Trial:
    """Without what only listeners need; by constructors, as `replace` costs a resume a tenth of its time."""
    kept = Evaluation(
        evaluation.scores,
        evaluation.failures,
        (trial.seconds_a_case,),
        evaluation.metrics,
        evaluation.feedback,
        busy=evaluation.busy or sum(evaluation.seconds),
    )
    return Trial(
        trial.index,
        trial.told,
        trial.operator,
        trial.parents,
        trial.variant,
        trial.verdict,
        trial.value,
        (),
        trial.objectives,
        kept,
        None,
        trial.idea,
        trial.details,
        trial.usd,
        trial.model,
        trial.carried,
        trial.tokens,
    )


def faults_of(trial: Trial) -> Sequence[str]:
    """At which stage each reply of its model failed that could not be used, in order."""
    return trial.details.get("failed", ()) if trial.model else ()


def failure_kind(trial: Trial) -> str:
    """Why an attempt has no score: its own failure, or its program's first."""
    if trial.failure is not None:
        return trial.failure.kind
    failures = trial.evaluation.failures if trial.evaluation else ()
    return next((failure.kind for failure in failures if failure is not None), trial.verdict)
