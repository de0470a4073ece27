"""`evolve self`: a run of the gallery's problem `scaffold`, whose champion is put in use for other runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.text import Text

from evolve import agents
from evolve.cli.running import run_and_show
from evolve.cli.runs import find
from evolve.cli.screen import screen, status
from evolve.operators import AGENT
from evolve.run import RunOptions
from evolve.types import BadInput
from fitness.problem import load
from populations.ledger import GitLedger

ARMS: dict[str, tuple[str, ...]] = {  # the controls, and who makes their children
    "frozen-improver": (f"{AGENT}{agents.SEED}",),
    "random-edits": ("syntax", "tune"),
    "best-of-n": ("scaffold",),
    "clones": ("clone",),
}


def evolve_self(
    options: RunOptions,
    arms: Sequence[str],
    tasks: str | None,
    agent: Path | None,
    utility: bool,
    without: Sequence[str],
    *,
    as_json: bool,
) -> dict[str, Any]:
    """Run, show, put in use what was promoted; return what came out. Raises BadInput for two arms at once."""
    if len(arms) > 1:
        raise BadInput("evolve self", "one control at a time", " and ".join(f"--{arm}" for arm in arms))
    arm = arms[0] if arms else None
    command = ["evolve", "self", *(f"--{each}" for each in arms), *(["--utility"] if utility else [])]
    for option, value in (("--tasks", tasks), ("--agent", agent), ("--monitor", options.monitor)):
        command += [option, str(value)] if value is not None else []
    for name in without:
        command += ["--without-check", name]
    if arm is not None:
        name = "-".join(["scaffold", *([Path(tasks).stem] if tasks else []), arm, str(options.seed)])
        options = replace(options, operators=ARMS[arm], to=options.to or Path("runs") / name)
        if arm == "best-of-n":
            options = replace(options, baseline=arm)
    with tempfile.TemporaryDirectory(prefix="evolve-self-") as folder:
        place = agents.assemble(Path(folder) / "scaffold", tasks, agent, utility, without)
        try:
            result = run_and_show(replace(options, problem=str(place)), as_json=as_json, command=command)
        except BadInput as error:
            raise _with_way_out(error) from None
        if arm is None and not utility and result["champion"]["gain"] is not None:
            _keep(result, place, without)
    return result


def _with_way_out(error: BadInput) -> BadInput:
    """Where the seed does not pass a check that a model may be too weak for, name the option."""
    for name in agents.WAIVABLE:
        if f"check {name}: " in error.got:
            got = f"{error.got} (where the model is too weak for it: --without-check '{name}')"
            return BadInput(error.where, error.expected, got)
    return error


def _keep(result: dict[str, Any], place: Path, without: Sequence[str]) -> None:
    """Put the champion in use, if it was checked and the sealed draws do not speak against it."""
    champion, console = result["champion"], status()
    if without:
        console.print(f"It is not put in use: nobody has seen it pass {' and '.join(sorted(set(without)))}.")
        return
    if champion["gain_interval"] is not None and champion["gain_interval"][1] < 0:
        console.print("The sealed draws speak against it: it is not put in use.")
        return
    with GitLedger.read(find(result["run"])) as ledger:
        files = ledger.variant(champion["id"]).files
    agent = agents.agent_of(load(place), files)
    assert agent is not None
    known = agent.id in agents.shelved()
    agents.keep(agent, {key: result[key] for key in ("run", "head", "seed_score", "champion")})
    if not known:
        line = f"In use for --operators scaffold: {agent.id} (back: evolve agents --revert)"
        console.print(line, soft_wrap=True)


def show_agents(use: str | None, revert: bool, as_json: bool) -> None:
    """List the shelf; change who is in use before, where that is asked for."""
    if use is not None and revert:
        raise BadInput("evolve agents", "--use or --revert", "both")
    if use is not None:
        agents.use(use)
    if revert:
        agents.revert()
    used, out = agents.used(), screen()
    rows = [{"id": id, "used": id == used, **agents.origin_of(id)} for id in (agents.SEED, *agents.shelved())]
    if as_json:
        out.lines([json.dumps(row) for row in rows])
        return
    for row in rows:
        champion = row.get("champion")
        said = "the gallery's" if champion is None else f"{champion['id']} of {row['run']}"
        if champion is not None and champion.get("interval"):
            low, high = champion["interval"]
            said += f", solved {champion['confirmed']:.3f} [{low:.3f}, {high:.3f}] on sealed draws"
        out.print(Text(f"{'*' if row['used'] else ' '} {row['id']}  {said}"), soft_wrap=True)
