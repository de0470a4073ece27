"""How the cost of something grows: a ratio of CPU times, which a slow or busy machine changes little."""

import time
from collections.abc import Callable


def least_seconds(work: Callable[[], object], times: int = 5) -> float:
    """CPU seconds of the cheapest of several runs."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)
