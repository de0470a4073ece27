"""Workers on a Ray cluster of two nodes and more, each a raylet of its own, killed and stopped for real."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from agent_runs import small
from executor_contract import BARE, CASES, EveryExecutorOfProcesses, Hire, frail, program, recovery
from openai_server import Answer, serving
from raylets import Raylets, raylets

from evolve.cluster.roster import greet
from evolve.cluster.seats import ClusterExecutor, hire
from evolve.cluster.station import versions
from evolve.executor import Recovery
from evolve.models import NoReply
from evolve.models.broker import DeskBroker, read_asked
from evolve.models.desk import Desk
from evolve.models.effects import KnownEffects
from evolve.run import RunOptions, run
from evolve.types import BadInput, CaseKey, Event, Exchange, Job, Json, ModelError
from fitness.doubles import number_problem
from fitness.problem import Problem, load
from populations.ledger import GitLedger

EVOLVE = [sys.executable, "-m", "evolve"]
SLOW = "import time\n\n\ndef solve(case):\n    time.sleep(1 / 20)\n    return 0.0\n"

# Ray's, not ours: its import warns of what it does itself, and its sockets end with the process
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Raylets]:
    with raylets(2, 2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return frail(tmp_path_factory.mktemp("problems") / "frail")


class TestCluster(EveryExecutorOfProcesses):
    @pytest.fixture
    def hire(self, cluster: Raylets, problem: Problem) -> Hire:
        return lambda workers: closing(self._hired(cluster, problem, workers))

    @staticmethod
    def _hired(cluster: Raylets, problem: Problem, workers: int) -> ClusterExecutor:
        return hire(cluster.address, problem, BARE, workers, recovery(problem))

    @pytest.fixture
    def executor(self, cluster: Raylets, problem: Problem, shared: list[ClusterExecutor]) -> ClusterExecutor:
        """One for all tests that do not ask for one of their own: a connection takes seconds."""
        if not shared:
            shared.append(self._hired(cluster, problem, 2))
        return shared[0]

    def test_who_kills_whole_stations_has_failed_after_two_and_nobody_beside_it(
        self, executor: ClusterExecutor
    ) -> None:
        beside = [executor.submit(Job(program(2.0, seconds=0.3), CASES[:1])) for _ in range(3)]
        found = executor.submit(Job(program(14.0), CASES[:1])).result(600)
        assert [each.kind for each in found.failures if each] == ["machinery"]
        # two, and more only where no other station was ready for a minute
        assert len(found.survived) >= 2 and all("has died" in text for text in found.survived)
        assert [future.result(600).scores for future in beside] == [(2.0,)] * 3

    def test_a_full_object_store_is_waited_for(self, executor: ClusterExecutor) -> None:
        import ray.exceptions

        tries = iter([ray.exceptions.ObjectStoreFullError("no room")] * 2)

        def send() -> str:
            for error in tries:
                raise error
            return "sent"

        assert executor.fleet.sent(send) == "sent"

    def test_a_station_that_hangs_is_left(self, executor: ClusterExecutor) -> None:
        """Last of those that share an executor: it is closed."""
        executor.fleet.silent_seconds = 4.0
        station = stations()[0]
        os.kill(station, signal.SIGSTOP)
        try:
            futures = [executor.submit(Job(program(3.0, seconds=0.5), CASES[:1])) for _ in range(4)]
            assert [future.result(600).scores for future in futures] == [(3.0,)] * 4
            assert executor.retries and executor.fleet.lost
        finally:
            os.kill(station, signal.SIGCONT)
            executor.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[list[ClusterExecutor]]:
    kept: list[ClusterExecutor] = []
    yield kept
    for executor in kept:
        executor.close()


def stations() -> list[int]:
    """Processes that hold a station: the parents of evaluators that are no children of ours."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::Station" in status.read_bytes() and mine(int(status.parent.name)):
                found.append(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def mine(pid: int) -> bool:
    """Whether a process descends from this one's raylets: their folder is in its environment."""
    return os.environ["RAY_TMPDIR"].encode() in Path(f"/proc/{pid}/environ").read_bytes()


def options(problem: Path, to: Path, **more: Json) -> RunOptions:
    return RunOptions(
        str(problem), to, operators=("evolve.doubles.Nudge",), walls=BARE, **more
    )  # fmt: skip


def trials(at: Path) -> list[Event]:
    with GitLedger.read(at) as ledger:
        return [event for event in ledger.events() if event.kind == "trial"]


def in_git(at: Path) -> int:
    """Events that a clone brings along; the journal may hold more."""
    command = ["git", "-C", str(at), "rev-list", "--count", "--first-parent", "events"]
    return int(subprocess.run(command, capture_output=True, text=True).stdout or 0)


def verified(at: Path) -> None:
    done = subprocess.run([*EVOLVE, "verify", str(at)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_with_one_job_in_flight_a_cluster_decides_as_one_machine(cluster: Raylets, tmp_path: Path) -> None:
    problem = number_problem(tmp_path / "numbers", search=2)
    digests = []
    for name, address in (("here", None), ("there", cluster.address)):
        run(options(problem, tmp_path / f"{name}.git", trials=15, workers=1, cluster=address))
        with GitLedger.read(tmp_path / f"{name}.git") as ledger:
            digests.append(ledger.digest())
    assert digests[0] == digests[1]


# --------------------------------------------------------------------------------- programs that ask models


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = small(tmp_path_factory.mktemp("agents"))
    toml = (place / "problem.toml").read_text()
    (place / "problem.toml").write_text(
        toml.replace("search = 6", "search = 2").replace("sealed = 8", "sealed = 2")
    )
    return place


@contextmanager
def asking(
    cluster: Raylets, place: Path, model: KnownEffects
) -> Iterator[tuple[ClusterExecutor, Job, DeskBroker]]:
    """One worker there, whose programs may ask this model; such a program, with two cases; whom it asks."""
    problem = load(place)
    with closing(DeskBroker(problem.allowance)) as broker:
        broker.serve(Desk([model]), 0)
        known = Recovery(Job(problem.seed_files, (CaseKey("search", 0),)), problem.worst)
        with closing(hire(cluster.address, problem, BARE, 1, known, broker=broker)) as executor:
            yield executor, Job(problem.seed_files, tuple(CaseKey("search", n) for n in range(2))), broker


def said(at: Path) -> list[tuple[str, str]]:
    """All that programs asked in a run, and were told."""
    with GitLedger.read(at) as ledger:
        files = [ledger.files(event.index).get("asked.jsonl", b"") for event in ledger.events()]
    return sorted((each.prompt, each.reply) for file in files for each in read_asked(file))


def test_programs_on_nodes_ask_models_through_the_driver(
    cluster: Raylets, agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents and tasks: the same decisions and exchanges as on one machine; no key goes along."""
    monkeypatch.setenv("OPENAI_API_KEY", "the-driver-alone-has-it")
    mind, digests = KnownEffects(), []

    def answer(body: dict[str, Json], _: int) -> Answer:
        if "there" in met:
            met["there"] |= {pid for pid in stations() if holds(pid, b"the-driver-alone-has-it")}
        return Answer(asyncio.run(mind.complete(body["messages"][0]["content"], body["seed"])).reply)

    met: dict[str, set[int]] = {}
    with serving(answer) as server:
        models = (f"openai/mind,price=0/0,base={server.url}",)
        for name, address in (("here", None), ("there", cluster.address)):
            more: dict[str, Json] = {"trials": 2, "workers": 1, "models": models, "cluster": address}
            met |= {"there": set()} if address else {}
            to = tmp_path / f"{name}.git"
            run(RunOptions(str(agents), to, operators=("scaffold",), walls=BARE, **more))
            with GitLedger.read(to) as ledger:
                digests.append(ledger.digest())
    assert digests[0] == digests[1]
    assert said(tmp_path / "here.git") == said(tmp_path / "there.git") != []
    assert met == {"there": set()}
    verified(tmp_path / "there.git")


def holds(pid: int, text: bytes) -> bool:
    """Whether a process has it in its environment."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return text in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def test_where_no_model_answers_the_seat_is_free_again(cluster: Raylets, agents: Path) -> None:
    class Asleep(KnownEffects):
        async def complete(self, *arguments: Json, **more: Json) -> Exchange:
            raise NoReply(Exchange(self.name, "", "", error="it is asleep"), for_good=True)

    with asking(cluster, agents, Asleep()) as (executor, job, broker):
        with pytest.raises(ModelError, match="asleep"):
            executor.submit(job).result(120)
        broker.serve(Desk([KnownEffects()]), 0)
        found = executor.submit(job).result(120)
        assert not any(found.failures) and found.asked and not found.survived
        assert not executor.retries


def test_a_station_that_dies_while_a_program_waits_for_a_model_costs_a_second_try(
    cluster: Raylets, agents: Path
) -> None:
    class Deadly(KnownEffects):
        asked = 0

        async def complete(self, *arguments: Json, **more: Json) -> Exchange:
            self.asked += 1
            if self.asked == 1:
                for pid in stations():
                    os.kill(pid, signal.SIGKILL)
            return await super().complete(*arguments, **more)

    model = Deadly()
    with asking(cluster, agents, model) as (executor, job, _):
        found = executor.submit(job).result(180)
        assert not any(found.failures) and len(found.survived) == executor.retries == 1
        assert len(found.asked) == len(job.cases) < model.asked


def test_a_node_killed_in_the_middle_costs_nothing_but_a_second_try(cluster: Raylets, tmp_path: Path) -> None:
    """Four workers on two nodes, the second of them new: it takes the place of the killed one in the end."""
    problem = number_problem(tmp_path / "numbers", SLOW)
    doomed = cluster.add(2)
    said: list[str] = []

    class Killing:
        heard = 0

        def tell(self, event: Event) -> None:
            self.heard += event.kind == "trial"
            if self.heard == 12 and event.kind == "trial":
                cluster.kill(doomed)

    asked = options(problem, tmp_path / "run.git", trials=60, workers=6, cluster=cluster.address)
    result = run(asked, [Killing()], notice=said.append)
    assert result["trials"] == 60 and result["failures"] == {}
    found = trials(tmp_path / "run.git")
    assert sorted(event.decision["trial"] for event in found) == list(range(61))
    verified(tmp_path / "run.git")
    cluster.forget(doomed)


def test_a_killed_driver_goes_on_from_a_clone_in_another_folder(cluster: Raylets, tmp_path: Path) -> None:
    problem = number_problem(tmp_path / "numbers", SLOW)
    first, second = tmp_path / "here" / "run.git", tmp_path / "there" / "run.git"
    command = [*EVOLVE, "run", str(problem), "--operators", "evolve.doubles.Nudge"]
    command += ["--cluster", cluster.address]
    command += ["--sandbox", "none", "--i-trust-the-programs", "--trials", "200", "--json", "--to"]
    with subprocess.Popen([*command, str(first)], stderr=subprocess.PIPE) as driver:
        while not first.exists() or in_git(first) < 10:
            assert driver.poll() is None, driver.stderr and driver.stderr.read()
            time.sleep(0.2)
        driver.kill()
    subprocess.run(["git", "clone", "--mirror", str(first), str(second)], check=True, capture_output=True)
    before = trials(second)
    done = subprocess.run([*command, str(second)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 200
    found = trials(second)
    assert 0 < len(before) < 201 and found[: len(before)] == before
    numbers = [event.decision["trial"] for event in found]
    # children that only the journal had are not in the clone, and their numbers not used again
    assert len(numbers) == len(set(numbers)) == 201
    verified(second)


def test_what_is_not_there_yet_is_waited_for_visibly_and_who_joins_gets_work(
    cluster: Raylets, tmp_path: Path
) -> None:
    folder = number_problem(tmp_path / "numbers")
    toml = (folder / "problem.toml").read_text()
    more = '[resources]\ncpus = 0.5\ncustom = {lens = 1}\nlabels = {zone = "b"}\n'
    (folder / "problem.toml").write_text(toml + more)
    problem, said, found = load(folder), list[str](), list[ClusterExecutor]()

    def wait() -> None:
        found.append(hire(cluster.address, problem, BARE, None, recovery(problem, said)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not said:
        time.sleep(0.1)
    assert "no node has a seat for 1 worker of CPU 0.5, lens 1 on zone=b" in said
    cluster.add(1, wait=False, resources={"lens": 1}, labels={"zone": "b"})
    waiting.join(600)
    with closing(found[0]) as executor:
        assert executor.workers == 1
        while said[-1]:  # until the wait is over on the screen as well
            time.sleep(0.1)
        assert executor.submit(Job(program(1.0), CASES[:1])).result(600).scores == (1.0,)
        cluster.add(2, wait=False, resources={"lens": 2}, labels={"zone": "b"})
        while executor.workers < 3:
            time.sleep(0.1)
        assert sorted(health.seats for health in executor.health().values()) == [1, 2]


def test_what_no_node_can_do_is_said_at_once(cluster: Raylets, tmp_path: Path) -> None:
    folder = number_problem(tmp_path / "numbers")
    toml = (
        (folder / "problem.toml").read_text().replace("[program]", 'packages = ["no_such_module"]\n[program]')
    )
    (folder / "problem.toml").write_text(toml)
    problem = load(folder)
    ours = signal.getsignal(signal.SIGTERM)
    with pytest.raises(BadInput, match="no_such_module"):
        hire(cluster.address, problem, BARE, None, recovery(problem))
    assert signal.getsignal(signal.SIGTERM) is ours, "Ray took the signal that ends a run"


def test_the_doctor_looks_at_every_node(cluster: Raylets) -> None:
    done = subprocess.run([*EVOLVE, "doctor", "--cluster", cluster.address], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"127\.0\.0\.\d+/", done.stdout)) >= 3
    assert "bubblewrap" in done.stdout and "clock" in done.stdout


def test_another_version_is_refused_with_what_helps() -> None:
    here = versions()
    assert greet({"versions": here}, here) is None
    there = {**here, "evolve-code": "0.0.9", "sources": "other"}
    said = greet({"versions": there}, here)
    assert said is not None and "pip install evolve-code==" in said and "0.0.9" in said
    assert "the same sources" in str(greet({"versions": {**here, "sources": "other"}}, here))
