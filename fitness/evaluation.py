"""Fitness on the trusted side: the problem's evaluate.py makes cases and judges the answers of a sandbox."""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from evolve.types import (
    BadInput,
    Broker,
    CaseKey,
    Errand,
    Evaluation,
    EvaluatorError,
    EvolveError,
    Exchange,
    Failure,
    Files,
    Handler,
    Hearing,
    Job,
    Json,
    Outcome,
    Program,
    Sandbox,
)
from fitness.problem import Exam, Problem, Resource
from sandbox import values

LONG_SECONDS = 30.0  # a case; where it may take more, the start of a sandbox for each job costs nothing
FEEDBACK_CHARACTERS = 1000
FAILURES_SHOWN = 3
COMPLETE = "complete"  # the call that asks a model
CHECKS = 16  # a new program has at the most
TIMEOUTS = 3  # in a row, of one program: then the rest is not tried


class ProblemFitness:
    """Scores programs by a problem's own evaluate.py; the programs run in the sandbox, which it owns.

    Raises BadInput where evaluate.py cannot be used.
    """

    def __init__(self, problem: Problem, sandbox: Sandbox, broker: Broker | None = None) -> None:
        self._problem, self._broker = problem, broker
        self._rules = _Rules.of(problem)
        self._sandbox = sandbox
        self._search: dict[CaseKey, tuple[Json, Json]] = {}  # asked for with every job; others are drawn once

    @property
    def level(self) -> str:
        """What protects from the programs."""
        return self._sandbox.level

    def evaluate(self, job: Job) -> Evaluation:
        """Run and score. Raises EvaluatorError or SandboxUnavailable when the machinery failed."""
        hearing: Hearing = NOBODY if self._broker is None else self._broker.open(job)
        try:
            evaluation = self._evaluated(job, hearing)
        finally:
            asked = hearing.close()
        return replace(evaluation, asked=asked) if asked else evaluation

    def _evaluated(self, job: Job, hearing: Hearing) -> Evaluation:
        if job.errand is not None:
            return self._sent(job.files, job.errand, hearing)
        alone = job.alone or self._problem.limits.seconds > LONG_SECONDS
        with self._sandbox.apart((job.files, job.rival)) if alone else nullcontext():
            if self._problem.resource is not None:
                return self._in_turn(job)
            if job.first and (failure := self._first_checks(job.files, hearing)) is not None:
                judged = [self._failed(failure)] * len(job.cases)
                return self._evaluation(judged, [Outcome(None, failure)] * len(job.cases), False)
            return self._at_once(job, hearing)

    def _at_once(self, job: Job, hearing: Hearing) -> Evaluation:
        """All cases in one job of the sandbox."""
        made = [self._case(key) for key in job.cases]
        judged, outcomes = self._run(job.files, made, hearing)
        evaluation = self._evaluation(judged, outcomes, job.keep_answers)
        if any(evaluation.failures):
            return evaluation
        return replace(evaluation, fingerprint=_fingerprint(outcomes))

    def _run(
        self, files: Files, made: Sequence[tuple[Json, Json]], hearing: Hearing, first: int = 0
    ) -> tuple[list[_Judged], list[Outcome]]:
        """Run and judge cases, each whole and as the program sees it; `first`: position of the first."""
        problem = self._problem
        cases, visible = [case for case, _ in made], [shown for _, shown in made]
        calls = _Calls(self._rules, cases) if self._rules.handlers else None
        call = calls.handle if calls else None
        heard = _Heard(hearing, first, call) if problem.allowance is not None else None
        call = heard.handle if heard is not None else call
        outcomes = self._sandbox.run(problem.program(files), visible, problem.limits, call)
        judged = [
            self._judged(case, outcome, calls, position, heard)
            for position, (case, outcome) in enumerate(zip(cases, outcomes, strict=True))
        ]
        return judged, outcomes

    def _first_checks(self, files: Files, hearing: Hearing) -> Failure | None:
        """Why a new program is not worth the search cases: the first check that it does not pass."""
        if self._rules.checks is None:
            return None
        for number, check in enumerate(_trusted("checks", self._rules.checks)):
            shown = self._rules.shown(check["case"])
            for again in range(check.get("tries", 1)):
                position = -1 - number - CHECKS * again
                judged, _ = self._run(files, [(check["case"], shown)], hearing, position)
                if judged[0].failure is None and judged[0].score != self._problem.worst:
                    break
            else:
                why = judged[0].failure.detail if judged[0].failure else judged[0].feedback or "it failed"
                return Failure("refused", f"check {check['name']}: {why}")
        return None

    def _sent(self, files: Files, errand: Errand, hearing: Hearing) -> Evaluation:
        """Run an agent that edits what it is given; nothing is judged here."""
        program = Program(files, errand.entry, errand.harness)
        limits = replace(errand.limits, waiting_seconds=errand.allowance.seconds)
        with self._sandbox.apart():
            (outcome,) = self._sandbox.run(program, [errand.case], limits, _Heard(hearing, 0, None).handle)
        worst = self._problem.worst
        return Evaluation((worst,), (outcome.failure,), (outcome.seconds,), answers=(outcome.answer,))

    def _in_turn(self, job: Job) -> Evaluation:
        """Each run a job of the sandbox of its own, so that what it uses is known exactly.

        With a rival: A B B A or B A A B on each case, as the case's draw decides, so that whatever drifts or
        warms up favours nobody; a side's score is the geometric mean of its two. Search cases prove nothing:
        A B or B A, in turn.
        """
        programs = [job.files] if job.rival is None else [job.files, job.rival]
        judged: list[list[_Judged]] = [[] for _ in programs]
        outcomes: list[list[Outcome]] = [[] for _ in programs]
        for key in job.cases:
            case, visible = self._case(key)
            first = key.seed & 1
            there = (0,) if job.rival is None else (first, 1 - first)
            order = there if job.rival is None or key.split == "search" else there + there[::-1]
            runs: list[list[tuple[_Judged, Outcome]]] = [[] for _ in programs]
            for side in order:
                runs[side].append(self._once(programs[side], case, visible, judged[side]))
            for side, both in enumerate(runs):
                judged[side].append(_mean_of(*(verdict for verdict, _ in both)))
                outcomes[side].append(both[-1][1])
        whole = [self._evaluation(*each, job.keep_answers) for each in zip(judged, outcomes, strict=True)]
        return whole[0] if job.rival is None else replace(whole[0], rival=whole[1])

    def _once(
        self, files: Files, case: Json, visible: Json, before: Sequence[_Judged]
    ) -> tuple[_Judged, Outcome]:
        """One run on one case; not tried any more after timeouts in a row on the cases before."""
        last = [verdict.failure.kind if verdict.failure else "" for verdict in before[-TIMEOUTS:]]
        if last == ["timeout"] * TIMEOUTS:
            failure = Failure("timeout", f"{TIMEOUTS} times in a row: the rest was not tried")
            return self._failed(failure), Outcome(None, failure)
        calls = _Calls(self._rules, [case]) if self._rules.handlers else None
        program = self._problem.program(files)
        call = calls.handle if calls else None
        start = time.monotonic()
        (outcome,) = self._sandbox.run(program, [visible], self._problem.limits, call)
        took = time.monotonic() - start  # what plans and reserves must reckon with
        return self._judged(case, outcome, calls, 0), replace(outcome, seconds=took)

    def _evaluation(
        self, judged: Sequence[_Judged], outcomes: Sequence[Outcome], keep_answers: bool
    ) -> Evaluation:
        found = [None if verdict.failure else verdict.metrics for verdict in judged]
        answers = tuple(
            None if verdict.failure else outcome.answer
            for verdict, outcome in zip(judged, outcomes, strict=True)
        )
        return Evaluation(
            scores=tuple(verdict.score for verdict in judged),
            failures=tuple(verdict.failure for verdict in judged),
            seconds=tuple(outcome.seconds for outcome in outcomes),
            metrics=_means([verdict.metrics for verdict in judged]),
            feedback=_feedback(judged),
            answers=answers if keep_answers else (),
            constrained={each.metric: each.values(found) for each in self._problem.constraints},
        )

    def interrupt(self) -> None:
        """Nothing: whoever runs this in a process of its own can end that."""

    def close(self) -> None:
        """Close the sandbox. Idempotent."""
        self._sandbox.close()

    def _case(self, key: CaseKey) -> tuple[Json, Json]:
        """The case, and what of it the program sees."""
        if key in self._search:
            return self._search[key]
        made = self._rules.make_case(key)
        if key.split == "search":
            self._search[key] = made
        return made

    def _judged(
        self,
        case: Json,
        outcome: Outcome,
        calls: _Calls | None,
        position: int,
        heard: _Heard | None = None,
    ) -> _Judged:
        if outcome.failure is not None or outcome.answer is None:
            return self._failed(outcome.failure or Failure("crash", "no answer"))
        try:
            answer = values.decode(outcome.answer, self._problem.limits.output_bytes)
        except ValueError as error:
            return self._failed(Failure("invalid_answer", str(error)))
        state: tuple[Any, ...] = (calls.state(position),) if calls else ()
        if self._problem.exam is not None:
            try:
                state += (self._examined(self._problem.exam, case, answer),)
            except ValueError as error:
                return self._failed(Failure("invalid_answer", values.one_line(str(error))))
        if heard is not None:
            state += ({**heard.asked(position), "seconds": outcome.seconds},)
        if self._problem.resource is not None:
            state += (_used(outcome, self._problem.resource),)
        try:
            said = _trusted("score", self._rules.score, case, answer, *state)
        except ValueError as error:  # it may quote the answer
            return self._failed(Failure("invalid_answer", values.one_line(str(error))))
        verdict = _read(said)
        if not math.isfinite(verdict.score):
            return self._failed(Failure("invalid_answer", f"its score is {verdict.score}"))
        bounds = self._problem.range
        if bounds is not None and not bounds[0] <= verdict.score <= bounds[1]:
            detail = f"its score {verdict.score:.6g} is outside [{bounds[0]:g}, {bounds[1]:g}]"
            return self._failed(Failure("out_of_range", detail))
        if self._problem.resource is not None and verdict.score <= 0:
            raise EvaluatorError(
                f"evaluate.py: score returned {verdict.score:g}, which no ratio can be made of"
            )
        return verdict

    def _examined(self, exam: Exam, case: Json, answer: Json) -> list[Json | Failure]:
        """Run what the program has made, apart from it: its answer or its failure on each case of the exam.

        Raises ValueError where there is nothing to run.
        """
        assert self._rules.exam is not None
        paper = _trusted("exam", self._rules.exam, case, answer)
        files = {name: text.encode(errors="replace") for name, text in paper["files"].items()}
        asked = list(paper["cases"])
        if len(asked) > exam.cases:
            raise EvaluatorError(f"evaluate.py: exam returned {len(asked)} cases, more than {exam.cases}")
        if not asked:
            return []
        program = Program(files, paper["entry"], self._problem.documents.get("exam.py"))
        outcomes = self._sandbox.run(program, asked, exam.limits)
        return [_read_exam(outcome, exam.limits.output_bytes) for outcome in outcomes]

    def _failed(self, failure: Failure) -> _Judged:
        return _Judged(self._problem.worst, failure)


