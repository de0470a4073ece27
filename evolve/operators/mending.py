"""A reply that cannot be used goes back with the exact error, a few times at the most.

parse -> apply -> inside -> compile are read from the reply here; that its program is new, and that it loads
where it is run, is found out by whoever drives the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


Read = Callable[[str], Made | Fault]  # of a reply


class ByModel:
    """What operators that ask a language model have in common: a view of what they show, and how they ask."""

    name: str
    arity = 1
    words: Sequence[str] = ()  # that its prompt may hold beside the view's fields

    def __init__(self, view: View) -> None:
        self.view = view
        self.template = view.template(self.name, self.words)
        self._again = template("again", view.problem, ("question", "reply", "error"))

    @property
    def prompt_bytes(self) -> int:
        """The longest that a prompt may be."""
        return self.view.prompt_bytes

    def tell(self, trial: Trial) -> None:
        """Let the view hear of it."""
        self.view.tell(trial)

    def asked(
        self, parents: Sequence[Parent], rng: np.random.Generator, read: Read, **words: str
    ) -> Conversation:
        """Ask what the operator's prompt says of these parents with these words."""
        text = self.view.prompt(self.template, parents, rng, **words)
        if (size := len(text.encode())) > self.prompt_bytes:
            why = f"a prompt of {size} bytes; at most {self.prompt_bytes}"
            return Proposal(None, failure=Failure("model", why))
        return (yield from mended(text, self._again, rng, read))


def mended(question: str, again: str, rng: np.random.Generator, read: Read) -> Conversation:
    """Ask, and ask again with what was wrong; a child that is not new is wrong, too.

    `failed` in the details of what comes of it: the stage at which each reply failed, where one did.
    """
    failed: list[str] = []
    prompt, fault = question, None
    for _ in range(TRIES):
        seed = int(rng.integers(2**31))
        exchange = yield Question(prompt, seed, fault and fault.failure, details=_details(failed))
        assert isinstance(exchange, Exchange)
        made = read(exchange.reply)
        if isinstance(made, Made):
            idea = made.idea[:_MOST_IDEA] or f"by {exchange.model}"
            returned = yield Proposal(made.files, idea, details=_details(failed))
            assert isinstance(returned, Failure)
            made = _returned(returned)
        fault = made
        failed.append(fault.stage)
        reply = exchange.reply[:_MOST_SHOWN]
        prompt = again.format(question=question, reply=reply, error=fault.failure.detail)
    assert fault is not None
    return Proposal(None, failure=fault.failure, details=_details(failed))


def _returned(failure: Failure) -> Fault:
    """What is wrong with a child that came back."""
    if failure.kind == "duplicate":
        why = "the program is one that was tried already; change something else"
        return Fault("new", Failure("model", why))
    if failure.kind == "refused":
        return Fault("inside", failure)
    return Fault("load", Failure("model", f"the program does not run: {failure.kind}: {failure.detail}"))


def _details(failed: list[str]) -> dict[str, Json]:
    return {"failed": list(failed)} if failed else {}
