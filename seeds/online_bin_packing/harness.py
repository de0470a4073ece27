"""Asks for item after item and says where it goes; the packing itself is kept and counted outside."""

import numpy as np


def answer(case, entry, call):
    bins = np.full(case["items"], float(case["capacity"]))
    placed = []
    item = call("next")
    while item is not None:
        open_bins = np.nonzero(bins >= item)[0]
        priorities = np.asarray(entry(float(item), bins[open_bins]))
        if priorities.shape != open_bins.shape:
            raise ValueError(f"priority returned shape {priorities.shape} for {open_bins.shape} bins")
        best = np.argmax(priorities)
        if priorities[best] != priorities[best]:
            raise ValueError("priority returned NaN")
        placed.append(int(open_bins[best]))
        bins[placed[-1]] -= item
        item = call("next", placed[-1])
    return placed
