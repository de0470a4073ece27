"""Language models behind one seam: a prompt goes in, an exchange with its cost comes out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from evolve.types import Exchange, Json, ModelError

NOT_SENT = "not sent"  # how the error of a prompt begins that does not fit
MOST_TEMPERATURE = 2.0  # that a provider takes


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

    def minus(self, other: Amount) -> Amount:
        """What is left without the other, nowhere less than nothing."""
        usd, tokens, calls = (max(0, one - less) for one, less in zip(self, other, strict=True))
        return Amount(usd, int(tokens), int(calls))

    def times(self, count: int) -> Amount:
        """So many of it."""
        return Amount(count * self.usd, count * self.tokens, count * self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a model is asked."""

    temperature: float | None = 1.0  # unless a prompt asks for another; None: always the provider's own
    reply_tokens: int = 4096  # at the most
    context_tokens: int | None = None  # of a prompt and its reply; None: as is known of the model
    seconds: float = 120.0  # wall clock of one request
    tries: int = 5  # of one prompt, while the provider is busy, broken or late
    pause: float = 1.0  # seconds before the second try; doubled before each further one
    api_base: str | None = None  # address of the server; None: the provider's own
    api_key: str | None = None  # None: from the environment, where LiteLLM looks for the provider's
    price: Price | None = None  # None: as LiteLLM knows
    grammar: bool = False  # the server holds replies to a grammar (GBNF) that stands in the request

    def warmth(self, asked: float | None) -> dict[str, Json]:
        """The parameter of a request that asks for a temperature; empty where the provider takes none."""
        if self.temperature is None:
            return {}
        return {"temperature": self.temperature if asked is None else asked}


def digest_of(form: str) -> str:
    """What a record says of the grammar that a reply was held to."""
    return hashlib.sha256(form.encode()).hexdigest()[:12]


def does_not_fit(tokens: str, settings: Settings, context_tokens: int) -> str:
    """Why a prompt of so many tokens is not sent."""
    reply = f"{settings.reply_tokens:,} for its reply"
    return f"{NOT_SENT}: a prompt of {tokens} tokens and {reply} do not fit a context of {context_tokens:,}"


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

    @property
    def context_tokens(self) -> int | None:
        """What a prompt and its reply may have together; None where nobody knows. May wait for a library."""
        ...

    def most(self, prompt_bytes: int) -> Amount:
        """What one `complete` of so long a prompt may use at the most; no dollars where no price is known."""
        ...

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Answer one prompt; `seed` for those that can repeat themselves, `form` for those that obey one.

        `temperature`: 0 to `MOST_TEMPERATURE`; None: as the model is set.
        Raises NoReply where there is none: a prompt that does not fit is not sent.
        """
        ...

    def close(self) -> None:
        """End what it has started. Idempotent."""
        ...
