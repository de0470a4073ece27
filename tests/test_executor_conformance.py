"""The executors of one machine keep the contract; that of a cluster does so in `test_cluster`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from executor_contract import BARE, EveryExecutor, EveryExecutorOfProcesses, Hire, frail, recovery

from evolve.doubles import InlineExecutor
from evolve.executor import LocalExecutor
from evolve.types import Executor
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem
from fitness.worker import Worker


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return frail(tmp_path_factory.mktemp("problems") / "frail")


@pytest.fixture(scope="module")
def hire(problem: Problem) -> Hire:
    def hire(workers: int) -> closing[LocalExecutor]:
        return closing(LocalExecutor(lambda: Worker(problem, BARE), workers, recovery(problem)))

    return hire


@pytest.fixture(scope="module")
def executor(hire: Hire) -> Iterator[LocalExecutor]:
    with hire(workers=2) as executor:
        yield executor


class TestInline(EveryExecutor):
    @pytest.fixture
    def executor(self, problem: Problem) -> Executor:
        return InlineExecutor(ProblemFitness(problem, TrustedSandbox()), workers=2)


class TestLocal(EveryExecutorOfProcesses):
    pass
