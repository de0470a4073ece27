"""Fuzzing of `sandbox.values.decode`, the one function that bytes from inside reach first.

    python tests/fuzz_values.py --seconds 60 [--seed 0]

Inputs that reach new lines of the decoder, or old ones from new places, are kept and mutated further. The
first that breaks a promise is printed, and the exit code is 1. `test_values.py` checks the same promises.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import struct
import sys
import time
from types import FrameType
from typing import Any

import numpy as np

from sandbox import values
from sandbox.values import DEPTH, DIGITS, MAGIC, decode, encode

MOST_BYTES = 1 << 20
MOST_SECONDS = 2.0  # of an input of 64 KB at the most, on a machine that is busy
SEEDS = [
    None, True, 0, -1, 10**400, -0.0, 1.5e300, "", "a\n\u00e9\U0001f600", [], {}, [[[]]],
    {"a": {"b": [1, 2.5, None]}}, [0.1] * 20, {"k" * 50: ["NaN", "Infinity"]},
    np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.int8),
    np.array(True), np.arange(3, dtype=">u2"), np.zeros((1,) * 20, np.float16),
]  # fmt: skip
# What JSON is made of, and what it is not: put together, much of it parses, and much of it should not.
PIECES = [
    "[", "]", "{", "}", ",", ":", '"', '"a":', '"b":', "1", "-", "0", ".5", "e", "e999", "E-4", "NaN",
    "Infinity", "-Infinity", "true", "null", " ", "\\", "\\u", "d83d", "\\ud800", "\\udc00", "\x00", "\u00e9",
    "9" * 400, "1" * 4300, "1" * 4301, "[" * 63, "]" * 63, "[" * 70, "1e308", "1e+309", "\ufeff", "'", "# ",
    "0x1", "1_0",
]  # fmt: skip
PARTS = [
    *(piece.encode() for piece in PIECES), MAGIC, MAGIC + b"\x01\x00", b"'descr': '<f8'", b"'|O'", b"'>f2'",
    b"'|b1'", b"'fortran_order': True", b"'shape': (", b"1, " * 31, b"99999999999, ", b"(0, ", b"), }\n",
    b"\xff" * 8, bytes(8), struct.pack("<d", math.inf),
]  # fmt: skip


def holds(value: Any, depth: int = 0) -> bool:
    """Whether a value is what `decode` promises: plain types, finite, not too deep, every string a text."""
    if isinstance(value, np.ndarray):
        return value.dtype.isnative and value.dtype.kind in "biuf" and bool(np.isfinite(value).all())
    if type(value) in (list, dict):
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        return depth < DEPTH and all(holds(item, depth + 1) for item in inside)
    if type(value) is str:
        return value.encode().decode() == value
    if type(value) is int:
        return abs(value) < 10**DIGITS
    return value is None or type(value) is bool or (type(value) is float and math.isfinite(value))


def decoded_or_refused(data: bytes) -> Any:
    """The value, None where it is refused. AssertionError (or what escapes) where a promise is broken."""
    try:
        value = decode(data, MOST_BYTES)
    except ValueError as error:
        said = str(error)
    else:
        assert holds(value)
        again = decode(encode(value), MOST_BYTES * 16)
        assert np.array_equal(again, value) if isinstance(value, np.ndarray) else repr(again) == repr(value)
        return value
    assert said.isprintable()
    assert len(said) < 400
    return None


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """An input that differs in one to four places, or goes on as another does."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(0, len(data))
        cut = place + chance.choice([0, 0, 1, 2, 8, len(data) // 2])
        match chance.randrange(6):
            case 0:
                new = chance.randbytes(chance.randint(0, 4))
            case 1:
                new = chance.choice(PARTS) * chance.choice([1, 1, 1, 3, 100])
            case 2:
                new = other[chance.randint(0, len(other)) :]
            case 3:
                new = data[place:cut] * chance.choice([0, 2, 50])
            case 4:
                new = bytes(byte ^ (1 << chance.randrange(8)) for byte in data[place:cut])
            case _:
                new = str(chance.choice([0, -1, 2**31, 2**63, 10**18, chance.random()])).encode()
        data = data[:place] + new + data[cut:]
    return data[: 1 << 16]


class Steps:
    """The steps from line to line of the decoder that an input takes."""

    def __init__(self) -> None:
        self.known: set[tuple[int, int]] = set()
        self._taken: set[tuple[int, int]] = set()
        self._last = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        """As a trace function: only the decoder's own lines are looked at."""
        if frame.f_code.co_filename != values.__file__:
            return None
        self._taken.add((self._last, frame.f_lineno))
        self._last = frame.f_lineno
        return self

    def new(self) -> bool:
        """Whether there was a step that none had taken before."""
        before = len(self.known)
        self.known |= self._taken
        self._taken.clear()
        self._last = 0
        return len(self.known) > before


def main() -> None:
    """Fuzz for so many seconds."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    chance, steps = random.Random(asked.seed), Steps()
    corpus = [encode(seed) for seed in SEEDS] + [json.dumps(PIECES).encode()]
    began, count, accepted, slowest = time.monotonic(), 0, 0, 0.0
    while time.monotonic() - began < asked.seconds:
        # the latest lead furthest; the others keep it from going round in circles
        chosen = chance.choice(corpus[-20:] if chance.random() < 0.3 else corpus)
        data = mutated(chosen, chance.choice(corpus), chance) if count >= len(corpus) else corpus[count]
        started = time.perf_counter()
        sys.settrace(steps)
        try:
            value = decoded_or_refused(data)
            sys.settrace(None)
            seconds = time.perf_counter() - started
            assert seconds < MOST_SECONDS, f"{seconds:.1f} s"
        except BaseException as error:
            sys.settrace(None)
            print(f"{type(error).__name__}: {error}\n{data!r}")
            sys.exit(1)
        count, accepted, slowest = count + 1, accepted + (value is not None), max(slowest, seconds)
        if steps.new():
            corpus.append(data)
    print(f"{count} inputs, {accepted} accepted, {len(corpus)} kept, {len(steps.known)} steps, ", end="")
    print(f"slowest {slowest:.3f} s")


if __name__ == "__main__":
    main()
