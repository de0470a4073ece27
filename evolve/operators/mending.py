"""A reply that cannot be used goes back with the exact error, a few times at the most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from evolve.operators.prompts import Told, template
from evolve.types import Conversation, Exchange, Failure, Files, Json, Proposal, Question

TRIES = 3  # replies to one question
_MOST_SHOWN = 6_000  # characters of a reply that is shown again
_MOST_IDEA = 120

Stage = Literal["parse", "apply", "inside", "compile", "new"]  # in this order, what a reply must pass


class Fault(NamedTuple):
    """Where a reply failed, and why."""

    stage: Stage
    failure: Failure


class Made(NamedTuple):
    """A program that a reply stands for, and the line that says what it changes."""

    files: Files
    idea: str


def mended(
    question: str, problem: Told, rng: np.random.Generator, read: Callable[[str], Made | Fault]
) -> Conversation:
    """Ask, and ask again with what was wrong; a child that is not new is wrong, too.

    `failed` in the details of what comes of it: the stage at which each reply failed, where one did.
    """
    fields = ("question", "reply", "error")
    again = template("again", problem, fields)
    failed: list[str] = []
    prompt, fault = question, None
    for _ in range(TRIES):
        seed = int(rng.integers(2**31))
        exchange = yield Question(prompt, seed, fault and fault.failure)
        assert isinstance(exchange, Exchange)
        made = read(exchange.reply)
        if isinstance(made, Made):
            idea = made.idea[:_MOST_IDEA] or f"by {exchange.model}"
            yield Proposal(made.files, idea, details=_details(failed))
            why = "the program is one that was tried already; change something else"
            made = Fault("new", Failure("model", why))  # it came back
        fault = made
        failed.append(fault.stage)
        reply = exchange.reply[:_MOST_SHOWN]
        prompt = again.format(question=question, reply=reply, error=fault.failure.detail)
    assert fault is not None
    return Proposal(None, failure=fault.failure, details=_details(failed))


def _details(failed: list[str]) -> dict[str, Json]:
    return {"failed": list(failed)} if failed else {}
