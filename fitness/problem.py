"""A problem: a folder that holds a seed program, a trusted evaluator, and what is claimed about gains.

`load` reads and checks it whole, so that everything after works on plain data that cannot be wrong.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from evolve.types import BadInput, Claim, Files, Limits

GALLERY = Path(__file__).resolve().parent.parent / "seeds"  # installs beside this package
NOT_OURS = ("__pycache__", "runs")  # caches, and what `evolve run .` leaves; hidden files count as neither
NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # of a problem: it names runs
Pair = tuple[float, float]


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
    margin: float  # differences up to this are not worth a promotion
    packages: tuple[str, ...]  # importable inside the sandbox and by evaluate.py, besides numpy
    editable: tuple[str, ...]  # globs over the program's paths; `*` crosses folders
    best_known: float | None  # never shown to a mutator
    entry: str  # "program.py:select"
    limits: Limits
    search_cases: int
    sealed_cases: int
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
    def harness(self) -> bytes | None:
        """Source of harness.py, if the problem has one."""
        return self.documents.get("harness.py")


def load(problem: str | Path) -> Problem:
    """Read a problem by its folder or, from any working directory, by its name in the gallery.

    Raises BadInput with one line that names what is wrong, what was expected and what was found.
    """
    folder = _locate(problem)
    documents = read_files(folder)
    for name in ("problem.toml", "statement.md", "evaluate.py"):
        if name not in documents:
            raise BadInput(f"problem {folder}", f"a file {name}", "none")
    table = _parse(folder / "problem.toml", documents["problem.toml"])
    _check(table)
    seed_files = {
        name.removeprefix("program/"): documents[name] for name in documents if name.startswith("program/")
    }
    entry_file = table.program.entry.partition(":")[0]
    if entry_file not in seed_files:
        raise BadInput("problem.toml: program.entry", "a file in program/", entry_file)
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
        packages=table.packages,
        editable=table.editable,
        best_known=table.best_known,
        entry=table.program.entry,
        limits=Limits(**table.limits.model_dump()),
        search_cases=table.cases.search,
        sealed_cases=table.cases.sealed,
        alpha=table.gate.alpha,
        duels=table.gate.duels,
        error=table.gate.error,
        n_max=table.gate.n_max,
        digest=digest(documents),
        seed_files=seed_files,
        documents={name: data for name, data in documents.items() if not name.startswith("program/")},
        statement=_text("statement.md", documents["statement.md"]),
    )


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
    """Every file below a folder by its relative posix path, in order; no caches, no hidden files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part in NOT_OURS or part.startswith(".") for part in name.parts):
            found[name.as_posix()] = path.read_bytes()
    return found


def digest(files: Files) -> str:
    """SHA-256 over paths and contents, each preceded by its length, so that no two folders share it."""
    state = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


# ------------------------------------------------------------------------------------------ problem.toml


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


# TOML has arrays only; tuples are what frozen data holds.
_DEFAULT = Limits()
_Pair: Any = Field(default=None, strict=False, min_length=2, max_length=2)


class _Program(_Table):
    entry: str
    build: str | None = None
    command: str | list[str] | None = None


class _Limits(_Table):
    seconds: float = Field(default=_DEFAULT.seconds, gt=0)
    memory_bytes: int = Field(default=_DEFAULT.memory_bytes, ge=1 << 24)
    output_bytes: int = Field(default=_DEFAULT.output_bytes, ge=1)
    calls: int = Field(default=_DEFAULT.calls, ge=0)


class _Cases(_Table):
    search: int = Field(default=1, ge=1)
    sealed: int = Field(default=0, ge=0)


class _Gate(_Table):
    alpha: float = Field(default=0.1, gt=0, lt=1)
    duels: int = Field(default=100, ge=1)
    error: Literal["family-wise", "fdr"] = "family-wise"
    n_max: int | None = Field(default=None, ge=1)


class _Problem(_Table):
    name: str
    claim: Claim
    direction: Literal["minimise", "maximise"]
    unit: str = ""
    worst: float
    range: Pair | None = _Pair
    difference_range: Pair | None = _Pair
    margin: float = Field(default=0.0, ge=0)
    packages: tuple[str, ...] = Field(default=(), strict=False)
    editable: tuple[str, ...] = Field(default=("*.py",), strict=False)
    best_known: float | None = None
    program: _Program
    limits: _Limits = _Limits()
    cases: _Cases = _Cases()
    gate: _Gate = _Gate()


