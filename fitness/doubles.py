"""Stand-ins that ship with the project, for tests and for programs that one wrote oneself. No boundary."""

from __future__ import annotations

import contextlib
import hashlib
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from evolve.types import (
    CaseKey,
    Evaluation,
    EvolveError,
    Failure,
    Files,
    Handler,
    Job,
    Json,
    Limits,
    Outcome,
    Program,
)
from sandbox import values

_NUMBERS = """\
name = "{name}"
claim = "cases"
direction = "maximise"
unit = "points"
worst = {worst}
range = [{worst}, {best}]
difference_range = [{least}, {most}]
[program]
entry = "program.py:solve"
[limits]
seconds = 20.0
[cases]
search = {search}
sealed = {sealed}
"""
_NUMBER = "def solve(case):\n    return 0.0\n"
_JUDGE = "def case(split, seed):\n    return seed\n\n\ndef score(case, answer):\n    return float(answer)\n"


def number_problem(
    folder: Path,
    program: str = _NUMBER,
    evaluate: str = _JUDGE,
    *,
    span: float = 100.0,
    difference: float = 10.0,
    search: int = 1,
    sealed: int = 10,
    n_max: int | None = None,
) -> Path:
    """Write the smallest problem: a program is a number, its score is that number, within +-`span`.

    Differences are read within +-`difference`; `n_max` is the most pairs of a duel, None: by the budget.
    """
    (folder / "program").mkdir(parents=True)
    (folder / "program" / "program.py").write_text(program)
    (folder / "statement.md").write_text("Return a larger number.\n")
    (folder / "evaluate.py").write_text(evaluate)
    toml = _NUMBERS.format(
        name=folder.name,
        worst=-span,
        best=span,
        least=-difference,
        most=difference,
        search=search,
        sealed=sealed,
    )
    gate = "" if n_max is None else f"[gate]\nn_max = {n_max}\n"
    (folder / "problem.toml").write_text(toml + gate)
    return folder


class TrustedSandbox:
    """Runs a program in this very process, which it can do anything to; time and memory are not limited."""

    level = "none"

    def run(
        self, program: Program, cases: Sequence[Json], limits: Limits, call: Handler | None = None
    ) -> list[Outcome]:
        """Run the program on each case, in order; what it raises is a crash."""
        with tempfile.TemporaryDirectory() as folder, _importable(Path(folder)):
            for name, data in program.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            file, _, function = program.entry.partition(":")
            harness = Path(folder, "harness.py")
            try:
                entry = runpy.run_path(str(Path(folder, file)))[function]
                if program.harness is not None:
                    harness.write_bytes(program.harness)
                    answer = runpy.run_path(str(harness))["answer"]
                else:
                    answer = _entry_alone
            except (Exception, SystemExit) as error:
                return [Outcome(None, _crash(error)) for _ in cases]
            return [
                _run_one(answer, entry, case, limits, _Counted(call, position, limits.calls))
                for position, case in enumerate(cases)
            ]

    def apart(self, what: object = None) -> AbstractContextManager[None]:
        """Nothing is kept between runs that could be kept apart."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to free."""


class SyntheticFitness:
    """A fitness made of one function: for tests of everything that only needs scores."""

    level = "none"

    def __init__(
        self,
        score: Callable[[Files, CaseKey], float],
        seconds: float = 0.0,
        metrics: Mapping[str, Callable[[Files, CaseKey], float]] | None = None,
    ) -> None:
        self._score, self._seconds, self._metrics = score, seconds, metrics or {}

    def evaluate(self, job: Job) -> Evaluation:
        """Score every case by the function; no case ever fails."""
        if self._seconds:
            time.sleep(self._seconds * len(job.cases))
        count = len(job.cases)
        scores = tuple(self._score(job.files, key) for key in job.cases)
        rival = None if job.rival is None else self.evaluate(Job(job.rival, job.cases))
        constrained = {
            metric: tuple(value(job.files, key) for key in job.cases)
            for metric, value in self._metrics.items()
        }
        seconds = (self._seconds,) * count
        return Evaluation(scores, (None,) * count, seconds, constrained=constrained, rival=rival)

    def interrupt(self) -> None:
        """Nothing runs long."""

    def close(self) -> None:
        """Nothing to free."""


def noise(files: Files, key: CaseKey) -> float:
    """A standard normal draw that belongs to this program on this case: independent between programs."""
    state = hashlib.sha256(repr((sorted(files.items()), tuple(key))).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(state[:8], "big")).standard_normal())


class _Counted:
    """`call` as a program sees it. What goes wrong in it counts, even where the program catches it."""

    def __init__(self, handler: Handler | None, position: int, most: int) -> None:
        self._handler, self._position, self._most = handler, position, most
        self.made = 0
        self.failure: Failure | None = None

    def __call__(self, name: str, arguments: Json = None) -> Json:
        if self._handler is None or self.made >= self._most:
            self.failure = Failure("call_limit", f"more than {self._most} calls")
            raise RuntimeError(self.failure.detail)
        self.made += 1
        try:
            return self._handler(self._position, name, arguments)
        except ValueError as error:
            self.failure = Failure("invalid_answer", f"call {name}: {error}")
            raise


def _run_one(
    answer: Callable[..., Any], entry: Callable[..., Any], case: Json, limits: Limits, call: _Counted
) -> Outcome:
    start, cpu = time.perf_counter(), time.process_time()
    data = None
    try:
        result = answer(case, entry, call)
    except EvolveError:
        raise  # of a handler: the machinery's
    except (Exception, SystemExit) as error:
        failure: Failure | None = call.failure or _crash(error)
    else:
        data, failure = _encoded(result, limits)
        failure = call.failure or failure
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Outcome(None if failure else data, failure, seconds, cpu, call.made)


def _encoded(result: Any, limits: Limits) -> tuple[bytes | None, Failure | None]:
    try:
        data = values.encode(result)
    except ValueError as error:
        return None, Failure("invalid_answer", str(error))
    if len(data) > limits.output_bytes:
        return None, Failure("output_limit", f"{len(data)} bytes; at most {limits.output_bytes}")
    return data, None


def _entry_alone(case: Json, entry: Callable[[Json], Any], call: _Counted) -> Any:
    return entry(case)


def _crash(error: BaseException) -> Failure:
    return Failure("crash", f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a program of several files import its own, and forget them afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
