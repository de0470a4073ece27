"""The replies of a run, given again: for a changed program, at no cost and without a network."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from threading import Lock

from evolve.models import Amount, NoReply, Price
from evolve.types import Exchange, Json
from populations import records
from populations.ledger import GitLedger


class Recorded:
    """Gives to a prompt that was recorded its reply, and to any other one the next reply that is left.

    Such a reply says where the prompt differs: `differs` in its parameters. Several recorded replies to one
    prompt come in their order; whatever models they are of.
    """

    price = Price(0.0, 0.0)
    context_tokens: int | None = None

    def __init__(self, name: str, run: Path) -> None:
        self.name = name
        self._lock = Lock()
        self._left = deque[tuple[int, Exchange]]()  # in the order of trials
        with GitLedger.read(run) as ledger:
            for event in ledger.events():
                if "exchanges" in event.measured:
                    said = records.decode_paid(event, ledger.files(event.index)).exchanges
                    self._left.extend((event.decision["trial"], each) for each in said)
        self._left = deque(sorted(self._left, key=lambda item: item[0]))
        self._tokens = max((each.reply_tokens for _, each in self._left), default=0)

    def most(self, prompt_bytes: int) -> Amount:
        """Nothing; of tokens as many as were recorded."""
        return Amount(0.0, prompt_bytes + self._tokens, 1)

    async def complete(
        self,
        prompt: str,
        seed: int | None = None,
        form: str | None = None,
        temperature: float | None = None,
    ) -> Exchange:
        """Give a recorded reply, or what was recorded instead of one."""
        with self._lock:
            if not self._left:
                error = f"{self.name}: no recorded reply is left"
                raise NoReply(Exchange(self.name, prompt, "", error=error), for_good=True)
            same = next((item for item in self._left if item[1].prompt == prompt), None)
            trial, then = same or self._left[0]
            self._left.remove((trial, then))
        parameters: dict[str, Json] = {"recorded": {"trial": trial, "model": then.model, "usd": then.usd}}
        if same is None:
            parameters["differs"] = f"trial {trial}: {first_difference(then.prompt, prompt)}"
        now = replace(then, model=self.name, prompt=prompt, usd=0.0, seconds=0.0, parameters=parameters)
        if now.error:
            raise NoReply(now)
        return now

    def close(self) -> None:
        """Nothing was started."""


def first_difference(then: str, now: str) -> str:
    """Where two texts part."""
    old, new = then.splitlines(), now.splitlines()
    same = (a == b for a, b in zip(old, new, strict=False))
    number = next((n for n, equal in enumerate(same) if not equal), min(len(old), len(new)))
    was, has = (lines[number] if number < len(lines) else "its end" for lines in (old, new))
    return f"line {number + 1}: was {was[:60]!r}, is {has[:60]!r}"
