"""`evolve calibrate`: how often the whole loop promotes what is not better, and finds what is.

Real loop, real git, real gate; only the runs of programs are drawn from a pool of real scores. Every program
of a run, the seed included, gets the score of one of the pool's on a case of the pool, drawn anew for each
program and case: equal programs that score as differently as programs of this problem do. A planted one is
better by a known amount on every case, as far as the range of scores lets it.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from evolve.doubles import InlineExecutor
from evolve.run import RunOptions, run
from evolve.start import reading_of
from evolve.types import CaseKey, Files, Json, Parent, Proposal, Trial
from fitness.binomial import binomial_interval
from fitness.doubles import SyntheticFitness
from fitness.pool import Floats, Pool
from fitness.problem import Problem
from populations.ledger import GitLedger

PLANTED_AT = 10  # which child of a run is the better one
MARK = b"planted"


@dataclass(frozen=True, slots=True)
class Share:
    """How many of so many runs, with the exact 95 % interval of the probability behind it."""

    count: int
    runs: int

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's."""
        return binomial_interval(self.count, self.runs)

    def as_json(self) -> dict[str, Json]:
        """As it is printed."""
        share = self.count / self.runs if self.runs else None
        return {"count": self.count, "runs": self.runs, "share": share, "interval": list(self.interval)}


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of a planted effect; of none, in A/A runs. Gains in the unit of paired differences."""

    gain: float
    true_gain: float  # on average over the pool, once the range of scores has cut it
    found: Share | None  # the planted one was champion in the end; None: none was planted
    false: Share  # runs that promoted anything else
    covered: Share  # runs whose confirmed interval held the champion's true mean

    def as_json(self) -> dict[str, Json]:
        """As it is printed."""
        shares = {"found": self.found, "false": self.false, "covered": self.covered}
        return {
            **asdict(self),
            **{name: share.as_json() if share is not None else None for name, share in shares.items()},
        }


def calibrate(
    problem: Problem,
    pool: Pool,
    folder: Path,
    runs: int,
    trials: int,
    gains: Sequence[float],
    heard: Callable[[float, int], None] = lambda gain, number: None,
) -> list[Effect]:
    """Runs of equal programs, then as many with each of the gains planted; `folder` is filled and emptied.

    `heard` is told of each run before it starts.
    """
    stub = _stub(problem, folder / "problem")
    effects = []
    for gain in (0.0, *gains):
        found, false, covered = [], [], []
        for number in range(runs):
            heard(gain, number)
            each = _run(problem, pool, stub, folder / f"run-{number}.git", number, trials, gain)
            found.append(each[0])
            false.append(each[1])
            covered.append(each[2])
        effects.append(
            Effect(
                gain,
                _mean_gain(problem, pool, gain),
                Share(sum(found), runs) if gain else None,
                Share(sum(false), runs),
                Share(sum(covered), runs),
            )
        )
    return effects


def _run(
    problem: Problem, pool: Pool, stub: Path, to: Path, number: int, trials: int, gain: float
) -> tuple[bool, bool, bool]:
    """One run: was the planted one found, was anything else promoted, did the confirmation hold the truth?"""
    drawn = Drawn(problem, pool, f"{gain!r}/{number}", gain)
    metrics = {metric: drawn.metric(metric) for metric in pool.metrics}
    operator = OneBetter if gain else Equals
    options = RunOptions(
        problem=str(stub),
        to=to,
        trials=trials,
        seed=number,
        operators=(f"{operator.__module__}.{operator.__qualname__}",),
    )
    result = run(options, executor=InlineExecutor(SyntheticFitness(drawn.score, metrics=metrics), 2))
    with GitLedger.read(to) as ledger:
        found = _is_planted(ledger.variant(result["champion"]["id"]).files)
        others = sum(
            event.kind == "promotion" and not _is_planted(ledger.variant(event.decision["variant"]).files)
            for event in ledger.events()
        )
    shutil.rmtree(to)
    low, high = result["champion"]["interval"]
    truth = float(drawn.better(pool.scores).mean() if found else pool.scores.mean())
    return found, others > 0, bool(low <= truth <= high)


class Drawn:
    """Scores out of a pool: one program's, on one case, for each (program, case) of a run."""

    def __init__(self, problem: Problem, pool: Pool, salt: str, gain: float) -> None:
        self._problem, self._pool, self._salt, self._gain = problem, pool, salt, gain
        self._reading = reading_of(problem)[0]
        self._flip = 0.0  # share of failures that the planted one turns into successes
        if self._reading.kind == "pass_fail":
            self._flip = min(gain / max(1 - float(pool.scores.mean()), 1e-9), 1.0)

    def score(self, files: Files, key: CaseKey) -> float:
        """Raw score of a program on a case."""
        drawn = self._pool.scores[self._place(files, key)]
        if not _is_planted(files):
            return float(drawn)
        if self._reading.kind == "pass_fail":
            luck = int.from_bytes(self._hash("flip", *key, *_texts(files))[:6]) / 2**48
            return 1.0 if luck < self._flip else float(drawn)
        return float(self.better(drawn))

    def metric(self, name: str) -> Callable[[Files, CaseKey], float]:
        """The same of one of the constrained metrics: nobody loses anything."""
        return lambda files, key: float(self._pool.metrics[name][self._place(files, key)])

    def better(self, scores: Floats) -> Floats:
        """Raw scores, all better by the gain, within the range of scores."""
        sign = self._problem.sign
        if self._reading.kind == "pass_fail":
            return scores + self._flip * (1 - scores)
        moved = scores * math.exp(sign * self._gain) if self._reading.ratio else scores + sign * self._gain
        return np.clip(moved, *(self._problem.range or (-math.inf, math.inf)))

    def _place(self, files: Files, key: CaseKey) -> tuple[int, int]:
        programs, cases = self._pool.scores.shape
        row = int.from_bytes(self._hash(*key, *_texts(files))[:8]) % programs
        column = int.from_bytes(self._hash(*key)[:8]) % cases
        return row, column

    def _hash(self, *names: object) -> bytes:
        return hashlib.sha256("/".join(map(str, (self._salt, *names))).encode()).digest()


