"""The command line: a thin layer over the library.

Nothing heavy is imported here or at the top of a command's module that help needs: `evolve --help` answers at
once, and each command imports its body when it is called. Exit status: 0 done, 1 the run could not do its
work, 2 bad arguments or a bad problem, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import select
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, cast

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from evolve.types import Walls

_STOPPED_BY = {"interrupt": 130, "terminate": 143}
# BadParameter is the one name of typer's usage errors that all its versions export; its base is all of them.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])

_EVOLVING, _LOOKING, _PROBLEMS = "Evolve", "Look into a run", "Problems and this machine"


class _Commands(TyperGroup):
    """Lists the commands under headings, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = formatter.width - 4 - max(map(len, self.commands))
        for heading in (_EVOLVING, _LOOKING, _PROBLEMS):
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(width))
                        for name, command in self.commands.items()
                        if getattr(command, "rich_help_panel", None) == heading
                    ]
                )


app = typer.Typer(
    name="evolve",
    help="Evolve a program, prove that it is better, show how it got there.",
    epilog="Start with: evolve run tsp_constructive --seconds 60",
    cls=_Commands,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProblemName = Annotated[
    str,
    typer.Argument(
        metavar="PROBLEM", help="A problem's folder, or its name in the gallery.", show_default=False
    ),
]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Path of a run, or its name under runs/.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Sandbox = Annotated[
    Literal["auto", "docker", "process", "bubblewrap", "landlock", "none"],
    typer.Option(
        metavar="LEVEL",
        help="auto, docker, process (bubblewrap, else landlock), one of these two, or none (no protection).",
    ),
]
Runtime = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of the Docker daemon, such as runsc (gVisor).")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Of a Ray cluster: HOST:PORT of its head, or auto (docs/cluster.md)."
    ),
]
Trust = Annotated[
    bool, typer.Option("--i-trust-the-programs", help="Allow --sandbox none: programs may do what you may.")
]


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import PackageNotFoundError  # 40 ms that only this option needs
        from importlib.metadata import version as installed

        try:
            print(f"evolve {installed('evolve-code')}")
        except PackageNotFoundError:
            print("evolve, run from its source")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(rich_help_panel=_EVOLVING)
def run(
    problem: ProblemName,
    to: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where the run is kept; default runs/PROBLEM-SEED.")
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Budget: attempts after the seed.")] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Budget: wall clock.")] = None,
    usd: Annotated[
        float | None, typer.Option(metavar="U", help="Budget: dollars paid to language models.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(metavar="T", help="Budget: tokens of language models, prompts and replies.")
    ] = None,
    calls: Annotated[int | None, typer.Option(metavar="C", help="Budget: calls of language models.")] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="W", help="Processes that evaluate; default one a core.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Of every random choice.")] = 0,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A language model: LiteLLM's name or gguf:FILE; repeatable. NAME,usd=1 sets its own.",
        ),
    ] = None,
    operators: Annotated[str | None, typer.Option(help="Names, joined by commas.", metavar="A,B")] = None,
    population: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who breeds: elite; pareto, the default where constraints are declared; islands;"
            " or a dotted path.",
        ),
    ] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    baseline: Annotated[
        Literal["best-of-n", "random", "hill-climb"] | None,
        typer.Option(
            metavar="NAME", help="best-of-n, random or hill-climb: a simple search, to compare with."
        ),
    ] = None,
    cluster: Cluster = None,
    exchange: Annotated[
        str | None,
        typer.Option(metavar="GIT_URL", help="A bare repository where runs show each other their best."),
    ] = None,
    metrics: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Serve metrics there, on the loopback, for Prometheus."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="What prompts carry: inspirations, ancestors, pairs, critiques, lessons; all or none.",
        ),
    ] = None,
    lessons_from: Annotated[
        str | None, typer.Option(metavar="RUN", help="Begin with what that run learned (--memory lessons).")
    ] = None,
    fork: Annotated[bool, typer.Option("--fork", help="Start anew where the old run cannot go on.")] = False,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> int:
    """Evolve PROBLEM's program; the same command again goes on.

    Budgets are totals over the run's life. Without one it runs until Ctrl-C; everything finished is kept.
    """
    _above_zero("--trials", trials)
    _above_zero("--seconds", seconds)
    _above_zero("--usd", usd)
    _above_zero("--tokens", tokens)
    _above_zero("--calls", calls)
    _above_zero("--workers", workers)
    _above_zero("--metrics", metrics)
    _walled(sandbox, trust, runtime)
    chosen, remembered = _names(operators), _names(memory)
    paid = {"--usd": usd, "--tokens": tokens, "--calls": calls}
    prompts = {"--memory": memory, "--lessons-from": lessons_from}
    _consistent(to, paid, prompts, seed, model or (), chosen, population, baseline)
    from fitness.process import Ahead

    here = 0 if cluster is not None else workers or os.cpu_count() or 1
    with closing(Ahead(here)) as ahead:
        from evolve.cli.running import run_and_show
        from evolve.run import RunOptions
        from evolve.types import Walls

        result = run_and_show(
            RunOptions(
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
            ),
            as_json=json,
            start=ahead.take,
        )
    return _STOPPED_BY.get(result["stopped_by"], 0)


