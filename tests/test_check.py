from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest
from problem_folders import EVALUATE, TOML, write

from evolve.types import BadInput, Walls
from fitness.check import Report, check
from fitness.doubles import SyntheticFitness, TrustedSandbox, noise
from fitness.evaluation import ProblemFitness
from fitness.init import init
from fitness.problem import load
from fitness.worker import Worker


def checked(folder: Path) -> Report:
    problem = load(folder)
    return check(problem, ProblemFitness(problem, TrustedSandbox()), "none")


def test_a_repeatable_seed(tmp_path: Path) -> None:
    text = EVALUATE.replace('"number": seed', '"number": seed % 5')
    report = checked(write(tmp_path / "problem", evaluate=text))
    assert (report.repeatable, report.noise) == (True, 0)
    assert report.seed_score == pytest.approx(28 / 3)
    assert report.seed_range == (9, 10)
    fresh = [10 - abs(i % 5 - 1) for i in range(30)]
    assert report.spread == pytest.approx(statistics.stdev(fresh))
    assert report.skew == pytest.approx(-0.288 / 1.04**1.5)  # of 9, 10, 9, 8, 7 in turn
    assert report.reading.kind == "bounded"
    assert "range 10 wide" in report.reason
    assert report.level == "none"
    assert 0 < report.case_seconds < 10  # a unit that is another would show
    assert report.trials > 10


def test_noise_is_told_from_spread(tmp_path: Path) -> None:
    problem = load(write(tmp_path / "problem"))
    calls = iter(range(10**6))

    def score(files: object, key: object) -> float:
        return 5 + 0.5 * noise({"n": str(next(calls)).encode()}, key)  # type: ignore[arg-type]

    report = check(problem, SyntheticFitness(score))
    assert not report.repeatable
    assert 0.15 < report.noise < 1.0
    assert report.difference_sd == pytest.approx(math.sqrt(2) * report.spread)
    assert "worst case" in report.difference_from


def test_what_a_gain_costs_follows_the_differences_of_mutants(tmp_path: Path) -> None:
    problem = load(write(tmp_path / "problem"))

    def score(files: dict[str, bytes], key: tuple[str, int]) -> float:
        shared = noise({}, key)  # type: ignore[arg-type]
        return 5 + shared + 0.1 * noise(files, key)  # type: ignore[arg-type]

    fitness = SyntheticFitness(score)  # type: ignore[arg-type]
    alone = check(problem, fitness)
    paired = check(problem, fitness, mutants=[{"program.py": bytes([i])} for i in range(8)])
    assert "8 mutants" in paired.difference_from
    assert paired.difference_sd == pytest.approx(math.sqrt(2) * 0.1, rel=0.3)
    assert alone.difference_sd > 5 * paired.difference_sd
    one, five = paired.priced
    assert (one.share, five.share) == (0.01, 0.05)
    assert five.gain == pytest.approx(0.05 * paired.seed_score)
    assert one.pairs > five.pairs
    assert alone.priced[1].pairs > five.pairs
    assert 0 < paired.smallest_provable < paired.smallest_detectable < alone.smallest_detectable


def test_mutants_that_fail_or_change_nothing_tell_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "problem")
    problem = load(folder)
    broken = [{"program.py": b"def double(case): return None\n"}] * 5
    report = check(
        problem, ProblemFitness(problem, TrustedSandbox()), mutants=[*broken, *[dict(problem.seed_files)] * 5]
    )
    assert "worst case" in report.difference_from


def test_an_artifact_needs_no_draws(tmp_path: Path) -> None:
    toml = TOML.replace('"cases"', '"artifact"').replace("search = 3\nsealed = 5", "")
    report = checked(write(tmp_path / "problem", toml=toml))
    assert report.reading.kind == "exact"
    assert (report.spread, report.difference_sd, report.sealed_seconds) == (0, 0, 0)
    assert [priced.pairs for priced in report.priced] == [1, 1]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("def double(case): return 1 / 0\n", "crash on case 0: ZeroDivisionError"),
        ("def double(case): return [float('nan')]\n", "nan"),
        ("def double(case): return 99\n", r"outside \[0, 10\]"),
        ("import no_such\ndef double(case): return 1\n", "No module named 'no_such'"),
        ("def double(case): return 1 if case['number'] < 2 else 'x'\n", "case 2"),
        ("def double(case:\n", "SyntaxError"),
    ],
)
def test_a_seed_without_a_score_is_one_line(tmp_path: Path, program: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        checked(write(tmp_path / "problem", program=program))
    assert "\n" not in str(caught.value)
    assert "double: seed program" in str(caught.value)


def test_it_works_through_a_worker(tmp_path: Path) -> None:
    problem = load(init(tmp_path / "parcels"))
    worker = Worker(problem, Walls("none", trusted=True))
    report = check(problem, worker, worker.level)
    worker.close()
    assert report.level == "none"
    assert 0.8 < report.seed_score < 0.95
    assert report.repeatable
    assert report.n_max >= 200
