"""The simulation of a cluster agrees with what can be said without one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from cluster_simulation import simulate


@pytest.mark.parametrize(("workers", "program_ms", "bound"), [(1, 50.0, 20.0), (40, 100.0, 400.0)])
def test_workers_are_the_bottleneck_while_the_driver_has_time(workers, program_ms, bound):
    found = simulate(workers, program_ms, driver_ms=0.5, remote_ms=0.0)
    assert found.per_second == pytest.approx(bound, rel=0.05)
    assert found.driver == pytest.approx(0.5e-3 * bound, abs=0.02) and found.workers > 0.95


def test_a_driver_that_is_full_bounds_any_number_of_workers():
    found = simulate(1000, 10.0, driver_ms=2.0, remote_ms=5.0)
    assert found.per_second == pytest.approx(500, rel=0.05)
    assert found.driver > 0.99 and found.workers < 0.02 and found.wait_ms > 1000