@app.command(rich_help_panel=_EVOLVING)
def merge(
    run: Run,
    other: Annotated[
        str,
        typer.Argument(metavar="OTHER", help="Another run of the same problem.", show_default=False),
    ],
    most: Annotated[int, typer.Option(metavar="N", help="At the most.")] = 3,
) -> None:
    """Let the best of OTHER into RUN: evaluated there when it goes on."""
    _above_zero("--most", most)
    from evolve.cli.merging import merge as body

    body(run, other, most)


@app.command("self", rich_help_panel=_EVOLVING)
def self_(
    to: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where the run is kept; default runs/scaffold-SEED.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One set for all draws: drills, codeio, humaneval or a file.py."),
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
    trials: Annotated[int | None, typer.Option(metavar="N", help="Budget: attempts after the seed.")] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Budget: wall clock.")] = None,
    usd: Annotated[
        float | None, typer.Option(metavar="U", help="Budget: dollars paid to language models.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(metavar="T", help="Budget: tokens of language models, prompts and replies.")
    ] = None,
    calls: Annotated[int | None, typer.Option(metavar="C", help="Budget: calls of language models.")] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="W", help="Processes that evaluate; default one a core.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Of every random choice.")] = 0,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A language model, as for `evolve run`.")
    ] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    fork: Annotated[bool, typer.Option("--fork", help="Start anew where the old run cannot go on.")] = False,
    trust: Trust = False,
    json: AsJson = False,
) -> int:
    """Evolve the agent that edits programs, by its own edits.

    What is promoted makes the edits of later runs: `evolve run PROBLEM --operators scaffold`.
    """
    budgets = {"trials": trials, "seconds": seconds, "usd": usd, "tokens": tokens, "calls": calls}
    for name, value in {**budgets, "workers": workers}.items():
        _above_zero(f"--{name}", value)
    walls = _walls(sandbox, trust, runtime)
    arms = {
        "frozen-improver": frozen_improver,
        "random-edits": random_edits,
        "best-of-n": best_of_n,
        "clones": clones,
    }
    from evolve.cli.selfing import evolve_self
    from evolve.run import RunOptions

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
        walls=walls,
        fork=fork,
    )
    chosen = [name for name, wanted in arms.items() if wanted]
    result = evolve_self(options, chosen, tasks, agent, utility, as_json=json)
    return _STOPPED_BY.get(result["stopped_by"], 0)


@app.command(rich_help_panel=_LOOKING)
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs of one problem.", show_default=False)
    ],
    json: AsJson = False,
) -> None:
    """Runs side by side: promoted, confirmed, cost, and paid back when."""
    from evolve.cli.comparing import compare as body

    body(runs, json)


@app.command(rich_help_panel=_LOOKING)
def agents(
    use: Annotated[
        str | None, typer.Option(metavar="ID", help="Put this one in use; 'seed': the gallery's.")
    ] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Put back whoever was before.")] = False,
    json: AsJson = False,
) -> None:
    """The promoted agents of `evolve self`, and the one that is used."""
    from evolve.cli.selfing import show_agents

    show_agents(use, revert, json)