def _parse(path: Path, data: bytes) -> _Problem:
    try:
        table = tomllib.loads(_text(path.name, data))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(str(path), "valid TOML", str(error)) from None
    try:
        return _Problem.model_validate(table)
    except ValidationError as error:
        # An unknown key is most often the misspelt one that is also missing: say that first.
        errors = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _bad_key(errors[0]) from None


def _bad_key(detail: ErrorDetails) -> BadInput:
    """One of pydantic's complaints as one line."""
    keys = [str(key) for key in detail["loc"]]
    where = "problem.toml: " + ".".join(keys)
    got = repr(detail["input"])[:80]
    match detail["type"]:
        case "extra_forbidden":
            return BadInput(where, _nearest(keys), "an unknown key")
        case "missing":
            return BadInput(where, "a value, it is required", "none")
        case "literal_error":
            return BadInput(where, str(detail["ctx"]["expected"]), got)
        case "tuple_type" | "too_short" | "too_long":
            return BadInput(where, "an array [low, high]" if "range" in where else "an array", got)
        case _:
            expected = detail["msg"].removeprefix("Input should be ").replace("a valid integer", "an integer")
            return BadInput(where, expected.replace("a valid ", "a "), got)


def _nearest(keys: Sequence[str]) -> str:
    model: type[BaseModel] = _Problem
    for key in keys[:-1]:
        inner = model.model_fields[key].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return one_of(keys[-1], model.model_fields)


def one_of(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """What to offer instead of an unknown name: the near ones, or all."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if near:
        return " or ".join(map(repr, near))
    return "one of " + ", ".join(sorted(known))


def _check(table: _Problem) -> None:
    """What no single key can say alone."""
    at = "problem.toml: "
    if not re.fullmatch(NAME, table.name):
        raise BadInput(at + "name", "letters, digits, _ and - (it names runs)", repr(table.name))
    if not re.fullmatch(r"[^:]+\.py:[A-Za-z_]\w*", table.program.entry):
        raise BadInput(at + "program.entry", '"file.py:function"', repr(table.program.entry))
    for key in ("build", "command"):
        if getattr(table.program, key) is not None:
            raise BadInput(
                at + f"program.{key}", "a Python program, which needs neither build nor command", key
            )
    for package in table.packages:
        if not re.fullmatch(r"[A-Za-z_]\w*", package):
            raise BadInput(at + "packages", "names as they are imported", repr(package))
    if table.range is not None:
        low, high = table.range
        if not low < high:
            raise BadInput(at + "range", "[low, high] with low < high", str([low, high]))
        if not low <= table.worst <= high:
            raise BadInput(at + "worst", f"a value inside the range [{low:g}, {high:g}]", f"{table.worst:g}")
    if table.difference_range is not None:
        low, high = table.difference_range
        if not (high > 0 and low == -high):
            raise BadInput(at + "difference_range", "[-x, x] with x > 0", str([low, high]))
    if table.claim == "cases" and table.range is None and table.difference_range is None:
        raise BadInput(
            at + "range", "range or difference_range for claim 'cases' (averages need one)", "neither"
        )
    if table.margin >= _span(table):
        raise BadInput(
            at + "margin", f"less than the greatest difference {_span(table):g}", f"{table.margin:g}"
        )
    if table.claim == "artifact":
        if (table.cases.search, table.cases.sealed) != (1, 0):
            raise BadInput(
                at + "cases", "search = 1, sealed = 0 for an artifact", str(table.cases.model_dump())
            )
    elif table.cases.sealed < 2:
        raise BadInput(at + "cases.sealed", "at least 2 cases for the final claim", str(table.cases.sealed))


def _span(table: _Problem) -> float:
    """The greatest difference between two scores that the table allows."""
    if table.difference_range is not None:
        return table.difference_range[1]
    return table.range[1] - table.range[0] if table.range is not None else math.inf


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


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(name, "UTF-8 text", f"{error.reason} at byte {error.start}") from None
