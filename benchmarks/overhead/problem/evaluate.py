"""One over one and the squared distance. Notes when it judged in `.scored`, where that file was put."""

import os
import time

TARGET = (3.1, -2.4, 0.7, 5.5, -1.2)
CLOCK = os.open(".scored", os.O_WRONLY | os.O_APPEND) if os.path.exists(".scored") else None


def case(split, seed):
    return None


def score(case, answer):
    numbers = isinstance(answer, list) and all(type(number) in (int, float) for number in answer)
    if not numbers or len(answer) != len(TARGET):
        raise ValueError("five numbers are wanted")
    quality = 1 / (1 + sum((float(x) - t) ** 2 for x, t in zip(answer, TARGET, strict=True)))
    if CLOCK is not None:
        os.write(CLOCK, f"{time.time()}\n".encode())
    return quality
