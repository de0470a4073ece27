"""Models as people name them: `openai/gpt-5-mini`, or `openai/gpt-5-mini,price=0.25/2,usd=1,at_once=64`.

`gguf:PATH` is a file on this machine, `replay:RUN` what a run recorded, `openai/NAME` with a `base` a server
that speaks that protocol; everything else is a name of LiteLLM's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolve.finding import find
from evolve.models import MOST_TEMPERATURE, Model, Price, Settings, chat, gguf
from evolve.models.chat import Chat
from evolve.models.desk import Desk
from evolve.models.effects import KnownEffects
from evolve.models.gguf import Gguf
from evolve.models.litellm import LiteLLM
from evolve.models.purse import Limits, Purse
from evolve.models.recorded import Recorded
from evolve.models.served import Load, Server
from evolve.types import BadInput, Json
from fitness.nearest import one_of

MOST_AT_ONCE = 1024
EFFECTS = "known-effects"  # for the machinery of `evolve self`, see evolve/models/effects.py
REPLAY = "replay:"  # and a run: its replies


@dataclass(frozen=True, slots=True)
class Named:
    """A model that was asked for: how it is asked, what it may use, how many calls may be in flight."""

    name: str  # as LiteLLM has it
    settings: Settings
    limits: Limits
    at_once: int | None  # None: as every model
    threads: int = gguf.THREADS  # of a model on this machine


def parse(text: str) -> Named:
    """Read NAME[,key=value,...]. Raises BadInput for an unknown key, a value that cannot be, or no name."""
    name, *rest = text.split(",")
    if not name.strip():
        raise BadInput("--model", "NAME or NAME,key=value,...", repr(text))
    local, found = name.strip().startswith(gguf.PREFIX), dict[str, Any]()
    for item in rest:
        key, equals, value = item.partition("=")
        known = _KEYS.keys() - (_REMOTE if local else _LOCAL)
        if key not in known:
            raise BadInput(f"--model {name}", f"a setting: {one_of(key, sorted(known))}", repr(key))
        expected, read = _KEYS[key]
        try:
            found[key] = read(value)
        except (ValueError, BadInput):
            raise BadInput(f"--model {name}: {key}", expected, repr(value) if equals else "nothing") from None
    chosen = {field: found[key] for key, field in _SETTINGS.items() if key in found}
    if local and "context_tokens" in chosen:
        chosen = {"reply_tokens": max(chosen["context_tokens"] // 4, 1), **chosen}
    settings = replace(gguf.SETTINGS if local else Settings(), **chosen)
    if settings.context_tokens is not None and settings.reply_tokens >= settings.context_tokens:
        expected = f"more than the {settings.reply_tokens} tokens of a reply (reply_tokens)"
        raise BadInput(f"--model {name}: context", expected, f"{settings.context_tokens}")
    if settings.grammar and not (settings.api_base and name.strip().startswith(chat.PREFIX)):
        raise BadInput(f"--model {name}: grammar", "openai/NAME with a base=ADDRESS", "no such server")
    limits = Limits(*(found.get(key) for key in ("usd", "tokens", "calls")))
    at_once = found.get("at_once", 1 if local else None)
    return Named(name.strip(), settings, limits, at_once, found.get("threads", gguf.THREADS))


def desk(texts: Sequence[str], whole: Limits, frozen: Mapping[str, Json], monitor: str | None = None) -> Desk:
    """The models of a run; `frozen`: the prices in its first event, which stay unless others are given.

    `monitor` may be one of them, asked in the same way, or another one.
    Raises BadInput where a model cannot be what it is said to be, or is named twice.
    """
    chosen = [parse(text) for text in texts]
    names = [each.name for each in chosen]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("--model", "each model once", f"{name} {names.count(name)} times")
    watching = None if monitor is None else parse(monitor)
    if watching is not None and watching not in chosen:
        if watching.name in names:
            raise BadInput("--monitor", f"{watching.name} as --model has it, or another model", monitor or "")
        chosen.append(watching)
    purse = Purse(whole, {each.name: each.limits for each in chosen})
    at_once = {each.name: each.at_once for each in chosen if each.at_once is not None}
    servers = _servers(each for each in chosen if each.name.startswith(gguf.PREFIX))
    made = {each.name: _model(each, frozen.get(each.name), servers) for each in chosen}
    watches = None if watching is None else made[watching.name]
    return Desk([made[name] for name in names], purse, at_once, watches)


def _servers(asked: Iterable[Named]) -> dict[str, Server]:
    """Of each name its server: one for a file, whatever the names are that it goes by."""
    loads: dict[Path, Load] = {}
    paths = {each.name: (gguf.find(each.name), each) for each in asked}
    for path, each in paths.values():
        before = loads.get(path, Load(path, 0, 0, 0))
        context = each.settings.context_tokens or gguf.CONTEXT_TOKENS
        loads[path] = Load(
            path,
            max(before.context_tokens, context),
            before.at_once + (each.at_once or 1),
            max(before.threads, each.threads),
        )
    servers = {path: Server(load) for path, load in loads.items()}
    return {name: servers[path] for name, (path, _) in paths.items()}


def _model(asked: Named, frozen: Mapping[str, float] | None, servers: Mapping[str, Server]) -> Model:
    if asked.name == EFFECTS or asked.name == EFFECTS + ":useless":
        return KnownEffects(asked.name, useless=asked.name != EFFECTS)
    if asked.name in servers:
        return Gguf(asked.name, asked.settings, servers[asked.name])
    if asked.name.startswith(REPLAY):
        return Recorded(asked.name, find(asked.name.removeprefix(REPLAY)))
    settings = asked.settings
    if settings.price is None and frozen is not None:
        settings = replace(settings, price=Price(**frozen))
    if settings.api_base is not None and asked.name.startswith(chat.PREFIX):
        return Chat(asked.name, settings)
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
    if not 0 <= number <= MOST_TEMPERATURE:
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


def _grammar(value: str) -> bool:
    if value != "gbnf":
        raise ValueError(value)
    return True


_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {  # what is expected, and what reads it
    "price": ("dollars for a million tokens of prompts and of replies, as 0.25/2", _price),
    "usd": ("dollars above 0", _number),
    "tokens": ("a whole number above 0", _whole),
    "calls": ("a whole number above 0", _whole),
    "at_once": (f"a whole number from 1 to {MOST_AT_ONCE}", _at_once),
    "temperature": (f"a number from 0 to {MOST_TEMPERATURE:g}, or default", _temperature),
    "reply_tokens": ("a whole number above 0", _whole),
    "context": ("a whole number of tokens above 0", _whole),
    "threads": ("a whole number above 0", _whole),
    "seconds": ("seconds above 0", _number),
    "tries": ("a whole number above 0", _whole),
    "base": ("an address that begins with http:// or https://", _address),
    "grammar": ("gbnf", _grammar),
}
_SETTINGS = {  # key -> field of Settings
    "price": "price",
    "temperature": "temperature",
    "reply_tokens": "reply_tokens",
    "context": "context_tokens",
    "seconds": "seconds",
    "tries": "tries",
    "base": "api_base",
    "grammar": "grammar",
}
_LOCAL = {"threads"}  # keys that only models on this machine have
_REMOTE = {"price", "base", "tries", "grammar"}  # and those that they have not
