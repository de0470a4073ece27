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
    if len(packing.chosen) < len(case["items"]):
        raise ValueError(f"only {len(packing.chosen)} of {len(case['items'])} items were placed")
    if answer != packing.chosen:
        raise ValueError("the answer is not where the items were put")
    bound = -(-sum(case["items"]) // CAPACITY)
    return 100 * (len(set(packing.chosen)) - bound) / bound


class Packing:
    """What is where; it alone knows the items that are still to come."""

    def __init__(self, items):
        self.items, self.left, self.chosen, self.asked = items, [CAPACITY] * len(items), [], False

    def next(self, chosen):
        """Put the item asked for last into the chosen bin; the next one, None after the last."""
        if self.asked:
            self.put(chosen)
        self.asked = True
        return self.items[len(self.chosen)] if len(self.chosen) < len(self.items) else None

    def put(self, chosen):
        """Put the present item into a bin that has room for it."""
        number = len(self.chosen)
        if number == len(self.items) or type(chosen) is not int or not 0 <= chosen < len(self.left):
            raise ValueError(f"item {number} cannot go into bin {chosen!r}")
        if self.left[chosen] < self.items[number]:
            raise ValueError(f"bin {chosen} has not room enough for item {number}")
        self.left[chosen] -= self.items[number]
        self.chosen.append(chosen)


def picture(case, answer):
    bins = {}
    for chosen, item in zip(answer, case["items"], strict=True):
        bins.setdefault(chosen, []).append(item)
    bars = []
    for x, items in enumerate(bins.values()):
        for n, item in enumerate(items):
            y, shade = CAPACITY - sum(items[: n + 1]), ("#36c", "#9bd")[n % 2]
            bars.append(f'<rect x="{x}" y="{y}" width=".9" height="{item}" fill="{shade}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {len(bins) + 4} {CAPACITY + 4}" width="1000"'
        f' height="260" preserveAspectRatio="none">{"".join(bars)}</svg>'
    )
