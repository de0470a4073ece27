"""How many workers there is room for, and where. Plain arithmetic: it knows no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evolve.types import Resources


@dataclass(frozen=True, slots=True)
class Node:
    """A living node of a cluster."""

    id: str
    name: str  # address, and the beginning of its id
    labels: Mapping[str, str]
    total: Mapping[str, float]
    free: Mapping[str, float]

    def most_seats(self, need: Resources) -> int:
        """How many workers it has room for when nobody else is there."""
        return replace(self, free=self.total).seats(need)

    def seats(self, need: Resources) -> int:
        """How many workers it has room for now."""
        if any(self.labels.get(key) != value for key, value in need.labels.items()):
            return 0
        return int(min((self.free.get(what, 0.0) + 1e-9) / much for what, much in bundle(need).items()))


def bundle(need: Resources, seats: int = 1) -> dict[str, float]:
    """So many workers' needs in the words of Ray."""
    wanted = {"CPU": need.cpus, "GPU": need.gpus, "memory": need.memory_bytes, **need.custom}
    return {what: seats * much for what, much in wanted.items() if much}


def spread(missing: int, room: Mapping[str, int]) -> dict[str, int]:
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
