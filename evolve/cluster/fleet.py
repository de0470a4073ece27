"""Stations on the nodes of a cluster: how many seats each node gets, and when a station counts as lost."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from threading import Condition, Event, Thread
from typing import Any

from evolve.cluster import Health
from evolve.cluster.connection import Notice, Ray, silent
from evolve.cluster.post import Place, Post
from evolve.cluster.room import Node, bundle, spread
from evolve.cluster.roster import Roster
from evolve.cluster.station import Station
from evolve.types import BadInput, EvolveError, PlaceLost, RunError, SandboxUnavailable, Walls
from fitness import wire
from fitness.problem import Problem

LOOK_SECONDS = 1.0  # between two looks at the nodes
BEAT_SECONDS = 2.0  # between two signs of life that are asked for
SILENT_SECONDS = 30.0  # without one a station is lost
START_SECONDS = 90.0  # for a station to be placed and to greet; then its node is looked at again
WISH_SECONDS = 5.0  # after a wish was granted, until there is another: stations come first
FULL_SECONDS = 60.0  # for room in the object store
MOST_SEATS = 128  # of one station: each is a thread there
_NO_SEAT = "no node has a seat for"


class Fleet:
    """Keeps stations on all nodes that are fit, and gives their seats away."""

    def __init__(
        self,
        ray: Ray,
        problem: Problem,
        walls: Walls,
        workers: int | None,
        notice: Notice = silent,
        silent_seconds: float = SILENT_SECONDS,
        asks: bool = False,
    ) -> None:
        self.ray, self.need = ray, problem.resources
        self.change = Condition()
        self._numbers = itertools.count(1)  # of stations
        self.wanted = workers  # None: all that there is room for
        self._pinned = problem.resource is not None  # each worker to a core of its own
        self.silent_seconds = silent_seconds
        self._notice, self._noticed = notice, ""
        self._posts: list[Post] = []
        self._roster = Roster(ray, notice)
        self._able: set[str] = set()  # nodes that have room for a worker when nobody else is there
        self._free: deque[Place] = deque()
        self._wish: tuple[int, Any] | None = None  # for so many seats
        self._wished = -math.inf  # when the last one was withdrawn
        self._closed = Event()
        self.lost = 0  # stations
        packed = json.dumps(wire.pack_problem(problem)).encode()
        # put once, so that each node fetches it once, however many stations it has
        self._shipped = self.sent(lambda: ray.put(packed)), json.dumps(asdict(walls)).encode(), asks
        self._watch = Thread(target=self._watching, name="fleet", daemon=True)
        self._watch.start()

    @property
    def seats(self) -> int:
        """Workers that are ready."""
        with self.change:
            return sum(len(post.levels) for post in self._posts)

    @property
    def levels(self) -> list[str]:
        """The sandboxes' levels, all nodes together."""
        with self.change:
            return sorted({level for post in self._posts for level in post.levels.values()})

    def health(self) -> dict[str, Health]:
        """By node."""
        now, found = time.monotonic(), dict[str, Health]()
        with self.change:
            for post in self._posts:
                each = found.setdefault(post.node.name, Health())
                each.seats += len(post.levels)
                each.silent_seconds = max(each.silent_seconds, now - post.heard)
                summed = {what: each.measured.get(what, 0.0) for what in ("busy", "evaluations", "failures")}
                each.measured = {what: much + summed.get(what, 0.0) for what, much in post.health.items()}
        return found

    def take(self, seconds: float | None) -> Place:
        """A seat that is free, waited for so long (None: until the end). Raises SandboxUnavailable."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self.change:
            while not self._closed.is_set():
                while self._free:
                    if (place := self._free.popleft()).post.lost is None:
                        return place
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise SandboxUnavailable(self._why_none())
                self.change.wait(left)
        raise SandboxUnavailable("the run has let the cluster go")

    def sent(self, send: Callable[[], Any]) -> Any:
        """Send something; while the object store is full, wait for room in it. Raises RunError."""
        deadline = time.monotonic() + FULL_SECONDS
        while True:
            try:
                return send()
            except self.ray.errors as error:
                if not self.ray.is_full(error) or self._closed.is_set():
                    raise
                if time.monotonic() > deadline:
                    raise RunError(f"Ray's object store is full, start it with more: {error}") from error
            self._say("Ray's object store is full: waiting for room")
            time.sleep(0.5)

    def close(self) -> None:
        """End all stations. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._watch.join(timeout=10)
        with self.change:
            posts = list(self._posts)
            self.change.notify_all()
        for post in posts:
            post.tell("close")
        for post in posts:
            post.lose("the run has ended")
        if self._wish is not None:
            self.ray.withdraw(self._wish[1])

    # ------------------------------------------------------------------------------------ keeping watch

    def _watching(self) -> None:
        beat = 0.0
        while not self._closed.is_set():
            try:
                nodes = self.ray.nodes()
                self._bury(nodes)
                self._roster.look(nodes)
                self._settle(nodes)
            except self.ray.errors as error:  # the head is away: stations may live on
                self._say(f"the cluster's head does not answer: {type(error).__name__}")
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                for post in list(self._posts):
                    post.beat()
            self._closed.wait(LOOK_SECONDS if self._posts else LOOK_SECONDS / 4)

    def _bury(self, nodes: list[Node]) -> None:
        """Count as lost what is on no living node, or has been silent too long."""
        alive, now = {node.id for node in nodes}, time.monotonic()
        for post in list(self._posts):
            if post.node.id not in alive:
                post.lose("its node has died")
            elif post.levels and now - post.heard > self.silent_seconds:
                post.lose(f"no sign of life for {now - post.heard:.0f} s")
            elif not post.levels and now - post.began > START_SECONDS:
                post.lose(f"it did not start within {START_SECONDS:g} s")
        with self.change:
            lost = [post for post in self._posts if post.lost is not None]
            self._posts = [post for post in self._posts if post.lost is None]
        for post in lost:
            self.lost += bool(post.levels)
            if not post.levels and post.lost is not None and post.node.id in alive:
                self._roster.refuse(post.node, post.lost)

    def _settle(self, nodes: list[Node]) -> None:
        """Put stations where there is room, evenly, until there are as many seats as are wanted."""
        self._able = {node.id for node in nodes if node.most_seats(self.need)}
        fit = {node.id: node for node in self._roster.fit(nodes)}
        coming = sum(post.seats for post in self._posts)
        missing = MOST_SEATS * len(fit) if self.wanted is None else self.wanted - coming
        room = {id: self._room(node) for id, node in fit.items()}
        found = spread(missing, room)
        for id, seats in found.items():
            self._open(fit[id], seats)
        if self.wanted is None:
            missing = int(not self._posts)  # one is enough to go on
        else:
            missing -= sum(found.values())
        if missing <= 0 or self._roster.knows(nodes):
            self._wish_for(missing)

    def _open(self, node: Node, seats: int) -> None:
        """Start a station on a node, and all its workers."""
        actor = self.ray.actor(Station, self.need, seats, node, *self._shipped, seats)
        name = f"node {node.name}, station {next(self._numbers)}"
        post = Post(self.ray, actor, node, seats, name, self.change, self.sent)
        with self.change:
            self._posts.append(post)
        for seat in range(seats):
            post.call("level", seat).add_done_callback(partial(self._ready, post, seat))

    def _room(self, node: Node) -> int:
        """How many seats a node can have more, as Ray counts and as we do: its count comes late."""
        ours = sum(post.seats for post in self._posts if post.node.id == node.id)
        room = min(node.seats(self.need), node.most_seats(self.need) - ours, MOST_SEATS)
        if self._pinned:
            room = 0 if ours else min(room, self._roster.cores(node))
        return room

    def _ready(self, post: Post, seat: int, call: Future[bytes]) -> None:
        """A seat's worker is there, or cannot be: then its node gets no work."""
        error = call.exception()
        reply = {} if error is not None else json.loads(call.result())
        if "error" in reply:
            error = wire.unpack_error(reply)
        if error is None:
            with self.change:
                post.levels[seat] = reply["level"]
                self._free.append(Place(post, seat, reply["level"]))
                self.change.notify_all()
        elif not self._closed.is_set() and not isinstance(error, PlaceLost):
            why = error if isinstance(error, EvolveError) else RunError(str(error))
            # what the problem lacks there stays so; what a sandbox lacks may come back
            self._roster.refuse(post.node, why, for_good=isinstance(why, BadInput))
            Thread(target=post.lose, args=(str(error),), daemon=True).start()

    def settled(self) -> bool:
        """Whether nothing is about to start. Raises why, where no node that is there can do the work."""
        with self.change:
            starting = any(len(post.levels) < post.seats for post in self._posts)
            clear = self._roster.is_clear()
            if clear and not self._posts:
                self._roster.require_one(self._able)
            return clear and bool(self._posts) and not starting

    def _wish_for(self, missing: int) -> None:
        """Say what is missing, and ask a cluster that can grow for it."""
        if self._wish is not None and (self._wish[0] != missing or self.ray.granted(self._wish[1])):
            self.ray.withdraw(self._wish[1])  # what was granted is free for stations then
            self._wish, self._wished = None, time.monotonic()
        if self._wish is None and missing > 0 and time.monotonic() - self._wished > WISH_SECONDS:
            self._wish = missing, self.ray.wish(self.need, missing)
        if missing > 0:
            self._say(self._why_none(missing))
        elif self._noticed.startswith(_NO_SEAT) and self.seats:
            self._say("")

    def _why_none(self, missing: int = 1) -> str:
        need = ", ".join(f"{what} {much:g}" for what, much in bundle(self.need).items())
        labels = ", ".join(f"{key}={value}" for key, value in self.need.labels.items())
        text = (
            f"{_NO_SEAT} {missing} worker{'s' * (missing != 1)} of {need}{' on ' + labels if labels else ''}"
        )
        refused = "; ".join(self._roster.reasons)
        return text + (f" ({refused})" if refused else "")

    def _say(self, text: str) -> None:
        if text != self._noticed:
            self._noticed = text
            self._notice(text)
