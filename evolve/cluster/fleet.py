"""The nodes of a Ray cluster, as places for workers. The only module that knows Ray.

What Ray does: it starts processes on nodes, keeps account of what is taken of them, carries calls, and sees
nodes come and go. Decided here: how many seats a node gets, and when a station counts as lost. Nothing
is tried twice (`max_retries` and `max_restarts` are 0): that is the executor's business.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from threading import Condition, Event, Thread
from typing import Any, NamedTuple

from evolve.cluster import Health
from evolve.cluster.station import Station, examine, hello, versions
from evolve.types import (
    BadInput,
    EvolveError,
    Json,
    PlaceLost,
    Resources,
    RunError,
    SandboxUnavailable,
    Walls,
)
from fitness import wire
from fitness.problem import Problem

LOOK_SECONDS = 1.0  # between two looks at the nodes
BEAT_SECONDS = 2.0  # between two signs of life that are asked for
SILENT_SECONDS = 30.0  # without one a station is lost
START_SECONDS = 90.0  # for a station to be placed and to greet; then its node is looked at again
WISH_SECONDS = 5.0  # after a wish was granted, until there is another: stations come first
FULL_SECONDS = 60.0  # for room in the object store
STORE_BYTES = 100 << 20  # of a Ray that is started here: programs and scores are small
MOST_SEATS = 128  # of one station: each is a thread there

UNFIT_SECONDS = 300.0  # until a node where no worker could be started is tried again

# Errors of Ray by which a station is gone, by name: the library is imported late.
_GONE = ("ActorDiedError", "ActorUnavailableError", "NodeDiedError", "ActorUnschedulableError")

Notice = Callable[[str], None]


def _silent(text: str) -> None:
    pass


def _unsaid(data: object, ignore_prefix: bool) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Node:
    """A living node of a cluster."""

    id: str
    name: str  # address, and the beginning of its id
    labels: Mapping[str, str]
    total: Mapping[str, float]
    free: Mapping[str, float]

    def seats(self, need: Resources) -> int:
        """How many workers it has room for now."""
        if any(self.labels.get(key) != value for key, value in need.labels.items()):
            return 0
        return int(min((self.free.get(what, 0.0) + 1e-9) / much for what, much in bundle(need).items()))


def bundle(need: Resources, seats: int = 1) -> dict[str, float]:
    """So many workers' needs in the words of Ray."""
    wanted = {"CPU": need.cpus, "GPU": need.gpus, "memory": need.memory_bytes, **need.custom}
    return {what: seats * much for what, much in wanted.items() if much}


