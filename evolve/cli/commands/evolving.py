"""Evolve: `run`, `merge`, `self`, `fork`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer

from evolve.cli.parameters import (
    Baseline,
    Calls,
    Cluster,
    EndAsJson,
    Exchange,
    Fork,
    LessonsFrom,
    Memory,
    Metrics,
    Models,
    Operators,
    Population,
    ProblemName,
    Run,
    Runtime,
    Sandbox,
    Seconds,
    Seed,
    To,
    Tokens,
    Trials,
    Trust,
    Usd,
    Workers,
)
from evolve.cli.refusals import above_zero, consistent, consistent_walls, names, walls_of

HEADING = "Evolve"
commands = typer.Typer()
_STOPPED_BY = {"interrupt": 130, "terminate": 143}


def _status(result: Mapping[str, Any]) -> int:
    """The exit status that tells how a run ended."""
    return _STOPPED_BY.get(result["stopped_by"], 0)


@commands.command(rich_help_panel=HEADING)
def run(
    problem: ProblemName,
    to: To = None,
    trials: Trials = None,
    seconds: Seconds = None,
    usd: Usd = None,
    tokens: Tokens = None,
    calls: Calls = None,
    workers: Workers = None,
    seed: Seed = 0,
    model: Models = None,
    operators: Operators = None,
    population: Population = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    baseline: Baseline = None,
    cluster: Cluster = None,
    exchange: Exchange = None,
    metrics: Metrics = None,
    memory: Memory = None,
    lessons_from: LessonsFrom = None,
    fork: Fork = False,
    trust: Trust = False,
    json: EndAsJson = False,
) -> int:
    """Evolve PROBLEM's program; the same command again goes on.

    Budgets are totals over the run's life. Without one it runs until Ctrl-C; everything finished is kept.
    """
    paid = {"usd": usd, "tokens": tokens, "calls": calls}
    prompts = {"memory": memory, "lessons-from": lessons_from}
    above_zero(trials=trials, seconds=seconds, **paid, workers=workers, metrics=metrics)
    consistent_walls(sandbox, trust, runtime)
    chosen, remembered = names(operators), names(memory)
    consistent(to, seed, model or (), paid, prompts, chosen, population, baseline)
    from fitness.process import Zygote

    with ExitStack() as stack:
        # imports what evaluators need while this process imports what the loop needs
        zygote = stack.enter_context(closing(Zygote(sandbox))) if cluster is None else None
        from evolve.cli.running import run_and_show
        from evolve.options import RunOptions
        from evolve.types import Walls

        options = RunOptions(
            problem=problem,
            to=to,
            trials=trials,
            seconds=seconds,
            usd=usd,
            tokens=tokens,
            calls=calls,
            workers=workers,
            seed=seed,
            models=tuple(model or ()),
            operators=chosen,
            population=population,
            walls=Walls(sandbox, trust, runtime),
            baseline=baseline,
            memory=remembered,
            lessons_from=lessons_from,
            fork=fork,
            cluster=cluster,
            exchange=exchange,
            metrics=metrics,
        )
        return _status(run_and_show(options, as_json=json, zygote=zygote))


@commands.command(rich_help_panel=HEADING)
def merge(
    run: Run,
    other: Annotated[
        str,
        typer.Argument(metavar="OTHER", help="Another run of the same problem.", show_default=False),
    ],
    most: Annotated[int, typer.Option(metavar="N", help="At the most.")] = 3,
) -> None:
    """Let the best of OTHER into RUN: evaluated there when it goes on."""
    above_zero(most=most)
    from evolve.cli.merging import merge as body

    body(run, other, most)


@commands.command("self", rich_help_panel=HEADING)
def self_(
    to: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where the run is kept; default runs/scaffold-SEED.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="One set for all draws: bugs, codeio, drills, humaneval, or a file."
        ),
    ] = None,
    agent: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another seed: a folder with agent.py.")
    ] = None,
    frozen_improver: Annotated[
        bool, typer.Option("--frozen-improver", help="Control: the seed makes every edit.")
    ] = False,
    random_edits: Annotated[
        bool, typer.Option("--random-edits", help="Control: edits by syntax and numbers, no model.")
    ] = False,
    best_of_n: Annotated[
        bool, typer.Option("--best-of-n", help="Control: every child is the seed's.")
    ] = False,
    clones: Annotated[
        bool, typer.Option("--clones", help="Control (A/A): children that differ in nothing.")
    ] = False,
    utility: Annotated[
        bool, typer.Option("--utility", help="Score as SICA does: half success, half cost and time.")
    ] = False,
    without_check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Ask no agent for this check, self-edit or 'smoke task': for models too weak for it.",
        ),
    ] = None,
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,...]", help="A model, named as for --model, that may veto what an agent made."
        ),
    ] = None,
    trials: Trials = None,
    seconds: Seconds = None,
    usd: Usd = None,
    tokens: Tokens = None,
    calls: Calls = None,
    workers: Workers = None,
    seed: Seed = 0,
    model: Models = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    cluster: Cluster = None,
    fork: Fork = False,
    trust: Trust = False,
    json: EndAsJson = False,
) -> int:
    """Evolve the agent that edits programs, by its own edits.

    What is promoted makes the edits of later runs: `evolve run PROBLEM --operators scaffold`.
    """
    above_zero(trials=trials, seconds=seconds, usd=usd, tokens=tokens, calls=calls, workers=workers)
    walls = walls_of(sandbox, trust, runtime)
    arms = {
        "frozen-improver": frozen_improver,
        "random-edits": random_edits,
        "best-of-n": best_of_n,
        "clones": clones,
    }
    from evolve.cli.selfing import evolve_self
    from evolve.options import RunOptions

    options = RunOptions(
        problem="scaffold",
        to=to,
        trials=trials,
        seconds=seconds,
        usd=usd,
        tokens=tokens,
        calls=calls,
        workers=workers,
        seed=seed,
        models=tuple(model or ()),
        monitor=monitor,
        walls=walls,
        fork=fork,
        cluster=cluster,
    )
    chosen = [name for name, wanted in arms.items() if wanted]
    return _status(evolve_self(options, chosen, tasks, agent, utility, without_check or (), as_json=json))


@commands.command(rich_help_panel=HEADING)
def fork(
    run: Run,
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="An id, its beginning, 'champion'.", show_default=False)
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where the new run is kept; default beside the old.")
    ] = None,
    problem: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Your copy of its problem; not for the gallery's.")
    ] = None,
    trials: Trials = None,
    seconds: Seconds = None,
    usd: Usd = None,
    tokens: Tokens = None,
    calls: Calls = None,
    workers: Workers = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    trust: Trust = False,
    json: EndAsJson = False,
) -> int:
    """Go on from any VARIANT in a new run.

    Its settings, and its budget where none is given, are those of RUN; its draws are its own.
    """
    budget = {"trials": trials, "seconds": seconds, "usd": usd, "tokens": tokens, "calls": calls}
    above_zero(**budget, workers=workers)
    walls = walls_of(sandbox, trust, runtime)
    from evolve.cli.forking import fork as body

    return _status(body(run, variant, to, problem, budget, workers, walls, json))
