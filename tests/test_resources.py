"""Scores made of what programs use: taking turns, ratios, a core each, and the whole loop."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from gate_run import Run
from noisy import Planted, play
from scipy.stats import binom

from evolve.executor import cores
from evolve.run import RunOptions, run
from evolve.types import (
    BadInput,
    CaseKey,
    Evaluation,
    EvaluatorError,
    Failure,
    Files,
    Handler,
    Job,
    Json,
    Limits,
    Outcome,
    Program,
    Walls,
)
from fitness.beside import beside_seed
from fitness.doubles import noise
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from fitness.statistics import Duel, Reading, choose_reading
from fitness.verify import verify
from fitness.worker import Worker
from populations.ledger import GitLedger
from sandbox import values

TOML = """
name = "timed"
claim = "cases"
direction = "minimise"
unit = "CPU ms"
resource = "{resource}"
margin = 2
difference_range = [-0.4, 0.4]
worst = 1000
[program]
entry = "program.py:solve"
[limits]
seconds = 1.0
[cases]
search = 2
sealed = {sealed}
[gate]
n_max = 100
"""
EVALUATE = """
def case(split, seed):
    return seed % 1000

def score(case, answer, seconds):
    if answer != case:
        raise ValueError("wrong")
    return 1000 * seconds
"""
STEPS = 800_000  # of the seed's loop: some 10 ms


def program(steps: float, mark: int = 0) -> bytes:
    loop = f"    for _ in range({round(steps)}):\n        pass\n"
    return f"def solve(case):  # {mark}\n{loop}    return case\n".encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("timed") / "timed")


def write(folder: Path, resource: str = "cpu", sealed: int = 6, toml: str = TOML) -> Path:
    (folder / "program").mkdir(parents=True)
    (folder / "program/program.py").write_bytes(program(STEPS))
    (folder / "statement.md").write_text("Return the case, soon.\n")
    (folder / "problem.toml").write_text(toml.format(resource=resource, sealed=sealed))
    (folder / "evaluate.py").write_text(EVALUATE)
    return folder


class Drifting:
    """A sandbox in which a program uses what it says, times a factor that grows with every run."""

    level = "none"

    def __init__(self, growth: float, first_is_dear: float = 1.0) -> None:
        self.growth, self.first_is_dear = growth, first_is_dear
        self.runs: list[str] = []

    def run(
        self, program: Program, cases: Sequence[Json], limits: Limits, call: Handler | None = None
    ) -> list[Outcome]:
        (case,) = cases
        said = program.files["program.py"].decode()
        dear = self.first_is_dear if len(self.runs) % 4 == 0 else 1.0
        seconds = float(said.split()[0]) * math.exp(self.growth * len(self.runs)) * dear
        self.runs.append(said)
        if said.endswith("late"):
            return [Outcome(None, Failure("timeout"), seconds)]
        answer = -1 if said.endswith("wrong") else case
        return [Outcome(values.encode(answer), seconds=2 * seconds, cpu_seconds=seconds, memory_bytes=1)]

    def close(self) -> None:
        """Nothing to free."""


def named(text: str) -> Files:
    return {"program.py": text.encode()}


def gate_cases(count: int) -> tuple[CaseKey, ...]:
    seeds = np.random.default_rng(1).integers(2**62, size=count)
    return tuple(CaseKey("gate", int(seed)) for seed in seeds)


# ---------------------------------------------------------------------------------------- taking turns


def test_two_programs_take_turns_and_drift_cancels(folder: Path) -> None:
    problem, sandbox = load(folder), Drifting(growth=0.05)
    job = Job(named("0.01 a"), gate_cases(40), rival=named("0.01 b"))
    both = ProblemFitness(problem, sandbox).evaluate(job)
    assert both.rival is not None
    assert both.scores == pytest.approx(both.rival.scores)
    turns = ["".join(run[-1] for run in sandbox.runs[at : at + 4]) for at in range(0, 160, 4)]
    assert set(turns) == {"abba", "baab"}
    assert turns == [("abba", "baab")[key.seed & 1] for key in job.cases]
    # one after the other, as unpaired jobs would, the second looks slower by far
    apart = [ProblemFitness(problem, sandbox).evaluate(Job(named(f"0.01 {x}"), job.cases)) for x in "ab"]
    assert apart[1].mean > 2 * apart[0].mean


def test_search_scores_are_told_beside_the_seed(folder: Path) -> None:
    """A machine that has become 3 times as slow, and gets slower by 10 % with every run."""
    problem, seed = load(folder), Evaluation((10.0, 20.0, 30.0, 40.0), (None,) * 4, (0.1,) * 4)
    search = tuple(CaseKey("search", n) for n in range(4))
    sandbox = Drifting(growth=0.1)
    both = ProblemFitness(problem, sandbox).evaluate(
        Job(named("0.03 half"), search, rival=named("0.06 seed"))
    )
    assert len(sandbox.runs) == 8
    told = beside_seed(both, seed.scores)
    assert told.rival is None
    ratios = np.array(told.scores) / seed.scores
    assert np.exp(np.log(ratios).mean()) == pytest.approx(0.5)
    failed = ProblemFitness(problem, sandbox).evaluate(Job(named("1 wrong"), search, rival=named("1 seed")))
    assert beside_seed(failed, seed.scores).scores == (problem.worst,) * 4


def test_what_makes_the_first_run_dear_favours_nobody(folder: Path) -> None:
    reading = Reading("bounded", 0.4, clipped=True, ratio=True)
    sandbox = Drifting(growth=0.0, first_is_dear=1.2)
    both = ProblemFitness(load(folder), sandbox).evaluate(
        Job(named("0.01 a"), gate_cases(200), rival=named("0.01 b"))
    )
    assert both.rival is not None
    ratios = [reading.difference(-a, -b) for a, b in zip(both.scores, both.rival.scores, strict=True)]
    assert set(np.round(np.abs(ratios), 6)) == {round(math.log(1.2) / 2, 6)}
    assert binom.ppf(0.001, 200, 0.5) <= sum(ratio > 0 for ratio in ratios) <= binom.ppf(0.999, 200, 0.5)


def test_score_is_told_what_the_problem_asked_for(tmp_path: Path) -> None:
    for resource, milliseconds in (("cpu", 10.0), ("wall", 20.0), ("memory", 1000.0)):
        fitness = ProblemFitness(load(write(tmp_path / resource, resource)), Drifting(0.0))
        assert fitness.evaluate(Job(named("0.01 a"), gate_cases(2))).scores == pytest.approx(
            [milliseconds] * 2
        )


def test_a_wrong_answer_in_any_turn_fails_and_a_hanging_program_is_not_tried_for_ever(folder: Path) -> None:
    problem, sandbox = load(folder), Drifting(0.0)
    job = Job(named("0.001 wrong"), gate_cases(5), rival=named("0.01 late"))
    both = ProblemFitness(problem, sandbox).evaluate(job)
    assert both.rival is not None
    assert both.scores == both.rival.scores == (problem.worst,) * 5
    assert {failure.kind for failure in both.failures if failure} == {"invalid_answer"}
    assert sum(run.endswith("late") for run in sandbox.runs) == 6  # three cases, in two turns each
    assert "not tried" in both.rival.failures[-1].detail  # type: ignore[union-attr]


def test_a_score_without_a_logarithm_is_the_evaluators_fault(tmp_path: Path) -> None:
    write(tmp_path / "zero")
    (tmp_path / "zero/evaluate.py").write_text(EVALUATE.replace("1000 * seconds", "0 * seconds"))
    with pytest.raises(EvaluatorError, match="no ratio"):
        ProblemFitness(load(tmp_path / "zero"), Drifting(0.0)).evaluate(Job(named("1 a"), gate_cases(1)))


# --------------------------------------------------------------------------------------------- ratios


def test_ratios_are_read_alike_in_both_directions() -> None:
    reading, reason = choose_reading("cases", None, None, 5.0, "cpu")
    assert reading.margin == pytest.approx(math.log(1.05))
    assert "factor of 2" in reason and "factor of 2" in reading.says
    assert reading.difference(-10.0, -13.0) == pytest.approx(math.log(1.3))  # 10 ms, not 13
    assert reading.difference(13.0, 10.0) == pytest.approx(math.log(1.3))  # 13 items a second, not 10
    assert reading.differences(np.array([-10.0]), np.array([-13.0]))[0] == pytest.approx(math.log(1.3))
    assert Reading.from_json(reading.as_json()) == reading
    assert "ratio" not in Reading("bounded").as_json()  # as in runs from before there were any
    for a, b in ((1.0, -1.0), (0.0, 1.0)):
        with pytest.raises(ValueError, match="one sign"):
            reading.difference(a, b)


def test_ratios_do_not_care_for_the_unit() -> None:
    rng, duels = np.random.default_rng(4), []
    times = rng.lognormal(0, 0.1, (2, 100)) * np.array([[1.0], [1.2]])
    for unit in (1.0, 1000.0):
        duel = Duel(Reading("bounded", math.log(2), clipped=True, ratio=True), 0.0009, 100)
        for mine, theirs in times.T * unit:
            duel.add(-mine, -theirs)
        duels.append((duel.verdict, duel.n, pytest.approx(duel.log_e)))
    assert duels[0] == duels[1]
    assert duels[0][0] == "promoted"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("worst = 1000", "worst = 0", "worst: expected a number above 0"),
        ('claim = "cases"', 'claim = "artifact"', "claim: expected cases or tasks"),
        ("margin = 2", "margin = 60", "margin: expected less than"),
        ('"cpu"', '"gpu"', "resource: expected 'cpu', 'wall' or 'memory'"),
        ("worst = 1000", "worst = 1000\nrange = [-1, 1000]", "range: expected [low, high] from 0"),
    ],
)
def test_what_no_ratio_can_be_made_of_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        load(write(tmp_path / "x", toml=TOML.replace('"{resource}"', '"cpu"').replace(old, new)))
    assert message in str(refused.value)


# ------------------------------------------------------------------------------ through the whole loop


def simulated(files: Files, key: CaseKey) -> float:
    """The loop's length, noise of 10 % (log-normal) and a difficulty of the case."""
    steps = float(files["program.py"].split(b"range(")[1].split(b")")[0])
    return steps / 1e5 * math.exp(0.1 * noise(files, key) + (key.seed % 7) / 7)