class Ray:
    """A connection to a cluster; "auto" starts one here where none runs.

    A process has one connection: a second one is the first one's, and so is what a caller has opened himself.
    """

    def __init__(self, address: str, notice: Notice = _silent) -> None:
        if address.startswith("ray://"):
            raise BadInput(
                "--cluster",
                "HOST:PORT of its head (`ray start --address HOST:PORT` makes this machine a part of it)",
                address,
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # late: it takes half a second to three, and only a run on a cluster needs it
        import ray
        import ray.exceptions

        self.ray: Any = ray
        init: Any = ray.init
        self.errors: tuple[type[BaseException], ...] = (ray.exceptions.RayError,)
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        handler = signal.getsignal(signal.SIGTERM)
        # Ray prints what it thinks of a dead node on our standard output, where `--json` prints one object,
        # and has no option against it; it stands in Ray's logs, and we say it too.
        ray._private.worker.print_to_stdstream = _unsaid
        self._connect(address, notice, init)
        with suppress(ValueError, TypeError):  # outside the main thread, or of another language
            signal.signal(signal.SIGTERM, handler)  # Ray takes it, and would end the run with nothing told

    def _connect(self, address: str, notice: Notice, init: Any) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        try:
            if address != "auto":
                where = {"_node_ip_address": host} if (host := _loopback(address)) else {}
                init(address=address, **quiet, **where)
                return
            try:
                init(address="auto", **quiet)
            except ConnectionError:
                notice("no Ray runs here: starting one on this machine alone (docs/cluster.md)")
                init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            fix = "ray start --head makes this machine the head of one"
            raise RunError(f"no Ray cluster answers at {address}: {why} ({fix})") from error

    def close(self) -> None:
        """Disconnect, if it connected; a Ray that was started here ends."""
        if self._ours:
            self.ray.shutdown()

    def nodes(self) -> list[Node]:
        """Those that live."""
        # not public, but the only way to see what other drivers have left of each node
        from ray._private.state import available_resources_per_node

        free: dict[str, dict[str, float]] = available_resources_per_node()  # type: ignore[no-untyped-call]
        return [
            Node(
                row["NodeID"],
                f"{row['NodeManagerAddress']}/{row['NodeID'][:6]}",
                row.get("Labels") or {},
                row["Resources"],
                free.get(row["NodeID"], {}),
            )
            for row in sorted(self.ray.nodes(), key=lambda row: row["NodeID"])
            if row["Alive"]
        ]

    def on(self, node: Node) -> dict[str, Any]:
        """Options of what must run on one node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}

    def ask(self, node: Node, question: Callable[[], Json]) -> Future[Json]:
        """Call a function of no arguments on a node, which has room for that always."""
        task = self.ray.remote(question).options(num_cpus=0, max_retries=0, **self.on(node))
        answer: Future[Json] = task.remote().future()
        return answer

    def wish(self, need: Resources, seats: int) -> Any:
        """Ask an autoscaling cluster for room; a cluster that does not grow lets it stand."""
        from ray.util.placement_group import placement_group

        labels = [dict(need.labels)] * seats if need.labels else None
        return placement_group([bundle(need)] * seats, strategy="PACK", bundle_label_selector=labels)

    def granted(self, wish: Any) -> bool:
        """Whether the cluster has found the room; it keeps it for the wish until that is withdrawn."""
        from ray.util.placement_group import placement_group_table

        return bool(placement_group_table(wish)["state"] == "CREATED")

    def withdraw(self, wish: Any) -> None:
        """What was wished for is there, or is not needed any more."""
        from ray.util.placement_group import remove_placement_group

        with suppress(*self.errors):
            remove_placement_group(wish)


def _loopback(address: str) -> str | None:
    """The host of an address that only this machine can reach; Ray would look for it elsewhere."""
    host = address.rpartition(":")[0]
    return host if host.startswith("127.") and host != "127.0.0.1" else None


def greet(answer: Json, driver: Mapping[str, str]) -> str | None:
    """What is wrong with a node that answered `hello`, and what helps; None: nothing."""
    other = [name for name, here in driver.items() if answer["versions"].get(name) != here]
    if not other:
        return None
    told = ", ".join(f"{name} {answer['versions'].get(name)}, not {driver[name]}" for name in other)
    fix = {
        "python": f"run it with Python {driver['python']}",
        "evolve-code": f"pip install evolve-code=={driver['evolve-code']}",
        "numpy": f"pip install numpy=={driver['numpy']}",
        "sources": "install the same sources of evolve",
    }
    return f"it has {told}: {next(fix[name] for name in fix if name in other)} there"


def unanswered(error: BaseException) -> str:
    """Why a node did not answer, and what helps."""
    text = " ".join(str(error).split())
    if "ModuleNotFoundError" in text or "No module named" in text:
        return "evolve is not installed there: pip install evolve-code, the same version, beside its Ray"
    return text[:200]


# ------------------------------------------------------------------------------------------------ seats


class Place(NamedTuple):
    """A seat of a station."""

    post: Post
    seat: int
    level: str

    def evaluate(self, job: bytes) -> Json:
        """Have a job done there; the decoded reply. Raises PlaceLost, or SandboxUnavailable."""
        return json.loads(self.post.call("evaluate", self.seat, job).result())

    def interrupt(self) -> None:
        """Give up what it does."""
        self.post.tell("interrupt", self.seat)


class Post:
    """A station as the driver sees it: its actor, and the calls that are on their way there."""

    def __init__(self, fleet: Fleet, node: Node, seats: int) -> None:
        self.node, self.seats = node, seats
        self.name = f"node {node.name}, station {next(fleet.numbers)}"
        self.began = self.heard = time.monotonic()
        self.levels: dict[int, str] = {}  # by seat, of those that are ready
        self.health: Mapping[str, float] = {}
        self.lost: SandboxUnavailable | None = None
        self._fleet = fleet
        self._calls: set[Future[Any]] = set()
        self._beating = False
        need = bundle(fleet.need, seats)
        options: dict[str, Any] = {
            "num_cpus": need.pop("CPU"),
            "num_gpus": need.pop("GPU", 0),
            "memory": int(need.pop("memory", 0)) or None,
            "resources": need or None,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": seats + 3,  # a beat and an interruption are heard beside all jobs
            **fleet.ray.on(node),
        }
        self._actor = fleet.ray.ray.remote(Station).options(**options).remote(*fleet.shipped, seats)

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Start a call; its future ends at the latest when the station is lost."""
        ours: Future[Any] = Future()
        with self._fleet.change:
            if self.lost is not None:
                ours.set_exception(self.lost)
                return ours
            self._calls.add(ours)
        try:
            theirs = self._fleet.sent(lambda: getattr(self._actor, method).remote(*arguments)).future()
        except BaseException as error:
            self._land(ours, None, self._understood(error))
            return ours
        theirs.add_done_callback(lambda done: self._landed(ours, done))
        return ours

    def tell(self, method: str, *arguments: Any) -> None:
        """Start a call that nobody waits for."""
        with suppress(*self._fleet.ray.errors):
            getattr(self._actor, method).remote(*arguments)

    def beat(self) -> None:
        """Ask for a sign of life, unless one is being waited for."""
        if self._beating:
            return
        self._beating = True
        self.call("beat").add_done_callback(self._beaten)

    def lose(self, why: str, *, node_lives: bool = False) -> None:
        """Count it as lost, with all that is on its way there; while its node lives, what ran may be why."""
        with self._fleet.change:
            if self.lost is not None:
                return
            alone = SandboxUnavailable(f"{self.name} has died: {why}")
            self.lost = alone if node_lives else PlaceLost(self.name, why)
            calls, self._calls = list(self._calls), set()
            self._fleet.change.notify_all()
        for call in calls:
            with suppress(Exception):  # it has just landed
                call.set_exception(self.lost)
        with suppress(Exception):
            self._fleet.ray.ray.kill(self._actor)

    def _landed(self, ours: Future[Any], theirs: Future[Any]) -> None:
        error = theirs.exception()
        if error is None:
            self.heard = time.monotonic()
            self._land(ours, theirs.result(), None)
        elif any(kind.__name__ in _GONE for kind in type(error).__mro__):
            # not in this thread, which is Ray's; whoever waits there hears of the loss
            Thread(target=self._gone, args=(error,), name="loss", daemon=True).start()
        else:
            self._land(ours, None, self._understood(error))

    def _gone(self, error: BaseException) -> None:
        why = " ".join(str(error).split())
        alive: set[str] = set()
        with suppress(*self._fleet.ray.errors):
            alive = {node.id for node in self._fleet.ray.nodes()}
        lives = self.node.id in alive
        self.lose(f"{type(error).__name__}: {why[:200]}" if lives else "its node has died", node_lives=lives)

    def _land(self, ours: Future[Any], result: Any, error: BaseException | None) -> None:
        with self._fleet.change:
            if ours not in self._calls:
                return  # its station was given up meanwhile
            self._calls.discard(ours)
        if error is None:
            ours.set_result(result)
        else:
            ours.set_exception(error)

    def _understood(self, error: BaseException) -> BaseException:
        """An error of Ray as one of ours."""
        if isinstance(error, self._fleet.ray.errors):
            why = " ".join(str(error).split())[:200]
            return SandboxUnavailable(f"{self.name}: {type(error).__name__}: {why}")
        return error

    def _beaten(self, call: Future[Any]) -> None:
        self._beating = False
        if call.exception() is None:
            self.health = call.result()


class Unfit(NamedTuple):
    """Why a node gets no work, and until when."""

    why: EvolveError
    until: float


class Fleet:
    """Keeps stations on all nodes that are fit, and gives their seats away."""

    def __init__(
        self,
        ray: Ray,
        problem: Problem,
        walls: Walls,
        workers: int | None,
        notice: Notice = _silent,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self.ray, self.need = ray, problem.resources
        self.change = Condition()
        self.numbers: Iterator[int] = iter(range(1, 1 << 62))
        self.wanted = workers  # None: all that there is room for
        self.unfit: dict[str, Unfit] = {}  # by node
        self._pinned = problem.resource is not None  # each worker to a core of its own
        self.silent_seconds = silent_seconds
        self._notice, self._noticed = notice, ""
        self._posts: list[Post] = []
        self._greeted: dict[str, Future[Json]] = {}  # node -> its answer
        self._arrived: dict[str, float] = {}  # node -> when it was first seen
        self._able: set[str] = set()  # nodes that have room for a worker when nobody else is there
        self._free: deque[Place] = deque()
        self._wish: tuple[int, Any] | None = None  # for so many seats
        self._wished = -math.inf  # when the last one was withdrawn
        self._versions = versions()
        self._closed = Event()
        self.lost = 0  # stations
        packed = json.dumps(wire.pack_problem(problem)).encode()
        # put once, so that each node fetches it once, however many stations it has
        self.shipped = (
            self.sent(lambda: ray.ray.put(packed)),
            json.dumps(asdict(walls)).encode(),
        )
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
                full = type(error).__name__ in ("ObjectStoreFullError", "OutOfDiskError")
                if not full or self._closed.is_set():
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
                self._greet(nodes)
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
            known = post.node.id in self.unfit  # by what its workers said
            if not post.levels and post.lost is not None and post.node.id in alive and not known:
                self._refuse(post.node, post.lost, now + UNFIT_SECONDS)
        self.unfit = {id: each for id, each in self.unfit.items() if each.until > now and id in alive}
        self._greeted = {id: answer for id, answer in self._greeted.items() if id in alive}

    def _greet(self, nodes: list[Node]) -> None:
        """Ask each new node for its versions: one that differs gets no work."""
        for node in nodes:
            answer = self._greeted.get(node.id)
            if answer is None:
                self._greeted[node.id] = self.ray.ask(node, hello)
                self._arrived[node.id] = time.monotonic()
            elif node.id in self.unfit:
                continue
            elif not answer.done():
                if (waited := time.monotonic() - self._arrived[node.id]) > START_SECONDS:
                    why = RunError(f"it did not answer for {waited:.0f} s")
                    self._refuse(node, why, time.monotonic() + UNFIT_SECONDS)
            else:
                error = answer.exception()
                wrong = unanswered(error) if error is not None else greet(answer.result(), self._versions)
                if wrong is not None:
                    self._refuse(node, RunError(wrong), math.inf)

    def _refuse(self, node: Node, why: EvolveError, until: float) -> None:
        self.unfit[node.id] = Unfit(why, until)
        self._notice(f"node {node.name} gets no work: {why}")

    def _settle(self, nodes: list[Node]) -> None:
        """Put stations where there is room, evenly, until there are as many seats as are wanted."""
        self._able = {node.id for node in nodes if replace(node, free=node.total).seats(self.need)}
        fit = {
            node.id: node
            for node in nodes
            if node.id not in self.unfit and node.id in self._greeted and self._greeted[node.id].done()
        }
        coming = sum(post.seats for post in self._posts)
        missing = MOST_SEATS * len(fit) if self.wanted is None else self.wanted - coming
        room = {id: self._room(node) for id, node in fit.items()}
        spread = _spread(missing, room)
        for id, seats in spread.items():
            post = Post(self, fit[id], seats)
            with self.change:
                self._posts.append(post)
            for seat in range(seats):
                post.call("level", seat).add_done_callback(partial(self._ready, post, seat))
        if self.wanted is None:
            missing = int(not self._posts)  # one is enough to go on
        else:
            missing -= sum(spread.values())
        known = all(
            node.id in self.unfit or (node.id in self._greeted and self._greeted[node.id].done())
            for node in nodes
        )
        if missing <= 0 or known:
            self._wish_for(missing)

    def _room(self, node: Node) -> int:
        """How many seats a node can have more, as Ray counts and as we do: its count comes late."""
        ours = sum(post.seats for post in self._posts if post.node.id == node.id)
        room = min(node.seats(self.need), replace(node, free=node.total).seats(self.need) - ours, MOST_SEATS)
        if self._pinned:
            room = 0 if ours else min(room, self._greeted[node.id].result()["cores"])
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
            if post.node.id not in self.unfit:
                why = error if isinstance(error, EvolveError) else RunError(str(error))
                # what the problem lacks there stays so; what a sandbox lacks may come back
                lasting = math.inf if isinstance(why, BadInput) else time.monotonic() + UNFIT_SECONDS
                self._refuse(post.node, why, lasting)
            Thread(target=post.lose, args=(str(error),), daemon=True).start()

    def settled(self) -> bool:
        """Whether nothing is about to start. Raises why, where no node that is there can do the work."""
        with self.change:
            starting = any(len(post.levels) < post.seats for post in self._posts)
            asked = bool(self._greeted) and all(
                answer.done() or id in self.unfit for id, answer in self._greeted.items()
            )
            if asked and not self._posts and self._able and self._able <= self.unfit.keys():
                whys = [self.unfit[id].why for id in sorted(self._able)]
                if all(isinstance(why, BadInput) for why in whys):
                    raise whys[0]
                raise RunError("no node can do the work: " + "; ".join(dict.fromkeys(map(str, whys))))
            return asked and bool(self._posts) and not starting

    def _wish_for(self, missing: int) -> None:
        """Say what is missing, and ask a cluster that can grow for it."""
        if self._wish is not None and (self._wish[0] != missing or self.ray.granted(self._wish[1])):
            self.ray.withdraw(self._wish[1])  # what was granted is free for stations then
            self._wish, self._wished = None, time.monotonic()
        if self._wish is None and missing > 0 and time.monotonic() - self._wished > WISH_SECONDS:
            self._wish = missing, self.ray.wish(self.need, missing)
        if missing > 0:
            self._say(f"waiting for room: {self._why_none(missing)}")
        elif self._noticed.startswith("waiting for room") and self.seats:
            self._say("")

    def _why_none(self, missing: int = 1) -> str:
        need = ", ".join(f"{what} {much:g}" for what, much in bundle(self.need).items())
        labels = ", ".join(f"{key}={value}" for key, value in self.need.labels.items())
        text = f"{missing} worker{'s' * (missing != 1)} of {need}{' on ' + labels if labels else ''}"
        refused = "; ".join(str(each.why) for each in self.unfit.values())
        return f"no node has a seat for {text}" + (f" ({refused})" if refused else "")

    def _say(self, text: str) -> None:
        if text != self._noticed:
            self._noticed = text
            self._notice(text)


def _spread(missing: int, room: Mapping[str, int]) -> dict[str, int]:
    """So many seats over nodes with so much room, as evenly as it goes."""
    found = dict.fromkeys(room, 0)
    open_ = [id for id, seats in room.items() if seats > 0]
    while missing > 0 and open_:
        share = max(missing // len(open_), 1)
        for id in list(open_):
            more = min(share, room[id] - found[id], missing)
            found[id] += more
            missing -= more
            if found[id] == room[id]:
                open_.remove(id)
    return {id: seats for id, seats in found.items() if seats}


@contextmanager
def connected(address: str) -> Iterator[Ray]:
    """A connection for a look around."""
    ray = Ray(address)
    try:
        yield ray
    finally:
        ray.close()


def look(address: str) -> Iterator[tuple[Node, Json | str, float]]:
    """Each node with what `examine` says there, or why it does not; and by how much its clock is ahead."""
    with connected(address) as ray:
        asked = [(node, time.time(), ray.ask(node, hello)) for node in ray.nodes()]
        clocks: dict[str, float] = {}
        for node, _, first in asked:
            with suppress(Exception):
                first.result(START_SECONDS)
                sent = time.time()
                at = ray.ask(node, hello).result(START_SECONDS)["at"]
                clocks[node.id] = at - (sent + time.time()) / 2
        for node, answer in [(node, ray.ask(node, examine)) for node, _, _ in asked]:
            try:
                yield node, answer.result(START_SECONDS), clocks.get(node.id, 0.0)
            except Exception as error:
                yield node, unanswered(error), 0.0
