"""What is asked of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evolve.types import ANY_WALLS, Walls


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line, or a caller, asks of a run. None: the default, or no limit."""

    problem: str  # folder, or name in the gallery
    to: Path | None = None  # the run's repository; runs/PROBLEM-SEED.git
    trials: int | None = None
    seconds: float | None = None
    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    workers: int | None = None  # one a core
    seed: int = 0
    models: tuple[str, ...] = ()  # NAME,key=value,... with the names of LiteLLM
    monitor: str | None = None  # a model, named likewise, that may veto what agents make
    operators: tuple[str, ...] | None = None
    population: str | None = None
    walls: Walls = ANY_WALLS
    baseline: str | None = None
    memory: tuple[str, ...] | None = None  # parts of `evolve.memory.KINDS`; None: those that cost no call
    lessons_from: str | None = None  # a run whose lessons a new one begins with
    fork: bool = False
    exchange: str | None = None  # git URL of a bare repository where runs show each other their elites
    metrics: int | None = None  # port on the loopback where Prometheus finds them
    cluster: str | None = None  # of Ray: "auto", or HOST:PORT of its head; None: this machine's processes
    origin: tuple[Path, str] | None = None  # a run, and its variant that this new one starts with
