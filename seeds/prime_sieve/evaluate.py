"""The sum of the primes below a number: any answer but the right one fails, what counts is the time."""

import numpy as np

STREAMS = {"search": 0, "gate": 1, "check": 2, "sealed": 3}
LEAST, MOST = 200_000, 260_000
_PRIME = np.ones(MOST, dtype=bool)
_PRIME[:2] = False
for _number in range(2, int(MOST**0.5) + 1):
    if _PRIME[_number]:
        _PRIME[_number * _number :: _number] = False


def case(split, seed):
    return int(np.random.default_rng([STREAMS[split], seed]).integers(LEAST, MOST))


def score(case, answer, seconds):
    if type(answer) is not int or answer != int(np.flatnonzero(_PRIME[:case]).sum()):
        raise ValueError(f"not the sum of the primes below {case}")
    return 1000 * seconds
