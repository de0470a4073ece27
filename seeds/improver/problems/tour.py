"""An instance is {"points": [[x, y], ...], "shortest": length} of a closed tour through all points.
An answer is a list of all point numbers from 0, in the order of a tour, worth "shortest" over its length.
"""

import itertools
import math

POINTS = 14


def instance(rng):
    angles = [2 * math.pi * rng.random() for _ in range(POINTS)]
    points = [[math.cos(angle), math.sin(angle)] for angle in angles]
    best = sorted(range(POINTS), key=angles.__getitem__)  # along the circle
    return {"points": points, "shortest": length(points, best)}


def guess(instance, rng):
    return rng.sample(range(len(instance["points"])), len(instance["points"]))


def value(instance, answer):
    numbers = [each for each in answer if type(each) is int]
    if len(numbers) != len(answer) or sorted(numbers) != list(range(len(instance["points"]))):
        raise ValueError("not all point numbers, each once")
    return instance["shortest"] / length(instance["points"], answer)


def length(points, order):
    return sum(math.dist(points[a], points[b]) for a, b in itertools.pairwise([*order, order[0]]))
