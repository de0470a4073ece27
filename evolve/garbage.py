"""How often the cyclic garbage collector looks at what a run remembers: once.

What a run folds stays until it ends, and grows; Python's full collections would go through all of it again
and again, a tenth of a second at a time after 20,000 variants.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

YOUNG = 10_000  # objects that are made between two looks at the youngest; what a child takes is free sooner


@contextmanager
def looked_at_once() -> Iterator[None]:
    """Whatever survives a full collection within is not looked at again, until the end."""
    before = gc.get_threshold()
    gc.callbacks.append(_keep)
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(_keep)
        gc.unfreeze()


@contextmanager
def not_looked_for() -> Iterator[None]:
    """Pause the collector while much is made that stays, and nothing that goes in cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _keep(phase: str, facts: Mapping[str, int]) -> None:
    if phase == "stop" and facts["generation"] == 2:
        gc.freeze()