class Loops(Planted):
    """Children as fast as the seed, but for one."""

    name = "loops"
    factor = 1.0

    def propose(self, parents, rng):  # type: ignore[no-untyped-def]
        proposal = super().propose(parents, rng)
        fast = self.made == self.at
        return type(proposal)(
            {"program.py": program(STEPS / (self.factor if fast else 1), self.made)}, "a loop"
        )


class OneFaster(Loops):
    """The fifth child is 1.3 times as fast."""

    factor, at = 1.3, 5


def champion_speed(result: dict[str, Json]) -> float:
    with GitLedger.read(Path(result["run"])) as ledger:
        assert verify(ledger.events()) == []
        files = ledger.variant(result["champion"]["id"]).files
    return STEPS / float(files["program.py"].split(b"range(")[1].split(b")")[0])


def test_false_and_true_promotions_by_their_ratios(folder: Path) -> None:
    """Alpha .1, power > .99 (26 % at 14 % noise): bounds that the binomial law passes once in a thousand."""
    runs = 15
    found = 0
    for seed in range(runs):
        result = play(folder, seed, OneFaster, trials=30, score=simulated)
        found += champion_speed(result) > 1.2
        low, high = result["champion"]["gain_interval"]
        assert low - 0.1 < math.log(1.3) < high + 0.1
    false = [play(folder, seed, Loops, trials=30, score=simulated)["promotions"] > 0 for seed in range(runs)]
    assert sum(false) <= binom.ppf(0.999, runs, 0.1)
    assert found >= binom.ppf(0.001, runs, 0.99)


