"""`evolve calibrate`: the gate tried out on a problem's own noise, and what came of it as a table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.text import Text

from evolve.calibration import Effect, Share, calibrate
from evolve.cli.bringing import mutants
from evolve.cli.evidence import gain_text
from evolve.cli.screen import Facts, screen, status
from evolve.start import reading_of
from evolve.types import Json, Walls
from fitness.pool import Pool, measure
from fitness.problem import Problem, load
from fitness.statistics import Reading
from fitness.worker import Worker

PLANTED = 0.5  # standard deviations of a paired difference, where no gain is named


def calibration(
    name: str, runs: int, trials: int, gains: Sequence[float], as_json: bool, walls: Walls
) -> None:
    """Measure the noise, let the loop run on it, and print how often it was wrong and right."""
    err, problem = status(), load(name)
    reading, _ = reading_of(problem)
    live = err.is_terminal
    with err.status(f"measuring {problem.name} ...") if live else nullcontext() as shown:
        worker = Worker(problem, walls)
        try:
            pool = measure(problem, worker, mutants(problem))
        finally:
            worker.close()
        sd = pool.difference_sd(reading, problem.sign)
        planted = list(gains) or [PLANTED * sd + reading.margin]

        def heard(gain: float, number: int) -> None:
            if shown is not None:
                what = gain_text(reading, gain, None) if gain else "equal programs"
                shown.update(f"{what}: run {number + 1} of {runs}")

        with tempfile.TemporaryDirectory() as folder:
            effects = calibrate(problem, pool, Path(folder), runs, trials, planted, heard)
    out = screen()
    if as_json:
        out.lines([json.dumps(record(problem, pool, sd, trials, effects), allow_nan=False)])
        return
    out.print(Text(problem.name, style="key").append(f"  {runs} runs of {trials} trials each", style="none"))
    out.print()
    out.print(Facts(_rows(problem, pool, reading, sd, effects)))


def record(
    problem: Problem, pool: Pool, sd: float, trials: int, effects: Sequence[Effect]
) -> dict[str, Json]:
    """What `--json` prints; gains in the unit of paired differences."""
    return {
        "problem": problem.name,
        "alpha": problem.alpha,
        "error": problem.error,
        "trials": trials,
        "pool": {"from": pool.origin, "programs": len(pool.scores), "cases": pool.scores.shape[1]},
        "difference_sd": sd,
        "effects": [each.as_json() for each in effects],
    }


def _rows(
    problem: Problem, pool: Pool, reading: Reading, sd: float, effects: Sequence[Effect]
) -> Iterator[tuple[str, Text | str]]:
    yield "noise", f"scores of {pool.origin}, {pool.scores.shape[1]} cases; a difference has sd {sd:.3g}"
    for effect in effects:
        if effect.found is None:
            low, _ = effect.false.interval
            style = "bad" if low > problem.alpha else "good"
            bound = f"; promised: {problem.alpha:g} at most"
            yield "equal", Text(f"{_share(effect.false)} of the runs promoted anything{bound}", style)
        else:
            gain = gain_text(reading, effect.true_gain, None)
            yield f"{gain}", Text(f"{_share(effect.found)} of the runs ended with the better one", "key")
            yield "", f"{_share(effect.false)} promoted another one beside it"
        yield "", f"{_share(effect.covered)} of the confirmed intervals hold the truth"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.count} of {share.runs} ({share.count / share.runs:.0%} [{low:.0%}, {high:.0%}])"