def _read_exam(outcome: Outcome, most_bytes: int) -> Json | Failure:
    if outcome.failure is not None or outcome.answer is None:
        return outcome.failure or Failure("crash", "no answer")
    try:
        return values.decode(outcome.answer, most_bytes)
    except ValueError as error:
        return Failure("invalid_answer", str(error))


class _Nobody:
    """Hears programs where there is no model."""

    def ask(self, position: int, request: Json) -> Json:
        raise BadInput(
            "--model", "at least one, as programs of this problem ask models", "none (evolve run takes it)"
        )

    def close(self) -> tuple[Exchange, ...]:
        return ()


NOBODY = _Nobody()


class _Heard:
    """The calls of a program that may ask models: `complete` goes to them, all else to evaluate.py."""

    def __init__(self, hearing: Hearing, first: int, others: Handler | None) -> None:
        self._hearing, self._first, self._others = hearing, first, others
        self._asked: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])

    def asked(self, position: int) -> dict[str, Json]:
        """How many replies a case had, and of how many tokens with their prompts."""
        calls, tokens = self._asked[position]
        return {"calls": calls, "tokens": tokens}

    def handle(self, position: int, name: str, arguments: Json) -> Json:
        """Answer one call of the program."""
        if name == COMPLETE:
            told = self._hearing.ask(self._first + position, arguments)
            if (usage := told.get("usage")) is not None:
                self._asked[position][0] += 1
                self._asked[position][1] += usage["prompt_tokens"] + usage["reply_tokens"]
            return told
        if self._others is None:
            raise ValueError(f"no call is named {name!r}")
        return self._others(position, name, arguments)


