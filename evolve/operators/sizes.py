"""How much a model is asked to change: a little mostly, very much at times (heavy tail: LLaMEA, 2024)."""

from __future__ import annotations

import numpy as np

_SHAPE = 1.2  # of the tail: most edits are of a line or two, some of very many


def size(rng: np.random.Generator, lines: int) -> str:
    """A number of lines, in words; at most `lines`."""
    count = min(1 + int(rng.pareto(_SHAPE)), max(lines, 1))
    return "one line" if count == 1 else f"about {count} lines"
