"""A reply that cannot be used goes back with the exact error, a few times at the most.

parse -> apply -> inside -> compile are read from the reply here; that its program is new, and that it loads
where it is run, is found out by whoever drives the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from evolve.operators.prompts import template
from evolve.operators.view import View
from evolve.types import Conversation, Exchange, Failure, Files, Json, Parent, Proposal, Question, Trial

TRIES = 3  # replies to one question
_MOST_SHOWN = 6_000  # characters of a reply that is shown again
_MOST_IDEA = 120

# in this order, what a reply must pass; the last two are told by the driver
Stage = Literal["parse", "apply", "inside", "compile", "new", "load"]


class Fault(NamedTuple):
    """Where a reply failed, and why."""

    stage: Stage
    failure: Failure


class Made(NamedTuple):
    """A program that a reply stands for, and the line that says what it changes."""

    files: Files
    idea: str
    details: Mapping[str, Json] = MappingProxyType({})

    def child(self, failed: Sequence[str], model: str) -> Proposal:
        """The proposal of it, after replies that failed at these stages."""
        idea = self.idea[:_MOST_IDEA] or f"by {model}"
        return Proposal(self.files, idea, details={**self.details, **_details(failed)})


Read = Callable[[str], Made | Fault]  # of a reply


class ByModel:
    """What operators that ask a language model have in common: a view of what they show, and how they ask."""

    name: str
    arity = 1
    words: Sequence[str] = ()  # that its prompt may hold beside the view's fields

    def __init__(self, view: View) -> None:
        self.view = view
        self.template = view.template(self.name, self.words)
        self.again = template("again", view.problem, ("question", "reply", "error"))

    @property
    def prompt_bytes(self) -> int:
        """The longest that a prompt may be."""
        return self.view.most_bytes(self.arity)

    def tell(self, trial: Trial) -> None:
        """Let the view hear of it."""
        self.view.tell(trial)

    def question(
        self, parents: Sequence[Parent], rng: np.random.Generator, template: str = "", **words: str
    ) -> str | Proposal:
        """What its prompt, or another one, says of these parents with these words; or why it is not sent."""
        text = self.view.prompt(template or self.template, parents, rng, **words)
        if (size := len(text.encode())) <= self.prompt_bytes:
            return text
        return Proposal(
            None, failure=Failure("model", f"a prompt of {size} bytes; at most {self.prompt_bytes}")
        )

    def asked(
        self,
        parents: Sequence[Parent],
        rng: np.random.Generator,
        read: Read,
        template: str = "",
        form: str | None = None,
        **words: str,
    ) -> Conversation:
        """Ask it, until there is a child; replies are of this form, where a model can be held to one."""
        question = self.question(parents, rng, template, **words)
        if isinstance(question, Proposal):
            return question
        return (yield from Inquiry(question, self.again, rng, read, form=form).child())


class Inquiry:
    """A question that is asked again with what was wrong with the last reply, a few times at the most.

    `failed` in the details of what comes of it: the stage at which each reply failed, where one did.
    `otherwise`: the child if nobody answers.
    """

    def __init__(
        self,
        question: str,
        again: str,
        rng: np.random.Generator,
        read: Read,
        failed: Sequence[str] = (),
        otherwise: Proposal | None = None,
        form: str | None = None,
    ) -> None:
        self.failed = list(failed)
        self._question, self._again, self._rng, self._read = question, again, rng, read
        self._prompt, self._otherwise, self._form = question, otherwise, form
        self._last: Exchange | None = None
        self._fault: Fault | None = None
        self._left = TRIES

    def draft(self) -> Generator[Question | Proposal, Exchange | Failure | None, Made | Fault]:
        """Ask until a reply can be used, or none was."""
        while self._left:
            self._left -= 1
            why = self._otherwise or (self._fault and self._fault.failure)
            seed = int(self._rng.integers(2**31))
            exchange = yield Question(self._prompt, seed, why, self._form, _details(self.failed))
            assert isinstance(exchange, Exchange)
            self._last = exchange
            made = self._read(exchange.reply)
            if isinstance(made, Made):
                return made
            self._wrong(made)
        assert self._fault is not None
        return self._fault

    def child(self) -> Conversation:
        """Ask until there is a child that stays."""
        while isinstance(made := (yield from self.draft()), Made):
            returned = yield made.child(self.failed, self._last.model if self._last else "")
            assert isinstance(returned, Failure)
            self._wrong(_returned(returned))
        return Proposal(None, failure=made.failure, details=_details(self.failed))

    def _wrong(self, fault: Fault) -> None:
        assert self._last is not None
        self._fault = fault
        self.failed.append(fault.stage)
        reply = self._last.reply[:_MOST_SHOWN]
        self._prompt = self._again.format(question=self._question, reply=reply, error=fault.failure.detail)


def _returned(failure: Failure) -> Fault:
    """What is wrong with a child that came back."""
    if failure.kind == "duplicate":
        why = "the program is one that was tried already; change something else"
        return Fault("new", Failure("model", why))
    if failure.kind == "refused":
        return Fault("inside", failure)
    return Fault("load", Failure("model", f"the program does not run: {failure.kind}: {failure.detail}"))


def _details(failed: Sequence[str]) -> dict[str, Json]:
    return {"failed": list(failed)} if failed else {}
