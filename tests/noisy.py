"""A noisy problem whose truth is known, played through the real loop, gate and git without any waiting."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Files, Json, Parent, Proposal, Trial
from fitness.doubles import SyntheticFitness, noise, number_problem

SD = 0.1 / np.sqrt(2)  # of one score, so that a difference has sd .1
Score = Callable[[Files, CaseKey], float]

DECLARATIONS = ("claim", "worst", "range", "difference_range")
NARROW = """claim = "cases"
worst = -50.0
range = [-50.0, 50.0]
difference_range = [-0.4, 0.4]
"""  # four sd of a difference
TASKS = """claim = "tasks"
worst = 0.0
range = [0.0, 1.0]
"""


def write_problem(
    folder: Path, search: int = 16, sealed: int = 60, n_max: int = 200, declared: str | None = None
) -> Path:
    """A problem whose programs are one number: their true quality; `declared`: another claim and ranges."""
    number_problem(folder, span=5.0, difference=1.0, search=search, sealed=sealed, n_max=n_max)
    if declared is not None:
        toml = folder / "problem.toml"
        kept = [line for line in toml.read_text().splitlines(True) if not line.startswith(DECLARATIONS)]
        toml.write_text(declared + "".join(kept))
    return folder


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


class HalfSdBetter(Planted):
    """The tenth child is better by half a standard deviation of a difference, .1 in the `FAMILIES` below."""

    name = "half_sd_better"
    gain, at = 0.05, 10


class HalfSdSolved(Planted):
    """The same where tasks are solved or not, half of them: the sd of a difference is .71 there."""

    name = "half_sd_solved"
    gain, at = 0.35, 10


@dataclass(frozen=True, slots=True)
class Family:
    """Noise whose truth is known: true quality and a centre, plus what a standard normal draw makes of it."""

    name: str
    declared: str  # in the problem
    planted: type[Planted]
    centre: float  # the mean score of a program of quality 0
    of: Callable[[float, float], float]  # (quality, standard normal draw) -> score
    repeats: bool  # a program's score on a case: champions need no second run then, and all challengers share

    def score(self, seed: int) -> Score:
        """Of one run."""
        fresh = np.random.default_rng(seed)

        def score(files: Files, key: CaseKey) -> float:
            z = noise(files, key) if self.repeats else float(fresh.standard_normal())
            return self.of(quality(files), z)

        return score


def _heavy(q: float, z: float) -> float:
    """Student's t with 2 degrees of freedom, of which differences clipped at .4 have an sd of .1."""
    u = NormalDist().cdf(z)
    return q + 0.03298 * (2 * u - 1) / math.sqrt(2 * u * (1 - u)) if 0 < u < 1 else q


def _skewed(q: float, z: float) -> float:
    """Log-normal, scaled alike."""
    return q + 0.03873 * math.exp(z)


FAMILIES = (
    Family("Gaussian", NARROW, HalfSdBetter, 0.0, lambda q, z: q + SD * z, repeats=True),
    Family("t(2)", NARROW, HalfSdBetter, 0.0, _heavy, repeats=True),
    Family("log-normal", NARROW, HalfSdBetter, 0.03873 * math.exp(0.5), _skewed, repeats=False),
    Family(
        "pass/fail",
        TASKS,
        HalfSdSolved,
        0.5,
        lambda q, z: float(NormalDist().cdf(z) < 0.5 + q),
        repeats=False,
    ),
)


def play(
    folder: Path,
    seed: int,
    operator: type,
    trials: int = 100,
    workers: int = 2,
    to: Path | None = None,
    score: Score = noisy_score,
    baseline: str | None = None,
    metrics: Mapping[str, Score] | None = None,
    seconds: float = 0.0,
    population: str | None = None,
) -> dict[str, Json]:
    """One run, start to sealed claim; a case takes `seconds`."""
    options = RunOptions(
        problem=str(folder),
        to=to or folder.parent / f"run-{baseline or operator.__name__}-{seed}.git",
        trials=trials,
        seed=seed,
        operators=(f"{operator.__module__}.{operator.__qualname__}",),
        baseline=baseline,
        population=population,
    )
    return run(options, executor=InlineExecutor(SyntheticFitness(score, seconds, metrics), workers))
