"""What programs were told by models, told again from the record: to verify a run there is nobody to ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evolve.models.broker import Place, Refused, asks_the_same, prompt_of, temperature_of
from evolve.types import Allowance, Exchange, Job, Json


class Retold:
    """Answers one job at a time as its record does. Implements `evolve.types.Broker` and `Hearing`."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._said: dict[Place, Exchange] = {}
        self._calls: Counter[int] = Counter()  # by position of the case
        self._tokens: Counter[int] = Counter()
        self.strayed = False  # a program asked something else than it did then

    def begin(self, said: Iterable[Exchange]) -> None:
        """These are the exchanges of the next job."""
        self._said, self.strayed = {}, False
        self._calls.clear()
        self._tokens.clear()
        for each in said:
            if not each.error:
                self._said.setdefault((each.parameters["case"], each.parameters["number"]), each)

    def open(self, job: Job) -> Retold:
        """Listen to its programs."""
        return self

    def ask(self, position: int, request: Json) -> Json:
        """The recorded reply; where none is, the refusal that came instead."""
        try:
            told = request if isinstance(request, dict) else {}
            prompt, temperature = prompt_of(told.get("messages")), temperature_of(told.get("temperature"))
        except Refused as refused:
            return refused.told
        found = self._said.get((position, self._calls[position]))
        if found is None:
            return Refused("budget_exhausted", "calls").told
        if not asks_the_same(found, prompt, temperature):
            self.strayed = True
            return Refused("budget_exhausted", "calls").told
        self._calls[position] += 1
        self._tokens[position] += found.prompt_tokens + found.reply_tokens
        return {
            "text": found.reply,
            "model": found.model,
            "usage": {
                "prompt_tokens": found.prompt_tokens,
                "reply_tokens": found.reply_tokens,
                "usd": found.usd,
            },
            "left": {
                "calls": self._allowance.calls - self._calls[position],
                "tokens": max(0, self._allowance.tokens - self._tokens[position]),
            },
        }

    def close(self) -> tuple[Exchange, ...]:
        """Nothing was bought."""
        return ()
