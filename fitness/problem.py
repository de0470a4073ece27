"""A problem: a folder that holds a seed program, a trusted evaluator, and what is claimed about gains.

`load` reads and checks it whole, so that everything after works on plain data that cannot be wrong.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evolve.types import Allowance, BadInput, Build, Claim, Files, Limits, Program, Resources
from fitness.constraints import Constraint
from fitness.nearest import one_of
from fitness.presets import PRESETS, PresetName

if TYPE_CHECKING:
    from fitness.tables import Table

GALLERY = Path(__file__).resolve().parent.parent / "seeds"  # installs beside this package
REFUSALS = 32  # calls of a case that may be refused in band before they end it
Pair = tuple[float, float]
Resource = Literal["cpu", "wall", "memory"]


@dataclass(frozen=True, slots=True)
class Exam:
    """How what a program has made is run in turn, to be judged: a sandbox job of its own."""

    limits: Limits  # of one of its cases
    cases: int  # at the most


@dataclass(frozen=True, slots=True)
class Problem:
    """What `load` found, checked. Scores, ranges, margin and worst are raw: in `unit` and `direction`."""

    name: str
    folder: Path
    claim: Claim
    direction: Literal["minimise", "maximise"]
    unit: str
    worst: float  # the score of a failing case
    range: Pair | None  # a score outside is a failure
    difference_range: Pair | None  # [-x, x] in which a promotion's mean difference is claimed
    margin: float  # differences up to this are not worth a promotion; in per cent where a resource is scored
    resource: Resource | None  # what `score` is told that a run used, in seconds or bytes; ratios are claimed
    population: str | None  # who breeds, unless a run says otherwise; None: what fits its claim
    packages: tuple[str, ...]  # importable inside the sandbox and by evaluate.py, besides numpy
    editable: tuple[str, ...]  # globs over the program's paths; `*` crosses folders
    best_known: float | None  # never shown to a mutator
    entry: str  # "program.py:select"; empty where there is a command
    command: tuple[str, ...]  # reads the case on stdin, writes the answer on stdout; empty: Python's entry
    build: tuple[str, ...]  # run before, once a program; empty: nothing is to be built
    build_seconds: float
    build_memory_bytes: int
    image: str | None  # of the container; None: the project's own
    processes: bool  # a Python program may start processes
    limits: Limits
    resources: Resources  # of a worker, on a cluster
    allowance: Allowance | None  # what it may ask of language models; None: nothing
    exam: Exam | None  # None: answers are judged as they are
    constraints: tuple[Constraint, ...]  # what a better program must not lose
    search_cases: int
    sealed_cases: int
    preset: PresetName  # what alpha and duels follow from unless they are given, and n_max where it is None
    alpha: float
    duels: int
    error: Literal["family-wise", "fdr"]
    n_max: int | None  # pairs a duel may take; None: chosen by what a case costs
    digest: str  # SHA-256 over all paths and contents
    seed_files: Files  # program/, paths relative to it
    documents: Files  # everything outside program/
    statement: str  # what a mutator may read

    @property
    def sign(self) -> int:
        """What a raw score is multiplied with so that greater is better."""
        return 1 if self.direction == "maximise" else -1

    @property
    def may_repeat(self) -> bool:
        """Whether equal scores of a few runs show that a program scores the same on a case whenever it runs.

        Times vary, and so does what a model says: that tasks fail alike, as most do, would show nothing.
        """
        return self.resource is None and self.allowance is None

    @property
    def harness(self) -> bytes | None:
        """Source of harness.py, if the problem has one."""
        return self.documents.get("harness.py")

    def program(self, files: Files) -> Program:
        """These files as what a sandbox runs."""
        build = Build(self.build, self.build_seconds, self.build_memory_bytes) if self.build else None
        return Program(files, self.entry, self.harness, self.command, build)


def load(problem: str | Path) -> Problem:
    """Read a problem by its folder or, from any working directory, by its name in the gallery.

    Raises BadInput with one line that names what is wrong, what was expected and what was found.
    """
    folder = _locate(problem)
    for name in ("problem.toml", "statement.md", "evaluate.py"):  # before a whole home folder is read
        if not (folder / name).is_file():
            raise BadInput(f"problem {folder}", f"a file {name}", "none")
    documents = read_files(folder)
    # late: pydantic takes 0.1 s to import, and evaluator processes, which are handed a Problem, do without
    from fitness import tables

    table = tables.parse(text("problem.toml", documents["problem.toml"]))
    seed_files = {
        name.removeprefix("program/"): documents[name] for name in documents if name.startswith("program/")
    }
    entry_file = table.program.entry.partition(":")[0]
    if entry_file and entry_file not in seed_files:
        raise BadInput("problem.toml: program.entry", "a file in program/", entry_file)
    if table.program.command and "harness.py" in documents:
        raise BadInput("harness.py", "none beside program.command, which no harness can call", "a file")
    if not any(fnmatchcase(path, glob) for path in seed_files for glob in table.editable):
        raise BadInput(
            "problem.toml: editable", "globs that match a file in program/", str(list(table.editable))
        )
    return Problem(
        name=table.name,
        folder=folder,
        claim=table.claim,
        direction=table.direction,
        unit=table.unit,
        worst=table.worst,
        range=table.range,
        difference_range=table.difference_range,
        margin=table.margin,
        resource=table.resource,
        population=table.population,
        packages=table.packages,
        editable=table.editable,
        best_known=table.best_known,
        entry=table.program.entry,
        command=table.program.command,
        build=table.program.build,
        build_seconds=table.limits.build_seconds,
        build_memory_bytes=table.limits.build_memory_bytes,
        image=table.program.image,
        processes=table.program.processes,
        limits=_limits(table),
        resources=Resources(**table.resources.model_dump()),
        allowance=Allowance(**table.models.model_dump()) if table.models else None,
        exam=_exam(table),
        constraints=tuple(
            Constraint(
                each.metric,
                1 if each.direction == "maximise" else -1,
                each.worst,
                each.difference_range[1],
                each.margin,
            )
            for each in table.constraints
        ),
        search_cases=table.cases.search,
        sealed_cases=table.cases.sealed,
        preset=table.gate.preset,
        alpha=table.gate.alpha or PRESETS[table.gate.preset].alpha,
        duels=table.gate.duels or PRESETS[table.gate.preset].duels,
        error=table.gate.error,
        n_max=table.gate.n_max,
        digest=digest(documents),
        seed_files=seed_files,
        documents={name: data for name, data in documents.items() if not name.startswith("program/")},
        statement=text("statement.md", documents["statement.md"]),
    )


def _limits(table: Table) -> Limits:
    """Of a case; where models may be asked, these calls come on top."""
    limits = Limits(**table.limits.model_dump(exclude={"build_seconds", "build_memory_bytes"}))
    if table.models is None:
        return limits
    calls = limits.calls + table.models.calls + REFUSALS
    return replace(limits, calls=calls, waiting_seconds=table.models.seconds)


def _exam(table: Table) -> Exam | None:
    if table.exam is None:
        return None
    return Exam(Limits(**table.exam.model_dump(exclude={"cases"})), table.exam.cases)


def gallery() -> list[tuple[str, str, Path]]:
    """The problems that install with the package: (name, first line of its README's text, folder)."""
    found = []
    for toml in sorted(GALLERY.glob("*/problem.toml")):
        readme = toml.with_name("README.md")
        lines = readme.read_text().splitlines() if readme.exists() else []
        summary = next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")
        found.append((toml.parent.name, summary, toml.parent))
    return found


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative posix path, in order; not caches, hidden files, runs/."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        ours = not any(part == "__pycache__" or part.startswith(".") for part in parts)
        if ours and parts[0] != "runs" and path.is_file():  # `evolve run .` leaves its runs there
            name = "/".join(parts)
            if not name.isprintable():  # bytes that are no UTF-8 show as such signs as well
                raise BadInput(f"problem {folder}", "file names of printable signs", ascii(name))
            found[name] = path.read_bytes()
    return found


def digest(files: Files) -> str:
    """SHA-256 over paths and contents, each preceded by its length, so that no two folders share it."""
    state = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


def text(name: str, data: bytes) -> str:
    """A file's text. Raises BadInput where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(name, "UTF-8 text", f"{error.reason} at byte {error.start}") from None


def _locate(problem: str | Path) -> Path:
    folder = Path(problem).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.exists():
        raise BadInput(f"problem {problem}", "a folder", "a file")
    if "/" in str(problem):
        raise BadInput(f"problem {problem}", "a folder", "nothing there")
    names = [name for name, _, _ in gallery()]
    if str(problem) not in names:
        raise BadInput(f"problem {problem}", f"a folder or {one_of(str(problem), names)}", "an unknown name")
    return GALLERY / problem
