"""Online bin packing of Weibull items, as in FunSearch (Romera-Paredes et al., Nature 2024)."""

import numpy as np

CAPACITY, ITEMS = 100, 1000
STREAMS = {"gate": 1, "check": 2, "sealed": 3}


def case(split, seed):
    if split == "search":  # the seed-th stream of one published sequence
        draws = np.random.RandomState(2024).weibull(3, (seed + 1, ITEMS))[seed]
    else:
        draws = np.random.default_rng([STREAMS[split], seed]).weibull(3, ITEMS)
    return {"items": np.round(np.clip(draws * 45, 1, CAPACITY)).astype(int).tolist()}


def visible(case):
    return {"capacity": CAPACITY, "items": len(case["items"])}


def handlers(case):
    packing = Packing(case["items"])
    return {"next": packing.next}, packing


def score(case, answer, packing):
    if packing.placed < len(case["items"]):
        raise ValueError(f"only {packing.placed} of {len(case['items'])} items were placed")
    bound = -(-sum(case["items"]) // CAPACITY)
    return 100 * (len(packing.used()) - bound) / bound


class Packing:
    """What is where; it alone knows the items that are still to come."""

    def __init__(self, items):
        self.items, self.left, self.placed, self.asked = items, [CAPACITY] * len(items), 0, False

    def next(self, chosen):
        """Put the item asked for last into the chosen bin; the next one, None after the last."""
        if self.asked:
            if type(chosen) is not int or not 0 <= chosen < len(self.left) or self.placed == len(self.items):
                raise ValueError(f"there is no bin {chosen!r}")
            if self.left[chosen] < self.items[self.placed]:
                raise ValueError(f"bin {chosen} has not room enough for item {self.placed}")
            self.left[chosen] -= self.items[self.placed]
            self.placed += 1
        self.asked = True
        return self.items[self.placed] if self.placed < len(self.items) else None

    def used(self):
        """Room left in each bin that holds an item."""
        return [left for left in self.left if left < CAPACITY]
