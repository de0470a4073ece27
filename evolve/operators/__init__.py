"""Operators make children from parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from evolve.models import Model
from evolve.models.litellm import LiteLLM
from evolve.operators.crossover import Crossover
from evolve.operators.rewrite import Rewrite
from evolve.operators.syntax import Syntax
from evolve.operators.territory import Territory
from evolve.operators.tune import Tune
from evolve.types import BadInput, Files, Operator
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


Factory = Callable[[Problem, Sequence[str | Model]], Operator]

KNOWN: dict[str, Factory] = {
    "syntax": lambda problem, models: Syntax(_territory(problem)),
    "crossover": lambda problem, models: Crossover(_territory(problem)),
    "tune": lambda problem, models: Tune(_territory(problem)),
    "rewrite": lambda problem, models: _rewrite(problem, models),
}


def create(
    names: Sequence[str] | None, problem: Problem, models: Sequence[str | Model] = ()
) -> dict[str, Operator]:
    """Operators by name or `package.module:factory`, called with problem and models; None: all that can work.

    A model is given as LiteLLM names it or as an object. Raises BadInput where a name is unknown or an
    operator's need is not met.
    """
    chosen = names or [name for name in KNOWN if models or name != "rewrite"]
    operators = [named("operator", name, KNOWN)(problem, models) for name in chosen]
    return {operator.name: operator for operator in operators}


def _rewrite(problem: Problem, models: Sequence[str | Model]) -> Operator:
    if not models:
        raise BadInput("operator rewrite", "at least one model (--model NAME)", "none")
    asked = [LiteLLM(model) if isinstance(model, str) else model for model in models]
    return Rewrite(problem, _territory(problem), asked)


def _territory(problem: Problem) -> Territory:
    return Territory(problem.seed_files, problem.editable)
