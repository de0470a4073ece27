"""The connection to a Ray cluster. The only module that knows Ray.

What Ray does: it starts processes on nodes, keeps account of what is taken of them, carries calls, and sees
nodes come and go. Nothing is tried twice (`max_retries` and `max_restarts` are 0): that is the executor's
business.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from evolve.cluster.room import Node, bundle
from evolve.types import BadInput, Json, Resources, RunError, SandboxUnavailable

STORE_BYTES = 100 << 20  # of a Ray that is started here: programs and scores are small
REACH_SECONDS = 10.0  # for a connection to a cluster's head
NODE_SECONDS = 2.0  # for a connection to a node of it

# Errors of Ray by name, as the library is imported late: a station is gone, or nothing can be sent now.
_GONE = ("ActorDiedError", "ActorUnavailableError", "NodeDiedError", "ActorUnschedulableError")
_FULL = ("ObjectStoreFullError", "OutOfDiskError")

Notice = Callable[[str], None]


def silent(text: str) -> None:
    """Notice nothing."""


def _unsaid(data: object, ignore_prefix: bool) -> None:
    pass


class Ray:
    """A connection to a cluster; "auto" starts one here where none runs.

    A process has one connection: a second one is the first one's, and so is what a caller has opened himself.
    """

    def __init__(self, address: str, notice: Notice = silent) -> None:
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
                _reach(address)
                where = {"_node_ip_address": host} if (host := _loopback(address)) else {}
                init(address=address, **quiet, **where)
                return
            try:
                init(address="auto", **quiet)
            except ConnectionError:
                notice("no Ray runs here: starting one on this machine alone (docs/cluster.md)")
                # a token of its own: one that Ray puts into the home would be asked for by every later head
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
                init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            how = "--head" if address == "auto" else f"--address {address}"
            fix = f"`ray start {how}` makes this machine a part of one"
            raise RunError(f"no Ray cluster at {address} takes this machine in: {why} ({fix})") from error

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

    def lives(self, node: Node) -> bool:
        """Whether a node is there. It is asked itself, as the head may take a minute to miss a host."""
        for row in self.ray.nodes():
            if row["NodeID"] == node.id and row["Alive"]:
                with suppress(OSError):
                    at = row["NodeManagerAddress"], row["NodeManagerPort"]
                    socket.create_connection(at, NODE_SECONDS).close()
                    return True
        return False

    def on(self, node: Node) -> dict[str, Any]:
        """Options of what must run on one node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}

    def ask(self, node: Node, question: Callable[[], Json]) -> Future[Json]:
        """Call a function of no arguments on a node, which has room for that always."""
        task = self.ray.remote(question).options(num_cpus=0, max_retries=0, **self.on(node))
        answer: Future[Json] = task.remote().future()
        return answer

    def put(self, data: bytes) -> Any:
        """Keep data in the cluster, where each node fetches it once."""
        return self.ray.put(data)

    def actor(self, kind: type, need: Resources, seats: int, node: Node, *arguments: Any) -> Any:
        """Start an object on a node, which takes the room of so many workers and does as much at once."""
        wanted = bundle(need, seats)
        options: dict[str, Any] = {
            "num_cpus": wanted.pop("CPU"),
            "num_gpus": wanted.pop("GPU", 0),
            "memory": int(wanted.pop("memory", 0)) or None,
            "resources": wanted or None,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": seats + 3,  # a beat and an interruption are heard beside all jobs
            **self.on(node),
        }
        return self.ray.remote(kind).options(**options).remote(*arguments)

    def call(self, actor: Any, method: str, *arguments: Any) -> Future[Any]:
        """Start a call of it."""
        answer: Future[Any] = getattr(actor, method).remote(*arguments).future()
        return answer

    def kill(self, actor: Any) -> None:
        """End it, whatever it does."""
        self.ray.kill(actor)

    def is_gone(self, error: BaseException) -> bool:
        """Whether a call failed because its actor is no more."""
        return any(kind.__name__ in _GONE for kind in type(error).__mro__)

    def is_full(self, error: BaseException) -> bool:
        """Whether nothing can be sent now as the object store is full."""
        return type(error).__name__ in _FULL

    def understood(self, error: BaseException, where: str) -> BaseException:
        """An error of Ray as one of ours."""
        if isinstance(error, self.errors):
            why = " ".join(str(error).split())[:200]
            return SandboxUnavailable(f"{where}: {type(error).__name__}: {why}")
        return error

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


@contextmanager
def connected(address: str) -> Iterator[Ray]:
    """A connection for a look around."""
    ray = Ray(address)
    try:
        yield ray
    finally:
        ray.close()


def _reach(address: str) -> None:
    """Look whether anybody listens at HOST:PORT; Ray would try for minutes. Raises BadInput, RunError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise BadInput("--cluster", "auto, or HOST:PORT of a cluster's head", address)
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        fix = "`ray start --head` makes a machine the head of one"
        raise RunError(f"no Ray cluster answers at {address}: {error} ({fix})") from error


def _loopback(address: str) -> str | None:
    """The host of an address that only this machine can reach; Ray would look for it elsewhere."""
    host = address.rpartition(":")[0]
    return host if host.startswith("127.") and host != "127.0.0.1" else None
