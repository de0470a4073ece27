"""Walks the tour with the program's choices; what it returns is checked and measured outside."""

import numpy as np


def answer(case, entry, call):
    points = np.array(case["points"])
    distances = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    unvisited = np.arange(1, len(points))
    tour = [0]
    for _ in range(len(points) - 1):
        tour.append(int(entry(tour[-1], 0, unvisited, distances)))
        unvisited = unvisited[unvisited != tour[-1]]
    return tour
