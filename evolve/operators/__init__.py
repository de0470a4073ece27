"""Operators make children from parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from evolve.operators.syntax import Syntax
from evolve.operators.territory import Territory
from evolve.types import Files, Operator
from populations.named import named


class Problem(Protocol):
    """What operators know of a problem."""

    @property
    def seed_files(self) -> Files:
        """The seed program."""
        ...

    @property
    def editable(self) -> Sequence[str]:
        """Globs over its paths."""
        ...

    @property
    def statement(self) -> str:
        """What a mutator may read."""
        ...

    @property
    def sign(self) -> int:
        """What a raw score is multiplied with so that greater is better."""
        ...


Factory = Callable[[Problem, Sequence[str]], Operator]

KNOWN: dict[str, Factory] = {
    "syntax": lambda problem, models: Syntax(_territory(problem)),
}


def create(names: Sequence[str] | None, problem: Problem, models: Sequence[str] = ()) -> dict[str, Operator]:
    """Operators by name or `package.module:factory`, a call with problem and models; None: all that can work.

    Raises BadInput where a name is unknown or an operator's need is not met.
    """
    chosen = names or list(KNOWN)
    operators = [named("operator", name, KNOWN)(problem, models) for name in chosen]
    return {operator.name: operator for operator in operators}


def _territory(problem: Problem) -> Territory:
    return Territory(problem.seed_files, problem.editable)
