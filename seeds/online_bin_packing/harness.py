"""Asks for item after item and says where it goes; the packing itself is kept and counted outside."""

import numpy as np

EMPTY = 2  # empty bins that are shown, of as many as there are items: further ones are like the second


def answer(case, entry, call):
    bins = np.full(case["items"] + EMPTY, float(case["capacity"]))
    placed = []
    used = 0  # bins up to the last that holds an item
    item = call("next")
    while item is not None:
        open_bins = (bins[: used + EMPTY] >= item).nonzero()[0]
        priorities = np.asarray(entry(float(item), bins[open_bins]))
        if priorities.shape != open_bins.shape:
            raise ValueError(f"priority returned shape {priorities.shape} for {open_bins.shape} bins")
        best = priorities.argmax()
        if priorities[best] != priorities[best]:
            raise ValueError("priority returned NaN")
        placed.append(int(open_bins[best]))
        bins[placed[-1]] -= item
        used = max(used, placed[-1] + 1)
        item = call("next", placed[-1])
    return placed
