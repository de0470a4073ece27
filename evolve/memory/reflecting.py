"""A conversation that begins with a question about what went before; its answer is kept with the child."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from evolve.types import Conversation, Exchange, Json, Proposal, Question

ANSWER = 600  # characters of an answer that are kept


def kept_of(carried: Mapping[str, Json], answer: str) -> dict[str, Json]:
    """Details of a child: what was answered to the question that its attempt began with."""
    if "distil" in carried:
        return {"lesson": answer}
    return {"critique": {"of": carried["reflect"], "text": answer}}


def reflecting(
    question: str,
    keep: Callable[[str], Mapping[str, Json]],
    then: Callable[[Mapping[str, Json]], Proposal | Conversation],
    seed: int,
) -> Conversation:
    """Ask `question` first; `keep` makes details of the answer, `then` begins what is said anyway."""
    exchange = yield Question(question, seed)
    assert isinstance(exchange, Exchange)
    answer = " ".join(exchange.reply.split())[:ANSWER].strip()
    kept = keep(answer) if answer else {}
    made = then(kept)
    if isinstance(made, Proposal):
        return _with(made, kept)
    said = None
    while True:
        try:
            step = made.send(said)
        except StopIteration as end:
            return _with(end.value, kept)
        if isinstance(step, Proposal):
            said = yield _with(step, kept)
        else:
            said = yield replace(step, details={**kept, **step.details})


def _with(made: Proposal, kept: Mapping[str, Json]) -> Proposal:
    return replace(made, details={**made.details, **kept})
