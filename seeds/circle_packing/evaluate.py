"""Circles in the unit square, judged in exact arithmetic: floats are fractions, no tolerance is needed."""

import itertools
import math

import numpy as np

CIRCLES = 26


def case(split, seed):
    return None


def score(case, answer):
    circles = read(answer)
    check(circles)
    return math.fsum(radius for _, _, radius in circles)


def read(answer):
    array = np.asarray(answer)
    if array.shape != (CIRCLES, 3) or array.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers, shape ({CIRCLES}, 3), got {array.dtype} {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("not all numbers are finite")
    return array.tolist()


def check(circles):
    """Raise ValueError where circles overlap or leave the square."""
    ratios = [[number.as_integer_ratio() for number in circle] for circle in circles]
    one = max(below for circle in ratios for _, below in circle)  # all are powers of two
    exact = [[above * (one // below) for above, below in circle] for circle in ratios]
    for i, (x, y, r) in enumerate(exact):
        if r < 0:
            raise ValueError(f"circle {i} has a negative radius")
        if min(x, y, one - x, one - y) < r:
            raise ValueError(f"circle {i} reaches outside the square")
    for (i, (x, y, r)), (j, (u, v, s)) in itertools.combinations(enumerate(exact), 2):
        if (x - u) ** 2 + (y - v) ** 2 < (r + s) ** 2:
            raise ValueError(f"circles {i} and {j} overlap")


def picture(case, answer):
    circles = "".join(f'<circle cx="{x:.6f}" cy="{y:.6f}" r="{r:.6f}"/>' for x, y, r in read(answer))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-.02 -.02 1.04 1.04" width="400" height="400">'
        '<rect width="1" height="1" fill="none" stroke="#333" stroke-width=".004"/>'
        f'<g fill="#9bd" stroke="#36c" stroke-width=".002">{circles}</g></svg>'
    )
