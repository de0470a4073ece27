"""Models as people name them: `openai/gpt-5-mini`, or `openai/gpt-5-mini,price=0.25/2,usd=1,at_once=64`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evolve.models import Model, Price
from evolve.models.desk import Desk
from evolve.models.litellm import LiteLLM, Settings
from evolve.models.purse import Limits, Purse
from evolve.models.recorded import Recorded
from evolve.place import find
from evolve.types import BadInput, Json
from fitness.nearest import one_of

MOST_AT_ONCE = 1024
REPLAY = "replay:"  # and a run: its replies


@dataclass(frozen=True, slots=True)
class Named:
    """A model that was asked for: how it is asked, what it may use, how many calls may be in flight."""

    name: str  # as LiteLLM has it
    settings: Settings
    limits: Limits
    at_once: int | None  # None: as every model


def parse(text: str) -> Named:
    """Read NAME[,key=value,...]. Raises BadInput for an unknown key, a value that cannot be, or no name."""
    name, *rest = text.split(",")
    if not name.strip():
        raise BadInput("--model", "NAME or NAME,key=value,...", repr(text))
    found: dict[str, Any] = {}
    for item in rest:
        key, equals, value = item.partition("=")
        if key not in _KEYS:
            raise BadInput(f"--model {name}", f"a setting: {one_of(key, _KEYS)}", repr(key))
        expected, read = _KEYS[key]
        try:
            found[key] = read(value)
        except (ValueError, BadInput):
            raise BadInput(f"--model {name}: {key}", expected, repr(value) if equals else "nothing") from None
    settings = replace(Settings(), **{field: found[key] for key, field in _SETTINGS.items() if key in found})
    limits = Limits(*(found.get(key) for key in ("usd", "tokens", "calls")))
    return Named(name.strip(), settings, limits, found.get("at_once"))


def desk(texts: Sequence[str], whole: Limits, frozen: Mapping[str, Json]) -> Desk:
    """The models of a run; `frozen`: the prices in its first event, which stay unless others are given.

    Raises BadInput where a model cannot be what it is said to be, or is named twice.
    """
    chosen = [parse(text) for text in texts]
    names = [each.name for each in chosen]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("--model", "each model once", f"{name} {names.count(name)} times")
    purse = Purse(whole, {each.name: each.limits for each in chosen})
    at_once = {each.name: each.at_once for each in chosen if each.at_once is not None}
    return Desk([_model(each, frozen.get(each.name)) for each in chosen], purse, at_once)


def _model(asked: Named, frozen: Mapping[str, float] | None) -> Model:
    if asked.name.startswith(REPLAY):
        return Recorded(asked.name, find(asked.name.removeprefix(REPLAY)))
    settings = asked.settings
    if settings.price is None and frozen is not None:
        settings = replace(settings, price=Price(**frozen))
    return LiteLLM(asked.name, settings)


def _number(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(value)
    return number


def _whole(value: str) -> int:
    number = float(value)  # 1e6 is how people write a million
    if number != int(number) or number < 1:
        raise ValueError(value)
    return int(number)


def _at_once(value: str) -> int:
    number = _whole(value)
    if number > MOST_AT_ONCE:
        raise ValueError(value)
    return number


def _temperature(value: str) -> float | None:
    if value == "default":
        return None
    number = float(value)
    if not 0 <= number <= 2:
        raise ValueError(value)
    return number


def _price(value: str) -> Price:
    prompt, reply = map(float, value.split("/"))
    if not (0 <= prompt < float("inf") and 0 <= reply < float("inf")):
        raise ValueError(value)
    return Price(prompt, reply)


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(value)
    return value


_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {  # what is expected, and what reads it
    "price": ("dollars for a million tokens of prompts and of replies, as 0.25/2", _price),
    "usd": ("dollars above 0", _number),
    "tokens": ("a whole number above 0", _whole),
    "calls": ("a whole number above 0", _whole),
    "at_once": (f"a whole number from 1 to {MOST_AT_ONCE}", _at_once),
    "temperature": ("a number from 0 to 2, or default", _temperature),
    "reply_tokens": ("a whole number above 0", _whole),
    "seconds": ("seconds above 0", _number),
    "tries": ("a whole number above 0", _whole),
    "base": ("an address that begins with http:// or https://", _address),
}
_SETTINGS = {  # key -> field of Settings
    "price": "price",
    "temperature": "temperature",
    "reply_tokens": "reply_tokens",
    "seconds": "seconds",
    "tries": "tries",
    "base": "api_base",
}
