"""The loop through real git: order, budgets, determinism, what is refused, what the machinery breaks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from noisy import Equal, OneBetter, noisy_score, play, quality, write_problem

from evolve.budget import Budget, Spent
from evolve.cli.rerunning import recorded
from evolve.cli.summary import failed_draws
from evolve.doubles import InlineExecutor, Nudge
from evolve.executor import LocalExecutor, Recovery
from evolve.run import RunOptions, run
from evolve.threads import TURN_SECONDS
from evolve.types import (
    BadInput,
    CaseKey,
    Evaluation,
    EvaluatorError,
    Event,
    Failure,
    Files,
    Fitness,
    Job,
    Json,
    Parent,
    Proposal,
)
from fitness.doubles import SyntheticFitness
from fitness.problem import load
from fitness.verify import verify
from populations.ledger import GitLedger


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    return write_problem(tmp_path / "noisy", search=4, sealed=20)


def events(result: dict[str, Json]) -> list[Event]:
    with GitLedger.read(Path(result["run"])) as ledger:
        return list(ledger.events())


def digest(result: dict[str, Json]) -> str:
    with GitLedger.read(Path(result["run"])) as ledger:
        return ledger.digest()


def test_a_run_has_every_part_in_order(problem: Path) -> None:
    result = play(problem, 0, OneBetter, trials=30)
    kinds = [event.kind for event in events(result)]
    assert kinds[:2] == ["start", "trial"]
    assert kinds[-2:] == ["sealed", "stop"]
    assert kinds.count("trial") == 31
    assert result["trials"] == 30 and result["stopped_by"] == "trials"
    assert result["promotions"] == 1 and kinds.count("promotion") == 1
    assert kinds.index("duel_open") < kinds.index("duel_batch") < kinds.index("promotion")
    assert result["champion"]["gain"] > 0 and result["champion"]["duel_gain"] > 0


def test_every_ask_names_what_it_had_seen(problem: Path) -> None:
    trials = [e for e in events(play(problem, 0, Nudge, trials=20, workers=2)) if e.kind == "trial"]
    for event in trials[1:]:
        assert 1 <= event.decision["told"] < event.index


def test_one_worker_one_seed_one_history(problem: Path, tmp_path: Path) -> None:
    runs = [play(problem, 7, Nudge, trials=60, workers=1, to=tmp_path / f"{n}.git") for n in range(2)]
    assert digest(runs[0]) == digest(runs[1])
    assert digest(play(problem, 8, Nudge, trials=60, workers=1)) != digest(runs[0])


class OftenNone(Nudge):
    """Two of three times it has no child."""

    name = "often_none"

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        if rng.random() < 2 / 3:
            return Proposal(None, failure=Failure("no_child", "none today"))
        return super().propose(parents, rng)


def test_a_slow_machine_decides_the_same(tmp_path: Path) -> None:
    """Jobs that take longer than the loop waits, and children that leave their places free. Takes 4 s."""
    folder = write_problem(tmp_path / "few", search=2, sealed=2)
    runs = []
    for seconds in (0.0, 0.15):
        options = RunOptions(
            str(folder),
            tmp_path / f"{seconds}.git",
            trials=14,
            seed=2,
            operators=(f"{OftenNone.__module__}.{OftenNone.__qualname__}",),
            baseline="hill-climb",
        )
        executor = LocalExecutor(partial(SyntheticFitness, noisy_score, seconds), 1)
        runs.append(run(options, executor=executor))
        executor.close()
    assert digest(runs[0]) == digest(runs[1])


def test_a_run_in_two_parts_is_one_run(problem: Path, tmp_path: Path) -> None:
    whole = play(problem, 3, Nudge, trials=40, workers=1, to=tmp_path / "whole.git")
    play(problem, 3, Nudge, trials=25, workers=1, to=tmp_path / "parts.git")
    parts = play(problem, 3, Nudge, trials=40, workers=1, to=tmp_path / "parts.git")
    assert parts["trials"] == whole["trials"] == 40
    trials = [[e.decision["trial"] for e in events(r) if e.kind == "trial"] for r in (whole, parts)]
    assert trials[0] == trials[1] == list(range(41))


def test_a_spent_run_writes_nothing(problem: Path) -> None:
    first = play(problem, 0, Nudge, trials=10)
    again = play(problem, 0, Nudge, trials=10)
    assert again["head"] == first["head"]
    assert {k: v for k, v in again.items() if k != "sandbox"} == {
        k: v for k, v in first.items() if k != "sandbox"
    }


def test_the_sealed_set_opened_again_is_marked_seen(problem: Path) -> None:
    play(problem, 100, Equal, trials=4)
    result = play(problem, 100, OneBetter, trials=40, to=problem.parent / "run-Equal-100.git")
    sealed = [e for e in events(result) if e.kind == "sealed"]
    assert result["promotions"] == 1
    assert [e.decision["seen"] for e in sealed] == [False, True]


def test_a_changed_problem_is_refused_and_forked(problem: Path) -> None:
    first = play(problem, 0, OneBetter, trials=30)
    (problem / "statement.md").write_text("Something else.\n")
    with pytest.raises(BadInput, match=r"another version of noisy: statement\.md changed"):
        play(problem, 0, OneBetter, trials=20)
    options = RunOptions(str(problem), Path(first["run"]), trials=10, operators=("noisy.Equal",), fork=True)
    forked = run(options, executor=InlineExecutor(SyntheticFitness(noisy_score), 2))
    start, _, immigrant = events(forked)[:3]
    assert start.decision["parent"] == first["head"]
    assert immigrant.decision["operator"] == "fork" and first["champion"]["id"] in immigrant.decision["idea"]


def test_no_duel_is_opened_once_time_is_out(problem: Path) -> None:
    def slowly(files: Files, key: CaseKey) -> float:
        time.sleep(0.001)
        return noisy_score(files, key)

    options = RunOptions(
        str(problem), problem.parent / "timed.git", seconds=3.0, operators=("evolve.doubles.Nudge",)
    )
    found = events(run(options, executor=InlineExecutor(SyntheticFitness(slowly), 2)))
    late = [event.index for event in found if event.measured.get("late")]
    assert late == list(range(late[0], len(found)))
    opened = [event.index for event in found if event.kind == "duel_open"]
    assert opened and max(opened) < late[0]
    assert verify(found) == []


def test_the_time_before_a_runs_first_event_counts_once(problem: Path) -> None:
    began, slow = time.monotonic(), [2.0]

    def slow_at_first(files: Files, key: CaseKey) -> float:
        time.sleep(slow.pop() if slow else 0)
        return noisy_score(files, key)

    options = RunOptions(str(problem), problem.parent / "once.git", trials=2, operators=("noisy.Equal",))
    found = events(run(options, executor=InlineExecutor(SyntheticFitness(slow_at_first), 1)))
    assert 2 < found[0].measured["elapsed"] <= found[-1].measured["elapsed"] < time.monotonic() - began


class Repeating(Nudge):
    """Makes the same child again and again, then one outside its territory, then nothing."""

    name = "repeating"

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        choice = int(rng.integers(3))
        if choice == 0:
            return Proposal({"program.py": b"def solve(case):\n    return 1.0\n"})
        if choice == 1:
            return Proposal({"program.py": b"def solve(case):\n    return (\n"})
        return Proposal({"program.py": b"def solve(case):\n    return 2.0\n", "harness.py": b""})


def test_nothing_is_evaluated_twice_or_outside_its_territory(problem: Path) -> None:
    result = play(problem, 0, Repeating, trials=30)
    trials = [e for e in events(result) if e.kind == "trial"]
    verdicts = [e.decision["verdict"] for e in trials]
    assert result["trials"] == 30
    assert (
        verdicts.count("evaluated") <= 3
    )  # the seed, the child, and the one with an added file if globs allow
    assert verdicts.count("duplicate") > 0 and verdicts.count("refused") > 0
    trees = [e.decision["tree"] for e in trials if e.decision["verdict"] == "evaluated"]
    assert len(trees) == len(set(trees))


def run_threaded(options: RunOptions, problem: Path, fitness: Fitness) -> dict[str, Json]:
    """A run whose two workers share a fitness of this process."""
    loaded = load(problem)
    recovery = Recovery(Job(loaded.seed_files, (CaseKey("search", 0),)), loaded.worst)
    executor = LocalExecutor(lambda: fitness, 2, recovery)
    try:
        return run(options, executor=executor)
    finally:
        executor.close()


class Breaking:
    """A fitness whose machinery fails on the first try of each job, or always for some programs."""

    level = "none"

    def __init__(self, always: bool) -> None:
        self.inner = SyntheticFitness(noisy_score)
        self.always, self.tries = always, dict[tuple[bytes, tuple[object, ...]], int]()

    def evaluate(self, job: Job) -> Evaluation:
        key = (job.files["program.py"], job.cases)
        self.tries[key] = self.tries.get(key, 0) + 1
        seed = quality(job.files) == 0.0
        if not seed and (self.tries[key] == 1 or (self.always and quality(job.files) > 0)):
            raise EvaluatorError("the evaluator died")
        return self.inner.evaluate(job)

    def interrupt(self) -> None:
        """Nothing runs on."""

    def close(self) -> None:
        """Nothing to free."""


@pytest.mark.parametrize("always", [False, True])
def test_the_machinery_may_fail_once_a_job(problem: Path, always: bool) -> None:
    options = RunOptions(
        str(problem), problem.parent / f"{always}.git", trials=12, operators=("evolve.doubles.Nudge",)
    )
    result = run_threaded(options, problem, Breaking(always))
    assert result["trials"] == 12
    assert (result["failures"].get("machinery", 0) > 0) == always
    found = events(result)
    survived = [e.measured["survived"] for e in found if e.kind == "trial" and "survived" in e.measured]
    assert len(survived) == 12 and survived[0][0] == "EvaluatorError: the evaluator died"
    batches = [e.measured for e in found if e.kind == "duel_batch"]
    assert (batches or always) and all(m["retries"]["challenger"] == 1 for m in batches)
    assert verify(found) == []


class BreakingDuels(Breaking):
    """A machinery that fails for the seed on every draw of a duel, until it has failed often enough."""

    def evaluate(self, job: Job) -> Evaluation:
        self.tries[b"", ()] = tries = self.tries.get((b"", ()), 0) + (job.cases[0].split == "gate")
        if quality(job.files) == 0.0 and job.cases[0].split == "gate" and tries <= 12:
            raise EvaluatorError("the evaluator died")
        return self.inner.evaluate(job)


def test_a_batch_records_why_its_cases_failed(problem: Path) -> None:
    options = RunOptions(
        str(problem), problem.parent / "lost.git", trials=12, operators=("evolve.doubles.Nudge",)
    )
    found = events(run_threaded(options, problem, BreakingDuels(False)))
    lost = [e for e in found if e.kind == "duel_batch" and "failures" in e.measured]
    assert lost
    for event in lost:
        assert set(event.measured["failures"]) == {"champion"}
        failures = event.measured["failures"]["champion"]
        assert {failure["kind"] for failure in failures.values()} == {"machinery"}
        assert [event.measured["champion"][int(n)] for n in failures] == [-5.0] * event.decision["count"]
    assert verify(found) == []


class Dead:
    """A machinery that works for the seed, then never again."""

    level = "none"

    def evaluate(self, job: Job) -> Evaluation:
        if quality(job.files) != 0.0:
            raise EvaluatorError("the daemon is gone")
        return SyntheticFitness(noisy_score).evaluate(job)

    def interrupt(self) -> None:
        """Nothing runs on."""

    def close(self) -> None:
        """Nothing to free."""


def test_a_dead_machinery_stops_the_run(problem: Path) -> None:
    options = RunOptions(
        str(problem), problem.parent / "dead.git", trials=500, operators=("evolve.doubles.Nudge",)
    )
    with pytest.raises(EvaluatorError, match=r"the daemon is gone .*13 programs in a row"):
        run_threaded(options, problem, Dead())


class LateOnSealed(SyntheticFitness):
    """Every third sealed draw ends with a time-out."""

    def evaluate(self, job: Job) -> Evaluation:
        found = super().evaluate(job)
        late = [
            Failure("timeout", "over 1 s") if k.split == "sealed" and k.seed % 3 == 0 else None
            for k in job.cases
        ]
        scores = tuple(-5.0 if why else score for why, score in zip(late, found.scores, strict=True))
        return replace(found, scores=scores, failures=tuple(late))


def test_sealed_draws_that_failed_say_why(problem: Path) -> None:
    options = RunOptions(str(problem), problem.parent / "s.git", trials=3, operators=("noisy.OneBetter",))
    found = events(run(options, executor=InlineExecutor(LateOnSealed(noisy_score), 2)))
    (sealed,) = [event for event in found if event.kind == "sealed"]
    (rerun, seed) = [each for each in recorded(found) if "sealed" in each.what]
    late = {n for n, case in enumerate(rerun.cases) if case.seed % 3 == 0}
    assert late and set(rerun.failures) == set(seed.failures) == late
    assert {failure.kind for failure in rerun.failures.values()} == {"timeout"}
    assert failed_draws(sealed, "champion") == f", {len(late)} of them failed (timeout)"
    assert verify(found) == []
    measured = {key: value for key, value in sealed.measured.items() if key != "failures"}
    assert failed_draws(replace(sealed, measured=measured), "champion") == "", "as older runs have it"


class Listening:
    def __init__(self) -> None:
        self.heard: list[Event] = []

    def tell(self, event: Event) -> None:
        self.heard.append(event)


def test_threads_take_short_turns_in_a_run_and_no_longer(problem: Path) -> None:
    before, seen = sys.getswitchinterval(), set[float]()

    class Looking:
        def tell(self, event: Event) -> None:
            seen.add(round(sys.getswitchinterval(), 6))

    options = RunOptions(
        str(problem), problem.parent / "run.git", trials=3, operators=("evolve.doubles.Nudge",)
    )
    run(options, [Looking()], executor=InlineExecutor(SyntheticFitness(noisy_score), 2))
    assert TURN_SECONDS in seen and sys.getswitchinterval() == before


def test_listeners_hear_every_event_in_order(problem: Path) -> None:
    listening = Listening()
    options = RunOptions(
        str(problem), problem.parent / "heard.git", trials=9, operators=("evolve.doubles.Nudge",)
    )
    result = run(options, [listening], executor=InlineExecutor(SyntheticFitness(noisy_score), 2))
    assert [e.index for e in listening.heard] == [e.index for e in events(result)]


@pytest.mark.parametrize("baseline", ["best-of-n", "random", "hill-climb"])
def test_baselines_run_at_the_same_budget(problem: Path, baseline: str) -> None:
    result = play(problem, 0, Nudge, trials=25, baseline=baseline)
    trials = [e for e in events(result) if e.kind == "trial"][1:]
    assert result["trials"] == len(trials) == 25
    if baseline == "best-of-n":
        assert {tuple(e.decision["parents"]) for e in trials} == {(events(result)[1].decision["variant"],)}


def test_hill_climb_promotes_noise_where_the_gate_does_not(problem: Path) -> None:
    assert play(problem, 0, Equal, trials=60, baseline="hill-climb")["promotions"] >= 2
    assert play(problem, 0, Equal, trials=60)["promotions"] == 0


def test_git_is_enough_to_read_a_run(problem: Path) -> None:
    result = play(problem, 0, OneBetter, trials=30)
    git = ["git", "-C", result["run"]]
    subprocess.run([*git, "fsck", "--strict"], check=True, capture_output=True)
    program = subprocess.run(
        [*git, "show", "champion:program.py"], check=True, capture_output=True, text=True
    )
    assert "return 0.1" in program.stdout
    subjects = subprocess.run(
        [*git, "log", "--format=%s", "champion"], check=True, capture_output=True, text=True
    )
    lineage = subjects.stdout.splitlines()
    assert "one_better: a number" in lineage[0] and lineage[-1].endswith("seed")


def test_budgets_leave_no_room_when_spent() -> None:
    assert Budget().spent(Spent(10**9, 1e9)) is None
    assert Budget(trials=5).spent(Spent(trials=4)) is None
    assert Budget(trials=5).spent(Spent(trials=5)) == "trials"
    assert Budget(seconds=10).spent(Spent(seconds=8.5), reserve_seconds=1) is None
    assert Budget(seconds=10).spent(Spent(seconds=9.5), reserve_seconds=1) == "seconds"
    for budget in ({"trials": 0}, {"seconds": -1.0}, {"usd": float("nan")}, {"calls": 0}, {"tokens": -1}):
        with pytest.raises(BadInput):
            Budget(**budget)
