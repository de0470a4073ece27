from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from problem_folders import cases, evaluate

from evolve.types import CaseKey, Evaluation, Job, Walls
from fitness.evaluation import picture
from fitness.init import TEMPLATE
from fitness.problem import Problem, gallery, load
from fitness.worker import Worker

NAMES = [name for name, _, folder in gallery() if load(folder).allowance is None]  # one that asks no model
BASELINES = {
    "tsp_constructive": 7.0006,
    "online_bin_packing": 4.606,
    "circle_packing": 2.16667,
    "flow_shop": 24.4415,
}
TIMED = {"prime_sieve"}  # scores are what a machine takes
FUNSEARCH = """
def priority(item, bins):
    scores = (bins - max(bins)) ** 2 / item + bins**2 / item**2 + bins**2 / item**3
    scores[bins > item] *= -1
    scores[1:] -= scores[:-1]
    return scores
"""


def rules(problem: Problem) -> dict[str, Any]:
    return runpy.run_path(str(problem.folder / "evaluate.py"))


def answered(problem: Problem, source: str) -> Evaluation:
    """What the evaluator says of an answer that no harness has made: the program, `answer(case)`, may lie."""
    documents = {name: data for name, data in problem.documents.items() if name != "harness.py"}
    return evaluate(replace(problem, documents=documents, entry="program.py:answer"), source, 1)


def refusal(evaluation: Evaluation) -> str:
    (failure,) = evaluation.failures
    assert failure is not None
    assert failure.kind == "invalid_answer"
    return failure.detail


@pytest.fixture(params=NAMES)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Problem, Worker]]:
    """Each problem behind the best sandbox that this machine has."""
    problem = load(request.param)
    worker = Worker(problem, Walls("auto", trusted=True))
    yield problem, worker
    worker.close()


def test_the_baselines_are_the_published_ones(served: tuple[Problem, Worker]) -> None:
    problem, worker = served
    evaluation = worker.evaluate(Job(problem.seed_files, cases(problem.search_cases), keep_answers=True))
    assert evaluation.failures == (None,) * problem.search_cases
    if problem.name in TIMED:
        return
    assert evaluation.mean == pytest.approx(
        BASELINES[problem.name], abs=6e-5 if problem.search_cases > 5 else 5e-4
    )
    assert evaluation.answers[0] is not None
    drawn = picture(problem, CaseKey("search", 0), evaluation.answers[0])
    assert drawn is not None
    assert len(list(ElementTree.fromstring(drawn))) >= 2


def test_every_problem_declares_what_a_promotion_needs(served: tuple[Problem, Worker]) -> None:
    problem, _ = served
    assert problem.range is not None
    assert "README.md" in problem.documents
    if problem.name in TIMED:
        assert problem.resource is not None
        return
    assert problem.claim == "artifact" or problem.difference_range is not None
    assert problem.best_known is not None
    assert str(problem.best_known) not in problem.statement
    seed, best = BASELINES[problem.name], problem.best_known
    assert problem.sign * best > problem.sign * seed
    assert problem.sign * problem.worst < problem.sign * seed


@pytest.mark.parametrize("name", [name for name in NAMES if name != "circle_packing"])
def test_draws_depend_on_split_and_seed_alone(name: str) -> None:
    case = rules(load(name))["case"]
    keys = [(split, seed) for split in ("search", "gate", "check", "sealed") for seed in (0, 1)]
    keys.append(("gate", 2**63 - 1))
    drawn = [repr(case(*key)) for key in keys]
    assert drawn == [repr(case(*key)) for key in keys]
    assert len(set(drawn)) == len(keys)


# ------------------------------------------------------------------------------------- tsp_constructive


def test_tours_are_those_of_the_published_sequence() -> None:
    case = rules(load("tsp_constructive"))["case"]
    points = np.random.default_rng(2024).random((64, 50, 2))
    assert all(case("search", i)["points"] == points[i].tolist() for i in (0, 1, 31, 63))


