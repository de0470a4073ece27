"""Arguments and options that several commands take, and all of `evolve run`: each is declared here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

# ------------------------------------------------------------------------------------- what is looked at

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
EndAsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]

# ------------------------------------------------------------------------------------------------ budgets

Trials = Annotated[int | None, typer.Option(metavar="N", help="Budget: attempts after the seed.")]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="Budget: wall clock.")]
Usd = Annotated[float | None, typer.Option(metavar="U", help="Budget: dollars paid to language models.")]
Tokens = Annotated[
    int | None, typer.Option(metavar="T", help="Budget: tokens of language models, prompts and replies.")
]
Calls = Annotated[int | None, typer.Option(metavar="C", help="Budget: calls of language models.")]

# ----------------------------------------------------------------------------------------- where programs run

Workers = Annotated[
    int | None, typer.Option(metavar="W", help="Processes that evaluate; default one a core.")
]
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
Trust = Annotated[
    bool, typer.Option("--i-trust-the-programs", help="Allow --sandbox none: programs may do what you may.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Of a Ray cluster: HOST:PORT of its head, or auto (docs/cluster.md)."
    ),
]

# ---------------------------------------------------------------------------------------------- the search

To = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Where the run is kept; default runs/PROBLEM-SEED.")
]
Fork = Annotated[bool, typer.Option("--fork", help="Start anew where the old run cannot go on.")]
Seed = Annotated[int, typer.Option(metavar="K", help="Of every random choice.")]
Operators = Annotated[str | None, typer.Option(metavar="A,B", help="Names, joined by commas.")]
Population = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who breeds: elite; pareto, the default where constraints are declared; islands; families;"
        " or a dotted path. A problem may name its own.",
    ),
]
Baseline = Annotated[
    Literal["best-of-n", "random", "hill-climb"] | None,
    typer.Option(metavar="NAME", help="best-of-n, random or hill-climb: a simple search, to compare with."),
]
Exchange = Annotated[
    str | None,
    typer.Option(metavar="GIT_URL", help="A bare repository where runs show each other their best."),
]
Metrics = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Serve metrics there, on the loopback, for Prometheus."),
]

# ----------------------------------------------------------------------------------------- language models

Models = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A language model: LiteLLM's name or gguf:FILE; repeatable. NAME,usd=1 sets its own.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="What prompts carry: inspirations, ancestors, pairs, critiques, lessons; all or none.",
    ),
]
LessonsFrom = Annotated[
    str | None, typer.Option(metavar="RUN", help="Begin with what that run learned (--memory lessons).")
]
