"""Where operators' questions meet the models: every call is within the budget, and remembered.

An operator only says what it wants to ask (`Conversation`); everything that a call costs, or that can go
wrong with it, is dealt with here.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from evolve.models import Amount, Model, NoReply, Price
from evolve.models.calls import KILLED, Calls
from evolve.models.purse import Limits, Purse, Ticket
from evolve.monitor import PROMPT_BYTES
from evolve.types import (
    Conversation,
    Event,
    Exchange,
    Failure,
    ModelError,
    Proposal,
    Question,
)

GIVEN_UP = 16  # prompts, one after another, to which a model says nothing


class Talk:
    """A conversation under way with one model."""

    def __init__(self, conversation: Conversation, model: str, trial: int, purse: Purse) -> None:
        self.model, self.trial = model, trial
        self.calls = 0  # so far
        self.earlier: deque[Exchange] = deque()  # had before a kill, and not heard again yet
        self.exchanges: list[Exchange] = []  # that no event has yet
        self.ticket = Ticket(purse, model)  # what was used, and what the next call may use
        self.over = False  # nothing more will be asked
        self.after: Failure | None = (
            None  # of a child that was run, if that is why the next question is asked
        )
        self.step: Question | Proposal  # what the operator wants asked, or has made
        self._conversation = conversation
        self.go_on(None)

    def go_on(self, said: Exchange | Failure | None) -> None:
        """Hear the operator's next word."""
        try:
            self.step = self._conversation.send(said)
        except StopIteration as end:
            self.end(end.value)

    def hear(self, exchange: Exchange) -> None:
        """Let the operator have a reply; without one there is nothing that it could say."""
        self.calls += 1
        if exchange.error:
            self.end(self.unasked(Failure("model", exchange.error)))
        else:
            self.go_on(exchange)

    def mends(self, failure: Failure, ran: bool = False) -> bool:
        """Tell the operator what is wrong with the child that it has made; whether it asks again.

        `ran`: it was run, and that is how it ended.
        """
        if self.over:
            return False
        made = self.step
        assert isinstance(made, Proposal)
        self.go_on(failure)
        if isinstance(self.step, Question):
            self.after = failure if ran else None
            return True
        self.step = replace(made, details=self.step.details)  # it has nothing better
        return False

    def again(self, said: Sequence[Exchange]) -> list[Proposal]:
        """Hear what was said before, in an earlier session; the children that were not new, in order."""
        refused = []
        for exchange in said:
            if isinstance(self.step, Proposal):
                if self.over:
                    break
                if exchange.after is None:
                    refused.append(self.step)
                self.go_on(exchange.after or Failure("duplicate"))
            self.hear(exchange)
        return refused

    def unasked(self, why: Failure) -> Proposal:
        """What comes of the question that is not asked, or not answered."""
        assert isinstance(self.step, Question)
        if isinstance(self.step.otherwise, Proposal):
            return self.step.otherwise
        return Proposal(None, failure=why, details=self.step.details)

    @property
    def without_room(self) -> Proposal:
        """What comes of the question if the budget leaves no room for it."""
        assert isinstance(self.step, Question)
        known = self.step.otherwise
        default = Failure("model", "its budget leaves no room for a question")
        return self.unasked(known if isinstance(known, Failure) else default)

    def recorded(self) -> None:
        """An event has what was said so far."""
        self.exchanges.clear()
        self.ticket.recorded()

    def end(self, made: Proposal) -> None:
        """This is all that comes of it."""
        self.step, self.over = made, True
        self._conversation.close()


