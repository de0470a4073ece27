"""Trusted, and never run with the program: makes the cases and judges the answers."""

import random


def case(split, seed):
    """A case as plain values; the same split and seed must always give the same one."""
    rng = random.Random(f"{split} {seed}")
    weights = [rng.uniform(0.01, 1) for _ in range(60)]
    return {"values": [rng.uniform(0, 1) for _ in weights], "weights": weights, "capacity": sum(weights) / 3}


def score(case, answer):
    """The score of an answer, which may be anything that JSON can hold; ValueError where it is not valid."""
    values, weights, left = case["values"], case["weights"], case["capacity"]
    if not isinstance(answer, list) or not all(type(i) is int and 0 <= i < len(values) for i in answer):
        raise ValueError("expected a list of indices of items")
    if len(set(answer)) < len(answer):
        raise ValueError("an item was taken twice")
    if sum(weights[i] for i in answer) > left + 1e-9:
        raise ValueError("the items are too heavy")
    bound = 0.0  # the best items for their weight, the last one cut
    for i in sorted(range(len(values)), key=lambda i: -values[i] / weights[i]):
        bound += values[i] * min(1.0, left / weights[i])
        left = max(left - weights[i], 0.0)
    return sum(values[i] for i in answer) / bound
