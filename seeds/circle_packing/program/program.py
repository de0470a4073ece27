import numpy as np

N = 26
STEPS = 1000


def construct():
    """Search from a grid: move a circle, keep what is no worse. The moves are still of length zero."""
    rng = np.random.default_rng(0)
    points = start()
    radii = largest(points)
    for step in range(STEPS):
        left = 1 - step / STEPS
        scale = 0.0 * left
        i = rng.integers(N)
        moved = points.copy()
        moved[i] = np.clip(moved[i] + scale * rng.normal(size=2), 0.01, 0.99)
        grown = largest(moved)
        gain = grown.sum() - radii.sum()
        if gain > 0:
            points, radii = moved, grown
    return np.column_stack([points, radii])


def start():
    """The centres that the search starts from: rows of a grid."""
    columns = 6
    rows = 6
    points = []
    for i in range(N):
        row, column = divmod(i, columns)
        x = (column + 0.5) / columns
        y = (row + 0.5) / rows
        points.append((x, y))
    return np.clip(np.array(points), 0.01, 0.99)


def largest(points):
    """Radii that are safe for any centres: half the way to the nearest, then each grown to what is free."""
    walls = np.minimum(points, 1 - points).min(axis=1)
    distances = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) + np.eye(N) * 9
    nearest = distances.min(axis=1)
    radii = np.minimum(walls, nearest / 2)
    for i in np.argsort(radii):
        radii[i] = min(walls[i], (distances[i] - radii).min())
    return np.maximum(radii - 1e-12, 0)
