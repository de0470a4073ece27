"""What is refused before anything is made: options that cannot be, or that would be silently ignored.

`evolve.types` is imported late: it brings numpy, which nobody who may go on waits for here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from evolve.types import Walls


def above_zero(**options: float | None) -> None:
    """Refuse options, by name, that are given and no finite number above 0."""
    for name, value in options.items():
        if value is not None and not 0 < value < float("inf"):
            _refuse(f"--{name}", "a number above 0", f"{value}")


def one_of(one: str, has_one: bool, other: str, has_other: bool) -> None:
    """Refuse two options that exclude each other."""
    if has_one and has_other:
        _refuse(f"{one}, {other}", "one of them", "both")


def names(text: str | None) -> tuple[str, ...] | None:
    """Names that are joined by commas."""
    return None if text is None else tuple(filter(None, map(str.strip, text.split(","))))


def consistent(
    to: Path | None,
    seed: int,
    models: Sequence[str],
    paid: Mapping[str, float | None],
    prompts: Mapping[str, str | None],
    operators: Sequence[str] | None,
    population: str | None,
    baseline: str | None,
) -> None:
    """Refuse options of a run that do not go together; `paid` and `prompts` are for models."""
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
            _refuse(f"--{option}", "a --model whose prompts it is for", "none")
    for option, limit in paid.items():
        if limit is not None and not models:
            _refuse(f"--{option}", "a --model that it pays for", "none")


def walls_of(sandbox: str, trust: bool, runtime: str | None) -> Walls:
    """What stands around programs, of options that go together."""
    consistent_walls(sandbox, trust, runtime)
    from evolve.types import Walls

    return Walls(sandbox, trust, runtime)


def consistent_walls(sandbox: str, trust: bool, runtime: str | None) -> None:
    """Refuse options of the sandbox that do not go together."""
    if sandbox == "none" and not trust:
        _refuse("--sandbox none", "--i-trust-the-programs with it: they may do what you may", "it alone")
    if runtime is not None and sandbox not in ("auto", "docker"):
        _refuse("--runtime", "--sandbox docker, whose option it is", f"--sandbox {sandbox}")


def _refuse(name: str, expected: str, got: str) -> NoReturn:
    from evolve.types import BadInput

    raise BadInput(name, expected, got)