class Desk:
    """The models of a run, by name, and what they may use.

    `monitor` looks at what agents make; unless it is one of `models`, it is asked nothing else. Where it is
    lost, or its budget is spent, nobody is asked for a child that it could not look at.
    """

    def __init__(
        self,
        models: Sequence[Model] = (),
        purse: Purse | None = None,
        at_once: Mapping[str, int] | None = None,
        monitor: Model | None = None,
    ) -> None:
        self._asked = [model.name for model in models]  # for children, and by programs
        self.monitor = None if monitor is None else monitor.name
        self._models = {model.name: model for model in (*models, *([monitor] if monitor else []))}
        self.purse = self._purse = purse or Purse()
        self._at_once = at_once or {}  # calls in flight, where they say so
        self._calls: Calls | None = None
        self._said: Counter[int] = Counter()  # exchanges that events have, of the trials under way
        self._recorded: dict[int, int] = {}  # likewise, since the ledger was in sync
        self._silences: dict[str, tuple[int, float]] = {}  # by model: how many so far, when the last one was
        self.lost: dict[str, str] = {}  # models that will not answer any more, and why

    @property
    def models(self) -> Collection[str]:
        """Names of those that make children, or answer programs."""
        return self._asked

    def model(self, name: str) -> Model:
        """One of them."""
        return self._models[name]

    def lacks(self, amount: Amount) -> str | None:
        """Name of the limit that leaves no room for this, whichever model is asked; None: there is room."""
        lacking = [self.purse.lacks(name, amount) for name in self._asked]
        return lacking[0] if lacking and all(lacking) else None

    @property
    def prices(self) -> dict[str, Price | None]:
        """What each costs, as far as anybody knows; this may wait for LiteLLM."""
        return {name: model.price for name, model in self._models.items()}

    @property
    def contexts(self) -> dict[str, int | None]:
        """Tokens that a prompt and its reply may have together, where known; this waits as `prices` does."""
        return {name: model.context_tokens for name, model in self._models.items()}

    def unpriced(self, everywhere: bool) -> str | None:
        """A model whose dollars are limited (all are if `everywhere`) and whose price nobody knows."""
        limited = [name for name in self._models if everywhere or self._purse.limited(name)]
        return next((name for name in limited if self._models[name].price is None), None)

    def raise_limits(self, usd: float | None, tokens: int | None, calls: int | None) -> None:
        """From now on all models together may use this much."""
        self._purse.allow(Limits(usd, tokens, calls))

    def keep(self, calls: Calls) -> None:
        """Keep what is said there until the ledger has it."""
        self._calls = calls

    def tell(self, event: Event) -> None:
        """Fold one event."""
        self._purse.tell(event)
        if "exchanges" in event.measured:
            trial = event.decision["trial"]
            self._said[trial] += len(event.measured["exchanges"])
            self._recorded[trial] = self._said[trial]
        if event.kind == "trial" and self._said.pop(event.decision["trial"], 0):
            self._recorded[event.decision["trial"]] = sys.maxsize  # whatever was said: it is over

    def settle(self) -> None:
        """What was told is safe in the ledger."""
        if self._calls is not None and self._recorded:
            self._calls.settle(self._recorded)
        self._recorded.clear()

    def close(self) -> None:
        """End what models have started. Idempotent."""
        for model in self._models.values():
            model.close()

    # ------------------------------------------------------------------------------ who may be asked

    def unready(self, prompt_bytes: int, talking: Mapping[str | None, int], most: int) -> list[str]:
        """Models that cannot be asked now: lost, busy, or without room in their budget, in order.

        `talking`: calls under way by model; `most`: of one model, unless it says otherwise.
        """
        blind = self.monitor is not None and (self.monitor in self.lost or self._unwatched() is not None)
        return sorted(
            name
            for name in self._asked
            if blind
            or name in self.lost
            or talking.get(name, 0) >= self._at_once.get(name, most)
            or self._purse.lacks(name, self._most(name, prompt_bytes)) is not None
        )

    def spent(self, prompt_bytes: int, alone: bool) -> str | None:
        """Name of a limit that leaves no model room for so long a prompt, and so ends the run; None: go on.

        `alone`: nobody else makes children; else a model's own limits end nothing but its part.
        """
        lacking = [
            self._purse.lacks(name, self._most(name, prompt_bytes), own=alone)
            for name in self._asked
            if name not in self.lost
        ]
        return lacking[0] if lacking and all(lacking) else self._unwatched(own=alone)

    def _unwatched(self, own: bool = True) -> str | None:
        """Name of a limit that leaves the monitor no room; None: it has room, or there is none."""
        if self.monitor is None:
            return None
        return self._purse.lacks(self.monitor, self._most(self.monitor, PROMPT_BYTES), own=own)

    @property
    def nobody(self) -> str | None:
        """Why no model will answer any more; None: one may."""
        if self.monitor in self.lost:
            return self.lost[self.monitor]
        return "; ".join(self.lost.values()) if self.lost.keys() >= set(self._asked) else None

    def open(self, conversation: Conversation, model: str, trial: int) -> Talk:
        """Begin a conversation; from now on the worst case of its first call is held.

        Raises ModelError where there is no room for it: the model was not ready.
        """
        talk = Talk(conversation, model, trial, self._purse)
        if isinstance(talk.step, Question) and not talk.ticket.hold(self._worst(talk)):
            raise ModelError(f"{model}: asked without room in its budget")
        return talk

    def earlier(self, trial: int, recorded: int = 0) -> tuple[Exchange, ...]:
        """What an earlier session, which was killed, asked for a trial beside those that events have."""
        return tuple(self._calls.earlier(trial, recorded)) if self._calls is not None else ()

    def reopen(
        self, conversation: Conversation, model: str, trial: int, said: Sequence[Exchange] = ()
    ) -> Talk:
        """Begin again a conversation that a kill cut off: the replies that had come are not bought again.

        `said`: what events have of it.
        """
        talk = Talk(conversation, model, trial, self._purse)
        talk.again(said)
        talk.earlier.extend(self.earlier(trial, len(said)))
        return talk

    def watch(self, conversation: Conversation, trial: int) -> Talk:
        """Begin what the monitor is asked about a child, or begin it again.

        A call that a kill cut off, or that was about another child, counts and is made anew: what an agent
        has made is worth more than a look at it.
        """
        assert self.monitor is not None
        talk = self.reopen(conversation, self.monitor, trial)
        assert isinstance(talk.step, Question)
        while talk.earlier and (
            KILLED in talk.earlier[0].error or talk.earlier[0].prompt != talk.step.prompt
        ):
            lost = talk.earlier.popleft()
            talk.calls += 1
            talk.ticket.settle(Amount(lost.usd, lost.prompt_tokens + lost.reply_tokens, 1))
            talk.exchanges.append(lost)
        return talk

    def abandon(self, talk: Talk) -> Proposal:
        """Nobody waits for this one any more: what its call under way may cost counts in full."""
        said = [*talk.exchanges, *talk.earlier]
        if isinstance(talk.step, Question):
            why = "the run ended before it answered"
            if talk.ticket.held.calls:
                held, error = talk.ticket.held, f"{talk.model}: {why}"
                lost = Exchange(talk.model, talk.step.prompt, "", held.usd, held.tokens, error=error)
                said.append(replace(lost, after=talk.after))
            talk.end(talk.unasked(Failure("model", why)))
        talk.over = True
        assert isinstance(talk.step, Proposal)
        return replace(talk.step, exchanges=tuple(said))

    def _worst(self, talk: Talk) -> Amount:
        assert isinstance(talk.step, Question)
        return self._most(talk.model, len(talk.step.prompt.encode()))

    def _most(self, model: str, prompt_bytes: int) -> Amount:
        return self._models[model].most(prompt_bytes)

    # ------------------------------------------------------------------------------ what is said

    async def talk(self, talk: Talk) -> Proposal:
        """Ask until there is a child, or none will come."""
        while isinstance(question := talk.step, Question):
            if not talk.earlier and not talk.ticket.hold(self._worst(talk)):
                talk.end(talk.without_room)
                break
            exchange = talk.earlier.popleft() if talk.earlier else await self._call(talk, question)
            exchange, talk.after = replace(exchange, after=talk.after), None
            talk.ticket.settle(Amount(exchange.usd, exchange.prompt_tokens + exchange.reply_tokens, 1))
            talk.exchanges.append(exchange)
            talk.hear(exchange)
        assert isinstance(talk.step, Proposal)
        return replace(talk.step, exchanges=tuple(talk.exchanges))

    async def _call(self, talk: Talk, question: Question) -> Exchange:
        if self._calls is not None:
            self._calls.sent(talk.trial, talk.calls, talk.model, self._worst(talk))
        began = time.monotonic()
        try:
            model = self._models[talk.model]
            exchange = await model.complete(question.prompt, question.seed, question.form)
        except NoReply as error:
            exchange = error.exchange
            if error.for_good:
                self.lost.setdefault(talk.model, str(error))
        # surrogates could not be written down; what is acted on is what is kept
        reply = exchange.reply.encode(errors="backslashreplace").decode()
        exchange = replace(exchange, reply=reply)
        self._listen(talk.model, exchange, began)
        if self._calls is not None:
            self._calls.got(talk.trial, talk.calls, exchange)
        return exchange

    def _listen(self, model: str, exchange: Exchange, began: float) -> None:
        """Give a model up that says nothing for long; prompts that were under way together count once."""
        count, last = self._silences.get(model, (0, 0.0))
        if exchange.reply.strip():
            self._silences.pop(model, None)
        elif began >= last:
            self._silences[model] = count + 1, time.monotonic()
            if count + 1 == GIVEN_UP:
                why = exchange.error.removeprefix(f"{model}: ") or "an empty reply"
                self.lost.setdefault(model, f"{model}: {GIVEN_UP} times nothing, the last time: {why}")
