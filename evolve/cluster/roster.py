"""What nodes say of themselves: which are fit for work, and why the others are not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

from evolve.cluster.connection import Notice, Ray, connected
from evolve.cluster.room import Node
from evolve.cluster.station import examine, hello, versions
from evolve.types import BadInput, EvolveError, Json, RunError

ANSWER_SECONDS = 90.0  # for a node's answer: it may have to start a process and import all
UNFIT_SECONDS = 300.0  # until a node where no worker could be started is tried again


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


class Unfit(NamedTuple):
    """Why a node gets no work, and until when."""

    why: EvolveError
    until: float


class Roster:
    """The nodes of a cluster: each is greeted when it comes, and refused where it cannot do the work."""

    def __init__(self, ray: Ray, notice: Notice) -> None:
        self._ray, self._notice = ray, notice
        self._versions = versions()
        self._answers: dict[str, Future[Json]] = {}  # by node
        self._arrived: dict[str, float] = {}  # when it was first seen
        self._unfit: dict[str, Unfit] = {}

    def look(self, nodes: Sequence[Node]) -> None:
        """Greet those that are new, refuse those whose versions differ, forget those that are gone."""
        now, alive = time.monotonic(), {node.id for node in nodes}
        self._unfit = {id: each for id, each in self._unfit.items() if each.until > now and id in alive}
        self._answers = {id: answer for id, answer in self._answers.items() if id in alive}
        for node in nodes:
            answer = self._answers.get(node.id)
            if answer is None:
                self._answers[node.id] = self._ray.ask(node, hello)
                self._arrived[node.id] = now
            elif node.id in self._unfit:
                continue
            elif not answer.done():
                if (waited := now - self._arrived[node.id]) > ANSWER_SECONDS:
                    self.refuse(node, RunError(f"it did not answer for {waited:.0f} s"))
            else:
                error = answer.exception()
                wrong = unanswered(error) if error is not None else greet(answer.result(), self._versions)
                if wrong is not None:
                    self.refuse(node, RunError(wrong), for_good=True)

    def refuse(self, node: Node, why: EvolveError, *, for_good: bool = False) -> None:
        """Give a node no work, for a while or as long as it is there; the first reason stands."""
        if node.id not in self._unfit:
            self._unfit[node.id] = Unfit(why, math.inf if for_good else time.monotonic() + UNFIT_SECONDS)
            self._notice(f"node {node.name} gets no work: {why}")

    def fit(self, nodes: Sequence[Node]) -> list[Node]:
        """Those that have answered and may work."""
        return [node for node in nodes if node.id not in self._unfit and self._has_answered(node.id)]

    def knows(self, nodes: Sequence[Node]) -> bool:
        """Whether it is clear of each whether it may work."""
        return all(node.id in self._unfit or self._has_answered(node.id) for node in nodes)

    def is_clear(self) -> bool:
        """The same of all that were greeted, once there was one."""
        return bool(self._answers) and all(
            answer.done() or id in self._unfit for id, answer in list(self._answers.items())
        )

    def cores(self, node: Node) -> int:
        """Physical ones that its processes may use, of a node that is fit."""
        return int(self._answers[node.id].result()["cores"])

    def require_one(self, able: set[str]) -> None:
        """Raise why, where every node that has the room for a worker is unfit."""
        if not able or not able <= self._unfit.keys():
            return
        whys = [self._unfit[id].why for id in sorted(able)]
        if all(isinstance(why, BadInput) for why in whys):
            raise whys[0]
        raise RunError("no node can do the work: " + "; ".join(dict.fromkeys(map(str, whys))))

    @property
    def reasons(self) -> list[str]:
        """Why nodes get no work."""
        return [str(each.why) for each in self._unfit.values()]

    def _has_answered(self, id: str) -> bool:
        return id in self._answers and self._answers[id].done()


def look(address: str) -> Iterator[tuple[Node, Json | str, float]]:
    """Each node with what `examine` says there, or why it does not; and by how much its clock is ahead."""
    with connected(address) as ray:
        asked = [(node, time.time(), ray.ask(node, hello)) for node in ray.nodes()]
        clocks: dict[str, float] = {}
        for node, _, first in asked:
            with suppress(Exception):
                first.result(ANSWER_SECONDS)
                sent = time.time()
                at = ray.ask(node, hello).result(ANSWER_SECONDS)["at"]
                clocks[node.id] = at - (sent + time.time()) / 2
        for node, answer in [(node, ray.ask(node, examine)) for node, _, _ in asked]:
            try:
                yield node, answer.result(ANSWER_SECONDS), clocks.get(node.id, 0.0)
            except Exception as error:
                yield node, unanswered(error), 0.0
