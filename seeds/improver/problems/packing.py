"""An instance is {"capacity": c, "bins": m, "sizes": [...]}: things that fill m bins of capacity c exactly.
An answer is a list of bin numbers from 0 to m - 1, one a thing. It is worth the share of all sizes that lie
in bins which are not too full; 1 is possible.
"""

import itertools

CAPACITY, BINS, CUTS = 100, 6, 3


def instance(rng):
    sizes = []
    for _ in range(BINS):
        cuts = [0, *sorted(rng.sample(range(5, CAPACITY - 5), CUTS)), CAPACITY]
        sizes += [high - low for low, high in itertools.pairwise(cuts)]
    rng.shuffle(sizes)
    return {"capacity": CAPACITY, "bins": BINS, "sizes": sizes}


def guess(instance, rng):
    return [rng.randrange(instance["bins"]) for _ in instance["sizes"]]


def value(instance, answer):
    sizes, bins = instance["sizes"], range(instance["bins"])
    if len(answer) != len(sizes) or any(type(each) is not int or each not in bins for each in answer):
        raise ValueError("not a bin number a thing")
    filled = [0] * len(bins)
    for size, place in zip(sizes, answer, strict=True):
        filled[place] += size
    return sum(each for each in filled if each <= instance["capacity"]) / sum(sizes)
