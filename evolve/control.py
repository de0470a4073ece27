"""What a person asks of a run: a request lies in a folder until the run's own process makes an event of it.

Only that process writes the ledger. A request takes effect by its event's place in the order, so that replay
and a resumed run decide as this one did.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as resource
from pathlib import Path

import numpy as np

from evolve.types import (
    BadInput,
    Conversation,
    Event,
    Exchange,
    Failure,
    Json,
    Population,
    Proposal,
    Question,
)

FOLDER = "control"  # in a run's own folder
ABOUT_A_VARIANT = ("pin", "unpin", "ban", "unban")
WAITING = (*ABOUT_A_VARIANT, "note", "hint")  # may lie until the next session
AT_ONCE = ("pause", "resume", "stop", "budget")  # mean nothing unless a process runs
LIMITS = ("trials", "seconds", "usd", "tokens", "calls")
WHOLE = ("trials", "tokens", "calls")
MOST_TEXT = 2000  # signs of a note or hint
HINT_BYTES = 4 * MOST_TEXT + 400  # that a hint can add to a prompt
MOST_BYTES = 64_000  # of a request
PINNED_SHARE = 0.25  # of the children have a pinned variant as their first parent
DRAWS = 32  # of parents, before a banned one is accepted because nobody else breeds


def requested(value: Json, variants: Collection[str]) -> dict[str, Json]:
    """The decision part of a request's event. Raises BadInput for what no run could do."""
    if not isinstance(value, dict):
        raise BadInput("request", "an object with an action", f"{type(value).__name__}")
    action = value.get("action")
    if action not in (*WAITING, *AT_ONCE):
        raise BadInput("action", f"one of {', '.join((*AT_ONCE, *WAITING))}", repr(action)[:80])
    wanted = {"variant"} if action in ABOUT_A_VARIANT else set()
    wanted |= {"note": {"text", "variant"}, "hint": {"text"}, "budget": {"limits"}}.get(action, set())
    if unknown := sorted(value.keys() - wanted - {"action"}):
        raise BadInput(
            f"request to {action}", f"only {', '.join(sorted(wanted)) or 'the action'}", unknown[0][:80]
        )
    decision: dict[str, Json] = {"action": action}
    if action in ABOUT_A_VARIANT or "variant" in value:
        if value.get("variant") not in variants:
            raise BadInput("variant", "the id of a variant of this run", repr(value.get("variant"))[:80])
        decision["variant"] = value["variant"]
    if "text" in wanted:
        decision["text"] = _text(value.get("text"), may_be_empty=action == "hint")
    if action == "budget":
        decision["limits"] = _limits(value.get("limits"))
    return decision


def _text(value: Json, may_be_empty: bool) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text is None or len(text) > MOST_TEXT or not (text or may_be_empty):
        got = (
            "nothing" if not value else f"{len(value)} signs" if isinstance(value, str) else repr(value)[:40]
        )
        raise BadInput("text", f"text of at most {MOST_TEXT} signs", got)
    return text.encode(errors="backslashreplace").decode()


def _limits(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict) or not value or value.keys() - set(LIMITS):
        raise BadInput("limits", f"numbers for some of {', '.join(LIMITS)}", repr(value)[:80])
    for name, limit in value.items():
        number = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit < 1e15
        if not number or (name in WHOLE and limit != int(limit)):
            raise BadInput(
                f"limits.{name}",
                "a whole number above 0" if name in WHOLE else "a number above 0",
                repr(limit)[:40],
            )
    return {name: int(limit) if name in WHOLE else float(limit) for name, limit in value.items()}


@dataclass(frozen=True, slots=True)
class Letter:
    """A request as it lies in the folder; its name is its identity."""

    name: str
    value: Json


