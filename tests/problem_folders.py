"""Problem folders for tests: the smallest that works, with parts replaced."""

from __future__ import annotations

from pathlib import Path

from evolve.types import CaseKey, Evaluation, Job
from fitness.doubles import TrustedSandbox
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem, load

TOML = """
name = "double"
claim = "cases"
direction = "maximise"
range = [0, 10]
worst = 0

[program]
entry = "program.py:double"

[limits]
seconds = 20.0

[cases]
search = 3
sealed = 5
"""
EVALUATE = """
def case(split, seed):
    return {"number": seed}

def score(case, answer):
    if not isinstance(answer, int):
        raise ValueError("expected a whole number")
    return 10 - abs(answer - 2 * case["number"])
"""
PROGRAM = "def double(case):\n    return case['number'] + 1\n"


def write(
    folder: Path, toml: str = TOML, evaluate: str = EVALUATE, program: str = PROGRAM, **more: str
) -> Path:
    """Write a problem folder; `more`: texts by file name without its ending, as in harness="..."."""
    (folder / "program").mkdir(parents=True)
    (folder / "problem.toml").write_text(toml)
    (folder / "statement.md").write_text("Double the number.\n")
    (folder / "evaluate.py").write_text(evaluate)
    (folder / "program" / "program.py").write_text(program)
    for name, text in more.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def cases(count: int, split: str = "search") -> tuple[CaseKey, ...]:
    """The first so many cases of a split."""
    return tuple(CaseKey(split, i) for i in range(count))  # type: ignore[arg-type]


def evaluate(problem: Problem | str | Path, program: str | None = None, count: int = 3) -> Evaluation:
    """One program (the seed, unless given) on search cases, in this process, answers kept."""
    loaded = problem if isinstance(problem, Problem) else load(problem)
    files = loaded.seed_files if program is None else {"program.py": program.encode()}
    return ProblemFitness(loaded, TrustedSandbox()).evaluate(Job(files, cases(count), keep_answers=True))