def test_a_faster_program_is_proven_faster_by_the_clock_and_equal_ones_are_not(folder: Path) -> None:
    """Real programs, sandbox and clocks. A run promotes an equal child with probability .1 at the most."""
    found = false = 0
    for seed in range(3):
        operator = f"{OneFaster.__module__}.{OneFaster.__qualname__}"
        options = RunOptions(
            str(folder),
            folder.parent / f"real-{seed}.git",
            trials=8,
            seed=seed,
            operators=(operator,),
            walls=Walls(trusted=True),
        )
        speed = champion_speed(result := run(options))
        found += speed == pytest.approx(1.3, abs=0.01)
        with GitLedger.read(Path(result["run"])) as ledger:
            trials = [each for each in ledger.events() if each.kind == "trial"]
        assert [len(each.measured.get("seed_scores", ())) for each in trials] == [0] + [2] * 8
        false += result["promotions"] - (speed > 1)
    assert found >= 2
    assert false <= 1


def test_real_pairs_of_one_program_favour_nobody(folder: Path) -> None:
    """The mean log ratio of 30 A/A pairs by the CPU clock is within 4 standard errors of 0, and 5 %."""
    problem = load(folder)
    worker = Worker(problem, Walls("auto", trusted=True), core=cores()[0])
    try:
        both = worker.evaluate(Job(problem.seed_files, gate_cases(30), rival=problem.seed_files))
    finally:
        worker.close()
    assert both.rival is not None and not any(both.failures + both.rival.failures)
    ratios = np.log(both.scores) - np.log(both.rival.scores)
    assert abs(ratios.mean()) < min(4 * ratios.std(ddof=1) / math.sqrt(30), 0.05)