class Mailbox:
    """The folder of requests. Only the run's own user may write there, and only what they wrote is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, value: Json) -> str:
        """Leave a request; its name. Raises BadInput where the run is another user's."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._require_ours()
            name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
            draft = self._folder / f".{name}"
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "w") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._folder / f"{name}.json")
        except OSError as error:
            raise BadInput(
                str(self._folder), "a folder that you may write in", error.strerror or "none"
            ) from error
        return name

    def take(self) -> list[Letter]:
        """Every request, the oldest first; what cannot be one is thrown away."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json"))
            if not names:
                return []
            self._require_ours()
        except (OSError, BadInput):
            return []
        found = []
        for name in names:
            value = self._read(self._folder / name)
            if value is None:
                self.drop([name.removesuffix(".json")])
            else:
                found.append(Letter(name.removesuffix(".json"), value))
        return found

    def drop(self, names: Iterable[str]) -> None:
        """Forget requests: their events are safe."""
        for name in names:
            (self._folder / f"{name}.json").unlink(missing_ok=True)

    def waits(self, name: str) -> bool:
        """Whether a request has not been taken yet."""
        return (self._folder / f"{name}.json").exists()

    def _require_ours(self) -> None:
        facts = os.stat(self._folder, follow_symlinks=False)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise BadInput(
                str(self._folder), "a folder that only you may write in", "one of others, or open to them"
            )

    def _read(self, path: Path) -> Json:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_size > MOST_BYTES:
                return None
            try:
                return json.loads(file.read())
            except ValueError:
                return None


class Steering:
    """What people asked for that decides who breeds and what models are told. Pure: fed by events."""

    def __init__(self) -> None:
        self.pinned: list[str] = []
        self.banned: set[str] = set()
        self.hint: int | None = None  # the event whose text stands in the next prompts
        self._hints: dict[int, str] = {}

    def tell(self, event: Event) -> None:
        """Fold one event of kind `control`."""
        decision = event.decision
        variant = decision.get("variant", "")
        match decision["action"]:
            case "pin" if variant not in self.pinned:
                self.pinned.append(variant)
            case "unpin" if variant in self.pinned:
                self.pinned.remove(variant)
            case "ban":
                self.banned.add(variant)
            case "unban":
                self.banned.discard(variant)
            case "hint":
                self._hints[event.index] = decision["text"]
                self.hint = event.index if decision["text"] else None
            case _:
                pass

    def parents(
        self, population: Population, rng: np.random.Generator, count: int, pending: Sequence[str]
    ) -> tuple[str, ...]:
        """Whom the population would let breed, without the banned, and with a pinned one now and then.

        Where nothing is pinned or banned, no more is drawn than the population draws itself.
        """
        found = population.ask(rng, count, pending)
        for _ in range(DRAWS if self.banned else 0):
            if self.banned.isdisjoint(found):
                break
            found = population.ask(rng, count, pending)
        pinned = [id for id in self.pinned if id not in self.banned]
        if pinned and found and rng.random() < PINNED_SHARE:
            first = pinned[int(rng.integers(len(pinned)))]
            found = (first, *[id for id in found if id != first][: count - 1])
            found += found[:1] * (count - len(found))
        return found

    def hinted(self, decision: Mapping[str, Json], conversation: Conversation) -> Conversation:
        """A conversation whose questions end with the hint that its decision names."""
        hint = self._hints.get(decision.get("hint", -1), "")
        return _hinted(conversation, hint) if hint else conversation


def _hinted(conversation: Conversation, hint: str) -> Conversation:
    words = (resource("evolve") / "hint.md").read_text(encoding="utf-8").replace("{hint}", hint)
    heard: Exchange | Failure | None = None
    while True:
        try:
            said = conversation.send(heard) if heard is not None else next(conversation)
        except StopIteration as end:
            made: Proposal = end.value
            return made
        if isinstance(said, Question):
            said = replace(said, prompt=f"{said.prompt.rstrip()}\n{words}")
        try:
            heard = yield said
        except GeneratorExit:
            conversation.close()
            raise
