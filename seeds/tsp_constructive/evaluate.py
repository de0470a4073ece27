"""Tours through 50 uniform cities, as in Evolution of Heuristics (Liu et al., ICML 2024)."""

import numpy as np

CITIES = 50
STREAMS = {"gate": 1, "check": 2, "sealed": 3}


def case(split, seed):
    if split == "search":  # the seed-th instance of one published sequence: each takes 2 * CITIES draws
        generator = np.random.default_rng(2024)
        generator.bit_generator.advance(2 * CITIES * seed)
    else:
        generator = np.random.default_rng([STREAMS[split], seed])
    return {"points": generator.random((CITIES, 2)).tolist()}


def score(case, answer):
    whole = isinstance(answer, list) and all(type(city) is int for city in answer)
    if not whole or sorted(answer) != list(range(CITIES)):
        raise ValueError(f"the tour must visit each of the {CITIES} cities once")
    points = np.array(case["points"])[answer]
    steps = points - np.roll(points, 1, axis=0)
    return float(np.hypot(steps[:, 0], steps[:, 1]).sum())


def picture(case, answer):
    corners = " ".join(f"{x:.4f},{y:.4f}" for x, y in (case["points"][city] for city in answer))
    dots = "".join(f'<circle cx="{x:.4f}" cy="{y:.4f}" r=".009"/>' for x, y in case["points"])
    home_x, home_y = case["points"][answer[0]]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-.03 -.03 1.06 1.06" width="400" height="400">'
        f'<polygon points="{corners}" fill="none" stroke="#36c" stroke-width=".006"/>{dots}'
        f'<circle cx="{home_x:.4f}" cy="{home_y:.4f}" r=".018" fill="#c33"/></svg>'
    )
