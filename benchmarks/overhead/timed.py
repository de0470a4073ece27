"""The same run with a clock around each job: `timed.py PROBLEM RUN TRIALS SANDBOX` prints JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from evolve.executor import LocalExecutor
from evolve.run import RunOptions, run
from evolve.types import Evaluation, Job, Walls
from fitness.problem import load
from fitness.worker import Worker

seconds: list[float] = []


class Timed(Worker):
    """A worker that notes how long each job took: evaluator, sandbox, program, score."""

    def evaluate(self, job: Job) -> Evaluation:
        """As the worker does."""
        began = time.perf_counter()
        evaluation = super().evaluate(job)
        seconds.append(time.perf_counter() - began)
        return evaluation


def main() -> None:
    folder, to, trials, sandbox = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    problem = load(folder)
    executor = LocalExecutor(lambda: Timed(problem, Walls(sandbox)), os.cpu_count() or 1)
    try:
        run(RunOptions(folder, to, trials=trials), executor=executor)
    finally:
        executor.close()
    taken = sorted(seconds[executor.workers :])  # the first of each worker waits for its start
    print(json.dumps({"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100]}))


if __name__ == "__main__":
    main()
