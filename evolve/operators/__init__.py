"""Operators make children from parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from evolve.operators.blend import Blend
from evolve.operators.critic import Critic
from evolve.operators.crossover import Crossover
from evolve.operators.diff import Diff
from evolve.operators.hint import Hint
from evolve.operators.invent import Invent
from evolve.operators.prompts import Told
from evolve.operators.repair import Repair
from evolve.operators.rewrite import Rewrite
from evolve.operators.simplify import Simplify
from evolve.operators.syntax import Syntax
from evolve.operators.territory import Territory
from evolve.operators.tokens import Tokens
from evolve.operators.tune import Tune
from evolve.operators.view import View
from evolve.types import BadInput, Files, Operator
from populations.named import named


class Problem(Told, Protocol):
    """What operators know of a problem."""

    @property
    def seed_files(self) -> Files:
        """The seed program."""
        ...

    @property
    def editable(self) -> Sequence[str]:
        """Globs over its paths."""
        ...


PLAIN: dict[str, Callable[[Territory], Operator]] = {
    "syntax": Syntax,
    "crossover": Crossover,
    "tokens": Tokens,
    "tune": Tune,
}
ASKING: dict[str, Callable[[View], Operator]] = {  # a language model
    "rewrite": Rewrite,
    "diff": Diff,
    "blend": Blend,
    "invent": Invent,
    "repair": Repair,
    "hint": Hint,
    "simplify": Simplify,
    "critic": Critic,
}
BY_NAME = ("simplify", "critic")  # only if they are asked for: they serve one purpose, or cost three calls
KNOWN = (*PLAIN, *ASKING)


def create(names: Sequence[str] | None, problem: Problem, models: Sequence[str] = ()) -> dict[str, Operator]:
    """Operators by name or `package.module:factory`, called with the problem; None: all that fit.

    `syntax` and `crossover` fit Python, `tokens` other languages; those that ask a model fit a run that has
    one, but for those that are asked for `BY_NAME`.

    Raises BadInput where a name is unknown, or asking a model and having one do not go together.
    """
    chosen = names or _fitting(problem, bool(models))
    territory = _territory(problem)
    view = View(problem, territory)  # shared by those that ask
    made = [_make(name, problem, territory, view) for name in chosen]
    asking = [operator.name for operator in made if operator.prompt_bytes]
    if asking and not models:
        raise BadInput(f"operator {asking[0]}", "at least one model (--model NAME)", "none")
    if models and not asking:
        expected = f"an operator that asks one ({', '.join(ASKING)}) in --operators"
        raise BadInput("--model", expected, ", ".join(chosen))
    return {operator.name: operator for operator in made}


def _fitting(problem: Problem, models: bool) -> list[str]:
    territory = _territory(problem)
    python = {path.endswith(".py") for path in problem.seed_files if territory.editable(path)}
    left_out = set(BY_NAME) if models else set(ASKING)
    left_out |= {"syntax", "crossover"} if True not in python else set()
    left_out |= {"tokens"} if False not in python else set()
    return [name for name in KNOWN if name not in left_out]


def _make(name: str, problem: Problem, territory: Territory, view: View) -> Operator:
    if name in PLAIN:
        return PLAIN[name](territory)
    if name in ASKING:
        return ASKING[name](view)
    made: Operator = named("operator", name, dict.fromkeys(KNOWN))(problem)
    return made


def _territory(problem: Problem) -> Territory:
    return Territory(problem.seed_files, problem.editable)
