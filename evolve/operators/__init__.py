"""Operators make children from parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from evolve.agents import SEED, Agent, AgentProblem, agent_of, fetch, used
from evolve.operators.blend import Blend
from evolve.operators.clone import Clone
from evolve.operators.critic import Critic
from evolve.operators.crossover import Crossover
from evolve.operators.diff import Diff
from evolve.operators.hint import Hint
from evolve.operators.invent import Invent
from evolve.operators.prompts import Told
from evolve.operators.repair import Repair
from evolve.operators.rewrite import Rewrite
from evolve.operators.scaffold import Scaffold
from evolve.operators.simplify import Simplify
from evolve.operators.syntax import Syntax
from evolve.operators.territory import Territory
from evolve.operators.tokens import Tokens
from evolve.operators.tune import Tune
from evolve.operators.view import View
from evolve.types import BadInput, Files, Operator
from populations.named import named


class Problem(Told, AgentProblem, Protocol):
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
SCAFFOLD, CLONE = "scaffold", "clone"  # sends an agent, which asks one; changes nothing, for A/A runs
AGENT = "scaffold:"  # and an agent's id: that one, whatever is in use or evolved
POLICY = "policy.toml"  # where an agent has its numbers
KNOWN = (*PLAIN, *ASKING)


def create(
    names: Sequence[str] | None, problem: Problem, models: Sequence[str] = (), watched: bool = False
) -> dict[str, Operator]:
    """Operators by name or `package.module:factory`, called with the problem; None: all that fit.

    `syntax` and `crossover` fit Python, `tokens` other languages; those that ask a model fit a run that has
    one, but for those that are asked for `BY_NAME`. `watched`: a model looks at what agents make.

    Raises BadInput where a name is unknown, or asking a model and having one do not go together.
    """
    chosen = names or _fitting(problem, bool(models))
    territory = _territory(problem)
    view = View(problem, territory)  # shared by those that ask
    made = [_make(name, problem, territory, view, watched) for name in chosen]
    asking = [operator.name for operator in made if operator.prompt_bytes]
    if asking and not models:
        raise BadInput(f"operator {asking[0]}", "at least one model (--model NAME)", "none")
    if watched and not any(isinstance(each, Scaffold) for each in made):
        raise BadInput("--monitor", "edits that agents make, for a model to look at", ", ".join(chosen))
    if models and not asking and problem.allowance is None:
        expected = f"an operator that asks one ({', '.join([*ASKING, SCAFFOLD])}) in --operators"
        raise BadInput("--model", expected, ", ".join(chosen))
    return {operator.name: operator for operator in made}


def _fitting(problem: Problem, models: bool) -> list[str]:
    territory = _territory(problem)
    python = {path.endswith(".py") for path in problem.seed_files if territory.editable(path)}
    if agent_of(problem, problem.seed_files) is not None:
        return ["scaffold", *(["tune"] if POLICY in problem.seed_files else [])]
    left_out = set(BY_NAME) if models else set(ASKING)
    left_out |= {"syntax", "crossover"} if True not in python else set()
    left_out |= {"tokens"} if False not in python else set()
    return [name for name in KNOWN if name not in left_out]


def _make(name: str, problem: Problem, territory: Territory, view: View, watched: bool) -> Operator:
    if name == SCAFFOLD or name.startswith(AGENT):
        return _scaffold(problem, name.partition(":")[2] or None, watched)
    if name == CLONE:
        return Clone(territory)
    if name == "tune":
        return Tune(_numbers(problem))
    if name in PLAIN:
        return PLAIN[name](territory)
    if name in ASKING:
        return ASKING[name](view)
    made: Operator = named("operator", name, dict.fromkeys([*KNOWN, SCAFFOLD, CLONE]))(problem)
    return made


def _territory(problem: Problem) -> Territory:
    return Territory(problem.seed_files, problem.editable)


def _numbers(problem: Problem) -> Territory:
    """Whose numbers are tuned: an agent's are in its policy."""
    if POLICY in problem.seed_files and agent_of(problem, problem.seed_files) is not None:
        return Territory(problem.seed_files, (POLICY,))
    return _territory(problem)


def _scaffold(problem: Problem, id: str | None, watched: bool) -> Scaffold:
    """Agents edit themselves, and any other program is edited by the agent that is in use or named."""
    seed = agent_of(problem, problem.seed_files)
    if seed is not None and id is None:
        return Scaffold(problem, _territory(problem), partial(_itself, problem), seed.allowance, watched)
    found = seed if seed is not None and id == SEED else fetch(id or used())
    return Scaffold(problem, _territory(problem), lambda files: found, found.allowance, watched)


def _itself(problem: Problem, files: Files) -> Agent:
    agent = agent_of(problem, files)
    assert agent is not None
    return agent


def pinned(
    names: Sequence[str] | None, problem: Problem, loaded: Sequence[str]
) -> tuple[list[str] | None, list[str]]:
    """Names of operators in which the agent that is in use is named, and those of the agents among them.

    `loaded`: those of the run so far; they stay, whatever is in use by now.
    """
    if names is None or agent_of(problem, problem.seed_files) is not None:
        return (None if names is None else list(names)), []
    now = next((each for each in loaded if each.startswith(AGENT)), f"{AGENT}{used()}")
    chosen = [now if name == SCAFFOLD else name for name in names]
    return chosen, [name for name in chosen if name.startswith(AGENT)]
