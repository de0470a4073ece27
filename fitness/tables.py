"""problem.toml as pydantic models: what may stand in it, and one line for whatever may not."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from evolve.types import Allowance, BadInput, Build, Claim, Limits, Resources
from fitness.nearest import one_of
from fitness.presets import PresetName
from fitness.problem import Resource
from fitness.statistics import FACTOR

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"  # of a problem: it names runs
Pair = tuple[float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


# TOML has arrays only; tuples are what frozen data holds.
_DEFAULT, _DEFAULT_BUILD, _DEFAULT_RESOURCES = Limits(), Build(()), Resources()
_DEFAULT_ASKED = Allowance()
_Pair: Any = Field(default=None, strict=False, min_length=2, max_length=2)
_Command: Any = Field(default=(), strict=False, min_length=1)


class _Program(_Strict):
    entry: str = ""
    build: tuple[str, ...] = _Command
    command: tuple[str, ...] = _Command
    image: str | None = None
    processes: bool = False


class _Limits(_Strict):
    seconds: float = Field(default=_DEFAULT.seconds, gt=0)
    memory_bytes: int = Field(default=_DEFAULT.memory_bytes, ge=1 << 24)
    output_bytes: int = Field(default=_DEFAULT.output_bytes, ge=1)
    calls: int = Field(default=_DEFAULT.calls, ge=0)
    build_seconds: float = Field(default=_DEFAULT_BUILD.seconds, gt=0)
    build_memory_bytes: int = Field(default=_DEFAULT_BUILD.memory_bytes, ge=1 << 24)


class _Resources(_Strict):
    cpus: float = Field(default=_DEFAULT_RESOURCES.cpus, gt=0)
    gpus: float = Field(default=_DEFAULT_RESOURCES.gpus, ge=0)
    memory_bytes: int = Field(default=_DEFAULT_RESOURCES.memory_bytes, ge=0)
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class _Models(_Strict):
    calls: int = Field(default=_DEFAULT_ASKED.calls, ge=1)
    tokens: int = Field(default=_DEFAULT_ASKED.tokens, ge=1)
    usd: float | None = Field(default=_DEFAULT_ASKED.usd, gt=0)
    seconds: float = Field(default=_DEFAULT_ASKED.seconds, gt=0)
    models: tuple[str, ...] = Field(default=_DEFAULT_ASKED.models, strict=False, min_length=1)


class _Exam(_Strict):
    cases: int = Field(default=20, ge=1)
    seconds: float = Field(default=_DEFAULT.seconds, gt=0)
    memory_bytes: int = Field(default=_DEFAULT.memory_bytes, ge=1 << 24)
    output_bytes: int = Field(default=_DEFAULT.output_bytes, ge=1)


class _Cases(_Strict):
    search: int = Field(default=1, ge=1)
    sealed: int = Field(default=0, ge=0)


class _Gate(_Strict):
    preset: PresetName = "standard"
    alpha: float | None = Field(default=None, gt=0, lt=1)
    duels: int | None = Field(default=None, ge=1)
    error: Literal["family-wise", "fdr"] = "family-wise"
    n_max: int | None = Field(default=None, ge=1)


class _Constraint(_Strict):
    metric: str
    direction: Literal["minimise", "maximise"]
    worst: float
    difference_range: Pair = Field(strict=False, min_length=2, max_length=2)
    margin: float = Field(gt=0)


class Table(_Strict):
    """The whole file; keys as in docs/problems.md."""

    name: str
    claim: Claim
    direction: Literal["minimise", "maximise"]
    unit: str = ""
    worst: float
    range: Pair | None = _Pair
    difference_range: Pair | None = _Pair
    margin: float = Field(default=0.0, ge=0)
    resource: Resource | None = None
    population: Literal["elite", "pareto", "islands", "families"] | None = None
    packages: tuple[str, ...] = Field(default=(), strict=False)
    editable: tuple[str, ...] = Field(default=("*.py",), strict=False)
    best_known: float | None = None
    program: _Program
    limits: _Limits = _Limits()
    resources: _Resources = _Resources()
    constraints: tuple[_Constraint, ...] = Field(default=(), strict=False)
    cases: _Cases = _Cases()
    gate: _Gate = _Gate()
    models: _Models | None = None
    exam: _Exam | None = None


def parse(text: str) -> Table:
    """The tables of a problem.toml, checked. Raises BadInput."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput("problem.toml", "valid TOML", str(error)) from None
    try:
        table = Table.model_validate(found)
    except ValidationError as error:
        # An unknown key is most often the misspelt one that is also missing: say that first.
        errors = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _bad_key(errors[0]) from None
    _check(table)
    return table


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
            if keys[-1] in ("build", "command"):
                return BadInput(where, 'an array of words: ["./solver"]', got)
            return BadInput(where, "an array [low, high]" if "range" in where else "an array", got)
        case _:
            expected = detail["msg"].removeprefix("Input should be ").replace("a valid integer", "an integer")
            return BadInput(where, expected.replace("a valid ", "a "), got)


