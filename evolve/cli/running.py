"""`evolve run`: progress while it runs, the table or the object when it ends."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evolve.budget import Budget
from evolve.cli.progress import LiveProgress, PlainProgress
from evolve.cli.screen import screen, status
from evolve.cli.summary import summary
from evolve.run import RunOptions, run
from fitness.problem import load
from fitness.process import Zygote


def run_and_show(
    options: RunOptions, *, as_json: bool, zygote: Zygote | None = None, command: Sequence[str] = ()
) -> dict[str, Any]:
    """Run, by workers whose processes are forked from `zygote`, show, and return what came out.

    `command`: the words of another command than `evolve run`, which say problem and operators.
    """
    problem = load(options.problem)
    budget = Budget(options.trials, options.seconds, options.usd, options.tokens, options.calls)
    console = status()
    live = console.is_terminal and not console.is_dumb_terminal
    progress = (LiveProgress if live else PlainProgress)(problem, budget, console)
    with progress:
        result = run(options, [progress], notice=progress.notice, zygote=zygote)
    out = screen()
    if as_json:
        out.lines([json.dumps(result, allow_nan=False)])
    else:
        out.print(
            summary(progress.story, result, problem.unit, again(options, result, command)), soft_wrap=True
        )
    return result


def again(options: RunOptions, result: Mapping[str, Any], command: Sequence[str] = ()) -> str:
    """The command that goes on with the run: the same, with twice of the budget that is spent."""
    words = list(command) or ["evolve", "run", options.problem]
    if command:
        options = replace(options, operators=None, baseline=None)
    given = {
        "--to": result["run"] if options.to or options.fork else None,
        "--seed": options.seed or None,
        "--workers": options.workers,
        "--operators": ",".join(options.operators or ()) or None,
        "--population": options.population,
        "--sandbox": options.walls.kind if options.walls.kind != "auto" else None,
        "--runtime": options.walls.runtime,
        "--baseline": options.baseline,
        "--cluster": options.cluster,
        "--exchange": options.exchange,
        "--metrics": options.metrics,
        "--memory": ",".join(options.memory) if options.memory is not None else None,
        "--lessons-from": options.lessons_from,
    }
    for budget in ("trials", "seconds", "usd", "tokens", "calls"):
        limit = getattr(options, budget)
        given[f"--{budget}"] = 2 * limit if limit and result["stopped_by"] == budget else limit
    for option, value in given.items():
        if value is not None:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    for model in options.models:
        words += ["--model", model]
    if options.walls.trusted:
        words.append("--i-trust-the-programs")
    return shlex.join(words)
