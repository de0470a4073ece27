import numpy as np


def select(current, home, unvisited, distances):
    # EVOLVE-BLOCK-START
    rows = distances[unvisited]
    to_current = rows[:, current]
    to_home = rows[:, home]
    to_rest = rows[:, unvisited].sum(axis=1) / len(unvisited)
    left = len(unvisited) / len(distances)
    score = -to_current
    return unvisited[np.argmax(score)]
    # EVOLVE-BLOCK-END
