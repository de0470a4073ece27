"""Speed of each sandbox level: `python benchmarks/sandbox_speed.py [LEVEL ...]`, one table on stdout."""

import resource
import sys
import time

from evolve.types import Limits, Program, Walls
from sandbox import open_sandbox, probe

JOBS = 1000
STARTS = 7
CALLS = 5000
TRIVIAL = Program(
    {"program.py": b"import numpy as np\ndef f(x):\n    return float(np.sum(x))\n"}, "program.py:f"
)
CALLER = Program(
    {"program.py": b"def f(x):\n    return x\n"},
    "program.py:f",
    b"def answer(case, entry, call):\n    return sum(call('next', [i, 0.5]) for i in range(case))\n",
)


def milliseconds(run, repeats):
    durations = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        durations.append(1e3 * (time.perf_counter() - began))
    return sorted(durations)


def measure(level):
    starts = milliseconds(lambda: open_sandbox(Walls(level, trusted=True)).close(), STARTS)
    sandbox = open_sandbox(Walls(level, trusted=True))
    limits = Limits(calls=CALLS)
    sandbox.run(TRIVIAL, [[1, 2, 3]], limits)
    jobs = milliseconds(lambda: sandbox.run(TRIVIAL, [[1, 2, 3]], limits), JOBS)
    many = milliseconds(lambda: sandbox.run(TRIVIAL, [[1, 2, 3]] * 100, limits), 10)
    calls = milliseconds(lambda: sandbox.run(CALLER, [CALLS], limits, lambda _, __, a: a[0]), 3)
    sandbox.close()
    case = 1e3 * (many[5] - jobs[JOBS // 2]) / 99
    figures = [starts[STARTS // 2], 1e3 * JOBS / sum(jobs), jobs[JOBS // 2], jobs[JOBS * 99 // 100], case]
    return f"{level:<12}" + "".join(f"{figure:>12.1f}" for figure in [*figures, 1e3 * calls[1] / CALLS])


def main():
    for level in probe():
        print(f"{level.name}: {'works' if level.works else 'does not work'}; {level.why}")
    columns = ("start ms", "jobs/s", "p50 ms", "p99 ms", "us a case", "us a call")
    print(f"{'level':<12}" + "".join(f"{column:>12}" for column in columns))
    for name in sys.argv[1:] or ("bubblewrap", "landlock", "none"):
        print(measure(name), flush=True)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"resident memory of this process: {resident:.0f} MiB")


if __name__ == "__main__":
    main()
