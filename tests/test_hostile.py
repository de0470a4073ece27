"""Every attack of `hostile.py` at every level: each ends as said, and the next honest program as ever."""

import arena
import hostile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problem_folders import cases

from evolve.types import Job, Outcome, Walls
from fitness.evaluation import ProblemFitness
from fitness.problem import load
from fitness.worker import Worker
from sandbox import values

LEVELS = [
    pytest.param(level, marks=[pytest.mark.docker] if level in arena.IN_DOCKER else [])
    for level in arena.LEVELS
]


@pytest.fixture(scope="module")
def arenas():
    """Arenas by level, each opened when it is first asked for."""
    opened = {}

    def open_once(level):
        if level not in opened:
            opened[level] = arena.Arena(level)
        return opened[level]

    yield open_once
    for each in opened.values():
        each.close()


@pytest.fixture(scope="module")
def endings():
    """What has been tried so far: (attack, level) -> ending."""
    return {}


@pytest.fixture(scope="module")
def leaks():
    """What has been asked so far: (leak, level) -> whether it is one."""
    return {}


def tried(arenas, endings, attack, level):
    if (attack.name, level) not in endings:
        endings[attack.name, level] = arenas(level).attack(attack)
    return endings[attack.name, level]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("attack", hostile.ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_ends_as_said(arenas, endings, attack, level):
    if attack.expected(level) == hostile.NOT_TRIED:
        assert level == hostile.BARE
        return
    ending = tried(arenas, endings, attack, level)
    assert ending.text == attack.expected(level), ending.seen


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("leak", hostile.LEAKS, ids=lambda leak: leak.says)
def test_each_documented_exception_is_one_and_no_more(arenas, leaks, leak, level):
    leaks[leak.says, level] = arenas(level).leaks(leak)
    assert leaks[leak.says, level] == (level in leak.levels)


@pytest.mark.docker
def test_the_tables_of_the_document_are_what_happens(arenas, endings, leaks):
    for level in arena.LEVELS:
        for attack in hostile.ATTACKS:
            if attack.expected(level) != hostile.NOT_TRIED:
                tried(arenas, endings, attack, level)
        for leak in hostile.LEAKS:
            if (leak.says, level) not in leaks:
                leaks[leak.says, level] = arenas(level).leaks(leak)
    made_anew = arena.document({place: ending.text for place, ending in endings.items()}, leaks)
    assert arena.DOCUMENT.read_text() == made_anew, "python tests/arena.py --write"


def test_attacks_on_scoring_fail_before_a_real_worker_too(arenas):
    """There, evaluate.py is in a process of its own, as in a run."""
    worker = Worker(arenas("bubblewrap").problem, Walls("bubblewrap"))
    for attack in hostile.ATTACKS[:8]:
        evaluation = worker.evaluate(Job(arena.files(attack), cases(attack.cases)))
        assert max(evaluation.scores) <= 1, attack.name
        assert min(evaluation.seconds) >= attack.least_seconds
    honest = {"program.py": b"def f(case):\n    return sum(case['numbers'])\n"}
    assert worker.evaluate(Job(honest, cases(3))).scores == (1, 1, 1)
    worker.close()


def test_attacks_are_told_apart():
    names = [attack.name for attack in hostile.ATTACKS]
    assert len(set(names)) == len(names) > 60
    ends = {attack.expected(level) for attack in hostile.ATTACKS for level in arena.WALLED}
    assert not {hostile.SUCCEEDS, hostile.NOT_TRIED} & ends


# ---------------------------------------------------------------------- answers that no program would give


class Answering:
    """A sandbox whose programs answer what the test says, to ask the evaluators of the gallery."""

    level = "none"

    def __init__(self):
        self.answer = b""

    def run(self, program, cases, limits, call=None, alone=False):
        return [Outcome(self.answer) for _ in cases]

    def close(self):
        pass


NUMBERS = (
    st.integers(-3, 60)
    | st.integers()
    | st.integers(-(10**4000), 10**4000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 5e-324, 1.7976931348623157e308, 10**400, True])
)
ANSWERS = st.recursive(
    st.none() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=60) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=80,
)
SHAPED = st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=26, max_size=26) | st.lists(
    NUMBERS, min_size=50, max_size=50
)
ARRAYS = hnp.arrays(
    hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    | st.sampled_from([(26, 3), (50,), (1,), (0, 3)]),
).filter(lambda array: array.dtype.kind != "f" or bool((abs(array) < float("inf")).all()))


@pytest.mark.parametrize("name", ["circle_packing", "online_bin_packing", "tsp_constructive"])
def test_no_answer_makes_an_evaluator_of_the_gallery_fail(name):
    """An exception of `score` would be the evaluator's fault, and stop the run."""
    problem = load(name)
    sandbox = Answering()
    fitness = ProblemFitness(problem, sandbox)
    job = Job(problem.seed_files, cases(1))

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ANSWERS | SHAPED | ARRAYS)
    def evaluated(answer):
        sandbox.answer = values.encode(answer)
        evaluation = fitness.evaluate(job)
        bounds = problem.range
        assert bounds is None or evaluation.failed or bounds[0] <= evaluation.scores[0] <= bounds[1]
        for failure in evaluation.failures:
            assert failure is None or (failure.detail.isprintable() and len(failure.detail) <= 1000)

    evaluated()
