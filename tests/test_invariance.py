"""A problem in other units is the same problem: through the real loop, every decision stays what it was."""

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from noisy import write_problem

from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Event, Files
from fitness.doubles import SyntheticFitness, noise
from populations.facts import digest_of
from populations.ledger import GitLedger

DIFFERENCES = """claim = "cases"
worst = -5.0
range = [-5.0, 5.0]
difference_range = [-0.5, 0.5]
margin = 0.02
"""
RANGE = """claim = "cases"
worst = -1.0
range = [-1.0, 1.0]
"""
TASKS = """claim = "tasks"
worst = -1.0
margin = 0.02
"""
SOLVED = """claim = "tasks"
worst = 0.0
range = [0.0, 1.0]
"""
CONSTRAINED = """
[[constraints]]
metric = "accuracy"
direction = "maximise"
worst = 0.0
difference_range = [-1.0, 1.0]
margin = 0.4
"""
OPERATORS = ("evolve.doubles.Nudge", "syntax", "tune")


def transformed(declared: str, scale: float, shift: float) -> str:
    """The declarations where every score x is scale x + shift."""

    def line(found: re.Match[str]) -> str:
        key, values = found[1], [float(value) for value in re.findall(r"-?[\d.]+", found[2])]
        moved = [abs(scale) * x if key == "margin" else scale * x for x in values]
        if key in ("worst", "range"):
            moved = [x + shift for x in moved]
        return f"{key} = {moved[0] if len(moved) == 1 else sorted(moved)}"

    return re.sub(r"^(worst|range|difference_range|margin) = (.*)$", line, declared, flags=re.M)


def worth(files: Files) -> float:
    """The first number of a program, whatever the operators made of the rest."""
    found = re.search(rb"-?\d+\.\d+", files["program.py"])
    return float(found[0]) if found else 0.0


class Drawn:
    """Scores by the number of the draw, not by its seed: that follows from the problem's text, units too."""

    def __init__(self, scale: float, shift: float, solved: bool) -> None:
        self.scale, self.shift, self.solved = scale, shift, solved
        self.numbers: dict[str, dict[int, int]] = {}

    def noise(self, files: Files, key: CaseKey) -> float:
        numbers = self.numbers.setdefault(key.split, {})
        number = numbers.setdefault(key.seed, len(numbers))
        return noise(files, CaseKey(key.split, number))

    def accuracy(self, files: Files, key: CaseKey) -> float:
        """What is worth more is right less often."""
        right = 0.8 - 0.2 * worth(files) - 0.05 * self.noise(files, key)
        return self.scale * float(np.clip(right, 0, 1)) + self.shift

    def __call__(self, files: Files, key: CaseKey) -> float:
        x = worth(files) + 0.1 * self.noise(files, key)
        x = float(x > 0.2) if self.solved else float(np.clip(x, -1, 1))
        return self.scale * x + self.shift


def played(
    folder: Path,
    name: str,
    declared: str,
    scale: float = 1.0,
    shift: float = 0.0,
    direction: str = "maximise",
    constraint: str = "",
) -> list[Event]:
    problem = write_problem(folder / name / "noisy", search=8, declared=transformed(declared, scale, shift))
    toml = problem / "problem.toml"
    text = toml.read_text() + transformed(constraint, scale, shift)
    toml.write_text(text.replace('direction = "maximise"', f'direction = "{direction}"'))
    options = RunOptions(
        problem=str(problem), to=folder / f"{name}.git", trials=120, seed=3, operators=OPERATORS
    )
    score = Drawn(scale, shift, declared == SOLVED)
    metrics = {"accuracy": score.accuracy} if constraint else None
    run(options, executor=InlineExecutor(SyntheticFitness(score, metrics=metrics), workers=1))
    with closing(GitLedger.read(folder / f"{name}.git")) as ledger:
        return list(ledger.events())


@pytest.mark.parametrize(
    ("declared", "constraint"),
    [(DIFFERENCES, ""), (RANGE, ""), (TASKS, ""), (SOLVED, ""), (RANGE, CONSTRAINED)],
    ids=["differences", "range", "ranks", "pass-fail", "constraint"],
)
def test_three_times_a_score_less_seven_decides_the_same(declared: str, constraint: str, tmp_path: Path):
    plain = played(tmp_path, "plain", declared, constraint=constraint)
    other = played(tmp_path, "other", declared, 3.0, -7.0, constraint=constraint)
    turned = played(tmp_path, "turned", declared, -3.0, -7.0, "minimise", constraint)
    assert sum(event.kind == "promotion" for event in plain) >= 1
    assert sum(event.kind == "duel_open" for event in plain) >= (2 if constraint else 3)
    decided = digest_of(plain[1:])  # the start says what the problem is, in its units
    assert digest_of(other[1:]) == decided
    assert digest_of(turned[1:]) == decided
    readings = [events[0].decision["reading"] for events in (plain, other, turned)]
    assert len({reading["margin"] for reading in readings}) == (2 if "margin" in declared else 1)
