"""Sends an agent, in the sandbox, to edit a program: its own, where the program is an agent itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from evolve.agents import Agent
from evolve.monitor import look, vetoed, watched
from evolve.operators.prompts import Told, template
from evolve.operators.territory import Territory
from evolve.types import (
    Allowance,
    CaseKey,
    Conversation,
    Errand,
    Evaluation,
    Failure,
    Files,
    Job,
    Json,
    Mission,
    Parent,
    Proposal,
    Trial,
)
from sandbox import values

HYPOTHESIS = "HYPOTHESIS.md"
LESSONS = 12  # earlier edits that an agent is told of
_MOST_IDEA = 160
_MOST_TROUBLE = 1_500  # characters of failed traces
_FIELDS = ("statement", "score", "direction", "trouble", "lessons", "editable")


class Editable(Told, Protocol):
    """What it must know of the problem, beside what prompts say."""

    @property
    def editable(self) -> Sequence[str]:
        """Globs over the program's paths."""
        ...


class Scaffold:
    """Every edit by an agent; `agent` gives it for a parent's files, `watched`: a model looks at it, too.

    The prompt of the agent's first question is its own affair; its allowance bounds what it asks.
    """

    name = "scaffold"
    arity = 1
    sends = True

    def __init__(
        self,
        problem: Editable,
        territory: Territory,
        agent: Callable[[Files], Agent],
        allowance: Allowance,
        watched: bool = False,
    ) -> None:
        self._problem, self._territory, self._agent = problem, territory, agent
        self._watched = watched
        self._template = template("scaffold", problem, _FIELDS)
        self._values: dict[str, float] = {}
        self._lessons: deque[str] = deque(maxlen=LESSONS)
        self.prompt_bytes = allowance.tokens // 4  # of one question, as far as the run's budget must know

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Mission:
        """Send the agent; what it leaves in its folder is the child."""
        (parent,) = parents
        draw = int(rng.integers(2**31))
        read = partial(self._read, parent, draw)
        return Mission(partial(self._job, parent, self._goal(parent), draw), read)

    def _read(self, parent: Parent, draw: int, evaluation: Evaluation) -> Proposal | Conversation:
        """The child that the agent left, unless the monitor has something against it."""
        before, made = parent.variant.files, read(parent, evaluation)
        if made.files is None:
            return made
        if found := look(before, made.files, self._territory):
            return vetoed(made, str(found[0]))
        return watched(before, made, draw) if self._watched else made

    def _job(self, parent: Parent, goal: str, draw: int) -> Job:
        files = parent.variant.files
        agent = self._agent(files)
        given = {path: data.decode(errors="replace") for path, data in files.items()}
        case = {"kind": "edit", "goal": goal, "files": given}
        errand = Errand(agent.entry, agent.harness, case, agent.limits, agent.allowance)
        return Job(agent.files, (CaseKey("search", draw),), keep_answers=True, errand=errand)

    def tell(self, trial: Trial) -> None:
        """Remember what each edit brought, for the next prompts."""
        before = self._values.get(trial.parents[0]) if trial.parents else None
        if trial.variant is not None and trial.value is not None:
            self._values[trial.variant] = trial.value
        if trial.operator != self.name or not trial.idea:
            return
        if trial.value is not None and before is not None:
            self._lessons.append(f"{trial.value - before:+.3g}: {trial.idea}")
        elif trial.evaluation is not None:
            why = next((each.detail for each in trial.evaluation.failures if each), "failed")
            self._lessons.append(f"{why[:80]}: {trial.idea}")

    def _goal(self, parent: Parent) -> str:
        value, evaluation = parent.trial.value, parent.trial.evaluation
        trouble = evaluation.feedback[:_MOST_TROUBLE] if evaluation else ""
        lessons = "\n".join(f"- {lesson}" for lesson in self._lessons)
        return self._template.format(
            statement=self._problem.statement.strip(),
            score="nothing yet" if value is None else f"{self._problem.sign * value:.6g}",
            direction="greater" if self._problem.sign > 0 else "less",
            trouble=f"\n\nWhat it failed at:\n{trouble}" if trouble else "",
            lessons=f"\n\nWhat earlier changes brought:\n{lessons}" if lessons else "",
            editable=", ".join(self._problem.editable),
        )


def read(parent: Parent, evaluation: Evaluation) -> Proposal:
    """The child that an agent left, or why there is none."""
    before, answer = parent.variant.files, evaluation.answers[0] if evaluation.answers else None
    if (failure := evaluation.failures[0]) is not None or answer is None:
        why = failure.detail if failure else "no answer"
        return Proposal(None, failure=Failure("no_child", f"the agent failed: {why}"))
    try:
        left: Json = values.decode(answer, len(answer))
        if not isinstance(left, dict) or not all(isinstance(text, str) for text in left.values()):
            raise ValueError("it left no files")
    except ValueError as error:
        return Proposal(None, failure=Failure("no_child", values.one_line(str(error))))
    words = [line.strip("# ").strip() for line in left.pop(HYPOTHESIS, "").splitlines()]
    idea = next((line for line in words if line), "no hypothesis")[:_MOST_IDEA]
    files = {
        path: before[path]
        if path in before and before[path].decode(errors="replace") == text
        else text.encode(errors="replace")
        for path, text in left.items()
    }
    return Proposal(files, values.one_line(idea), details={"hypothesis": values.one_line(idea)})