def picture(problem: Problem, key: CaseKey, answer: bytes) -> str | None:
    """Draw an answer as SVG; None where the problem has no picture or the answer cannot be read."""
    rules = _Rules.of(problem)
    if rules.picture is None:
        return None
    try:
        svg = rules.picture(rules.make_case(key)[0], values.decode(answer, problem.limits.output_bytes))
    except ValueError:
        return None
    return str(svg)


# ------------------------------------------------------------------------------------------- evaluate.py


@dataclass(frozen=True, slots=True)
class _Rules:
    """The functions of evaluate.py."""

    case: Callable[[str, int], Json]
    visible: Callable[[Json], Json] | None  # what of a case crosses to the program; without it, all of it
    score: Callable[..., Any]
    picture: Callable[[Json, Any], str] | None
    handlers: Callable[[Json], tuple[Mapping[str, Callable[[Json], Json]], Any]] | None
    exam: Callable[[Json, Json], Mapping[str, Any]] | None  # what to run of an answer, before it is scored
    checks: Callable[[], Sequence[Mapping[str, Any]]] | None  # what a new program must pass

    @classmethod
    def of(cls, problem: Problem) -> _Rules:
        """Import evaluate.py as it was when the problem was loaded. Raises BadInput."""
        for package in problem.packages:
            if importlib.util.find_spec(package) is None:
                raise BadInput(
                    "problem.toml: packages", f"{package} installed (pip install {package})", "no such module"
                )
        path = problem.folder / "evaluate.py"
        name = f"evaluate_{problem.digest[:12]}"
        spec = importlib.util.spec_from_loader(name, _Source(str(path), problem.documents["evaluate.py"]))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        except BadInput:
            raise  # it says what it misses
        except ModuleNotFoundError as error:
            expected = f"{error.name} installed and named under packages in problem.toml"
            raise BadInput("evaluate.py", expected, str(error)) from error
        except Exception as error:
            raise BadInput(
                "evaluate.py", "a module that can be imported", f"{type(error).__name__}: {error}"
            ) from error
        for required in ("case", "score"):
            if not callable(getattr(module, required, None)):
                raise BadInput("evaluate.py", f"a function {required}", "none")
        visible, picture = getattr(module, "visible", None), getattr(module, "picture", None)
        handlers = getattr(module, "handlers", None)
        if handlers is not None and problem.limits.calls == 0:
            raise BadInput("problem.toml: limits.calls", "at least 1, as evaluate.py has handlers", "0")
        exam, checks = getattr(module, "exam", None), getattr(module, "checks", None)
        if (exam is None) != (problem.exam is None):
            expected = "both a table [exam] in problem.toml and a function exam in evaluate.py"
            raise BadInput("evaluate.py", expected, "one of them")
        return cls(module.case, visible, module.score, picture, handlers, exam, checks)

    def make_case(self, key: CaseKey) -> tuple[Json, Json]:
        """The case, and what of it the program sees, plain values. Raises EvaluatorError."""
        try:
            case = _trusted("case", self.case, key.split, key.seed)
            visible = self.shown(case)
        except ValueError as error:
            raise EvaluatorError(f"evaluate.py: case({key.split!r}, {key.seed}): {error}") from error
        return case, visible

    def shown(self, case: Json) -> Json:
        """What of a case the program sees. Raises ValueError where that cannot cross."""
        visible = case if self.visible is None else _trusted("visible", self.visible, case)
        values.encode(visible)  # before a sandbox chokes on it
        return visible


