"""Problems and this machine: `problems`, `init`, `check`, `calibrate`, `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evolve.cli.parameters import AsJson, Cluster, ProblemName, Runtime, Sandbox, Trust
from evolve.cli.refusals import above_zero, walls_of

HEADING = "Problems and this machine"
commands = typer.Typer()


@commands.command(rich_help_panel=HEADING)
def problems() -> None:
    """The gallery of problems."""
    from evolve.cli.bringing import problems as body

    body()


@commands.command(rich_help_panel=HEADING)
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)],
) -> None:
    """Make a working problem from a template."""
    from evolve.cli.bringing import init as body

    body(folder)


@commands.command(rich_help_panel=HEADING)
def check(
    problem: ProblemName,
    seconds: Annotated[float, typer.Option(metavar="S", help="Of the run to plan.")] = 60.0,
    workers: Annotated[
        int | None, typer.Option(metavar="W", help="Of the run to plan; default one a core.")
    ] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    trust: Trust = False,
) -> None:
    """Try a problem: is it sound, how noisy, what can be proven?"""
    above_zero(seconds=seconds, workers=workers)
    walls = walls_of(sandbox, trust, runtime)
    from evolve.cli.bringing import check as body

    body(problem, seconds, workers, walls)


@commands.command(rich_help_panel=HEADING)
def calibrate(
    problem: ProblemName,
    runs: Annotated[int, typer.Option(metavar="N", help="Runs of equal programs, and with each gain.")] = 40,
    trials: Annotated[int, typer.Option(metavar="N", help="Attempts in each.")] = 200,
    gain: Annotated[
        list[float] | None,
        typer.Option(metavar="G", help="Planted, in the score's unit; repeatable. Default: half an sd."),
    ] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    trust: Trust = False,
    json: AsJson = False,
) -> None:
    """Try the gate on a problem's noise: how often is it wrong?"""
    above_zero(runs=runs, trials=trials)
    for each in gain or ():
        above_zero(gain=each)
    walls = walls_of(sandbox, trust, runtime)
    from evolve.cli.calibrating import calibration as body

    body(problem, runs, trials, gain or (), json, walls)


@commands.command(rich_help_panel=HEADING)
def doctor(cluster: Cluster = None) -> int:
    """What this machine, or a cluster's, can do; what to install."""
    from evolve.cli.doctor import doctor as body

    return body(cluster)
