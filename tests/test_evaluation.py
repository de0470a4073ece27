from __future__ import annotations

import math
from pathlib import Path

import pytest
from problem_folders import EVALUATE, TOML, cases, evaluate, write

from evolve.types import BadInput, CaseKey, EvaluatorError, Failure, Job
from fitness.doubles import SyntheticFitness, TrustedSandbox, noise
from fitness.evaluation import ProblemFitness, picture
from fitness.problem import load
from sandbox import values

CALLS = TOML.replace("[cases]", "calls = 4\n[cases]")


def test_scores_are_raw_and_in_order(tmp_path: Path) -> None:
    evaluation = evaluate(write(tmp_path / "problem"))
    assert evaluation.scores == (9.0, 10.0, 9.0)
    assert evaluation.failures == (None, None, None)
    assert [values.decode(answer or b"", 99) for answer in evaluation.answers] == [1, 2, 3]
    assert evaluation.mean == pytest.approx(28 / 3)
    assert all(seconds > 0 for seconds in evaluation.seconds)


def test_answers_are_kept_only_where_asked(tmp_path: Path) -> None:
    problem = load(write(tmp_path / "problem"))
    job = Job(problem.seed_files, cases(3))
    assert ProblemFitness(problem, TrustedSandbox()).evaluate(job).answers == ()


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("return 'two'", "invalid_answer", "expected a whole number"),
        ("return [1.5, float('nan')]", "invalid_answer", "nan"),
        ("return object()", "invalid_answer", "object cannot cross"),
        ("return 1000", "out_of_range", "-988 is outside [0, 10]"),
        ("raise KeyError('x')", "crash", "KeyError"),
        ("raise SystemExit(0)", "crash", "SystemExit"),
        ("return 'x' * (1 << 20)", "output_limit", "bytes"),
    ],
)
def test_a_programs_fault_is_a_failure_with_the_worst_score(
    tmp_path: Path, body: str, kind: str, words: str
) -> None:
    program = (
        f"def double(case):\n    if case['number'] != 1:\n        return 2 * case['number']\n    {body}\n"
    )
    evaluation = evaluate(write(tmp_path / "problem"), program)
    assert evaluation.scores == (10, 0, 10)
    assert not evaluation.failed
    failure = evaluation.failures[1]
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert words in failure.detail
    assert evaluation.answers[1] is None
    assert f"case 1: {kind}" in evaluation.feedback
    assert "1 of 3 cases failed" in evaluation.feedback


def test_a_program_that_does_not_load_fails_everywhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "problem")
    assert evaluate(folder, "def double(case:\n").failed
    assert evaluate(folder, "def triple(case): return 1\n").failed


@pytest.mark.parametrize(
    ("said", "kind"),
    [("float('nan')", "invalid_answer"), ("float('-inf')", "invalid_answer"), ("11", "out_of_range")],
)
def test_scores_that_are_none(tmp_path: Path, said: str, kind: str) -> None:
    text = EVALUATE.replace("return 10 - ", f"return {said} # ")
    failures = evaluate(write(tmp_path / "problem", evaluate=text)).failures
    assert [failure.kind for failure in failures if failure] == [kind] * 3


@pytest.mark.parametrize("said", ["None", "'9'", "[9]", "1j", "{'scores': 1}", "{'score': 1, 'metric': {}}"])
def test_a_score_that_breaks_the_contract_is_the_evaluators_fault(tmp_path: Path, said: str) -> None:
    text = EVALUATE.replace("return 10 - ", f"return {said} # ")
    with pytest.raises(EvaluatorError, match="score returned"):
        evaluate(write(tmp_path / "problem", evaluate=text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (EVALUATE.replace("return 10", "return 1 / 0 + 10"), "score raised ZeroDivisionError"),
        (EVALUATE.replace('return {"number": seed}', "raise KeyError(seed)"), "case raised KeyError"),
        (EVALUATE.replace('return {"number": seed}', "raise ValueError('no')"), "case.*no"),
        (EVALUATE.replace('"number": seed', '"number": object()'), "case.*number.*object"),
        (EVALUATE.replace('"number": seed', '"number": float("inf")'), "case.*number.*inf"),
    ],
)
def test_a_broken_evaluator_is_an_exception(tmp_path: Path, text: str, words: str) -> None:
    assert text != EVALUATE
    with pytest.raises(EvaluatorError, match=words):
        evaluate(write(tmp_path / "problem", evaluate=text))


def test_metrics_are_means_over_the_cases_that_have_them(tmp_path: Path) -> None:
    text = EVALUATE.replace(
        'return 10 - abs(answer - 2 * case["number"])',
        """
    n = case["number"]
    metrics = {"n": n, "wild": float("nan")} | ({"rare": 5} if n == 2 else {})
    return {"score": True, "metrics": metrics, "feedback": "too small" if n else ""}""",
    )
    evaluation = evaluate(write(tmp_path / "problem", evaluate=text))
    assert evaluation.scores == (1, 1, 1)
    assert evaluation.metrics == {"n": 1, "rare": 5}
    assert evaluation.feedback == "too small"


def test_feedback_stays_short(tmp_path: Path) -> None:
    text = EVALUATE.replace("return 10 - ", "return {'score': 1, 'feedback': 'long ' * 9999} # ")
    assert 500 < len(evaluate(write(tmp_path / "problem", evaluate=text)).feedback) <= 1000


def test_a_harness_stands_between_case_and_program(tmp_path: Path) -> None:
    harness = "def answer(case, entry, call):\n    return entry({'number': case['number'] * 2 - 1})\n"
    assert evaluate(write(tmp_path / "problem", harness=harness)).scores == (10, 10, 10)