def _nearest(keys: Sequence[str]) -> str:
    model: type[BaseModel] = Table
    for key in keys[:-1]:
        if key.isdigit():  # one of several tables
            continue
        inner = model.model_fields[key].annotation
        inner = get_args(inner)[0] if get_origin(inner) in (tuple, UnionType) else inner
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return one_of(keys[-1], model.model_fields)


def _check(table: Table) -> None:
    """What no single key can say alone."""
    at = "problem.toml: "
    if not re.fullmatch(NAME, table.name):
        raise BadInput(at + "name", "letters, digits, _ and - (it names runs)", repr(table.name))
    _check_program(table)
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
        _check_symmetric(at + "difference_range", table.difference_range)
    for n, each in enumerate(table.constraints):
        where = f"{at}constraints.{n}."
        _check_symmetric(where + "difference_range", each.difference_range)
        if each.margin >= each.difference_range[1]:
            expected = f"less than the greatest difference {each.difference_range[1]:g}"
            raise BadInput(where + "margin", expected, f"{each.margin:g}")
        if each.metric in {other.metric for other in table.constraints[:n]}:
            raise BadInput(where + "metric", "each metric once", repr(each.metric))
    if table.constraints and table.claim == "artifact":
        raise BadInput(at + "claim", "cases or tasks, where there are constraints", "artifact")
    bounded = table.range is not None or table.difference_range is not None or table.resource is not None
    if table.claim == "cases" and not bounded:
        raise BadInput(
            at + "range", "range or difference_range for claim 'cases' (averages need one)", "neither"
        )
    if table.resource is not None:
        _check_resource(table)
    _check_stages(table)
    if _margin(table) >= _span(table):
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


def _check_symmetric(where: str, pair: Pair) -> None:
    low, high = pair
    if not (high > 0 and low == -high):
        raise BadInput(where, "[-x, x] with x > 0", str([low, high]))


def _check_program(table: Table) -> None:
    """A function of Python, or a command of any language."""
    at, program = "problem.toml: program.", table.program
    if not program.command:
        if program.build:
            raise BadInput(at + "command", 'what is run after the build: ["./solver"]', "none")
        if not program.entry:
            raise BadInput(at + "entry", "a value, it is required where there is no command", "none")
        if not re.fullmatch(r"[^:]+\.py:[A-Za-z_]\w*", program.entry):
            raise BadInput(at + "entry", '"file.py:function"', repr(program.entry))
        return
    if program.entry:
        raise BadInput(at + "entry", "an entry for Python or a command for any language", "both")
    if program.processes:
        raise BadInput(at + "processes", "nothing beside a command, which may start processes", "true")
    for key in ("build", "command"):
        if not all(word and "\0" not in word for word in getattr(program, key)):
            raise BadInput(at + key, "words that are not empty", str(list(getattr(program, key))))
    if table.limits.calls:
        expected = "0 beside program.command: only a Python harness can make calls"
        raise BadInput("problem.toml: limits.calls", expected, str(table.limits.calls))


def _check_stages(table: Table) -> None:
    """Models and exams belong to Python programs whose use of resources is not scored."""
    for key in ("models", "exam"):
        if getattr(table, key) is None:
            continue
        if table.program.command:
            raise BadInput(f"problem.toml: {key}", "none beside program.command", "a table")
        if table.resource is not None:
            raise BadInput(f"problem.toml: {key}", "none where a resource is scored", "a table")


def _check_resource(table: Table) -> None:
    """Ratios need positive scores, and draws: what a run takes is no exact answer."""
    at = "problem.toml: "
    if table.claim == "artifact":
        raise BadInput(at + "claim", "cases or tasks, where a resource is scored", "artifact")
    if table.resource == "cpu" and (table.program.command or table.program.processes):
        expected = (
            "wall, where programs may start processes: nobody can count what a process leaves to others"
        )
        raise BadInput(at + "resource", expected, "cpu")
    if table.worst <= 0:
        raise BadInput(at + "worst", "a number above 0, where a resource is scored", f"{table.worst:g}")
    if table.range is not None and table.range[0] < 0:
        raise BadInput(at + "range", "[low, high] from 0, where a resource is scored", str(list(table.range)))


def _margin(table: Table) -> float:
    """In the unit of paired differences."""
    return table.margin if table.resource is None else math.log1p(table.margin / 100)


def _span(table: Table) -> float:
    """The greatest difference between two scores that the table allows."""
    if table.difference_range is not None:
        return table.difference_range[1]
    if table.resource is not None:
        return FACTOR
    return table.range[1] - table.range[0] if table.range is not None else math.inf