class _Source(importlib.abc.SourceLoader):
    """Imports from bytes in memory: what was checked and hashed is what runs, and no cache goes stale."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._source


def _trusted(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call evaluate.py: its ValueError is meant for the program, any other exception is its own fault."""
    try:
        return function(*arguments)
    except (ValueError, EvolveError):
        raise
    except Exception as error:
        raise EvaluatorError(f"evaluate.py: {name} raised {type(error).__name__}: {error}") from error


class _Calls:
    """The handlers of one job: a state for each case, made when the case first needs it."""

    def __init__(self, rules: _Rules, cases: Sequence[Json]) -> None:
        assert rules.handlers is not None
        self._make, self._cases = rules.handlers, cases
        self._made: dict[int, tuple[Mapping[str, Callable[[Json], Json]], Any]] = {}

    def handle(self, position: int, name: str, arguments: Json) -> Json:
        """Answer one call of the program. A ValueError is the program's fault: an invalid answer."""
        functions, _ = self._of(position)
        if name not in functions:
            raise ValueError(f"no call is named {name!r}")
        return _trusted(name, functions[name], arguments)

    def state(self, position: int) -> Any:
        """What `score` is given beside the answer."""
        return self._of(position)[1]

    def _of(self, position: int) -> tuple[Mapping[str, Callable[[Json], Json]], Any]:
        if position not in self._made:
            try:
                self._made[position] = _trusted("handlers", self._make, self._cases[position])
            except ValueError as error:
                raise EvaluatorError(f"evaluate.py: handlers raised ValueError: {error}") from error
        return self._made[position]


