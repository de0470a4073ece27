"""Any model that LiteLLM knows. The only place that imports it, and late: it takes seconds."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from concurrent.futures import Future
from threading import Lock, Thread
from types import ModuleType
from typing import Any

from evolve.models import Amount, NoReply, Price, Settings, does_not_fit
from evolve.types import BadInput, Exchange, Json, ModelError

_BILLED = 2  # requests of one prompt, at the most
_MOST_TOKEN_BYTES = 6  # a prompt has at least one token for so many, but for very odd ones
_FRAME_TOKENS = 64  # around a prompt: its role, its ends
_MAY_HEAL = (408, 409, 425, 429)  # HTTP statuses: late, in conflict, too early, too many requests


class LiteLLM:
    """A model by the name that LiteLLM has for it: `openai/gpt-4.1-mini`, `ollama/qwen2.5-coder`, ..."""

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.name = name
        self._settings = settings or Settings()
        self._replied = False  # ever
        self._known_price: Price | None = None  # by LiteLLM
        self._asked_for_price = False
        self._known_context: int | None = None
        self._asked_for_context = False
        _start_loading()

    @property
    def price(self) -> Price | None:
        """As given, or as LiteLLM knows it, for a short prompt; this waits until it is loaded."""
        if self._settings.price is None and not self._asked_for_price:
            self._known_price, self._asked_for_price = _list_price(self.name), True
        return self._settings.price or self._known_price

    def most(self, prompt_bytes: int) -> Amount:
        """Two full replies, as many as may be billed, to a prompt in which each byte is a token."""
        prompt, reply = prompt_bytes + _FRAME_TOKENS, self._settings.reply_tokens
        return Amount(_BILLED * self._usd(prompt, reply), _BILLED * (prompt + reply), 1)

    @property
    def context_tokens(self) -> int | None:
        """As given, or as LiteLLM knows it; this waits until it is loaded."""
        if self._settings.context_tokens is None and not self._asked_for_context:
            self._known_context, self._asked_for_context = _listed_context(self.name), True
        return self._settings.context_tokens or self._known_context

    async def complete(self, prompt: str, seed: int | None = None, form: str | None = None) -> Exchange:
        """Ask, again after a pause while the provider is busy, late, broken or out of reach.

        A provider may bill a request that nobody waited for to its end: a late one counts as billed, at the
        worst, and is made but once more. So does a reply without a count of tokens. Requests that end with an
        error are taken to be free.
        """
        library = await asyncio.to_thread(_library)
        settings = self._settings
        parameters: dict[str, Json] = {"max_tokens": settings.reply_tokens}
        if settings.temperature is not None:
            parameters["temperature"] = settings.temperature
        if seed is not None:
            parameters["seed"] = seed
        pause, late, out_of_reach, began = settings.pause, 0, 0, time.monotonic()

        def lost(why: str, billed: int, for_good: bool = False) -> NoReply:
            usd, asked, replied = self._worst(prompt, billed)
            seconds, error = time.monotonic() - began, f"{self.name}: {why}"
            return NoReply(
                Exchange(self.name, prompt, "", usd, asked, replied, seconds, parameters, error), for_good
            )

        least = len(prompt.encode()) // _MOST_TOKEN_BYTES + settings.reply_tokens
        if (context := self.context_tokens) is not None and least > context:
            raise lost(does_not_fit(f"at least {least - settings.reply_tokens}", settings, context), 0)
        for number in range(1, settings.tries + 1):
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
            except (library.ContextWindowExceededError, library.ContentPolicyViolationError) as error:
                raise lost(_line(error), late) from error
            except library.exceptions.openai.OpenAIError as error:  # all of LiteLLM's derive from it
                if _for_good(error):
                    raise lost(_line(error), late, for_good=True) from error
                late += isinstance(error, library.Timeout)
                out_of_reach += _out_of_reach(error)
                if number == settings.tries or late == _BILLED:
                    never = out_of_reach == number and not self._replied
                    raise lost(f"{number} tries, then {_line(error)}", late, for_good=never) from error
            else:
                self._replied = True
                exchange = self._exchange(prompt, response, parameters, time.monotonic() - started, late)
                if exchange is None:
                    raise lost("a reply without a message", late + 1)
                return exchange
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Nothing was started but an import."""

    def _exchange(
        self, prompt: str, response: Any, parameters: dict[str, Json], seconds: float, late: int
    ) -> Exchange | None:
        """What came back, with the requests before it that may be billed; None where it is no reply."""
        choices = getattr(response, "choices", None)
        message = getattr(choices[0], "message", None) if choices else None
        if message is None:
            return None
        usage = getattr(response, "usage", None)
        asked, replied = getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0
        if not (asked and replied):
            asked = replied = 0
            late += 1
        if self.price is None:
            parameters["price"] = "unknown"
        if late:
            parameters["counted_in_full"] = late
        usd, more_asked, more_replied = self._worst(prompt, late)
        usd += self._usd(asked, replied)
        return Exchange(
            self.name,
            prompt,
            message.content or "",
            usd,
            asked + more_asked,
            replied + more_replied,
            seconds,
            parameters,
        )

    def _worst(self, prompt: str, requests: int) -> tuple[float, int, int]:
        """The most that so many requests may be billed: dollars, tokens of prompts and of replies."""
        asked = requests * (len(prompt.encode()) + _FRAME_TOKENS)  # a token is a byte at least
        replied = requests * self._settings.reply_tokens
        return self._usd(asked, replied), asked, replied

    def _usd(self, asked: int, replied: int) -> float:
        """Price of so many tokens; 0 where nobody knows it."""
        return self.price.of(asked, replied) if self.price else 0.0


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


def _listed_context(name: str) -> int | None:
    """Tokens that LiteLLM says a prompt may have; None where it knows no such model."""
    listed = _library().model_cost  # not `get_model_info`, which asks some servers
    found = listed.get(name) or listed.get(name.partition("/")[2]) or {}
    tokens = found.get("max_input_tokens")
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _for_good(error: Any) -> bool:
    """Whether the next request will fail as well: no key, no right, no money, no such model, no sense."""
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in _MAY_HEAL


def _out_of_reach(error: BaseException) -> bool:
    """Whether no server answered at all; LiteLLM calls that an error of the server, and keeps the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError) or type(cause).__name__ == "ConnectError":  # httpx's
            return True
        cause = cause.__cause__ or cause.__context__
    return False


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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
