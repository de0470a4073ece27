"""Any model that LiteLLM knows. The only place that imports it, and late: it takes seconds."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Lock, Thread
from types import ModuleType
from typing import Any

from evolve.models import Price, Settings
from evolve.models.listed import listed_context
from evolve.models.remote import Remote, Said, Trouble, heals, line, wanted_seconds
from evolve.types import BadInput, Json, ModelError


class LiteLLM(Remote):
    """A model by the name that LiteLLM has for it: `openai/gpt-4.1-mini`, `ollama/qwen2.5-coder`, ..."""

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        super().__init__(name, settings)
        self._known_price: Price | None = None  # by LiteLLM
        self._asked_for_price = False
        _start_loading()

    @property
    def price(self) -> Price | None:
        """As given, or as LiteLLM knows it, for a short prompt; this waits until it is loaded."""
        if self._settings.price is None and not self._asked_for_price:
            self._known_price, self._asked_for_price = _list_price(self.name), True
        return self._settings.price or self._known_price

    @property
    def context_tokens(self) -> int | None:
        """As given, or as LiteLLM lists it."""
        return self._settings.context_tokens or listed_context(self.name)

    async def _send(self, prompt: str, parameters: dict[str, Json]) -> Said:
        library = await asyncio.to_thread(_library)
        settings = self._settings
        try:
            response = await library.acompletion(
                model=self.name,
                messages=[{"role": "user", "content": prompt}],
                timeout=settings.seconds,
                api_base=settings.api_base,
                api_key=settings.api_key,
                num_retries=0,  # elsewhere, where they are counted
                max_retries=0,
                drop_params=True,  # what a provider does not know
                **parameters,
            )
        except (library.ContextWindowExceededError, library.ContentPolicyViolationError) as error:
            raise Trouble(line(error), "prompt") from error
        except library.exceptions.openai.OpenAIError as error:  # all of LiteLLM's derive from it
            raise _trouble(library, error) from error
        choices = getattr(response, "choices", None)
        message = getattr(choices[0], "message", None) if choices else None
        if not choices or message is None:
            raise Trouble("a reply without a message", "prompt", billed=True)
        usage = getattr(response, "usage", None)
        return Said(
            message.content or "",
            getattr(usage, "prompt_tokens", 0) or 0,
            getattr(usage, "completion_tokens", 0) or 0,
            getattr(choices[0], "finish_reason", None) == "length",
        )


def _trouble(library: ModuleType, error: Any) -> Trouble:
    openai = library.exceptions.openai
    # what the client itself refuses to send, for want of a key, LiteLLM calls an error of the server
    unsent = any(
        isinstance(each, openai.OpenAIError) and not isinstance(each, openai.APIError)
        for each in _causes(error)
    )
    if unsent or not heals(getattr(error, "status_code", None)):
        return Trouble(line(error), "refused")
    if isinstance(error, library.Timeout):
        return Trouble(line(error), "late")
    if _out_of_reach(error):
        return Trouble(line(error), "away")
    headers = getattr(getattr(error, "response", None), "headers", None)
    given = getattr(error, "litellm_response_headers", None)
    return Trouble(line(error), "busy", max(wanted_seconds(given), wanted_seconds(headers)))


def _list_price(name: str) -> Price | None:
    """What LiteLLM says that a short prompt and its reply cost; None where it knows no price."""
    library = _library()
    try:
        prompt, _ = library.cost_per_token(name, prompt_tokens=1, completion_tokens=0)
        _, reply = library.cost_per_token(name, prompt_tokens=0, completion_tokens=1)
    except library.BadRequestError as error:
        raise BadInput("model", "PROVIDER/NAME as LiteLLM knows it", f"{name!r}") from error
    except library.ModelNotMappedError:
        return None
    return Price(float(prompt) * 1e6, float(reply) * 1e6)


def _out_of_reach(error: BaseException) -> bool:
    """Whether no server answered at all; LiteLLM calls that an error of the server, and keeps the cause."""
    return any(
        isinstance(each, ConnectionError) or type(each).__name__ == "ConnectError"  # httpx's
        for each in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """It, and what it comes of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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
    # its import and its first response warn of its own types, on the user's terminal
    warnings.filterwarnings("ignore", "Items? .* on TypedDict class", UserWarning)
    try:
        import litellm

        litellm.suppress_debug_info = True  # it prints advice to stdout
        litellm.telemetry = False
        litellm.ModelResponse()
    except Exception as error:  # whatever it is, those who wait for it must hear of it
        loaded.set_exception(ModelError(f"LiteLLM cannot be imported: {error}"))
        return
    loaded.set_result(litellm)
