"""`evolve calibrate`: equal programs, planted ones, and exact intervals of how often they were promoted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from noisy import write_problem
from problem_folders import write
from scipy.stats import binomtest

from evolve.calibration import Drawn, Share, calibrate
from evolve.cli import main
from evolve.types import BadInput, CaseKey
from fitness.binomial import binomial_interval
from fitness.doubles import SyntheticFitness, noise
from fitness.pool import Pool, measure
from fitness.problem import load
from fitness.statistics import Reading

NORMAL = Pool(np.random.default_rng(0).normal(0.0, 0.1 / math.sqrt(2), (6, 200)))


@pytest.mark.parametrize(
    ("count", "runs"), [(0, 40), (1, 40), (7, 40), (39, 40), (40, 40), (3, 7), (1, 1), (500, 1000)]
)
def test_the_interval_is_clopper_and_pearsons(count: int, runs: int) -> None:
    expected = binomtest(count, runs).proportion_ci(0.95, "exact")
    assert binomial_interval(count, runs) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_drawn_programs_are_equal_but_for_the_planted_one(tmp_path: Path) -> None:
    problem = load(write_problem(tmp_path / "noisy"))
    drawn = Drawn(problem, NORMAL, "salt", 0.1)
    cases = [CaseKey("gate", n) for n in range(3000)]
    one, other, planted = (
        np.array([drawn.score({"program.py": text}, case) for case in cases])
        for text in (b"# equal 1\n", b"# equal 2\n", b"# planted 3\n")
    )
    for differences, mean in ((one - other, 0.0), (planted - other, 0.1)):
        assert abs(differences.mean() - mean) < 4 * differences.std() / math.sqrt(len(cases))
        assert differences.std() == pytest.approx(NORMAL.difference_sd(Reading("bounded", 1.0), 1), rel=0.1)
    again = np.array(
        [Drawn(problem, NORMAL, "other", 0.1).score({"program.py": b"# equal 1\n"}, c) for c in cases]
    )
    assert (again != one).any()  # another run has other luck


def test_a_planted_program_stays_in_the_range_and_solves_more_where_scores_are_passes(tmp_path: Path) -> None:
    problem = replace(
        load(write_problem(tmp_path / "noisy")), claim="tasks", range=(0.0, 1.0), difference_range=None
    )
    passes = Pool((np.random.default_rng(1).random((4, 100)) < 0.5).astype(float))
    drawn = Drawn(problem, passes, "salt", 0.2)
    scores = [drawn.score({"program.py": b"# planted 1\n"}, CaseKey("gate", n)) for n in range(4000)]
    assert set(scores) == {0.0, 1.0}
    assert np.mean(scores) == pytest.approx(passes.scores.mean() + 0.2, abs=0.04)
    clipped = Drawn(replace(problem, claim="cases"), passes, "salt", 0.2).better(passes.scores)
    assert clipped.max() == 1.0


def test_the_loop_finds_half_a_standard_deviation_and_promotes_no_equals(tmp_path: Path) -> None:
    """Five runs each: the power is above .9, alpha .1; fewer than 3 and more than 3 happen in a thousand."""
    problem = load(write_problem(tmp_path / "noisy", n_max=400))
    none, half = calibrate(problem, NORMAL, tmp_path / "runs", runs=5, trials=120, gains=[0.05])
    assert none.found is None
    assert none.false.count <= 3
    assert half.true_gain == pytest.approx(0.05)
    assert half.found is not None and half.found.count >= 3
    assert half.covered.count + none.covered.count >= 7
    assert Share(0, 5).interval == pytest.approx((0.0, 0.5218), abs=1e-3)
    assert not list((tmp_path / "runs").glob("run-*"))


def test_a_pool_holds_the_seed_and_what_scores_about_like_it(tmp_path: Path) -> None:
    problem = load(write_problem(tmp_path / "noisy"))

    def score(files: dict[str, bytes], key: CaseKey) -> float:
        shift = 5.0 if b"worse" in files["program.py"] else 0.0
        return 0.1 * noise({"program.py": b""}, key) + 0.01 * noise(files, key) - shift

    mutants = [{"program.py": text} for text in (b"a", b"b", b"worse", problem.seed_files["program.py"])]
    pool = measure(problem, SyntheticFitness(score), mutants)
    assert pool.scores.shape == (3, 200)
    assert "2 mutants" in pool.origin
    alone = measure(problem, SyntheticFitness(score), [])
    assert "as if nothing were in common" in alone.origin
    assert alone.difference_sd(Reading("bounded", 1.0), 1) > 3 * pool.difference_sd(
        Reading("bounded", 1.0), 1
    )
    with pytest.raises(BadInput, match="always"):
        measure(problem, SyntheticFitness(lambda files, key: 1.0), [])


def test_the_command_says_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = """
import random
def case(split, seed):
    return {"number": seed % 100, "difficulty": random.Random(f"{split}{seed}").random()}

def score(case, answer):
    return 5 + case["difficulty"] - abs(answer - case["number"]) % 3 / 10
"""
    folder = write(tmp_path / "double", evaluate=judge)
    assert main(["calibrate", str(folder), "--runs", "2", "--trials", "15", "--gain", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    none, planted = said["effects"]
    assert none["found"] is None
    assert none["false"]["runs"] == planted["found"]["runs"] == 2
    assert planted["true_gain"] == pytest.approx(2, abs=0.1)
    assert main(["calibrate", str(folder), "--runs", "1", "--trials", "15"]) == 0
    text = capsys.readouterr().out
    assert "of the runs promoted anything; promised: 0.1 at" in " ".join(text.split())


def test_an_artifact_has_nothing_to_calibrate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "circle_packing", "--runs", "1"]) == 2
    assert "an artifact is proven exactly" in capsys.readouterr().err
