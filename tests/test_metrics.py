from __future__ import annotations

import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from executor_contract import BARE, CASES, frail, program, recovery

from evolve.executor import LocalExecutor
from evolve.metrics import Metrics
from evolve.types import BadInput, Event, Job
from fitness.worker import Worker


def test_prometheus_finds_what_a_run_does(tmp_path: Path) -> None:
    problem = frail(tmp_path / "frail")
    executor = LocalExecutor(lambda: Worker(problem, BARE), 2, recovery(problem))
    with closing(executor), closing(Metrics(0, executor)) as metrics:
        metrics.tell(Event(1, "trial", {"verdict": "evaluated"}, {"usd": 0.25}))
        for answer in (1.0, 15.0):
            executor.submit(Job(program(answer), CASES[:1])).result(600)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        for line in (
            "evolve_evaluations_total 2.0",
            "evolve_retries_total 1.0",
            "evolve_queue 0.0",
            "evolve_workers 2.0",
            'evolve_trials_total{verdict="evaluated"} 1.0',
            "evolve_usd_total 0.25",
        ):
            assert line in lines, line
        with pytest.raises(BadInput, match="--metrics: expected a port that is free"):
            Metrics(metrics.port, executor)
