"""A Ray cluster of several nodes on this machine, each a raylet of its own, all on the loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STORE_BYTES = 80 << 20
TRIES = 4


class Raylets:
    """The head, which has no room for workers, and nodes that have."""

    def __init__(self, folder: Path) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_TMPDIR"] = str(folder)  # short: sockets lie there
        (folder / "ray").mkdir()
        from ray.cluster_utils import Cluster

        quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}
        # beside other tests, workers of the usual niceness, 15, would get next to nothing
        fair = {"worker_niceness": 0, "worker_register_timeout_seconds": 600}
        lean = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False}
        head = self._options(2) | {"num_cpus": 0, "_system_config": {**quick, **fair}, **lean}
        self._cluster = Cluster()
        self._added(head)
        self.nodes: list[Any] = []  # but the head
        self._last = 2

    @staticmethod
    def _options(number: int) -> dict[str, Any]:
        return {"node_ip_address": f"127.0.0.{number}", "object_store_memory": STORE_BYTES}

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, cpus: int, *, wait: bool = True, **more: Any) -> Any:
        """A node of its own, with an address of its own."""
        self._last += 1
        node = self._added({"wait": wait, **self._options(self._last), "num_cpus": cpus, **more})
        self.nodes.append(node)
        return node

    def _added(self, options: dict[str, Any]) -> Any:
        """Ray gives a raylet thirty seconds to start: on a machine that is busy it takes another try."""
        for _ in range(TRIES - 1):
            try:
                return self._cluster.add_node(**options)
            except Exception as error:
                if "timed out during startup" not in str(error):
                    raise
        return self._cluster.add_node(**options)

    def kill(self, node: Any) -> None:
        """SIGKILL its raylet; what it started ends with it."""
        for each in node.all_processes["raylet"]:
            each.process.kill()

    def forget(self, node: Any) -> None:
        """Of a killed node: what else Ray started for it."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def raylets(*cpus: int) -> Iterator[Raylets]:
    """A cluster with so many processors on each of its nodes."""
    folder = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))
    cluster = None
    try:
        cluster = Raylets(folder)
        for each in cpus:
            cluster.add(each)
        yield cluster
    finally:
        if cluster is not None:
            cluster.close()
        os.environ.pop("RAY_TMPDIR", None)
        shutil.rmtree(folder, ignore_errors=True)