def _mean_gain(problem: Problem, pool: Pool, gain: float) -> float:
    reading = reading_of(problem)[0]
    moved = Drawn(problem, pool, "", gain).better(pool.scores)
    return float(reading.differences(problem.sign * moved, problem.sign * pool.scores).mean())


# ------------------------------------------------------------------------------ programs that nobody runs


class Equals:
    """Makes children that differ from the seed by a comment."""

    name = "equals"
    arity = 1
    prompt_bytes = 0
    at = 0

    def __init__(self, problem: Problem) -> None:
        self._files = problem.seed_files
        self._path = next(
            path for path in self._files if any(fnmatchcase(path, glob) for glob in problem.editable)
        )
        self._made = 0

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """One more of them."""
        self._made += 1
        mark = MARK if self._made == self.at else b"equal"
        comment = b"# %s %d\n" % (mark, rng.integers(2**62))
        return Proposal({**self._files, self._path: self._files[self._path] + comment}, "a comment")

    def tell(self, trial: Trial) -> None:
        """Learns nothing."""


class OneBetter(Equals):
    """The same, but that one of them is taken for a better one."""

    name = "one_better"
    at = PLANTED_AT


def _is_planted(files: Files) -> bool:
    return any(b"# " + MARK in data for data in files.values())


def _texts(files: Files) -> list[object]:
    return [part for item in sorted(files.items()) for part in item]


def _stub(problem: Problem, folder: Path) -> Path:
    """The problem with programs of one line: they are only marked, never run."""
    function = problem.entry.partition(":")[2] or "entry"
    stubs = {
        f"program/{path}": b"def %s(case):\n    pass\n" % function.encode() for path in problem.seed_files
    }
    for name, data in {**problem.documents, **stubs}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
