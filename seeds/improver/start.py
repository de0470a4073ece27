"""Answers an instance by the best of some guesses."""

import random

from problem import guess, value

TRIES = 1


def solve(instance):
    rng = random.Random(0)
    found = [guess(instance, rng) for _ in range(TRIES)]
    return max(found, key=lambda answer: value(instance, answer))
