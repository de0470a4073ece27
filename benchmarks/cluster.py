"""What a cluster of Ray costs beside one machine, and what it survives: several raylets here, real sandboxes.

    python benchmarks/cluster.py cost|rate|sleep|kills|resume ... [--sandbox docker] [--rounds N]

cost    one job in flight, a program of 1 ms: local and on the cluster in turn; the driver's CPU time for each
rate    evaluations a second of a program of 1 ms, 2 workers on 2 nodes; local beside it
sleep   256 jobs that sleep for a second, 64 workers on 2 nodes, against the ideal of 4 s
kills   a run of 500 trials, 4 workers on 4 nodes, three of whose raylets are killed one after the other
resume  a run of 500 trials whose driver is killed, cloned into another folder, and gone on with there
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from raylets import Raylets, raylets

from evolve.cluster.seats import hire
from evolve.executor import LocalExecutor, Recovery
from evolve.run import RunOptions, run
from evolve.types import CaseKey, Event, Job, Walls
from fitness.doubles import number_problem
from fitness.problem import Problem, load
from fitness.worker import Worker
from populations.ledger import GitLedger

SPIN = """import time


def solve(case):
    until = time.perf_counter() + 1 / 1000
    while time.perf_counter() < until:
        pass
    return 0.0
"""
SLEEP = "import time\n\n\ndef solve(case):\n    time.sleep(1)\n    return 0.0\n"
EVOLVE = [sys.executable, "-m", "evolve"]


def job(problem: Problem) -> Job:
    return Job(problem.seed_files, (CaseKey("search", 0),))


def recovery(problem: Problem) -> Recovery:
    return Recovery(job(problem), problem.worst, notice=notice)


def notice(text: str) -> None:
    print("  notice:", text or "it goes on")


@contextmanager
def local(problem: Problem, walls: Walls, workers: int) -> Iterator[LocalExecutor]:
    with closing(LocalExecutor(lambda: Worker(problem, walls), workers, recovery(problem))) as executor:
        yield warm(executor, problem)


@contextmanager
def remote(cluster: Raylets, problem: Problem, walls: Walls, workers: int) -> Iterator[LocalExecutor]:
    with closing(hire(cluster.address, problem, walls, workers, recovery(problem))) as executor:
        while executor.fleet.seats < workers:
            time.sleep(0.1)
        yield warm(executor, problem)


def warm(executor: LocalExecutor, problem: Problem) -> LocalExecutor:
    for future in [executor.submit(job(problem)) for _ in range(4 * executor.workers)]:
        future.result()
    return executor


def serial_ms(executor: LocalExecutor, problem: Problem, count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        executor.submit(job(problem)).result()
        took.append(1e3 * (time.perf_counter() - began))
    return took


def per_second(executor: LocalExecutor, problem: Problem, count: int) -> tuple[float, float]:
    """Evaluations a second, and CPU ms of this process for each."""
    began, cpu = time.perf_counter(), time.process_time()
    for future in [executor.submit(job(problem)) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - began), 1e3 * (time.process_time() - cpu) / count


def cost(cluster: Raylets, folder: Path, walls: Walls, rounds: int) -> None:
    problem = load(number_problem(folder / "spin", SPIN))
    with local(problem, walls, 1) as here, remote(cluster, problem, walls, 1) as there:
        found = []
        for _ in range(rounds):
            one, other = (statistics.median(serial_ms(each, problem, 100)) for each in (here, there))
            found.append(other - one)
            print(f"  local {one:.2f} ms, cluster {other:.2f} ms, more by {other - one:.2f} ms")
        cpu = [per_second(each, problem, 300)[1] for each in (here, there)]
    print(
        f"cost: {statistics.median(found):.2f} ms an evaluation more ({min(found):.2f} to {max(found):.2f})"
    )
    print(f"      CPU of the driver's process: {cpu[0]:.2f} ms local, {cpu[1]:.2f} ms on the cluster")


def rate(cluster: Raylets, folder: Path, walls: Walls, rounds: int) -> None:
    problem = load(number_problem(folder / "spin", SPIN))
    with remote(cluster, problem, walls, 2) as there:
        found = [per_second(there, problem, 400)[0] for _ in range(rounds)]
    with local(problem, walls, 2) as here:
        before = [per_second(here, problem, 400)[0] for _ in range(rounds)]
    print(f"rate: {spread(found)} evaluations/s on the cluster, {spread(before)} local; {walls.kind}")


def sleep(cluster: Raylets, folder: Path, walls: Walls, rounds: int) -> None:
    problem = load(number_problem(folder / "sleep", SLEEP))
    with remote(cluster, problem, walls, 64) as there:
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            for future in [there.submit(job(problem)) for _ in range(256)]:
                future.result()
            found.append((time.perf_counter() - began) / 4)
    print(f"sleep: 256 jobs of 1 s on 64 workers took {spread(found)} times the ideal; {walls.kind}")


def kills(cluster: Raylets, folder: Path, walls: Walls, rounds: int) -> None:
    problem = number_problem(folder / "spin", SPIN)
    at = folder / "run.git"
    while len(cluster.nodes) < 4:
        cluster.add(32)

    class Killing:
        trials = 0

        def tell(self, event: Event) -> None:
            self.trials += event.kind == "trial"
            if event.kind == "trial" and self.trials in (100, 230, 360):
                cluster.kill(cluster.nodes.pop(0))
                print(f"  killed a raylet after {self.trials} trials")

    asked = options(problem, at, walls, trials=500, workers=4, cluster=cluster.address)
    result = run(asked, [Killing()], notice=notice)
    report("kills", at, result["failures"])


def resume(cluster: Raylets, folder: Path, walls: Walls, rounds: int) -> None:
    problem = number_problem(folder / "spin", SPIN)
    first, second = folder / "here" / "run.git", folder / "there" / "run.git"
    command = [*EVOLVE, "run", str(problem), "--operators", "evolve.doubles.Nudge", "--trials", "500"]
    command += ["--workers", "4", "--sandbox", walls.kind, "--cluster", cluster.address, "--json", "--to"]
    with subprocess.Popen([*command, str(first)], stderr=subprocess.DEVNULL) as driver:
        while not first.exists() or len(trials(first)) < 250:
            assert driver.poll() is None
            time.sleep(0.05)
        driver.kill()
    subprocess.run(["git", "clone", "-q", "--mirror", str(first), str(second)], check=True)
    print(f"  killed; the clone has {len(trials(second))} trials")
    done = subprocess.run([*command, str(second)], stdout=subprocess.PIPE, text=True, check=True)
    report("resume", second, json.loads(done.stdout)["failures"])


def options(problem: Path, at: Path, walls: Walls, trials: int, workers: int, cluster: str) -> RunOptions:
    return RunOptions(
        str(problem), at, trials=trials, workers=workers, operators=("evolve.doubles.Nudge",), walls=walls,
        cluster=cluster,
    )  # fmt: skip


def trials(at: Path) -> list[Event]:
    with GitLedger.read(at) as ledger:
        return [event for event in ledger.events() if event.kind == "trial"]


def report(what: str, at: Path, failures: object) -> None:
    found = sorted(event.decision["trial"] for event in trials(at))
    survived = sum(len(event.measured.get("survived", ())) for event in trials(at))
    verified = subprocess.run([*EVOLVE, "verify", str(at)], capture_output=True, text=True)
    # a clone lacks the children that only the journal had: their numbers are not used again
    once = len(found) == len(set(found)) == 501
    print(f"{what}: {len(found) - 1} trials, each once: {once}; {survived} second tries; failures {failures}")
    print(f"      verify: exit {verified.returncode}")
    if not once or verified.returncode:
        sys.exit(1)


def spread(found: list[float]) -> str:
    return f"{statistics.median(found):.4g} ({min(found):.4g} to {max(found):.4g})"


RAW = argparse.RawDescriptionHelpFormatter
PARTS = {"cost": cost, "rate": rate, "sleep": sleep, "kills": kills, "resume": resume}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--sandbox", default="docker")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with raylets(32, 32) as cluster:
        for part in asked.parts:
            with tempfile.TemporaryDirectory() as folder:
                PARTS[part](cluster, Path(folder), Walls(asked.sandbox), asked.rounds)


if __name__ == "__main__":
    main()
