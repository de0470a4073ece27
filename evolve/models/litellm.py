"""Any model that LiteLLM knows. The only place that imports it, and late: it takes seconds."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread
from types import ModuleType
from typing import Any

from evolve.models import NoReply
from evolve.models.scripted import FREE
from evolve.types import BadInput, Exchange, Json, ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a model is asked."""

    temperature: float | None = 1.0  # None: the provider's own
    reply_tokens: int = 4096  # at the most
    seconds: float = 120.0  # wall clock of one request
    tries: int = 5  # of one prompt, while the provider is busy or late
    pause: float = 1.0  # seconds before the second try; doubled before each further one
    api_base: str | None = None  # address of the server; None: the provider's own
    api_key: str | None = None  # None: from the environment, where LiteLLM looks for the provider's
    usd_per_million: tuple[float, float] | None = None  # of prompt and reply tokens; None: as LiteLLM knows


class LiteLLM:
    """A model by the name that LiteLLM has for it: `openai/gpt-4.1-mini`, `ollama/qwen2.5-coder`, ..."""

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.name = name
        self._settings = settings or Settings()
        _start_loading()

    @property
    def most_usd(self) -> float:
        """A full reply to a prompt of as many tokens."""
        tokens = self._settings.reply_tokens
        library = _library()
        try:
            return max(FREE, self._usd(library, tokens, tokens) or 0.0)
        except library.BadRequestError as error:
            raise BadInput("model", "PROVIDER/NAME as LiteLLM knows it", f"{self.name!r}") from error

    async def complete(self, prompt: str, seed: int | None = None) -> Exchange:
        """Ask, again after a pause while the provider is busy or late."""
        library = await asyncio.to_thread(_library)
        settings = self._settings
        parameters: dict[str, Json] = {"max_tokens": settings.reply_tokens}
        if settings.temperature is not None:
            parameters["temperature"] = settings.temperature
        if seed is not None:
            parameters["seed"] = seed
        pause = settings.pause
        for left in reversed(range(settings.tries)):
            started = time.monotonic()
            try:
                response = await library.acompletion(
                    model=self.name,
                    messages=[{"role": "user", "content": prompt}],
                    timeout=settings.seconds,
                    api_base=settings.api_base,
                    api_key=settings.api_key,
                    num_retries=0,  # here, where they are counted
                    max_retries=0,
                    drop_params=True,  # what a provider does not know
                    **parameters,
                )
                return self._exchange(library, prompt, response, parameters, time.monotonic() - started)
            except (library.RateLimitError, library.ServiceUnavailableError, library.Timeout) as error:
                if not left:
                    raise NoReply(f"{self.name}: {settings.tries} tries, then {_line(error)}") from error
            except (library.ContextWindowExceededError, library.ContentPolicyViolationError) as error:
                raise NoReply(f"{self.name}: {_line(error)}") from error
            except library.exceptions.openai.OpenAIError as error:  # all of LiteLLM's derive from it
                raise ModelError(f"{self.name}: {_line(error)}") from error
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _exchange(
        self, library: ModuleType, prompt: str, response: Any, parameters: dict[str, Json], seconds: float
    ) -> Exchange:
        asked, replied = response.usage.prompt_tokens, response.usage.completion_tokens
        usd = self._usd(library, asked, replied)
        if usd is None:
            parameters["price"] = "unknown"
        reply = response.choices[0].message.content or ""
        return Exchange(self.name, prompt, reply, usd or 0.0, asked, replied, seconds, parameters)

    def _usd(self, library: ModuleType, asked: int, replied: int) -> float | None:
        """Price of so many tokens; None where nobody knows it."""
        if self._settings.usd_per_million:
            one, other = self._settings.usd_per_million
            return (asked * one + replied * other) / 1e6
        try:
            parts = library.cost_per_token(self.name, prompt_tokens=asked, completion_tokens=replied)
        except Exception as error:  # LiteLLM has no type of its own for this in every version
            if "isn't mapped" not in str(error):
                raise
            return None
        return float(sum(parts))


_lock = Lock()
_loaded: Future[ModuleType] | None = None


def _start_loading() -> Future[ModuleType]:
    """Import LiteLLM in the background, once; the seed is evaluated meanwhile."""
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = Future()
            Thread(target=_load, args=(_loaded,), name="litellm", daemon=True).start()
        return _loaded


def _library() -> ModuleType:
    return _start_loading().result()


def _load(loaded: Future[ModuleType]) -> None:
    # Without it the import asks the network for a price list.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError as error:
        loaded.set_exception(ModelError(f"LiteLLM cannot be imported: {error}"))
        return
    litellm.suppress_debug_info = True  # it prints advice to stdout
    litellm.telemetry = False
    loaded.set_result(litellm)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