def test_a_tour_is_measured_outside() -> None:
    problem = load("tsp_constructive")
    points = np.random.default_rng(2024).random((64, 50, 2))[0]
    length = np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1).sum()
    assert answered(problem, "def answer(case): return list(range(50))").scores[0] == pytest.approx(length)


@pytest.mark.parametrize(
    "tour",
    [
        "[0] * 50",
        "[0] + list(range(49))",
        "list(range(49))",
        "list(range(50)) + [0]",
        "list(range(1, 51))",
        "[-1] + list(range(1, 50))",
        "[0.0] + list(range(1, 50))",
        "[False] + list(range(1, 50))",
        "['0'] + list(range(1, 50))",
        "[float('nan')] + list(range(1, 50))",
        "[0j] + list(range(1, 50))",
        "__import__('numpy').arange(50.0)",
        "{str(i): i for i in range(50)}",
        "None",
    ],
)
def test_no_false_tour_is_scored(tour: str) -> None:
    refusal(answered(load("tsp_constructive"), f"def answer(case): return {tour}"))


def test_a_rule_that_repeats_a_city_or_leaves_the_map_fails() -> None:
    for body in ("return 0", "return current", "return int(unvisited[0]) + 50 * (len(unvisited) > 3)"):
        source = f"def select(current, home, unvisited, distances):\n    {body}\n"
        assert evaluate(load("tsp_constructive"), source, 2).failed


# ------------------------------------------------------------------------------------ online_bin_packing


def test_streams_are_those_of_the_published_sequence() -> None:
    case, state = rules(load("online_bin_packing"))["case"], np.random.RandomState(2024)
    for i in range(5):
        items = np.round(np.clip(state.weibull(3, 1000) * 45, 1, 100)).astype(int)
        assert case("search", i) == {"items": items.tolist()}


def test_funsearchs_rule_scores_what_was_published() -> None:
    assert evaluate(load("online_bin_packing"), FUNSEARCH, 5).mean == pytest.approx(3.0241, abs=5e-5)


def test_the_program_sees_nothing_of_the_future() -> None:
    source = """
import sys
def priority(item, bins):
    raise RuntimeError(repr(sys._getframe(1).f_locals["case"]))
"""
    (failure,) = evaluate(load("online_bin_packing"), source, 1).failures
    assert failure is not None
    assert "{'capacity': 100, 'items': 1000}" in failure.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 0", "only 0 of 1000"),
        ("call('next')\n    return [0]", "only 0 of 1000"),
        ("return [call('next', 0) for _ in range(1001)]", "bin 0 has not room"),
        ("call('next')\n    call('next', -1)", "cannot go into bin -1"),
        ("call('next')\n    call('next', 1000)", "cannot go into bin 1000"),
        ("call('next')\n    call('next', 1.0)", "cannot go into bin 1.0"),
        ("call('next')\n    call('next', True)", "cannot go into bin True"),
        ("call('next')\n    call('next')", "cannot go into bin None"),
        ("for i in range(-1, 1000): call('next', i)\n    return [0] * 1000", "not where the items were put"),
        ("for i in range(-1, 1001): call('next', i)", "item 1000 cannot go"),
        ("call('peek')", "no call is named"),
    ],
)
def test_a_packing_that_breaks_the_rules_is_refused(body: str, words: str) -> None:
    problem = load("online_bin_packing")
    harness = f"def answer(case, entry, call):\n    {body}\n".encode()
    problem = replace(problem, documents={**problem.documents, "harness.py": harness})
    assert words in refusal(evaluate(problem, count=1))


def test_a_bin_for_each_item_is_allowed_and_dear() -> None:
    source = "def priority(item, bins): return bins\n"
    assert 140 < evaluate(load("online_bin_packing"), source, 1).scores[0] < 155


