"""Where sandboxed programs meet the models: no network and no key inside, every limit kept out here.

A program asks by a call, `complete`, whose argument is

    {"messages": [{"role": "system" | "user" | "assistant", "content": text}, ...],
     "model": name (optional), "temperature": 0 to 2 (optional)}

and is told

    {"text", "model", "usage": {"prompt_tokens", "reply_tokens", "usd"}, "left": {"calls", "tokens"}}

or, in band, `{"error": "budget_exhausted" | "bad_request" | "no_such_model", "detail": why}`. It is data.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from evolve.landing import job_key
from evolve.lines import Lines
from evolve.models import MOST_TEMPERATURE, NOT_SENT, Amount, Model, NoReply
from evolve.models.background import Background
from evolve.models.desk import Desk
from evolve.models.purse import Ticket
from evolve.types import Allowance, EvaluatorError, Exchange, Job, Json, ModelError
from sandbox import values

MOST_MESSAGES = 256
ROLES = ("system", "user", "assistant")
WISHED = "wished_temperature"  # in the parameters of an exchange; what the model was sent stands there too
KILLED = "the run was killed while it waited for this reply"

Place = tuple[int, int]  # position of the case in its job, number of the call


class Refused(Exception):
    """What a program is told instead of a reply."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.told: Json = {"error": error, "detail": detail}


class _Wish(NamedTuple):
    """What a program asks, once it is known to be sound."""

    prompt: str
    model: Model
    temperature: float | None


@dataclass(slots=True)
class _Used:
    """By one case so far."""

    amount: Amount = field(default_factory=Amount)
    seconds: float = 0.0


