"""What a run is doing, for Prometheus: `--metrics PORT` serves it on the loopback.

Beside Ray's own metrics, which tell of processors and object stores: these tell of evaluations and nodes.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

from evolve.cluster import Health
from evolve.executor import LocalExecutor
from evolve.types import BadInput, Event

WINDOW_SECONDS = 60.0  # of the rate that is shown ready-made


class Metrics:
    """A listener, and the server of what it heard and of what the executor says at that moment."""

    def __init__(self, port: int, executor: LocalExecutor) -> None:
        """Port 0: any that is free. Raises BadInput where the port is taken."""
        # late: only a run that serves metrics needs it
        import prometheus_client
        from prometheus_client import core

        self._core: Any = core
        self._executor = executor
        self._lock = Lock()  # guards what follows
        self._trials: Counter[str] = Counter()  # by verdict
        self._kinds: Counter[str] = Counter()  # of all events
        self._usd = 0.0
        self._recent: deque[tuple[float, int]] = deque()  # (when, evaluations so far)
        registry = prometheus_client.CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, "127.0.0.1", registry)
        except OSError as error:
            raise BadInput("--metrics", "a port that is free", f"{port}: {error.strerror}") from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def tell(self, event: Event) -> None:
        """Hear one event."""
        with self._lock:
            self._kinds[event.kind] += 1
            if event.kind == "trial":
                self._trials[event.decision["verdict"]] += 1
                self._usd += event.measured.get("usd", 0.0)

    def collect(self) -> Iterator[Any]:
        """The families of metrics, as prometheus_client asks for them."""
        executor = self._executor
        yield self._counter("evaluations", "Jobs that went well in this session", executor.evaluations)
        yield self._counter("retries", "Jobs that were put on another worker", executor.retries)
        yield self._gauge(
            "evaluations_per_second", f"Over the last {WINDOW_SECONDS:g} s", self._rate(executor.evaluations)
        )
        yield self._gauge("queue", "Jobs that no worker has yet", executor.waiting)
        yield self._gauge("workers", "Workers, those that are out included", executor.workers)
        yield self._gauge("workers_out", "Workers that failed their test", executor.out)
        with self._lock:
            trials, kinds, usd = dict(self._trials), dict(self._kinds), self._usd
        yield self._counter("trials", "Finished attempts of the run's life", trials, "verdict")
        yield self._counter("events", "Events of the run's life", kinds, "kind")
        yield self._counter("usd", "Dollars paid for finished attempts", usd)
        yield from self._nodes(executor.health())

    def close(self) -> None:
        """Stop serving. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _nodes(self, health: Mapping[str, Health]) -> Iterator[Any]:
        seats: dict[str, float] = {name: each.seats for name, each in health.items()}
        yield self._gauge("node_seats", "Workers that are ready", seats, "node")
        silent = {name: each.silent_seconds for name, each in health.items()}
        yield self._gauge("node_silent_seconds", "Since a sign of life", silent, "node")
        for what in ("busy", "load", "free_bytes"):
            found = {name: each.measured[what] for name, each in health.items() if what in each.measured}
            yield self._gauge(f"node_{what}", f"As the node says: {what}", found, "node")
        for what in ("evaluations", "failures"):
            found = {name: each.measured[what] for name, each in health.items() if what in each.measured}
            yield self._counter(f"node_{what}", f"As its present stations say: {what}", found, "node")

    def _rate(self, evaluations: int) -> float:
        now = time.monotonic()
        with self._lock:
            self._recent.append((now, evaluations))
            while now - self._recent[0][0] > WINDOW_SECONDS:
                self._recent.popleft()
            then, before = self._recent[0]
        return (evaluations - before) / (now - then) if now > then else 0.0

    def _counter(self, name: str, says: str, found: float | Mapping[str, float], label: str = "") -> Any:
        return self._family(self._core.CounterMetricFamily, name, says, found, label)

    def _gauge(self, name: str, says: str, found: float | Mapping[str, float], label: str = "") -> Any:
        return self._family(self._core.GaugeMetricFamily, name, says, found, label)

    @staticmethod
    def _family(kind: Any, name: str, says: str, found: float | Mapping[str, float], label: str) -> Any:
        family = kind(f"evolve_{name}", says, labels=[label] if label else [])
        for value, much in found.items() if isinstance(found, Mapping) else [("", found)]:
            family.add_metric([value] if label else [], much)
        return family
