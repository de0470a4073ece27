"""Workers on the nodes of a Ray cluster.

    driver                                          | node
    executor -> seat -> fleet -> call of an actor   | station -> worker -> evaluator -> sandbox

A *station* is what a node does for a run: a pool of workers, each with a sandbox, in one actor. A *seat* is
one of these workers as the driver sees it: a `Fitness`, so that the executor of one machine, with its one
policy for faults, serves a cluster as well. The *fleet* puts stations on nodes: the *roster* says which are
fit, *room* how many seats go where; a *post* is a station as the driver sees it. Only *connection* knows Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """What is known of a node."""

    seats: int = 0  # workers that are ready
    silent_seconds: float = 0.0
    measured: Mapping[str, float] = field(default_factory=dict)  # what its stations say: busy, load, ...
