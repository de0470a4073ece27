"""What all models behind a network have in common: asked again while they are busy, billed at the worst."""

from __future__ import annotations

import asyncio
import time
import zlib
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from evolve.models import Amount, NoReply, Price, Settings, digest_of, does_not_fit
from evolve.types import Exchange, Json

_BILLED = 2  # requests of one prompt, at the most
_MOST_TOKEN_BYTES = 6  # a prompt has at least one token for so many, but for very odd ones
_FRAME_TOKENS = 64  # around a prompt: its role, its ends
_MAY_HEAL = (408, 409, 425, 429)  # HTTP statuses: late, in conflict, too early, too many requests


class Said(NamedTuple):
    """What came back for one request."""

    text: str
    prompt_tokens: int  # 0: it does not say
    reply_tokens: int
    cut: bool  # at the most tokens that a reply may have


class Trouble(Exception):
    """A request got no reply.

    `prompt`: this prompt will get none; `refused`: nor will another; the rest may heal. `late` may be billed,
    `away` is where nobody answers. `seconds`: when the provider wants to hear of us again.
    """

    def __init__(
        self,
        why: str,
        kind: Literal["prompt", "refused", "busy", "late", "away"],
        seconds: float = 0.0,
        billed: bool = False,
    ) -> None:
        super().__init__(why)
        self.kind, self.seconds, self.billed = kind, seconds, billed or kind == "late"


class Remote(ABC):
    """Asks by `_send`, which is what tells one of these models from another."""

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.name = name
        self._settings = settings or Settings()
        self._replied = False  # ever

    @property
    @abstractmethod
    def price(self) -> Price | None:
        """Of a short prompt and its reply; None where nobody knows."""

    @property
    @abstractmethod
    def context_tokens(self) -> int | None:
        """What a prompt and its reply may have together; None where nobody knows."""

    @abstractmethod
    async def _send(self, prompt: str, parameters: dict[str, Json]) -> Said:
        """Make one request. Raises Trouble."""

    def most(self, prompt_bytes: int) -> Amount:
        """Two full replies, as many as may be billed, to a prompt in which each byte is a token."""
        prompt, reply = prompt_bytes + _FRAME_TOKENS, self._settings.reply_tokens
        return Amount(_BILLED * self._usd(prompt, reply), _BILLED * (prompt + reply), 1)

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Ask, again after a pause while the provider is busy, late, broken or out of reach.

        A provider may bill a request that nobody waited for to its end: a late one counts as billed, at the
        worst, and is made but once more. So does a reply without a count of tokens. Requests that end with an
        error are taken to be free.
        """
        settings = self._settings
        parameters = {"max_tokens": settings.reply_tokens, **settings.warmth(temperature)}
        if seed is not None:
            parameters["seed"] = seed
        held = {}
        if form is not None and settings.grammar:
            held["grammar"] = form
            parameters["grammar"] = digest_of(form)
        pause, billed, away, began = settings.pause, 0, 0, time.monotonic()

        def none(why: str, for_good: bool = False) -> NoReply:
            usd, asked, replied = self._worst(prompt, billed)
            seconds, error = time.monotonic() - began, f"{self.name}: {why}"
            return NoReply(
                Exchange(self.name, prompt, "", usd, asked, replied, seconds, parameters, error), for_good
            )

        least = len(prompt.encode()) // _MOST_TOKEN_BYTES
        context = self.context_tokens
        if context is not None and least + settings.reply_tokens > context:
            raise none(does_not_fit(f"at least {least:,}", settings, context))
        for number in range(1, settings.tries + 1):
            started = time.monotonic()
            try:
                said = await self._send(prompt, parameters | held)
            except Trouble as trouble:
                billed += trouble.billed
                away += trouble.kind == "away"
                if trouble.kind in ("prompt", "refused"):
                    raise none(str(trouble), for_good=trouble.kind == "refused") from trouble
                if number == settings.tries or billed == _BILLED:
                    never = away == number and not self._replied
                    raise none(f"{number} tries, then {trouble}", for_good=never) from trouble
                wait = max(pause * _spread(prompt, number), min(trouble.seconds, settings.seconds))
            else:
                self._replied = True
                return self._exchange(prompt, said, parameters, time.monotonic() - started, billed)
            await asyncio.sleep(wait)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:  # noqa: B027
        """Nothing was started."""

    def _exchange(
        self, prompt: str, said: Said, parameters: dict[str, Json], seconds: float, billed: int
    ) -> Exchange:
        """What came back, with the requests before it that may be billed."""
        asked, replied = said.prompt_tokens, said.reply_tokens
        if not (asked and replied):
            asked = replied = 0
            billed += 1
        if self.price is None:
            parameters["price"] = "unknown"
        if billed:
            parameters["counted_in_full"] = billed
        if said.cut:
            parameters["cut"] = True  # at max_tokens
        usd, more_asked, more_replied = self._worst(prompt, billed)
        usd += self._usd(asked, replied)
        tokens = asked + more_asked, replied + more_replied
        return Exchange(self.name, prompt, said.text, usd, *tokens, seconds, parameters)

    def _worst(self, prompt: str, requests: int) -> tuple[float, int, int]:
        """The most that so many requests may be billed: dollars, tokens of prompts and of replies."""
        asked = requests * (len(prompt.encode()) + _FRAME_TOKENS)  # a token is a byte at least
        replied = requests * self._settings.reply_tokens
        return self._usd(asked, replied), asked, replied

    def _usd(self, asked: int, replied: int) -> float:
        """Price of so many tokens; 0 where nobody knows it."""
        return self.price.of(asked, replied) if self.price else 0.0


def heals(status: object) -> bool:
    """Whether the next request may fare better: no missing key, right, money, model or sense."""
    return not (isinstance(status, int) and 400 <= status < 500 and status not in _MAY_HEAL)


def wanted_seconds(headers: object) -> float:
    """What `Retry-After` asks for, where it is a number of seconds; else 0."""
    found = headers.get("retry-after", "") if hasattr(headers, "get") else ""
    try:
        return max(float(found), 0.0)
    except (TypeError, ValueError):
        return 0.0


def line(said: object) -> str:
    """On one line, and not too long."""
    return " ".join(str(said).split())[:300]


def _spread(prompt: str, number: int) -> float:
    """1 to 2, another for each prompt and try: what was refused together does not come again together."""
    return 1 + zlib.crc32(f"{number} {prompt}".encode(errors="replace")) / 2**32
