"""What every executor must do, whatever its workers are."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from evolve.executor import LocalExecutor, Recovery
from evolve.types import CaseKey, Executor, Job, RunError, Walls
from fitness.doubles import TrustedSandbox, number_problem
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem, load

BARE = Walls("none", trusted=True)
EVALUATE = """
import os, signal, time
from pathlib import Path


def case(split, seed):
    return seed


def score(case, answer):
    if answer == 13.0:
        os._exit(3)  # it kills whoever judges it
    if answer == 14.0:
        os.kill(os.getppid(), signal.SIGKILL)  # and this whoever holds that one
        time.sleep(60)
    if answer == 15.0 and not (witness := Path(__file__).with_name("met")).exists():
        witness.touch()
        os._exit(3)  # once
    return {"score": float(answer) + case / 7, "metrics": {"third": answer / 3}, "feedback": f"got {answer}"}
"""
CASES = (CaseKey("search", 0), CaseKey("gate", 5))
Hire = Callable[..., AbstractContextManager[LocalExecutor]]


def frail(folder: Path) -> Problem:
    """A problem whose programs are a number; some numbers are not well received."""
    return load(number_problem(folder, evaluate=EVALUATE))


def recovery(problem: Problem, said: list[str] | None = None) -> Recovery:
    """As a run has it."""
    known = Job(problem.seed_files, (CaseKey("search", 0),))
    return Recovery(known, problem.worst, notice=(said if said is not None else []).append)


def program(answer: float, seconds: float = 0.0) -> dict[str, bytes]:
    """One that answers so, after so long."""
    text = f"import time\n\n\ndef solve(case):\n    time.sleep({seconds})\n    return {answer}\n"
    return {"program.py": text.encode()}


class EveryExecutor:
    """Fixtures: `problem`, and `executor` with two workers for it."""

    def test_an_evaluation_is_what_the_fitness_says_bit_by_bit(
        self, problem: Problem, executor: Executor
    ) -> None:
        job = Job(program(1 / 3), CASES, keep_answers=True)
        here = ProblemFitness(problem, TrustedSandbox()).evaluate(job)
        there = executor.submit(job).result(600)
        assert (there.scores, there.failures) == (here.scores, here.failures)
        assert (there.metrics, there.feedback, there.answers) == (here.metrics, here.feedback, here.answers)

    def test_a_failing_program_is_a_value(self, executor: Executor) -> None:
        job = Job({"program.py": b"def solve(case):\n    return 1 / 0\n"}, CASES)
        found = executor.submit(job).result(600)
        assert found.failed and {each.kind for each in found.failures if each} == {"crash"}

    def test_everything_submitted_comes_back_once(self, executor: Executor) -> None:
        futures = [executor.submit(Job(program(float(n)), CASES[:1])) for n in range(12)]
        assert [future.result(600).scores for future in futures] == [(float(n),) for n in range(12)]

    def test_it_names_its_sandbox_and_its_workers(self, executor: Executor) -> None:
        assert (executor.level, executor.workers) == ("none", 2)


class EveryExecutorOfProcesses(EveryExecutor):
    """Whose workers can die."""

    def test_a_job_whose_worker_died_goes_to_another(self, executor: LocalExecutor) -> None:
        before = executor.retries
        found = executor.submit(Job(program(15.0), CASES[:1])).result(600)
        assert found.scores == (15.0,) and executor.retries == before + 1
        (survived,) = found.survived
        assert "exit code 3" in survived

    def test_who_kills_every_worker_that_it_meets_has_failed_after_two(self, executor: LocalExecutor) -> None:
        beside = executor.submit(Job(program(2.0, seconds=0.2), CASES[:1]))
        found = executor.submit(Job(program(13.0), CASES)).result(600)
        assert [each.kind for each in found.failures if each] == ["machinery"] * 2
        assert len(found.survived) == 2 and beside.result(600).scores == (2.0,)

    def test_what_is_interrupted_ends_and_the_next_job_runs(self, executor: LocalExecutor) -> None:
        futures = [executor.submit(Job(program(1.0, seconds=1.9), CASES)) for _ in range(5)]
        time.sleep(0.5)
        executor.interrupt()
        for future in futures:
            with pytest.raises(RunError):
                future.result(600)
        assert executor.submit(Job(program(1.0), CASES[:1])).result(600).scores == (1.0,)

    def test_with_one_worker_the_order_is_kept(self, hire: Hire) -> None:
        ended: list[int] = []
        with hire(workers=1) as executor:
            futures = []
            for n in range(6):
                futures.append(executor.submit(Job(program(1.0, seconds=0.05 * (n % 2)), CASES[:1])))
                futures[-1].add_done_callback(lambda _, n=n: ended.append(n))
            for future in futures:
                future.result(600)
            executor.close()
            executor.close()
        assert ended == list(range(6))
