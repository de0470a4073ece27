"""Language models behind one seam: a prompt goes in, an exchange with its cost comes out."""

from __future__ import annotations

from typing import Protocol

from evolve.types import Exchange, ModelError


class NoReply(ModelError):
    """This prompt got no reply after all tries; the next one may."""


class Model(Protocol):
    """Answers prompts."""

    name: str

    @property
    def most_usd(self) -> float:
        """What one exchange may cost at the most, in dollars; never 0, for 0 means that no model is asked."""
        ...

    async def complete(self, prompt: str, seed: int | None = None) -> Exchange:
        """Answer one prompt; `seed` for those that can repeat themselves.

        Raises NoReply where only this prompt failed, ModelError where the next one would fail as well.
        """
        ...
