"""The Pareto front: variants that no other one beats in everything. For people; nothing is claimed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def front(points: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the points that none dominates, the best in the first value first; greater is better.

    Of equal points the one that comes first is kept. O(n log n + n x size of the front).
    """
    kept: list[str] = []
    # in this order nobody is dominated by one that follows
    for name in sorted(points, key=lambda name: tuple(-value for value in points[name])):
        mine = points[name]
        beaten = (all(a >= b for a, b in zip(points[other], mine, strict=True)) for other in kept)
        if not any(beaten):
            kept.append(name)
    return kept
