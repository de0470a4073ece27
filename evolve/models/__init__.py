"""Language models behind one seam: a prompt goes in, an exchange with its cost comes out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from evolve.types import Exchange, ModelError


class Price(NamedTuple):
    """Dollars for a million tokens."""

    prompt_usd: float
    reply_usd: float

    def of(self, prompt_tokens: int, reply_tokens: int) -> float:
        """Dollars for so many."""
        return (prompt_tokens * self.prompt_usd + reply_tokens * self.reply_usd) / 1e6


class Amount(NamedTuple):
    """What calls of a model use; tokens are those of prompts and replies together."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def within(self, other: Amount) -> bool:
        """Whether it is nowhere more than the other."""
        return all(one <= most for one, most in zip(self, other, strict=True))

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(self.usd + other.usd, self.tokens + other.tokens, self.calls + other.calls)


class NoReply(ModelError):
    """A prompt got no reply after all tries. `exchange`: why, and what it may have cost."""

    def __init__(self, exchange: Exchange, for_good: bool = False) -> None:
        super().__init__(exchange.error)
        self.exchange = exchange
        self.for_good = for_good  # the next prompt would fail as well


class Model(Protocol):
    """Answers prompts."""

    name: str

    @property
    def price(self) -> Price | None:
        """What it costs; None where nobody knows."""
        ...

    def most(self, prompt_bytes: int) -> Amount:
        """What one `complete` of so long a prompt may use at the most; no dollars where no price is known."""
        ...

    async def complete(self, prompt: str, seed: int | None = None) -> Exchange:
        """Answer one prompt; `seed` for those that can repeat themselves.

        Raises NoReply where there is none.
        """
        ...
