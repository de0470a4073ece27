"""Which jobs run where nothing else does: confirmations, long ones, the lineage of a violator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from noisy import noisy_score, quality, write_problem

from evolve.doubles import InlineExecutor, Nudge
from evolve.history import History
from evolve.run import RunOptions, run
from evolve.types import BROKE_PROTOCOL, CaseKey, Evaluation, Failure, Job, Limits, Parent, Proposal
from fitness.doubles import SyntheticFitness
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from populations.ledger import GitLedger
from sandbox import open_sandbox

SPLITS = ("search", "gate", "check", "sealed")


class Mischief(Nudge):
    """Its third child is much the best."""

    name = "mischief"

    def __init__(self, problem: object) -> None:
        super().__init__(problem)
        self.made = 0

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        self.made += 1
        number = 4.0 if self.made == 3 else quality(parents[0].variant.files) - 0.001 * self.made
        return Proposal({"program.py": f"def solve(case):\n    return {number}\n".encode()}, "a number")


class Watched(SyntheticFitness):
    """Keeps the jobs; the best program fails in its own way on the first case of the search."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(noisy_score)
        self.jobs: list[Job] = []
        self._failure = failure

    def evaluate(self, job: Job) -> Evaluation:
        self.jobs.append(job)
        evaluation = super().evaluate(job)
        if quality(job.files) != 4.0 or job.cases[0] != CaseKey("search", 0):
            return evaluation
        scores, failures = (-5.0, *evaluation.scores[1:]), (self._failure, *evaluation.failures[1:])
        return replace(evaluation, scores=scores, failures=failures)


@pytest.mark.parametrize(
    ("failure", "violates"),
    [
        (Failure("unclean", "it left what could not be removed"), True),
        (Failure("crash", BROKE_PROTOCOL), True),
        (Failure("crash", "ZeroDivisionError"), False),
    ],
)
def test_confirmations_and_the_lineage_of_violators_run_alone(
    tmp_path: Path, failure: Failure, violates: bool
) -> None:
    problem, fitness = write_problem(tmp_path / "noisy", search=4, sealed=20), Watched(failure)
    operators = (f"{Mischief.__module__}.{Mischief.__qualname__}",)
    options = RunOptions(str(problem), tmp_path / "run.git", trials=25, operators=operators)
    result = run(options, executor=InlineExecutor(fitness, 2))
    history, families = History(), dict[str, set[str]]()
    with GitLedger.read(Path(result["run"])) as ledger:
        for event in ledger.events():
            trial = history.tell(event)
            if trial is not None and trial.variant is not None:
                families[trial.variant] = {trial.variant}.union(*(families[id] for id in trial.parents))
        files = {id: ledger.variant(id).files for id in families}
    (best,) = [id for id, each in files.items() if quality(each) == 4.0]
    family = {id for id, ancestors in families.items() if best in ancestors}
    assert result["promotions"] and len(family) > 5 and len(families) - len(family) > 2
    assert history.suspects == (family if violates else set())
    for job in fitness.jobs:
        (id,) = [id for id in files if files[id] == job.files]
        if job.cases[0].split == "search":
            assert job.alone == (violates and id in family and id != best)
        elif job.cases[0].split == "gate":
            assert job.alone or not violates or id not in family
        else:
            assert job.alone
    splits = {split: {job.alone for job in fitness.jobs if job.cases[0].split == split} for split in SPLITS}
    assert splits == {
        "search": {False, violates},
        "gate": {False, violates},
        "check": {True},
        "sealed": {True},
    }


WHICH = b"import os\ndef solve(case): return os.getppid()\n"  # the fork server


@contextmanager
def opened(seconds: float, tmp_path: Path) -> Iterator[ProblemFitness]:
    problem = load(write_problem(tmp_path / f"number-{seconds:.0f}"))
    limits = Limits(seconds=seconds)
    fitness = ProblemFitness(replace(problem, limits=limits, range=None), open_sandbox("landlock"))
    yield fitness
    fitness.close()


def test_jobs_of_one_program_share_a_sandbox_of_their_own(tmp_path: Path) -> None:
    with opened(20.0, tmp_path) as fitness:
        case = (CaseKey("search", 0),)

        def server(files: dict[str, bytes], alone: bool) -> float:
            return fitness.evaluate(Job(files, case, alone=alone)).scores[0]

        one, other = {"program.py": WHICH}, {"program.py": WHICH + b"# other\n"}
        usual = server(one, False)
        mine = server(one, True)
        assert usual != mine == server(one, True)
        assert server(other, True) not in (usual, mine)
        assert server(one, True) not in (usual, mine)
        assert server(one, False) == usual


def test_jobs_with_long_limits_run_alone(tmp_path: Path) -> None:
    with opened(31.0, tmp_path) as fitness:
        job = Job({"program.py": WHICH}, (CaseKey("search", 0),))
        other = replace(job, files={"program.py": WHICH + b"# other\n"})
        assert len({fitness.evaluate(each).scores[0] for each in (job, other, job)}) == 3
