"""What runs on a node: a station of workers, and what a node can say of itself. Knows nothing of Ray.

Everything crosses as bytes of JSON, and of answers only what the trusted side has scored: nothing that comes
from inside a sandbox is ever unpickled, on no machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock, Semaphore

from evolve.executor import cores
from evolve.types import BadInput, Evaluation, EvaluatorError, EvolveError, Json, SandboxUnavailable, Walls
from fitness import problem as problems
from fitness import wire
from fitness.problem import Problem
from fitness.process import Zygote
from fitness.worker import Asked, Worker
from sandbox import chosen, probe

OURS = Path(__file__).resolve().parents[2]


class Station:
    """A pool of workers, one a seat. Several threads call it, each seat one at a time.

    `asks`: programs may ask models; what they ask goes to the driver, which has the keys, and comes back.
    """

    def __init__(self, problem: bytes, walls: bytes, asks: bool, seats: int) -> None:
        self._problem = _settled(wire.unpack_problem(json.loads(problem)))
        self._walls = Walls(**json.loads(walls))
        own = cores() if self._problem.resource is not None else []
        self._cores = [own[seat % len(own)] if own else None for seat in range(seats)]
        self._workers: dict[int, Worker] = {}
        self._zygote = Zygote(self._walls.kind)
        self._starting = Semaphore(2 * (os.cpu_count() or 1))  # more at once, and each takes too long
        self._lock = Lock()
        self._asks = asks
        self._steps: dict[int, Generator[Asked, Json, Evaluation]] = {}  # of the jobs under way, by seat
        self._evaluations = self._failures = 0

    def level(self, seat: int) -> bytes:
        """The sandbox's level, once the seat's worker is ready."""
        with self._starting:
            return self._told(lambda: {"level": self._worker(seat).level})

    def evaluate(self, seat: int, job: bytes) -> bytes:
        """A job in; out comes an evaluation, an error of the machinery, or what one of its programs asks."""
        return self._told(
            lambda: self._step(seat, self._worker(seat).steps(wire.unpack_job(json.loads(job))), None)
        )

    def answer(self, seat: int, told: bytes) -> bytes:
        """The answer to what a program asked in; out comes the same as of `evaluate`."""
        return self._told(lambda: self._step(seat, self._steps[seat], json.loads(told)))

    def interrupt(self, seat: int) -> None:
        """Give up what a seat does; the next job runs as ever."""
        self._steps.pop(seat, None)
        if seat in self._workers:
            self._workers[seat].interrupt()

    def beat(self) -> dict[str, float]:
        """A sign of life, and how the node is."""
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with self._lock:
            return {
                "busy": len(self._steps),
                "evaluations": self._evaluations,
                "failures": self._failures,
                "load": os.getloadavg()[0],
                "free_bytes": free,
            }

    def close(self) -> None:
        """End all workers."""
        self._zygote.close()
        for worker in list(self._workers.values()):
            worker.close()

    def _worker(self, seat: int) -> Worker:
        if seat not in self._workers:
            self._workers[seat] = Worker(
                self._problem,
                self._walls,
                core=self._cores[seat],
                zygote=self._zygote,
                asks=self._asks,
                settled=True,  # decision 021
            )
        return self._workers[seat]

    def _step(self, seat: int, steps: Generator[Asked, Json, Evaluation], told: Json) -> Json:
        """Go on with a job to its end, or to what a program asks."""
        self._steps[seat], asked = steps, None
        try:
            asked = steps.send(told)
        except StopIteration as end:
            return wire.pack_evaluation(end.value)
        finally:
            with self._lock:
                if asked is None:
                    self._steps.pop(seat, None)
                    self._evaluations += 1
        return {"ask": asked}

    def _told(self, act: Callable[[], Json]) -> bytes:
        try:
            return json.dumps(act(), allow_nan=False).encode()
        except EvolveError as error:
            with self._lock:
                self._failures += 1
            crosses = isinstance(error, BadInput | EvaluatorError | SandboxUnavailable)
            told = error if crosses else EvaluatorError(str(error))
            return json.dumps(wire.pack_error(told)).encode()


def _settled(problem: Problem) -> Problem:
    """A problem with a folder here, named by its content: evaluate.py finds the files that lie beside it."""
    program = {f"program/{name}": data for name, data in problem.seed_files.items()}
    files = {**problem.documents, **program}
    if problems.digest(files) != problem.digest:
        raise BadInput("problem", "the files that its digest names", "others")
    home = Path(tempfile.gettempdir()) / f"evolve-problems-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid() or home.is_symlink():
        raise BadInput(str(home), "a folder of this user's", "another's")
    folder = home / problem.digest
    if not folder.exists() or problems.digest(problems.read_files(folder)) != problem.digest:
        shutil.rmtree(folder, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=home))
        for name, data in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(data)
        with suppress(OSError):  # another station was first
            draft.rename(folder)
        shutil.rmtree(draft, ignore_errors=True)
    return replace(problem, folder=folder)


# --------------------------------------------------------------------------------------- what a node is


def versions() -> dict[str, str]:
    """What driver and nodes must have in common: the same sources, on a Python and a numpy that agree."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "sources": sources()}
    for name in ("evolve-code", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def sources() -> str:
    """Digest of the code that evaluates."""
    state = hashlib.sha256()
    paths = [OURS / "evolve/types.py", OURS / "evolve/executor.py"]
    for package in ("fitness", "sandbox", "evolve/cluster"):
        paths += sorted((OURS / package).rglob("*.py"))
    for path in paths:
        state.update(str(path.relative_to(OURS)).encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()[:12]


def examine() -> Json:
    """What `doctor` wants to know of a node."""
    levels = probe()
    return {
        **hello(),
        "auto": chosen(levels),
        "levels": {
            level.name: "" if level.works else "; ".join(filter(None, (level.why, level.fix)))
            for level in levels
        },
        "image": next((str(level.facts["image"]) for level in levels if "image" in level.facts), None),
    }


def hello() -> Json:
    """Versions, physical cores, and the time here."""
    return {"versions": versions(), "cores": len(cores()), "at": time.time()}
