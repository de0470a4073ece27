"""`evolve problems`, `init` and `check`: finding a problem, and bringing one's own."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from rich.text import Text

from evolve.cli.progress import direction
from evolve.cli.screen import Facts, duration, number, screen, status
from evolve.operators import create
from evolve.types import Files, Parent, Proposal, Trial, Variant, Walls
from fitness.check import Report
from fitness.check import check as try_out
from fitness.init import init as make
from fitness.problem import Problem, gallery, load
from fitness.worker import Worker

MUTANTS = 8  # of the seed, that `check` tries
FEW_TRIALS = 50


def problems() -> None:
    """Print the gallery."""
    out = screen()
    out.print(Facts((name, summary) for name, summary, _ in gallery()))
    out.print()
    out.print("Start one: evolve run NAME --seconds 60    Bring your own: evolve init DIR")


def init(folder: Path) -> None:
    """Make a problem from a template, and say what to do with it."""
    make(folder)
    out = screen()
    out.print(f"A working problem is in {folder}:", soft_wrap=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        out.print(f"  {path.relative_to(folder)}", style="name", soft_wrap=True)
    out.print()
    out.print(f"Look at its README.md, then: evolve check {folder}", soft_wrap=True)
    out.print(f"and when that is content:    evolve run {folder} --seconds 60", soft_wrap=True)


def check(name: str, seconds: float, workers: int | None, walls: Walls) -> None:
    """Try a problem and print what was found."""
    out, err = screen(), status()
    problem = load(name)
    workers = workers or os.cpu_count() or 1
    with err.status(f"trying {problem.name} ...") if err.is_terminal else nullcontext():
        worker = Worker(problem, walls)
        try:
            report = try_out(problem, worker, worker.level, mutants(problem), seconds, workers)
        finally:
            worker.close()
    out.print(Text(problem.name, style="key").append(f"  {direction(problem)}", style="none"))
    out.print()
    out.print(Facts(findings(problem, report)))
    out.print()
    out.print(f"Next: evolve run {name} --seconds {seconds:g}", soft_wrap=True)


def mutants(problem: Problem) -> list[Files]:
    """Some small changes of the seed, as a run makes them: they show how far paired scores differ."""
    syntax = create(("syntax",), problem)["syntax"]
    seed = Variant("0-seed", problem.seed_files)
    parent = Parent(seed, Trial(0, 0, "seed", (), seed.id, "evaluated"))
    made = [syntax.propose([parent], np.random.default_rng([0, n])) for n in range(MUTANTS)]
    return [proposal.files for proposal in made if isinstance(proposal, Proposal) and proposal.files]


def findings(problem: Problem, report: Report) -> Iterator[tuple[str, Text | str]]:
    """What a report says, row by row."""
    unit = f" {problem.unit}" if problem.unit else ""
    low, high = report.seed_range
    cases = f"mean of {problem.search_cases} search cases, from {number(low)} to {number(high)}"
    yield "seed", f"{number(report.seed_score)}{unit}" + (f"; {cases}" if problem.search_cases > 1 else "")
    if report.repeatable:
        yield "repeatable", "yes: the same program on the same case scores the same"
    else:
        yield "repeatable", f"no: run again, a case varies by {number(report.noise)} (sd)"
    if report.spread:
        yield "cases", f"vary by {report.spread:.3g} (sd), skew {report.skew:+.2f}"
    yield "a case", f"takes {1000 * report.case_seconds:.3g} ms in sandbox {report.level}"
    yield "claim", f"{problem.claim}: {report.reading.says}"
    yield "reading", f"{report.reading.kind}: {report.reason}"
    if report.reading.kind != "exact":
        yield from _duels(report)
    planned = f"{duration(report.seconds)} on {report.workers} worker{'s' * (report.workers > 1)}"
    yield (
        "a run",
        f"of {planned} makes about {report.trials:,} trials of {1000 * report.trial_seconds:.3g} ms",
    )
    if report.sealed_seconds:
        yield "", f"and keeps {duration(report.sealed_seconds)} for the sealed claim"
    if report.trials < FEW_TRIALS:
        yield (
            "",
            Text(f"That is little: fewer search cases, or more than {duration(report.seconds)}.", "note"),
        )


def _duels(report: Report) -> Iterator[tuple[str, Text | str]]:
    yield "a duel", f"has up to {report.n_max:,} pairs at level {report.duel_level:.2g}"
    ratio = report.reading.ratio
    differ = "log ratios of paired scores vary" if ratio else "paired scores differ"
    yield "", f"{differ} by {report.difference_sd:.3g} (sd): {report.difference_from}"
    for priced in report.priced:
        what = f"a gain of {priced.share:.0%}" + ("" if ratio else f" ({priced.gain:.3g})")
        if math.isinf(priced.pairs):
            yield "", Text(f"{what} cannot be proven", "note")
        elif priced.pairs > report.n_max:
            yield "", Text(f"{what} needs {priced.pairs:,.0f} pairs: a duel would not find it", "note")
        else:
            yield "", f"{what} needs about {priced.pairs:,.0f} pairs"
    for says, pairs in report.constraints:
        words = f"that {says} takes {pairs:,.0f} pairs or more"
        enough = pairs <= report.n_max
        yield "", words if enough else Text(f"{words}: nothing will be promoted", "note")
    for gain, words in (
        (report.smallest_provable, "the smallest gain that the range lets it prove"),
        (report.smallest_detectable, "the smallest gain that it finds four times in five"),
    ):
        size = f"{math.expm1(gain):.2%}" if ratio else f"{gain:.3g}"
        yield "", f"{words}: " + ("none" if math.isinf(gain) else size)