def _fingerprint(outcomes: Sequence[Outcome]) -> str:
    """Of all answers in order: equal where every one of them is, byte for byte as it was encoded."""
    state = hashlib.blake2b(digest_size=16)
    for outcome in outcomes:
        answer = outcome.answer or b""
        state.update(len(answer).to_bytes(8, "big") + answer)
    return state.hexdigest()


# ------------------------------------------------------------------------------------ what `score` said


@dataclass(frozen=True, slots=True)
class _Judged:
    """One case: a raw score, or the problem's worst with the reason."""

    score: float
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    feedback: str = ""


def _used(outcome: Outcome, resource: Resource) -> float:
    """What a run that was a job of its own took, in seconds or bytes."""
    used: dict[Resource, float] = {
        "cpu": outcome.cpu_seconds, "wall": outcome.seconds, "memory": outcome.memory_bytes
    }  # fmt: skip
    return used[resource]


def _mean_of(*runs: _Judged) -> _Judged:
    """One run as it is; of several the first failure, else their geometric mean."""
    failed = next((run for run in runs if run.failure is not None), None)
    if failed is not None or len(runs) == 1:
        return failed or runs[0]
    score = math.exp(sum(math.log(run.score) for run in runs) / len(runs))
    return _Judged(score, None, _means([run.metrics for run in runs]), runs[0].feedback)


def _read(said: Any) -> _Judged:
    """A number, or a mapping with "score", "metrics", "feedback"; anything else breaks the contract."""
    if not isinstance(said, Mapping):
        return _Judged(_number("score", said))
    if "score" not in said or not said.keys() <= {"score", "metrics", "feedback"}:
        raise EvaluatorError(f"evaluate.py: score returned keys {list(said)}: not score[, metrics, feedback]")
    metrics = {str(name): _number(name, value) for name, value in said.get("metrics", {}).items()}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return _Judged(_number("score", said["score"]), None, finite, str(said.get("feedback", "")))


def _number(name: str, value: Any) -> float:
    if not isinstance(value, Real | np.bool_):
        raise EvaluatorError(f"evaluate.py: score returned {type(value).__name__} for {name}, not a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for one in metrics for name in one})
    return {name: float(np.mean([one[name] for one in metrics if name in one])) for name in names}


def _feedback(judged: Sequence[_Judged]) -> str:
    """The first failures of different kinds, then what the evaluator said, cut to what a prompt can bear."""
    failures = {v.failure: position for position, v in reversed(list(enumerate(judged))) if v.failure}
    lines = [f"case {position}: {failure.kind}: {failure.detail}" for failure, position in failures.items()]
    lines = lines[::-1][:FAILURES_SHOWN]
    if lines:
        count = sum(verdict.failure is not None for verdict in judged)
        lines.insert(0, f"{count} of {len(judged)} cases failed")
    lines += dict.fromkeys(verdict.feedback for verdict in judged if verdict.feedback)
    return "\n".join(lines)[:FEEDBACK_CHARACTERS]
