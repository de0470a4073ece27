"""Language models behind one seam: a prompt goes in, an exchange with its cost comes out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from evolve.types import Exchange, ModelError


class Price(NamedTuple):
    """Dollars for a million tokens."""

    prompt_usd: float
    reply_usd: float


class NoReply(ModelError):
    """This prompt got no reply after all tries; the next one may. `exchange`: what it may have cost."""

    def __init__(self, message: str, exchange: Exchange | None = None) -> None:
        super().__init__(message)
        self.exchange = exchange


class Model(Protocol):
    """Answers prompts."""

    name: str

    @property
    def price(self) -> Price | None:
        """What it costs; None where nobody knows."""
        ...

    def most_usd(self, prompt_bytes: int) -> float:
        """What one `complete` of so long a prompt may cost at the most, in dollars.

        Never 0, for 0 means that no model is asked.
        """
        ...

    async def complete(self, prompt: str, seed: int | None = None) -> Exchange:
        """Answer one prompt; `seed` for those that can repeat themselves.

        Raises NoReply where only this prompt failed, ModelError where the next one would fail as well.
        """
        ...
