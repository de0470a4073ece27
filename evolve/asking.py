"""Who makes the next child, of which parents: a pure function of what has been told and what is under way.

The loop decides by it and `evolve replay` decides again by it; what a decision takes from elsewhere (which
models had no room) stands in the decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from evolve.control import HINT_BYTES, Steering
from evolve.memory.memory import Memory
from evolve.memory.recall import Recall
from evolve.memory.reflecting import kept_of, reflecting
from evolve.operators.portfolio import Portfolio
from evolve.operators.territory import Territory, syntax_error
from evolve.types import (
    Chooses,
    Conversation,
    Decision,
    Event,
    Failure,
    Json,
    Mission,
    Operator,
    Parent,
    Population,
    Proposal,
    Selector,
    Sends,
    Trial,
    arm,
)
from populations.trees import tree_id

MOST_DRAWS = 32  # of an arm, while those that are drawn cannot be asked
# streams of their own, which do not depend on how often an arm was drawn
_WORDS = 1  # of a conversation
_CARRIED = 2  # of what its prompt carries
_REFLECTION = 3  # of the question that it begins with


class Asked(NamedTuple):
    """A decision, whom it asks, and the generator of what it makes."""

    decision: dict[str, Json]  # trial, told, operator, parents; model, carried, without where there are any
    operator: Operator
    model: str | None
    rng: np.random.Generator


class Asking:
    """Fed by trials; asked for attempts."""

    def __init__(
        self,
        seed: int,
        operators: Iterable[Operator],
        models: Collection[str],
        population: Population,
        selector: Selector | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._seed, self._population = seed, population
        self._memory = memory if models else None
        self._arms: dict[str, tuple[Operator, str | None]] = {}
        for operator in operators:
            for model in sorted(models) if operator.prompt_bytes else [None]:
                self._arms[arm(operator.name, model)] = operator, model
        self._choosers = {each.name: each for each, _ in self._arms.values() if isinstance(each, Chooses)}
        self._operators = list(dict.fromkeys(operator for operator, _ in self._arms.values()))
        self._selector = selector or Portfolio(self._arms)
        self._steering = Steering()
        self._prompt_bytes = max((each.prompt_bytes for each in self._operators), default=0)
        self.needs_model = all(each.prompt_bytes for each in self._operators)

    @property
    def prompt_bytes(self) -> int:
        """The length of the longest prompt, a person's hint included; 0: nobody asks a model."""
        hinted = self._prompt_bytes and self._steering.hint is not None
        return self._prompt_bytes + (HINT_BYTES if hinted else 0)

    def steer(self, event: Event) -> None:
        """Heed what a person asked for, by an event of kind `control`."""
        self._steering.tell(event)

    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial."""
        self._population.tell(trial)
        self._selector.tell(trial)
        for operator in self._operators:
            operator.tell(trial)
        if self._memory is not None:
            self._memory.tell(trial)

    def hear(self, event: Event) -> None:
        """Fold an event that is no trial."""
        if self._memory is not None:
            self._memory.hear(event)

    def judge(self) -> Sequence[Decision]:
        """Events that follow from what was told; call again after they are appended and heard."""
        return self._memory.judge() if self._memory is not None else ()

    def ask(
        self, trial: int, told: int, pending: Collection[Mapping[str, Json]], without: Collection[str]
    ) -> Asked | None:
        """The next attempt; None: nobody who was drawn can be asked now.

        `pending`: the decisions of the attempts under way; `without`: models that cannot be asked.
        """
        if all(model in without for _, model in self._arms.values()):
            return None
        rng = np.random.default_rng([self._seed, trial])
        under_way = [arm(each["operator"], each.get("model")) for each in pending]
        for _ in range(MOST_DRAWS):
            operator, model = self._arms[self._selector.ask(rng, under_way)]
            if model not in without:
                break
        else:
            return None
        breeding = [parent for each in pending for parent in each["parents"]]
        chooser = self._choosers.get(operator.name)
        parents = chooser.choose(rng, breeding) if chooser is not None else ()
        if not parents or not self._steering.banned.isdisjoint(parents):
            parents = self._steering.parents(self._population, rng, operator.arity, breeding)
        decision: dict[str, Json] = {
            "trial": trial,
            "told": told,
            "operator": operator.name,
            "parents": list(parents),
        }
        if model is not None:
            decision["model"] = model
            if self._steering.hint is not None:
                decision["hint"] = self._steering.hint
            if self._memory is not None and not isinstance(operator, Sends):
                others = [each["carried"] for each in pending if "carried" in each]
                carried = self._memory.carry(parents, self._stream(trial, _CARRIED), others)
                decision |= {"carried": carried} if carried else {}
        if without:
            decision["without"] = list(without)
        return Asked(decision, operator, model, rng)

    def begin(
        self, decision: Mapping[str, Json], operator: Operator, recall: Recall, rng: np.random.Generator
    ) -> Proposal | Conversation | Mission:
        """Have a decision's child made; a hint that it names stands in the prompts.

        `rng`: of operators that ask nobody; a conversation has its own, and is the same when begun again.
        """
        parents = [recall.variant(id) for id in decision["parents"]]
        memory, model = self._memory, decision.get("model")
        if model is not None:
            rng = self._stream(decision["trial"], _WORDS)
        made: Proposal | Conversation | Mission
        if model is None or memory is None or isinstance(operator, Sends):
            made = operator.propose(parents, rng)
        else:
            made = self._remembering(memory, model, decision, operator, parents, recall, rng)
        return made if isinstance(made, Proposal | Mission) else self._steering.hinted(decision, made)

    def _remembering(
        self,
        memory: Memory,
        model: str,
        decision: Mapping[str, Json],
        operator: Operator,
        parents: Sequence[Parent],
        recall: Recall,
        rng: np.random.Generator,
    ) -> Proposal | Conversation:
        """What an operator makes with a prompt that carries what the decision says."""
        carried = decision.get("carried", {})
        room = min(memory.room(model), operator.prompt_bytes)
        view = memory.view(carried, parents, recall)  # now: a reply comes in another thread

        def then(kept: Mapping[str, Json]) -> Proposal | Conversation:
            first = replace(parents[0], beside=partial(view.text, kept, room))
            made = operator.propose([first, *parents[1:]], rng)
            assert not isinstance(made, Mission)
            return made

        question = memory.reflection(carried, recall)
        if question is None or len(question.encode()) > room:
            return then({})
        seed = int(self._stream(decision["trial"], _REFLECTION).integers(2**31))
        return reflecting(question, partial(kept_of, carried), then, seed)

    def operator(self, decision: Mapping[str, Json]) -> Operator | None:
        """Whom an earlier decision asked; None: who is not there any more."""
        return self._arms.get(arm(decision["operator"], decision.get("model")), (None, None))[0]

    def _stream(self, trial: int, which: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, trial, which])


def admission(
    territory: Territory, proposal: Proposal, known: Mapping[str, str], under_way: Collection[str]
) -> tuple[str | None, Failure | None]:
    """The tree of a child, and why it is none: outside its territory, unreadable, or there already.

    `known`: the variant of every tree so far; `under_way`: trees that are being evaluated.
    """
    if proposal.failure is not None or proposal.files is None:
        return None, proposal.failure
    if (refusal := territory.violation(proposal.files) or syntax_error(proposal.files)) is not None:
        return None, Failure("refused", refusal)
    try:
        tree = tree_id(proposal.files)
    except ValueError as error:  # its paths cannot be kept
        return None, Failure("refused", str(error))
    if tree in known or tree in under_way:
        return tree, Failure("duplicate", known.get(tree, "a child under way"))
    return tree, None