@app.command(rich_help_panel=_LOOKING)
def show(
    run: Run,
    variant: Annotated[
        str | None, typer.Argument(metavar="VARIANT", help="An id, its beginning, 'champion' or 'seed'.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw VARIANT's last duel: its pairs and the evidence."),
    ] = None,
    json: AsJson = False,
) -> None:
    """What the run found; of a VARIANT: program, scores, promotion."""
    if picture is not None:
        from evolve.cli.drawing import draw_duel

        draw_duel(run, variant or "champion", picture)
        return
    from evolve.cli.looking import show_run, show_variant, variant_as_json

    if variant is None:
        show_run(run, as_json=json)
    elif json:
        variant_as_json(run, variant)
    else:
        show_variant(run, variant)


@app.command(rich_help_panel=_LOOKING)
def champion(
    run: Run,
    leader: Annotated[bool, typer.Option("--leader", help="The best guess instead, proven or not.")] = False,
    json: AsJson = False,
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="Write its files there.")] = None,
) -> None:
    """Print the best proven program."""
    from evolve.cli.looking import champion as body

    body(run, leader=leader, as_json=json, write=write)


@app.command(rich_help_panel=_LOOKING)
def tree(
    run: Run,
    all: Annotated[bool, typer.Option("--all", help="Every variant, not only what mattered.")] = False,
    around: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this variant: where it is from, what came of it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """The lineage: which mutation brought which gain."""
    _one_of("--all", all, "--around", around is not None)
    from evolve.cli.tree import tree as body

    body(run, everything=all, around=around, as_json=json)


@app.command(rich_help_panel=_LOOKING)
def log(run: Run, json: AsJson = False) -> None:
    """The events, one a line."""
    from evolve.cli.log import log as body

    body(run, as_json=json)


@app.command(rich_help_panel=_LOOKING)
def diff(
    run: Run,
    a: Annotated[str, typer.Argument(metavar="[A]", help="A variant; default the champion.")] = "champion",
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Another. Without it: A's parent against A.")
    ] = None,
    seed: Annotated[bool, typer.Option("--seed", help="The seed against A.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Every step from the seed to A.")] = False,
    json: AsJson = False,
) -> None:
    """What changed between two variants."""
    _one_of("--seed", seed, "--path", path)
    _one_of("B", b is not None, "--seed" if seed else "--path", seed or path)
    from evolve.cli.looking import diff as body

    body(run, a, b, seed=seed, path=path, as_json=json)


