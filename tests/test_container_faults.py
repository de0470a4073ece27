"""Containers and daemons that fail in the middle of a run, for real: nothing is lost, doubled or scored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from daemons import Daemon
from processes import alive, evaluators

from evolve.executor import LocalExecutor, Recovery
from evolve.history import History
from evolve.run import RunOptions, run
from evolve.types import BadInput, CaseKey, Event, Job, Limits, Program, SandboxUnavailable, Walls
from fitness.doubles import number_problem
from fitness.problem import load
from fitness.worker import Worker
from populations.ledger import GitLedger
from sandbox import open_sandbox, values
from sandbox.container import LABEL
from sandbox.launch import Setup

pytestmark = pytest.mark.docker

TRIALS = 40
EVOLVE = [sys.executable, "-m", "evolve"]
PROGRAM = "import time\n\n\ndef solve(case):\n    time.sleep(1 / 20)\n    return 0.5\n"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    started = Daemon()
    yield started
    started.close()


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    return number_problem(tmp_path / "frail", PROGRAM, search=2, sealed=5, n_max=30)


def command(problem: Path, trials: int = TRIALS) -> list[str]:
    at = problem.parent / "run.git"
    options = ["--to", str(at), "--trials", str(trials), "--workers", "2", "--sandbox", "docker", "--json"]
    return [*EVOLVE, "run", str(problem), *options, "--operators", "evolve.doubles.Nudge"]


def events(problem: Path) -> list[Event]:
    """Of the run as anybody sees it now."""
    with suppress(BadInput), GitLedger.read(problem.parent / "run.git") as ledger:
        return list(ledger.events())
    return []


@contextmanager
def running(problem: Path, host: str = "unix:///var/run/docker.sock") -> Iterator[subprocess.Popen[str]]:
    """A run that is under way."""
    process = subprocess.Popen(
        command(problem),
        env={**os.environ, "DOCKER_HOST": host},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while sum(event.kind == "trial" for event in events(problem)) < 5:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def ends_well(
    process: subprocess.Popen[str], problem: Path, survived: Collection[int] = range(1, TRIALS)
) -> None:
    """All trials are there; so many failures of the machinery were survived."""
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    result = json.loads(said)
    assert result["trials"] == TRIALS and result["failures"] == {} and result["sandbox"] == "docker"
    history, found = History(), events(problem)
    for event in found:
        history.tell(event)
    trials = [event.decision["trial"] for event in found if event.kind == "trial"]
    assert sorted(trials) == list(range(TRIALS + 1))
    assert history.survived in survived
    subprocess.run([*EVOLVE, "verify", str(problem.parent / "run.git")], check=True, capture_output=True)


def containers(owners: list[int], *filters: str) -> list[str]:
    """Ids of those that some processes own; without a filter, in whatever state."""
    form = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
    chosen = [word for each in (f"label={LABEL}", *filters) for word in ("--filter", each)]
    listed = subprocess.run(
        ["docker", "ps", "-a", "--no-trunc", *chosen, "--format", form],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [line.split()[0] for line in listed if int(line.split()[-2]) in owners]


def gone(owners: list[int], seconds: float = 60) -> bool:
    """Whether these processes and their containers are no more, or will be soon."""
    deadline = time.monotonic() + seconds
    while (left := any(map(alive, owners)) or containers(owners)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not left


@pytest.mark.parametrize("what", ["container", "evaluator"])
def test_what_is_killed_costs_nothing_but_a_second_try(problem: Path, what: str) -> None:
    """One of them: a second kill might strike the same job."""
    with running(problem) as process:
        owners = evaluators(process.pid)
        if what == "container":
            (container, *_) = containers(owners, "status=running")
            subprocess.run(["docker", "kill", container], check=True, capture_output=True)
        else:
            os.kill(owners[0], signal.SIGKILL)
        while len(owners) < 3 and what == "evaluator" and process.poll() is None:
            time.sleep(0.05)
            owners += set(evaluators(process.pid)) - set(owners)
        ends_well(process, problem, survived={0, 1})
    assert gone(owners)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_stopped(problem: Path, how: signal.Signals) -> None:
    with running(problem) as process:
        owners = evaluators(process.pid)
        assert containers(owners)
        process.send_signal(how)
        process.communicate(timeout=600)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    assert gone(owners)


def test_nothing_is_left_of_a_run_that_is_done(problem: Path) -> None:
    with running(problem) as process:
        owners = evaluators(process.pid)
        ends_well(process, problem, survived={0})
    assert gone(owners)


def test_a_daemon_that_is_away_for_a_while_is_waited_for(problem: Path, daemon: Daemon) -> None:
    with running(problem, daemon.host) as process:
        daemon.stop()
        time.sleep(5)  # some tests of each worker long
        assert process.poll() is None
        daemon.start()
        ends_well(process, problem)
    assert daemon.containers() == []


def test_a_daemon_that_is_gone_for_good_stops_the_run_which_can_be_resumed(
    problem: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.host)
    loaded, said = load(problem), list[str]()
    walls = Walls("docker")
    known = Job(loaded.seed_files, (CaseKey("search", 0),))
    recovery = Recovery(known, loaded.worst, patience_seconds=3, notice=said.append)
    executor = LocalExecutor(lambda: Worker(loaded, walls), 2, recovery)

    class Stopping:
        """Stops the daemon after five trials."""

        left = 5

        def tell(self, event: Event) -> None:
            self.left -= event.kind == "trial"
            if self.left == 0:
                daemon.stop()

    options = RunOptions(
        str(problem), problem.parent / "run.git", trials=20, operators=("evolve.doubles.Nudge",), walls=walls
    )
    try:
        with pytest.raises(SandboxUnavailable, match=r"no Docker daemon answers.*the same command goes on"):
            run(options, [Stopping()], executor=executor)
    finally:
        executor.close()
        daemon.start()
    assert len(said) == 1
    with running(problem, daemon.host) as process:
        ends_well(process, problem, survived={0})


def test_a_full_disk_of_the_daemon_is_waited_for(problem: Path, daemon: Daemon) -> None:
    with running(problem, daemon.host) as process:
        while len(daemon.containers()) < 2:  # the second one may take longer than five trials
            assert process.poll() is None
            time.sleep(0.1)
        with daemon.full():
            daemon.docker("kill", *daemon.containers())
            stuck = 0
            while stuck < (stuck := len(events(problem))):  # what had been finished may still land
                time.sleep(2)
            assert process.poll() is None and daemon.containers() == []
        ends_well(process, problem)


def test_where_users_are_mapped_no_folder_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    remapped = Daemon(remapped=True)
    try:
        monkeypatch.setenv("DOCKER_HOST", remapped.host)
        sandbox = open_sandbox("docker")
        assert sandbox.facts["transport"] == "stdio"
        program = Program({"program.py": b"import os\ndef f(n): return os.getuid()\n"}, "program.py:f")
        (outcome,) = sandbox.run(program, [1], Limits(seconds=60))
        assert 0 < int(outcome.answer or b"0") < 65536
        sandbox.close()
        for thread in threading.enumerate():
            if thread.name == "remove container":
                thread.join(10)
    finally:
        remapped.close()


def test_memory_of_the_whole_container_is_the_programs_failure_and_the_server_lives_on() -> None:
    sandbox = open_sandbox("docker", Setup(memory_bytes=32 << 20))
    hog = b"import numpy as np\ndef f(n): return float(np.ones(n << 17).sum())\n"  # in MiB

    def one(source: bytes, case: int) -> object:
        program = Program({"program.py": source}, "program.py:f")
        (outcome,) = sandbox.run(program, [case], Limits(seconds=60, memory_bytes=1 << 30))
        if outcome.failure is not None:
            return outcome.failure.kind, outcome.failure.detail
        return values.decode(outcome.answer or b"", 1 << 20)

    which = b"def f(n): return open('/proc/1/stat').read().rpartition(')')[2].split()[19]\n"
    here = one(which, 0)
    assert one(hog, 300) == ("out_of_memory", "killed by the kernel")
    assert one(hog, 1) == 1 << 17
    assert one(which, 0) == here
    sandbox.close()
