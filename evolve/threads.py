"""How long a thread computes before another gets its turn: shortly, as each worker waits for one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

TURN_SECONDS = 0.0005  # Python's own 5 ms is most of what making a child takes: a result would wait for that


@contextmanager
def short_turns() -> Iterator[None]:
    """Within: a worker's thread takes a result, and the next job, while the loop's makes a child."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
