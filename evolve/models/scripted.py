"""A model that answers from a script, for tests and demonstrations: no network, no cost unless one is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evolve.models import Amount, Price
from evolve.types import Exchange

_REPLY_TOKENS = 4096  # at the most, for budgets


class Scripted:
    """Replies by a function of the prompt, or from a list that starts again at its end."""

    price = Price(0.0, 0.0)  # each reply costs what was set, whatever its length
    context_tokens: int | None = None

    def __init__(
        self, replies: Sequence[str] | Callable[[str], str], name: str = "scripted", usd: float = 0.0
    ) -> None:
        self.name = name
        self.prompts: list[str] = []  # as they came
        self._replies, self._usd = replies, usd

    def most(self, prompt_bytes: int) -> Amount:
        """What every reply costs."""
        return Amount(self._usd, prompt_bytes + _REPLY_TOKENS, 1)

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Answer at once."""
        turn = len(self.prompts)
        self.prompts.append(prompt)
        reply = self._replies(prompt) if callable(self._replies) else self._replies[turn % len(self._replies)]
        tokens = len(prompt.split()), len(reply.split())
        return Exchange(self.name, prompt, reply, self._usd, *tokens, parameters={"seed": seed})

    def close(self) -> None:
        """Nothing was started."""