GUESS = (
    """
import random

def case(split, seed):
    return {"secret": random.Random(f"{split} {seed}").randrange(8)}

def visible(case):
    return {"below": 8}

def handlers(case):
    asked = []
    def less(number):
        if not isinstance(number, int):
            raise ValueError("ask for a whole number")
        asked.append(number)
        return 1 / 0 if number == 99 else case["secret"] < number
    return {"less": less}, asked

def score(case, answer, asked):
    return 10 - len(asked) if answer == case["secret"] else 0
""",
    "def answer(case, entry, call):\n    return entry(case, lambda number: call('less', number))\n",
)
BISECT = """
def double(case, less):
    low, high = 0, case["below"]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if less(middle) else (middle, high)
    return low
"""


def guessing(tmp_path: Path) -> Path:
    return write(tmp_path / "problem", toml=CALLS, evaluate=GUESS[0], program=BISECT, harness=GUESS[1])


def test_calls_reach_a_state_that_the_program_cannot_see(tmp_path: Path) -> None:
    folder = guessing(tmp_path)
    assert evaluate(folder).scores == (7, 7, 7)
    peeking = evaluate(folder, "def double(case, less):\n    return case['secret']\n")
    assert [failure.kind for failure in peeking.failures if failure] == ["crash"] * 3


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("[less(1) for _ in range(9)]", "call_limit", "4"),
        ("less('x')", "invalid_answer", "ask for a whole number"),
        (
            "__import__('inspect').getclosurevars(less).nonlocals['call']('more')",
            "invalid_answer",
            "named 'more'",
        ),
    ],
)
def test_a_wrong_call_fails_the_case_even_where_it_is_caught(
    tmp_path: Path, body: str, kind: str, words: str
) -> None:
    program = f"def double(case, less):\n    try:\n        {body}\n    except Exception:\n        return 0\n"
    for failure in evaluate(guessing(tmp_path), program).failures:
        assert failure is not None
        assert failure.kind == kind
        assert words in failure.detail


def test_a_broken_handler_is_the_evaluators_fault(tmp_path: Path) -> None:
    with pytest.raises(EvaluatorError, match="less raised ZeroDivisionError"):
        evaluate(guessing(tmp_path), "def double(case, less):\n    return less(99)\n")


@pytest.mark.parametrize(
    ("toml", "text", "words"),
    [
        (TOML, "import no_such_module\n" + EVALUATE, "no_such_module installed"),
        (TOML, "1 / 0\n" + EVALUATE, "ZeroDivisionError"),
        (TOML, "def case(:\n", "SyntaxError"),
        (TOML, EVALUATE.replace("def score", "def scores"), "a function score, got none"),
        (TOML, EVALUATE.replace("def case", "def cases"), "a function case, got none"),
        (TOML, GUESS[0], "limits.calls"),
        (TOML.replace("worst", 'packages = ["no_such"]\nworst'), EVALUATE, "pip install no_such"),
    ],
)
def test_an_evaluator_that_cannot_be_used_is_bad_input(
    tmp_path: Path, toml: str, text: str, words: str
) -> None:
    problem = load(write(tmp_path / "problem", toml=toml, evaluate=text))
    with pytest.raises(BadInput, match=words):
        ProblemFitness(problem, TrustedSandbox())


def test_what_was_loaded_is_what_judges(tmp_path: Path) -> None:
    folder = write(tmp_path / "problem")
    problem = load(folder)
    (folder / "evaluate.py").write_text("raise RuntimeError\n")
    assert evaluate(problem).scores == (9, 10, 9)


def test_search_cases_are_made_once_and_others_again(tmp_path: Path) -> None:
    text = EVALUATE.replace('return {"number": seed}', "made.append(split)\n    return {'number': seed}")
    text = "made = []\n" + text.replace("return 10 - ", "return len(made) # ")
    problem = load(write(tmp_path / "problem", evaluate=text))
    fitness = ProblemFitness(problem, TrustedSandbox())
    keys = (*cases(2), CaseKey("gate", 5))
    assert fitness.evaluate(Job(problem.seed_files, keys)).scores == (3, 3, 3)
    assert fitness.evaluate(Job(problem.seed_files, keys)).scores == (4, 4, 4)


def test_a_problem_draws_its_answers(tmp_path: Path) -> None:
    text = EVALUATE + "\ndef picture(case, answer):\n    return f'<svg><!-- {case} {answer:d} --></svg>'\n"
    problem = load(write(tmp_path / "problem", evaluate=text))
    assert picture(problem, CaseKey("search", 1), b"2") == "<svg><!-- {'number': 1} 2 --></svg>"
    assert picture(problem, CaseKey("search", 1), b'"x"') is None
    assert picture(load(write(tmp_path / "plain")), CaseKey("search", 1), b"2") is None


def test_the_synthetic_fitness_scores_by_its_function() -> None:
    fitness = SyntheticFitness(lambda files, key: float(files["p.py"]) + key.seed + 0.1 * noise(files, key))
    one, other = Job({"p.py": b"1.5"}, cases(50)), Job({"p.py": b"1.25"}, cases(50))
    assert fitness.evaluate(one) == fitness.evaluate(one)
    residues = [score - i for i, score in enumerate(fitness.evaluate(one).scores)]
    others = [score - i for i, score in enumerate(fitness.evaluate(other).scores)]
    assert math.fsum(residues) / 50 == pytest.approx(1.5, abs=0.06)
    assert len(set(residues)) == 50
    assert abs(sum((a - 1.5) * (b - 1.25) for a, b in zip(residues, others, strict=True))) / 0.5 < 0.5
