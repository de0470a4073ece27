"""A noisy problem whose truth is known, played through the real loop, gate and git without any waiting."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Files, Json, Parent, Proposal, Trial
from fitness.doubles import SyntheticFitness, noise, number_problem

SD = 0.1 / np.sqrt(2)  # of one score, so that a difference has sd .1


def write_problem(folder: Path, search: int = 16, sealed: int = 60, n_max: int = 200) -> Path:
    """A problem whose programs are one number: their true quality."""
    return number_problem(folder, span=5.0, difference=1.0, search=search, sealed=sealed, n_max=n_max)


def quality(files: Files) -> float:
    found = re.search(rb"return (-?[\d.e-]+)", files["program.py"])
    assert found is not None
    return float(found[1])


def noisy_score(files: Files, key: CaseKey) -> float:
    """True quality plus a normal draw of this program on this case: equal programs still differ."""
    return float(np.clip(quality(files) + SD * noise(files, key), -5, 5))


class Planted:
    """An operator whose children are all equal to the seed, but for one."""

    name = "planted"
    arity = 1
    prompt_bytes = 0

    gain, at = 0.0, 0

    def __init__(self, problem: object) -> None:
        self.made = 0

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        self.made += 1
        true = self.gain if self.made == self.at else 0.0
        program = f"def solve(case):\n    return {true}  # {rng.integers(2**62)}\n"
        return Proposal({"program.py": program.encode()}, idea="a number")

    def tell(self, trial: Trial) -> None:
        """Learns nothing."""


class Equal(Planted):
    """Children that are equal to the seed: whatever promotes one of them is wrong."""

    name = "equal"


class OneBetter(Planted):
    """The tenth child is better by one standard deviation of a difference."""

    name = "one_better"
    gain, at = 0.1, 10


def play(
    folder: Path,
    seed: int,
    operator: type,
    trials: int = 100,
    workers: int = 2,
    to: Path | None = None,
    score: Callable[[Files, CaseKey], float] = noisy_score,
    baseline: str | None = None,
    metrics: Mapping[str, Callable[[Files, CaseKey], float]] | None = None,
) -> dict[str, Json]:
    """One run, start to sealed claim."""
    options = RunOptions(
        problem=str(folder),
        to=to or folder.parent / f"run-{baseline or operator.__name__}-{seed}.git",
        trials=trials,
        seed=seed,
        operators=(f"{operator.__module__}.{operator.__qualname__}",),
        baseline=baseline,
    )
    return run(options, executor=InlineExecutor(SyntheticFitness(score, metrics=metrics), workers))
