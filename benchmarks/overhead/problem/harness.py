"""Runs the program, and the clock to the end of its millisecond."""

import time

SECONDS = 0.001


def answer(case, entry, call):
    began = time.perf_counter()
    found = entry()
    while time.perf_counter() - began < SECONDS:
        pass
    return found