# ------------------------------------------------------------------------------------------ a core each


def test_each_worker_has_a_core_of_its_own(folder: Path) -> None:
    slots = cores()
    assert 1 <= len(slots) <= len(os.sched_getaffinity(0))
    worker = Worker(load(folder), Walls("auto", trusted=True), core=slots[-1])
    try:
        assert worker.level
        assert os.sched_getaffinity(worker.pid) == {slots[-1]}
    finally:
        worker.close()
    with pytest.raises(BadInput, match="a core each"):
        run(
            RunOptions(
                str(folder),
                folder.parent / "many.git",
                trials=1,
                workers=len(slots) + 1,
                walls=Walls(trusted=True),
            )
        )


def test_a_child_that_fails_where_the_champion_does_not_is_given_up() -> None:
    """Clipped ratios alone would let speed pay for wrong answers."""
    reading = Reading("bounded", math.log(2), clipped=True, ratio=True)
    for failing, verdict in (({}, "promoted"), ({"champion"}, "promoted"), ({"challenger"}, "futile")):

        def score(variant: str, case: CaseKey, count: int) -> float:
            return 20.0 if variant == "0-seed" else 8.0

        made = Run(score, reading=reading, direction="minimise", batch=5)
        made.trial()
        failed = {side: {"3": {"kind": "crash", "detail": ""}} for side in failing}
        while (batch := made.gate.ask(finishing=True)) is not None:
            decision = {
                "duel": batch.duel,
                "phase": batch.phase,
                "first": batch.first,
                "count": len(batch.cases),
            }
            sides = {"challenger": [8.0] * len(batch.cases), "champion": [20.0] * len(batch.cases)}
            for side in failing:
                sides[side][3] = 1000.0
            measured = {**sides, "ran": 4 * len(batch.cases), "failures": failed}
            made.append("duel_batch", decision, measured, batch.challenger)
            made.drain()
        assert made.closes() == [verdict]
        assert verify(made.events) == []
