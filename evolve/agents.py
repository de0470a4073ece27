"""Agents that edit programs: of which run they came, which one is used now, on which tasks they are evolved.

The promoted ones of a user lie in a folder, a file each, with a list of who was in use;
its last line counts.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from evolve.types import Allowance, BadInput, Files, Json, Limits
from fitness.nearest import one_of
from fitness.problem import GALLERY, load
from populations.records import decode_files, encode_files
from populations.trees import tree_id

SPLITS = ("search", "gate", "check", "sealed")
SCAFFOLD = GALLERY / "scaffold"
SEED = "seed"  # names the agent that a gallery starts with
WAIVABLE = ("self-edit", "smoke task")  # checks of a new agent that a model may be too weak for


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it is sent: a program with the contract of `seeds/scaffold`."""

    id: str
    files: Files
    entry: str
    harness: bytes
    limits: Limits
    allowance: Allowance


class AgentProblem(Protocol):
    """What a problem whose programs are agents says of them."""

    @property
    def entry(self) -> str:
        """`agent.py:run`."""
        ...

    @property
    def harness(self) -> bytes | None:
        """What gives them folder and model."""
        ...

    @property
    def limits(self) -> Limits:
        """Of an errand."""
        ...

    @property
    def allowance(self) -> Allowance | None:
        """Of an errand."""
        ...


def agent_of(problem: AgentProblem, files: Files) -> Agent | None:
    """A program of this problem as an agent; None: its programs are none."""
    if problem.harness is None or problem.allowance is None or not problem.entry.endswith("agent.py:run"):
        return None
    return Agent(id_of(files), files, problem.entry, problem.harness, problem.limits, problem.allowance)


def id_of(files: Files) -> str:
    """Names an agent by its content."""
    return tree_id(files)[:12]


# ----------------------------------------------------------------------------- which of them is in use


def shelf() -> Path:
    """Where the agents of this user are: EVOLVE_AGENTS, else the user's data folder."""
    if (own := os.environ.get("EVOLVE_AGENTS")) is not None:
        return Path(own)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "evolve" / "agents"


def keep(agent: Agent, origin: Mapping[str, Json]) -> None:
    """Put an agent on the shelf and in use; `origin` says which run promoted it, on what evidence."""
    folder = shelf()
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "files": encode_files(agent.files),
        "entry": agent.entry,
        "harness": agent.harness.decode(),
        "limits": asdict(agent.limits),
        "allowance": asdict(agent.allowance),
        "origin": dict(origin),
    }
    draft = folder / f"{agent.id}.draft"
    draft.write_text(json.dumps(record, indent=1))
    draft.rename(folder / f"{agent.id}.json")
    if used() != agent.id:
        use(agent.id)


def use(id: str) -> None:
    """Put an agent that is on the shelf, or the seed, in use. Raises BadInput for another one."""
    if id != SEED and not (shelf() / f"{id}.json").is_file():
        raise BadInput("agent", one_of(id, [SEED, *shelved()]), repr(id))
    shelf().mkdir(parents=True, exist_ok=True)
    with (shelf() / "used.jsonl").open("a") as file:
        file.write(json.dumps({"id": id, "at": round(time.time())}) + "\n")


def revert() -> str:
    """Put back in use whoever was before; its id."""
    ids = _uses()
    before = [id for id in ids if id != ids[-1]] if ids else []
    use(before[-1] if before else SEED)
    return used()


def used() -> str:
    """Id of the agent in use; the seed where none was promoted."""
    ids = _uses()
    return ids[-1] if ids else SEED


def shelved() -> list[str]:
    """Ids of all agents on the shelf."""
    return sorted(path.stem for path in shelf().glob("*.json"))


def origin_of(id: str) -> Mapping[str, Json]:
    """Which run an agent is of."""
    if id == SEED:
        return {}
    origin: Mapping[str, Json] = json.loads((shelf() / f"{id}.json").read_text())["origin"]
    return origin


def fetch(id: str) -> Agent:
    """An agent on the shelf, or the gallery's seed. Raises BadInput where it is not there."""
    if id == SEED:
        problem = load(SCAFFOLD)
        agent = agent_of(problem, problem.seed_files)
        assert agent is not None
        return replace(agent, id=SEED)
    path = shelf() / f"{id}.json"
    if not path.is_file():
        raise BadInput("operator scaffold", one_of(id, [SEED, *shelved()]), repr(id))
    record = json.loads(path.read_text())
    allowance = {**record["allowance"], "models": tuple(record["allowance"]["models"])}
    return Agent(
        id,
        decode_files(record["files"]),
        record["entry"],
        record["harness"].encode(),
        Limits(**record["limits"]),
        Allowance(**allowance),
    )


def _uses() -> list[str]:
    path = shelf() / "used.jsonl"
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.is_file() else []


# ---------------------------------------------------------------------------- on what they are evolved


def known_tasks() -> list[str]:
    """Names of the task sets that come with the gallery."""
    found = (path.stem for path in (SCAFFOLD / "tasks").glob("*.py"))
    return sorted(name for name in found if not name.endswith("manifest"))


def assemble(
    into: Path,
    tasks: str | None = None,
    agent: Path | None = None,
    utility: bool = False,
    without: Sequence[str] = (),
) -> Path:
    """Write the problem to a new folder.

    `tasks`: a set of the gallery for all splits, or a Python file with `task`, `papers` and `solved`.
    `agent`: a folder that holds agent.py with `run(goal, workspace, model)`. `utility`: score as SICA does.
    `without`: checks that no agent has to pass. Raises BadInput where they are not there.
    """
    shutil.copytree(SCAFFOLD, into, ignore=shutil.ignore_patterns("__pycache__"))
    if tasks is not None:
        name = tasks
        if tasks.endswith(".py"):
            own = Path(tasks)
            if not own.is_file():
                raise BadInput("--tasks", "a Python file", f"nothing at {tasks}")
            name = f"own_{own.stem}"
            shutil.copy(own, into / "tasks" / f"{name}.py")
        elif tasks not in known_tasks():
            raise BadInput("--tasks", f"a file.py or {one_of(tasks, known_tasks())}", repr(tasks))
        splits = "".join(f'{split} = "{name}"\n' for split in SPLITS)
        (into / "tasks.toml").write_text(f"[splits]\n{splits}")
    if utility:
        with (into / "tasks.toml").open("a") as file:
            file.write("\n[utility]\ncalls = 12\nseconds = 60\n")
    if without:
        unknown = next((name for name in without if name not in WAIVABLE), None)
        if unknown is not None:
            raise BadInput("--without-check", one_of(unknown, WAIVABLE), repr(unknown))
        with (into / "tasks.toml").open("a") as file:
            file.write(f"\n[checks]\nwithout = {json.dumps(sorted(set(without)))}\n")
    if agent is not None:
        if not (agent / "agent.py").is_file():
            raise BadInput("--agent", "a folder with agent.py", str(agent))
        selftest = (into / "program" / "selftest.py").read_bytes()
        shutil.rmtree(into / "program")
        shutil.copytree(agent, into / "program", ignore=shutil.ignore_patterns("__pycache__", ".*"))
        if not (into / "program" / "selftest.py").exists():
            (into / "program" / "selftest.py").write_bytes(selftest)
    return into
