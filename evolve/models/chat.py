"""Servers that speak OpenAI's chat protocol, spoken to directly: on this machine, or at a given address.

LiteLLM knows every provider, for seconds and 170 MB of import and milliseconds a call; this is one protocol.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from evolve.models import Price, Settings
from evolve.models.listed import listed_context, listed_price
from evolve.models.remote import Remote, Said, Trouble, heals, line, wanted_seconds
from evolve.types import Json

PREFIX = "openai/"
_REFUSES_A_PROMPT = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "content_filter",
    "content_policy",
)


class Answer(NamedTuple):
    """What HTTP brought."""

    status: int
    headers: Mapping[str, str]
    body: str


async def post(url: str, body: Json, key: str | None, seconds: float) -> Answer:
    """One request. Raises Trouble where nothing comes back."""
    import aiohttp  # late: a fifth of a second, for these models alone

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with aiohttp.request("POST", url, json=body, headers=headers, timeout=timeout) as response:
            text = (await response.read()).decode("utf-8", "replace")
            return Answer(response.status, response.headers, text)
    except TimeoutError:
        raise Trouble(f"no reply within {seconds:g} s", "late") from None
    except aiohttp.ClientConnectorError as error:
        why = line(error.os_error.strerror or error.os_error)
        raise Trouble(f"Connection error: {why}, at {error.host}:{error.port}", "away") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Trouble(f"Connection error: {line(error) or type(error).__name__}", "busy") from None
    except ValueError as error:  # an address that is none
        raise Trouble(f"Connection error: {line(error)}", "refused") from None


def said(answer: Answer) -> Said:
    """The reply in an answer. Raises Trouble where there is none."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if answer.status != 200:
        raise _trouble(answer, body)
    try:
        (choice, *_), usage = body["choices"], body.get("usage") or {}
        text, ended = choice["message"].get("content") or "", choice.get("finish_reason")
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError):
        if isinstance(body, dict) and "choices" in body:
            raise Trouble("a reply without a message", "busy", billed=True) from None
        what = f"{len(answer.body):,} characters, {answer.body[:80]!r}" if answer.body else "nothing"
        raise Trouble(f"expected a chat completion, got {line(what)}", "refused") from None
    if not isinstance(text, str):
        raise Trouble(f"expected text in a reply, got {line(text)}", "prompt", billed=True)
    return Said(text, *counts, cut=ended == "length")


def _trouble(answer: Answer, body: Json) -> Trouble:
    error = body.get("error") if isinstance(body, dict) else None
    told = error if isinstance(error, dict) else {}
    why = f"{answer.status}: {line(told.get('message') or error or answer.body or 'nothing said')}"
    code = {str(told.get("code")), str(told.get("type"))}
    if code.intersection(_REFUSES_A_PROMPT):
        return Trouble(why, "prompt")
    if not heals(answer.status):
        return Trouble(why, "refused")
    return Trouble(why, "busy", wanted_seconds(answer.headers))


class Chat(Remote):
    """A model by its name at an address."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._price, self._context = settings.price, settings.context_tokens
        self._looked_up = False

    @property
    def price(self) -> Price | None:
        """As given, or as LiteLLM lists it."""
        self._look_up()
        return self._price

    @property
    def context_tokens(self) -> int | None:
        """As given, or as LiteLLM lists it."""
        self._look_up()
        return self._context

    def _look_up(self) -> None:
        if not self._looked_up:
            self._price = self._price or listed_price(self.name)
            self._context = self._context or listed_context(self.name)
            self._looked_up = True

    async def _send(self, prompt: str, parameters: dict[str, Json]) -> Said:
        settings = self._settings
        messages = [{"role": "user", "content": prompt}]
        body = {"model": self.name.removeprefix(PREFIX), "messages": messages, **parameters}
        url = f"{(settings.api_base or '').rstrip('/')}/chat/completions"
        key = settings.api_key or os.environ.get("OPENAI_API_KEY")
        return said(await post(url, body, key, settings.seconds))
