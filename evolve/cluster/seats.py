"""Seats of a cluster's stations as workers of the one executor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Thread

from evolve.cluster import Health
from evolve.cluster.connection import Ray
from evolve.cluster.fleet import SILENT_SECONDS, Fleet
from evolve.cluster.post import Place
from evolve.executor import LocalExecutor, Order, Recovery
from evolve.types import Broker, Evaluation, Hearing, Job, Json, SandboxUnavailable, Walls
from fitness import wire
from fitness.evaluation import NOBODY
from fitness.problem import Problem

PATIENCE_SECONDS = 600.0  # with no seat left: a cluster may need minutes to find another machine
REPLACED_SECONDS = 60.0  # for another seat, where one was lost


class Seat:
    """Implements Fitness: one worker of some station; of another one when that is lost.

    What programs there ask of models is answered here, by `broker`: no key and no budget leaves the driver.
    """

    def __init__(self, fleet: Fleet, broker: Broker | None = None) -> None:
        """Wait until there is one. Raises SandboxUnavailable when the fleet is closed before."""
        self._fleet, self._broker = fleet, broker
        self._closed = False
        self._place: Place | None = fleet.take(None)
        self._level = self._place.level

    @property
    def level(self) -> str:
        """The level of its sandbox."""
        return self._level

    @property
    def station(self) -> str:
        """Whose fate it shares."""
        return self._place.post.name if self._place is not None else ""

    def evaluate(self, job: Job) -> Evaluation:
        """Run and score there. Raises PlaceLost when its station is gone, else as a worker does."""
        if self._closed:
            raise SandboxUnavailable("this seat is closed")
        if self._place is None:
            self._place = self._fleet.take(REPLACED_SECONDS)
            self._level = self._place.level
        hearing = NOBODY if self._broker is None else self._broker.open(job)
        try:
            reply = self._heard(self._place, json.dumps(wire.pack_job(job)).encode(), hearing)
        except SandboxUnavailable:
            if self._place.post.lost is not None:
                self._place = None
            raise
        finally:
            asked = hearing.close()
        if "error" in reply:
            raise wire.unpack_error(reply)
        return replace(wire.unpack_evaluation(reply), asked=asked)

    def _heard(self, place: Place, job: bytes, hearing: Hearing) -> Json:
        reply = place.evaluate(job)
        while "ask" in reply:
            try:
                told = hearing.ask(*reply["ask"])
            except BaseException:
                place.give_up()
                raise
            reply = place.answer(told)
        return reply

    def interrupt(self) -> None:
        """Give up the job that runs there."""
        if (place := self._place) is not None:
            place.interrupt()

    def close(self) -> None:
        """Have no more done there. Idempotent."""
        self._closed = True


class ClusterExecutor(LocalExecutor):
    """Implements Executor on a Ray cluster: a thread a seat, with the policy of the local executor.

    Two things are a cluster's own. A job that the machinery failed shares a station with no other such job:
    when the station dies of one, it is known of which. And without `workers` it grows with the cluster.
    """

    def __init__(
        self,
        ray: Ray,
        fleet: Fleet,
        workers: int | None,
        recovery: Recovery,
        broker: Broker | None = None,
    ) -> None:
        self.fleet = fleet
        self._ray = ray
        super().__init__(lambda: Seat(fleet, broker), workers or fleet.seats, recovery)
        if workers is None:
            Thread(target=self._growing, name="growing", daemon=True).start()

    @property
    def level(self) -> str:
        """Of all nodes."""
        return ", ".join(self.fleet.levels) or super().level

    def health(self) -> dict[str, Health]:
        """Of each node."""
        return self.fleet.health()

    def close(self) -> None:
        """Drop what waits, end the stations. Idempotent."""
        if not self._closed.is_set():
            closing = Thread(target=self.fleet.close)  # its calls end, so that threads do
            closing.start()
            super().close()
            closing.join()
            self._ray.close()

    def _fits(self, order: Order, n: int) -> bool:
        if not order.survived:
            return True
        here = self._station(n)
        others = [m for m, running in self._running.items() if running.survived]
        return all(self._station(m) != here for m in others)

    def _station(self, n: int) -> str:
        fitness = self._fitnesses[n]
        assert isinstance(fitness, Seat)
        return fitness.station

    def _growing(self) -> None:
        while not self._closed.wait(1.0):
            if (seats := self.fleet.seats) > self.workers:
                self.workers = seats
                self._start_threads()


def hire(
    address: str,
    problem: Problem,
    walls: Walls,
    workers: int | None,
    recovery: Recovery,
    stop: Callable[[], str | None] = lambda: None,
    silent_seconds: float = SILENT_SECONDS,
    broker: Broker | None = None,
) -> ClusterExecutor:
    """Connect to a cluster and wait, for as long as `stop` lets it, until there is a seat.

    `broker` answers programs that ask models; None: they cannot.

    Where `workers` are not given, wait for all that are there, and take those that come later. Raises
    RunError where nobody answers or no node can do the work, BadInput for an address of no use.
    """
    ray = Ray(address, recovery.notice)
    fleet = None
    try:
        fleet = Fleet(ray, problem, walls, workers, recovery.notice, silent_seconds, broker is not None)
        while not (fleet.settled() or (workers and fleet.seats)):
            if (reason := stop()) is not None:
                raise KeyboardInterrupt if reason == "interrupt" else SystemExit(143)  # there is no run yet
            time.sleep(0.05)
    except BaseException:
        if fleet is not None:
            fleet.close()
        ray.close()
        raise
    patient = replace(recovery, patience_seconds=PATIENCE_SECONDS)
    return ClusterExecutor(ray, fleet, workers, patient, broker)