@app.command(rich_help_panel=_LOOKING)
def blame(
    run: Run,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of the program.", show_default=False)],
    variant: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this variant, not the champion.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Which mutation brought each line, and what it gained."""
    from evolve.cli.looking import blame as body

    body(run, file, variant, as_json=json)


@app.command(rich_help_panel=_LOOKING)
def verify(
    run: Run,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="The head that was printed when it ended.")
    ] = None,
    rerun: Annotated[int | None, typer.Option(metavar="K", help="Run K recorded evaluations again.")] = None,
    problem: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Your copy of its problem, for --rerun; not for the gallery's."),
    ] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    trust: Trust = False,
) -> int:
    """Recompute every decision from the raw evidence.

    Exit status 1 on any mismatch. Case scores that were forged consistently show only by --rerun.
    """
    _above_zero("--rerun", rerun)
    walls = _walls(sandbox, trust, runtime)
    from evolve.cli.verifying import verify as body

    return body(run, head, rerun or 0, problem, walls)


@app.command(rich_help_panel=_LOOKING)
def replay(run: Run) -> int:
    """Make every choice again from the record: no key, no network.

    Exit status 1 where one is not as recorded, as with another version of an operator.
    """
    from evolve.cli.replaying import replay_run

    return replay_run(run)


@app.command(rich_help_panel=_LOOKING)
def ui(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN ...]", help="Runs; default all under runs/.")
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="To listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(metavar="N", help="Default 8730, or any that is free.")] = None,
    allow_control: Annotated[
        bool,
        typer.Option("--allow-control", help="Let the page pause, stop and steer a run; needs the token."),
    ] = False,
) -> None:
    """The explorer: a page on this machine, live."""
    from evolve.cli.exploring import explore

    explore(runs or [], host, port, allow_control)


@app.command(rich_help_panel=_EVOLVING)
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
    trials: Annotated[int | None, typer.Option(metavar="N", help="Budget: attempts after the seed.")] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Budget: wall clock.")] = None,
    usd: Annotated[float | None, typer.Option(metavar="U", help="Budget: dollars paid to models.")] = None,
    tokens: Annotated[int | None, typer.Option(metavar="T", help="Budget: tokens of models.")] = None,
    calls: Annotated[int | None, typer.Option(metavar="C", help="Budget: calls of models.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="W", help="Processes that evaluate.")] = None,
    sandbox: Sandbox = "auto",
    runtime: Runtime = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> int:
    """Go on from any VARIANT in a new run.

    Its settings, and its budget where none is given, are those of RUN; its draws are its own.
    """
    budget = {"trials": trials, "seconds": seconds, "usd": usd, "tokens": tokens, "calls": calls}
    for name, value in (*budget.items(), ("workers", workers)):
        _above_zero(f"--{name}", value)
    walls = _walls(sandbox, trust, runtime)
    from evolve.cli.forking import fork as body

    result = body(run, variant, to, problem, budget, workers, walls, json)
    return _STOPPED_BY.get(result["stopped_by"], 0)


@app.command(rich_help_panel=_LOOKING)
def export(
    run: Run,
    format: Annotated[
        Literal["csv", "parquet", "dot"],
        typer.Option(
            metavar="FORMAT",
            help="csv or parquet: trials, duels, calls. dot: the lineage.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PATH", help="A folder; for dot a file.")
    ] = None,
) -> None:
    """Tables for a notebook, the lineage for Graphviz."""
    from evolve.cli.exporting import export as body

    body(run, format, to)


@app.command(rich_help_panel=_LOOKING)
def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN ...", help="A run, and others to compare it with.", show_default=False),
    ],
    to: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to.", show_default=False)],
    format: Annotated[
        Literal["html", "md"],
        typer.Option(
            metavar="FORMAT", help="html: one file, no network. md: for a pull request, with an SVG."
        ),
    ] = "html",
) -> None:
    """The explorer in one file, or a text to paste."""
    from evolve.cli.exploring import report as body

    body(runs, to, format)


@app.command(rich_help_panel=_PROBLEMS)
def problems() -> None:
    """The gallery of problems."""
    from evolve.cli.bringing import problems as body

    body()


@app.command(rich_help_panel=_PROBLEMS)
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)],
) -> None:
    """Make a working problem from a template."""
    from evolve.cli.bringing import init as body

    body(folder)


@app.command(rich_help_panel=_PROBLEMS)
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
    _above_zero("--seconds", seconds)
    _above_zero("--workers", workers)
    walls = _walls(sandbox, trust, runtime)
    from evolve.cli.bringing import check as body

    body(problem, seconds, workers, walls)


@app.command(rich_help_panel=_PROBLEMS)
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
    _above_zero("--runs", runs)
    _above_zero("--trials", trials)
    for each in gain or ():
        _above_zero("--gain", each)
    walls = _walls(sandbox, trust, runtime)
    from evolve.cli.calibrating import calibration as body

    body(problem, runs, trials, gain or (), json, walls)


@app.command(rich_help_panel=_PROBLEMS)
def doctor(cluster: Cluster = None) -> int:
    """What this machine, or a cluster's, can do; what to install."""
    from evolve.cli.doctor import doctor as body

    return body(cluster)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: the process's); its exit status.

    A user's mistake is one line on standard error. A defect keeps its traceback.
    """
    atexit.register(gc.freeze)  # else the end takes a tenth of a second to look for garbage once more
    try:
        status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_left():
            raise  # it was a pipe of the machinery
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        return 141  # as of a program that SIGPIPE stops
    return status


def _reader_left() -> bool:
    """Whether nobody reads standard output any more, as after `| head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))


def _dispatch(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        # Not `app()`: typer would turn a broken pipe of any part of the machinery into a silent exit.
        with command.make_context("evolve", arguments) as context:
            return command.invoke(context) or 0
    except typer.Exit as end:
        return end.exit_code
    except KeyboardInterrupt:
        return 130
    except _UsageError as error:
        return _complain(_usage(error), 2)
    except Exception as error:
        from evolve.types import BadInput, RunError  # brings numpy, which help and typos need not wait for

        if isinstance(error, BadInput):
            return _complain(str(error), 2)
        if isinstance(error, RunError):
            return _complain(str(error), 1)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # a disk, a right, a path
            return _complain(str(error), 1)
        raise


def _one_of(one: str, has_one: bool, other: str, has_other: bool) -> None:
    if has_one and has_other:
        from evolve.types import BadInput

        raise BadInput(f"{one}, {other}", "one of them", "both")


def _above_zero(option: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        _refuse(option, "a number above 0", f"{value}")


def _names(text: str | None) -> tuple[str, ...] | None:
    """Names that are joined by commas."""
    return None if text is None else tuple(filter(None, map(str.strip, text.split(","))))


def _consistent(
    to: Path | None,
    paid: Mapping[str, float | None],
    prompts: Mapping[str, str | None],
    seed: int,
    models: Sequence[str],
    operators: Sequence[str] | None,
    population: str | None,
    baseline: str | None,
) -> None:
    """Refuse what cannot be, and what would be silently ignored, before anything is made."""
    if seed < 0:
        _refuse("--seed", "a whole number from 0", f"{seed}")
    if to is not None and to.name in ("", ".."):
        _refuse("--to", "the path of a run", f"{to}")
    if operators is not None and not operators:
        _refuse("--operators", "names, joined by commas", "none")
    if baseline and population:
        _refuse(f"--baseline {baseline}", "no --population: it is one itself", population)
    for option, value in prompts.items():
        if value is not None and not models:
            _refuse(option, "a --model whose prompts it is for", "none")
    for option, limit in paid.items():
        if limit is not None and not models:
            _refuse(option, "a --model that it pays for", "none")


def _walls(sandbox: str, trust: bool, runtime: str | None) -> Walls:
    _walled(sandbox, trust, runtime)
    from evolve.types import Walls

    return Walls(sandbox, trust, runtime)


def _walled(sandbox: str, trust: bool, runtime: str | None) -> None:
    """Refuse options of the sandbox that do not go together."""
    if sandbox == "none" and not trust:
        _refuse("--sandbox none", "--i-trust-the-programs with it: they may do what you may", "it alone")
    if runtime is not None and sandbox not in ("auto", "docker"):
        _refuse("--runtime", "--sandbox docker, whose option it is", f"--sandbox {sandbox}")


def _refuse(name: str, expected: str, got: str) -> NoReturn:
    from evolve.types import BadInput  # brings numpy, which nobody who may go on waits for here

    raise BadInput(name, expected, got)


def _complain(message: str, status: int) -> int:
    """Say on one line what is wrong; it may quote a program, whose control characters are taken out."""
    line = "".join(sign if sign.isprintable() else " " for sign in message)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print("\033[31merror:\033[0m" if coloured else "error:", " ".join(line.split()), file=sys.stderr)
    return status


def _usage(error: Any) -> str:
    """A usage error of typer as one line: the command, what was wrong, the nearest right word."""
    context = error.ctx
    message = " ".join(error.format_message().split())
    # pydantic's own words for what a value should have been
    message = re.sub(r"Value error, |, unable to parse .*", "", message).replace(
        "Input should be", "expected"
    )
    wrong = getattr(error, "option_name", None)
    if wrong is not None and hasattr(error, "possibilities"):
        message = f"no such option {wrong}"
        known = [name for parameter in context.command.params for name in parameter.opts if name[:1] == "-"]
        if near := get_close_matches(wrong, known, 1, 0.5):
            message += f"; did you mean {near[0]}?"
    command = context.command_path if context else "evolve"
    return f"{command}: {message[0].lower()}{message[1:].rstrip('.')} (see {command} --help)"
