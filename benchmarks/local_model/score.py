"""Scores one program as a run of ours does: `score.py PROBLEM FILE` prints the oriented mean, or `failed`."""

from __future__ import annotations

import sys
from pathlib import Path

from evolve.types import CaseKey, Job
from fitness.problem import load
from fitness.worker import Worker


def main() -> None:
    problem = load(sys.argv[1])
    (path,) = problem.seed_files
    cases = tuple(CaseKey("search", n) for n in range(problem.search_cases))
    worker = Worker(problem)
    try:
        evaluation = worker.evaluate(Job({path: Path(sys.argv[2]).read_bytes()}, cases))
    finally:
        worker.close()
    print("failed" if evaluation.failed else repr(problem.sign * evaluation.mean))


if __name__ == "__main__":
    main()
