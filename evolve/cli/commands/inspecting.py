"""Look into a run: `show`, `champion`, `tree`, `log`, `diff`, `blame`, `verify`, `ui`, `report` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evolve.cli.parameters import AsJson, Run, Runtime, Sandbox, Trust
from evolve.cli.refusals import above_zero, one_of, walls_of

HEADING = "Look into a run"
commands = typer.Typer()


@commands.command(rich_help_panel=HEADING)
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs of one problem.", show_default=False)
    ],
    json: AsJson = False,
) -> None:
    """Runs side by side: promoted, confirmed, cost, and paid back when."""
    from evolve.cli.comparing import compare as body

    body(runs, json)


@commands.command(rich_help_panel=HEADING)
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


@commands.command(rich_help_panel=HEADING)
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


@commands.command(rich_help_panel=HEADING)
def champion(
    run: Run,
    leader: Annotated[bool, typer.Option("--leader", help="The best guess instead, proven or not.")] = False,
    json: AsJson = False,
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="Write its files there.")] = None,
) -> None:
    """Print the best proven program."""
    from evolve.cli.looking import champion as body

    body(run, leader=leader, as_json=json, write=write)


@commands.command(rich_help_panel=HEADING)
def tree(
    run: Run,
    all: Annotated[bool, typer.Option("--all", help="Every variant, not only what mattered.")] = False,
    around: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this variant: where it is from, what came of it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """The lineage: which mutation brought which gain."""
    one_of("--all", all, "--around", around is not None)
    from evolve.cli.tree import tree as body

    body(run, everything=all, around=around, as_json=json)


@commands.command(rich_help_panel=HEADING)
def log(run: Run, json: AsJson = False) -> None:
    """The events, one a line."""
    from evolve.cli.log import log as body

    body(run, as_json=json)


@commands.command(rich_help_panel=HEADING)
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
    one_of("--seed", seed, "--path", path)
    one_of("B", b is not None, "--seed" if seed else "--path", seed or path)
    from evolve.cli.looking import diff as body

    body(run, a, b, seed=seed, path=path, as_json=json)


@commands.command(rich_help_panel=HEADING)
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


@commands.command(rich_help_panel=HEADING)
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
    above_zero(rerun=rerun)
    walls = walls_of(sandbox, trust, runtime)
    from evolve.cli.verifying import verify as body

    return body(run, head, rerun or 0, problem, walls)


@commands.command(rich_help_panel=HEADING)
def replay(run: Run) -> int:
    """Make every choice again from the record: no key, no network.

    Exit status 1 where one is not as recorded, as with another version of an operator.
    """
    from evolve.cli.replaying import replay_run

    return replay_run(run)


@commands.command(rich_help_panel=HEADING)
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


@commands.command(rich_help_panel=HEADING)
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


@commands.command(rich_help_panel=HEADING)
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