class DeskBroker:
    """The models of a desk for programs in sandboxes. Implements `evolve.types.Broker`; any thread may ask.

    Made before the run knows its models, as workers start first; `serve` says who they are.
    """

    def __init__(self, allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self._desk = Desk()
        self._seed = 0
        self._models = Background("broker")
        self.log: Said | None = None

    def serve(self, desk: Desk, seed: int) -> None:
        """These are the models; `seed` is the run's."""
        self._desk, self._seed = desk, seed

    def keep(self, path: Path) -> None:
        """Keep what is said there until an event has it, and give again what a killed session had bought."""
        if self.log is not None:
            self.log.close()
        self.log = Said(path)

    def settle(self, keys: Collection[str]) -> None:
        """Events have what the jobs of these keys said."""
        if self.log is not None:
            self.log.settle(keys)

    def open(self, job: Job) -> DeskHearing:
        """Listen to the programs of a job."""
        allowance = self.allowance if job.errand is None else job.errand.allowance
        return DeskHearing(self, self._desk, job, allowance, self._seed)

    def most_of_a_case(self) -> Amount:
        """What one case may use at the most."""
        allowance = self.allowance
        prices = [price for name in self._desk.models if (price := self._desk.model(name).price)]
        dear = [max(price.of(allowance.tokens, 0), price.of(0, allowance.tokens)) for price in prices]
        usd = max(dear, default=0.0) if allowance.usd is None else allowance.usd
        return Amount(usd, allowance.tokens, allowance.calls)

    def complete(self, wish: _Wish, seed: int, seconds: float) -> Exchange:
        """Ask a model from any thread. Raises TimeoutError, NoReply."""
        asked = self._models.run(wish.model.complete(wish.prompt, seed, temperature=wish.temperature))
        try:
            return asked.result(timeout=seconds)
        except TimeoutError:
            asked.cancel()
            raise

    def close(self) -> None:
        """Ask nobody any more. Idempotent."""
        self._models.close()
        if self.log is not None:
            self.log.close()


class DeskHearing:
    """What the programs of one job say. Implements `evolve.types.Hearing`; one thread at a time."""

    def __init__(self, broker: DeskBroker, desk: Desk, job: Job, allowance: Allowance, seed: int) -> None:
        self._broker, self._desk, self._job, self._allowance = broker, desk, job, allowance
        self._key, self._seed = job_key(job), seed
        self._used: defaultdict[int, _Used] = defaultdict(_Used)
        self._said: list[Exchange] = []

    def ask(self, position: int, request: Json) -> Json:
        """Answer one request; see `evolve.types.Hearing`."""
        used = self._used[position]
        try:
            wish = self._read(request)
            worst = wish.model.most(len(wish.prompt.encode()))
            self._check(used, worst)
            exchange = self._exchange(position, used, wish, worst)
        except Refused as refused:
            return refused.told
        if exchange.error:
            return Refused("budget_exhausted", "seconds").told
        left = self._allowance
        return {
            "text": exchange.reply,
            "model": exchange.model,
            "usage": {
                "prompt_tokens": exchange.prompt_tokens,
                "reply_tokens": exchange.reply_tokens,
                "usd": exchange.usd,
            },
            "left": {
                "calls": left.calls - used.amount.calls,
                "tokens": max(0, left.tokens - used.amount.tokens),
            },
        }

    def close(self) -> tuple[Exchange, ...]:
        """Everything that was said."""
        return tuple(self._said)

    def _read(self, request: Json) -> _Wish:
        """A request, its model chosen."""
        if not isinstance(request, dict) or not request.keys() <= {"messages", "model", "temperature"}:
            raise Refused("bad_request", "expected {messages, model, temperature}")
        prompt, temperature = prompt_of(request.get("messages")), temperature_of(request.get("temperature"))
        allowed = [
            name
            for name in self._desk.models
            if any(fnmatchcase(name, glob) for glob in self._allowance.models)
        ]
        name = request.get("model")
        if name is None:
            name = next((each for each in allowed if each not in self._desk.lost), next(iter(allowed), ""))
        if name not in allowed:
            raise Refused("no_such_model", f"one of {', '.join(allowed)}" if allowed else "none may be asked")
        return _Wish(prompt, self._desk.model(name), temperature)

    def _check(self, used: _Used, worst: Amount) -> None:
        """Refuse what the case's allowance has no room for at its worst."""
        most, allowance = used.amount.plus(worst), self._allowance
        if most.calls > allowance.calls:
            raise Refused("budget_exhausted", "calls")
        if most.tokens > allowance.tokens:
            raise Refused("budget_exhausted", "tokens")
        if allowance.usd is not None and most.usd > allowance.usd:
            raise Refused("budget_exhausted", "usd")
        if used.seconds >= allowance.seconds:
            raise Refused("budget_exhausted", "seconds")

    def _exchange(self, position: int, used: _Used, wish: _Wish, worst: Amount) -> Exchange:
        """One exchange, bought or had from a session that was killed; what it used is counted."""
        name = wish.model.name
        if (why := self._desk.lost.get(name)) is not None:
            raise ModelError(why)
        place = position, used.amount.calls
        exchange = self._earlier(place, wish)
        if exchange is None:
            ticket = Ticket(self._desk.purse, name)
            try:
                if not ticket.hold(worst):
                    raise ModelError(f"{name}: the run's budget leaves no room for what a program asks")
                exchange = self._buy(place, used, wish, worst)
            finally:
                ticket.close()
            self._desk.purse.owe(name, amount_of(exchange))
            self._said.append(exchange)
        used.amount = used.amount.plus(amount_of(exchange))
        used.seconds += exchange.seconds
        return exchange

    def _earlier(self, place: Place, wish: _Wish) -> Exchange | None:
        """What a killed session had at this place; what it only waited for counts, and is asked again."""
        log = self._broker.log
        while log is not None and (found := log.take(self._key, place)) is not None:
            self._desk.purse.owe(found.model, amount_of(found))
            self._said.append(found)
            same = found.model == wish.model.name and asks_the_same(found, wish.prompt, wish.temperature)
            if same and not found.error:
                return found
        return None

    def _buy(self, place: Place, used: _Used, wish: _Wish, worst: Amount) -> Exchange:
        log, written = self._broker.log, 0
        prompt, model, temperature = wish
        at: dict[str, Json] = {"case": place[0], "number": place[1]}
        if temperature is not None:
            at[WISHED] = temperature
        why = f"{model.name}: {KILLED}"
        lost = Exchange(model.name, prompt, "", worst.usd, worst.tokens, parameters=at, error=why)
        if log is not None:
            written = log.put(self._key, place, lost)
        left = self._allowance.seconds - used.seconds
        seed = seed_of(self._seed, self._job, place, prompt)
        try:
            exchange = self._broker.complete(wish, seed, left)
        except TimeoutError:
            error = f"{model.name}: no reply within the {left:g} s that the case may still wait"
            exchange = Exchange(model.name, prompt, "", worst.usd, worst.tokens, 0, left, error=error)
        except NoReply as error:
            if NOT_SENT in error.exchange.error:  # too long for it, which is the program's affair
                raise Refused("bad_request", values.one_line(error.exchange.error)) from error
            if error.for_good:
                self._desk.lost.setdefault(model.name, str(error))
                raise
            raise EvaluatorError(f"a model did not answer a program: {error}") from error
        reply = exchange.reply.encode(errors="backslashreplace").decode()
        exchange = replace(exchange, reply=reply, parameters={**exchange.parameters, **at})
        if log is not None:
            log.put(self._key, place, exchange, written)
        return exchange


def prompt_of(messages: Json) -> str:
    """Messages as one text. Raises Refused for what are none."""
    if not isinstance(messages, list) or not 0 < len(messages) <= MOST_MESSAGES:
        raise Refused("bad_request", f"expected 1 to {MOST_MESSAGES} messages")
    parts = []
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise Refused("bad_request", "expected messages of {role, content}")
        role, content = message["role"], message["content"]
        if role not in ROLES or not isinstance(content, str):
            raise Refused("bad_request", f"expected a role of {', '.join(ROLES)} and a text")
        parts.append((role, content.encode(errors="backslashreplace").decode()))
    if len(parts) == 1:
        return parts[0][1]
    return "\n\n".join(f"[{role}]\n{content}" for role, content in parts)


def temperature_of(value: Json) -> float | None:
    """What a request says of it; None: nothing. Raises Refused for what is none."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MOST_TEMPERATURE:
        raise Refused("bad_request", f"expected a temperature from 0 to {MOST_TEMPERATURE:g}")
    return float(value)


def asks_the_same(exchange: Exchange, prompt: str, temperature: float | None) -> bool:
    """Whether a recorded exchange answers this."""
    return exchange.prompt == prompt and exchange.parameters.get(WISHED) == temperature


def seed_of(run: int, job: Job, place: Place, prompt: str) -> int:
    """For models that can repeat themselves: the same for the same program, case and call."""
    position, number = place
    case = job.cases[position] if 0 <= position < len(job.cases) else ("check", position)
    files = sorted(job.files.items())
    state = hashlib.sha256(repr((run, files, tuple(case), number, prompt)).encode()).digest()
    return int.from_bytes(state[:4], "big") >> 1


def amount_of(exchange: Exchange) -> Amount:
    """What it used."""
    return Amount(exchange.usd, exchange.prompt_tokens + exchange.reply_tokens, 1)


class Said:
    """A file of exchanges that no event has yet, by job, case and call: what a kill would lose otherwise.

    One job may be under way several times, as the seed's repeats are: each buys its own.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        held: dict[tuple[str, int, int, int], bytes] = {}
        said: dict[tuple[str, int, int, int], Exchange] = {}
        for line in path.read_bytes().split(b"\n") if path.exists() else []:
            with suppress(ValueError, KeyError, TypeError):  # torn: the line before it counts
                record = json.loads(line)
                key = (record["job"], record["case"], record["number"], record.get("purchase", 0))
                said[key] = Exchange(**record["exchange"])
                held[key] = line + b"\n"
        self._earlier: defaultdict[str, defaultdict[Place, list[Exchange]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for (job, case, number, _), exchange in sorted(said.items(), key=lambda each: each[0]):
            self._earlier[job][case, number].append(exchange)
        self._written = max((key[-1] for key in held), default=0)
        self._lines = Lines(path, held)

    def take(self, job: str, place: Place) -> Exchange | None:
        """What an earlier session said there, the next if it was said several times; each once."""
        with self._lock:
            found = self._earlier[job][place] if job in self._earlier else []
            return found.pop(0) if found else None

    def put(self, job: str, place: Place, exchange: Exchange, written: int | None = None) -> int:
        """Write it down, instead of what has the number `written`; its number."""
        with self._lock:
            if written is None:
                written = self._written = self._written + 1
            record = {"job": job, "case": place[0], "number": place[1], "purchase": written}
            line = json.dumps(record | {"exchange": asdict(exchange)}).encode() + b"\n"
            self._lines.put((job, *place, written), line)
            return written

    def settle(self, jobs: Iterable[str]) -> None:
        """Forget what events have."""
        gone = set(jobs)
        with self._lock:
            self._lines.forget([key for key in self._lines if key[0] in gone])
            for job in gone:
                self._earlier.pop(job, None)

    def close(self) -> None:
        """Free the file. Idempotent."""
        with self._lock:
            self._lines.close()


# ------------------------------------------------------------------------------------------ written down


_MEASURES = ("usd", "prompt_tokens", "reply_tokens", "seconds")


def asked_record(exchanges: Iterable[Exchange]) -> list[dict[str, Json]]:
    """What events measure of what programs asked: a row a model."""
    rows: dict[str, dict[str, Json]] = {}
    for each in exchanges:
        row = rows.setdefault(each.model, {"model": each.model, "calls": 0, **dict.fromkeys(_MEASURES, 0)})
        row["calls"] += 1
        for name in _MEASURES:
            row[name] += getattr(each, name)
    return [rows[name] for name in sorted(rows)]


def of_side(side: str, exchanges: Iterable[Exchange]) -> list[Exchange]:
    """What one side's programs of an event asked, told apart from the other's."""
    return [replace(each, parameters={**each.parameters, "side": side}) for each in exchanges]


def asked_file(exchanges: Iterable[Exchange]) -> bytes:
    """The exchanges, one a line."""
    return b"".join(json.dumps(asdict(each)).encode() + b"\n" for each in exchanges)


def read_asked(data: bytes) -> list[Exchange]:
    """The opposite of `asked_file`."""
    return [Exchange(**json.loads(line)) for line in data.splitlines() if line]


def asked_of(measured: Mapping[str, Json]) -> list[tuple[str, Amount]]:
    """What programs asked of each model, as an event says."""
    return [
        (row["model"], Amount(row["usd"], row["prompt_tokens"] + row["reply_tokens"], row["calls"]))
        for row in measured.get("asked", ())
    ]
