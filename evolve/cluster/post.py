"""A station as the driver sees it: the calls that are on their way there, and its loss."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from threading import Condition, Thread
from typing import Any, NamedTuple

from evolve.cluster.connection import Ray
from evolve.cluster.room import Node
from evolve.types import Json, PlaceLost, SandboxUnavailable

MOMENT_SECONDS = 0.5  # from the loss of a station to the question whether its node lives

Sender = Callable[[Callable[[], Future[Any]]], Future[Any]]


class Place(NamedTuple):
    """A seat of a station."""

    post: Post
    seat: int
    level: str

    def evaluate(self, job: bytes) -> Json:
        """Have a job done there; the decoded reply. Raises PlaceLost, or SandboxUnavailable."""
        return json.loads(self.post.call("evaluate", self.seat, job).result())

    def answer(self, told: Json) -> Json:
        """Answer what a program there has asked; the next reply. Raises as `evaluate` does."""
        return json.loads(self.post.call("answer", self.seat, json.dumps(told).encode()).result())

    def give_up(self) -> None:
        """As there is no answer to what a program there has asked, have its job ended, and wait for that."""
        with suppress(SandboxUnavailable):  # it has ended with its station
            self.post.call("interrupt", self.seat).result()

    def interrupt(self) -> None:
        """Give up what it does."""
        self.post.tell("interrupt", self.seat)


class Post:
    """A station as the driver sees it: its actor, and the calls that are on their way there."""

    def __init__(
        self, ray: Ray, actor: Any, node: Node, seats: int, name: str, change: Condition, sent: Sender
    ) -> None:
        """`change` guards it, and is notified of its loss; what it sends goes through `sent`."""
        self.node, self.seats, self.name = node, seats, name
        self.began = self.heard = time.monotonic()
        self.levels: dict[int, str] = {}  # by seat, of those that are ready
        self.health: Mapping[str, float] = {}
        self.lost: SandboxUnavailable | None = None
        self._ray, self._actor, self._change, self._sent = ray, actor, change, sent
        self._calls: set[Future[Any]] = set()
        self._beating = False

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Start a call; its future ends at the latest when the station is lost."""
        ours: Future[Any] = Future()
        with self._change:
            if self.lost is not None:
                ours.set_exception(self.lost)
                return ours
            self._calls.add(ours)
        try:
            theirs = self._sent(lambda: self._ray.call(self._actor, method, *arguments))
        except BaseException as error:
            self._land(ours, None, self._ray.understood(error, self.name))
            return ours
        theirs.add_done_callback(lambda done: self._landed(ours, done))
        return ours

    def tell(self, method: str, *arguments: Any) -> None:
        """Start a call that nobody waits for."""
        with suppress(*self._ray.errors):
            self._ray.call(self._actor, method, *arguments)

    def beat(self) -> None:
        """Ask for a sign of life, unless one is being waited for."""
        if self._beating:
            return
        self._beating = True
        self.call("beat").add_done_callback(self._beaten)

    def lose(self, why: str, *, node_lives: bool = False) -> None:
        """Count it as lost, with all that is on its way there; while its node lives, what ran may be why."""
        with self._change:
            if self.lost is not None:
                return
            alone = SandboxUnavailable(f"{self.name} has died: {why}")
            self.lost = alone if node_lives else PlaceLost(self.name, why)
            calls, self._calls = list(self._calls), set()
            self._change.notify_all()
        for call in calls:
            with suppress(Exception):  # it has just landed
                call.set_exception(self.lost)
        with suppress(Exception):
            self._ray.kill(self._actor)

    def _landed(self, ours: Future[Any], theirs: Future[Any]) -> None:
        error = theirs.exception()
        if error is None:
            self.heard = time.monotonic()
            self._land(ours, theirs.result(), None)
        elif self._ray.is_gone(error):
            # not in this thread, which is Ray's; whoever waits there hears of the loss
            Thread(target=self._gone, args=(error,), name="loss", daemon=True).start()
        else:
            self._land(ours, None, self._ray.understood(error, self.name))

    def _gone(self, error: BaseException) -> None:
        time.sleep(MOMENT_SECONDS)  # its whole host may be ending: then no job is to blame
        why, lives = " ".join(str(error).split()), False
        with suppress(*self._ray.errors):
            lives = self._ray.lives(self.node)
        self.lose(f"{type(error).__name__}: {why[:200]}" if lives else "its node has died", node_lives=lives)

    def _land(self, ours: Future[Any], result: Any, error: BaseException | None) -> None:
        with self._change:
            if ours not in self._calls:
                return  # its station was given up meanwhile
            self._calls.discard(ours)
        if error is None:
            ours.set_result(result)
        else:
            ours.set_exception(error)

    def _beaten(self, call: Future[Any]) -> None:
        self._beating = False
        if call.exception() is None:
            self.health = call.result()