@pytest.mark.parametrize("body", ["bins * float('nan')", "bins[1:]", "0", "None", "bins.reshape(1, -1)"])
def test_priorities_that_are_none_fail(body: str) -> None:
    assert evaluate(load("online_bin_packing"), f"def priority(item, bins): return {body}\n", 1).failed


# ---------------------------------------------------------------------------------------- circle_packing

# Two circles that touch each other and the walls; the others are points in a corner.
TOUCHING = "[[0.25, 0.25, 0.25], [0.75, 0.25, 0.25]] + [[0.0, 1.0, 0.0]] * 24"


def circles(change: str = "") -> Evaluation:
    source = f"""
import numpy as np
def answer(case):
    a = np.array({TOUCHING})
    {change or "pass"}
    return a
"""
    return answered(load("circle_packing"), source)


def test_circles_may_touch() -> None:
    assert circles().scores == (0.5,)
    assert circles("a = a.tolist()").scores == (0.5,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("a[1, 0] = np.nextafter(0.75, 0)", "overlap"),  # by 1.1e-16
        ("a[0, 2] = np.nextafter(0.25, 1)", "outside"),
        ("a[0, 0] = np.nextafter(0.25, 0)", "outside"),
        ("a[1, 2] = 0.25 + 1e-16 + 1e-16", "outside"),
        ("a[2] = [0.25, 0.3, 0.0]", "overlap"),
        ("a[2] = [0.0, 1.0, 5e-324]", "outside"),
        ("a[2] = [0.0, 1.0, -1e-300]", "negative"),
        ("a[2, 2] = np.nan", "finite"),
        ("a[2, 0] = np.inf", "finite"),
        ("a = a[:25]", "shape"),
        ("a = a.ravel()", "shape"),
        ("a = a[None]", "shape"),
        ("a = a.astype(complex)", "complex"),
        ("a = a.astype(object)", "object"),
        ("a = a.astype(bool)", "bool"),
        ("a = a.astype(str).tolist()", "expected numbers"),
        ("a = a.tolist(); a[3] = a[3][:2]", "inhomogeneous"),
        ("a = {'circles': a.tolist()}", "expected numbers"),
        ("a = None", "expected numbers"),
    ],
)
def test_no_false_packing_is_scored(change: str, words: str) -> None:
    assert words in refusal(circles(change))


def test_a_small_change_of_the_seed_is_better_and_valid() -> None:
    problem = load("circle_packing")
    source = problem.seed_files["program.py"].decode()
    moved = evaluate(problem, source.replace("scale = 0.0", "scale = 0.1"), 1)
    assert moved.scores[0] > 2.25


# ------------------------------------------------------------------------------------------ prime_sieve


@pytest.mark.parametrize("body", ["return 0", "return float(below)", "return True", "return None"])
def test_no_false_sum_of_primes_is_scored(body: str) -> None:
    assert evaluate(load("prime_sieve"), f"def total(below): {body}\n", 1).failed


def test_a_small_change_of_the_sieve_is_right_and_faster() -> None:
    problem = load("prime_sieve")
    source = problem.seed_files["program.py"].decode().replace("range(twice", "range(square")
    job = Job({"program.py": source.encode()}, cases(8), rival=problem.seed_files)
    worker = Worker(problem, Walls("auto", trusted=True))
    try:
        both = worker.evaluate(job)
    finally:
        worker.close()
    assert both.rival is not None and not any(both.failures + both.rival.failures)
    assert both.mean < both.rival.mean


# ---------------------------------------------------------------------------------- the template of init


def test_the_template_works_and_is_easily_improved() -> None:
    problem = load(Path(TEMPLATE))
    seed = evaluate(problem, count=problem.search_cases)
    source = problem.seed_files["program.py"].decode()
    better = evaluate(
        problem, source.replace("score = value\n", "score = value / weight\n"), problem.search_cases
    )
    assert not any(seed.failures)
    assert better.mean > seed.mean + 0.05
