"""What only containers have: their walls as the daemon sees them, their lives, a daemon that is not there."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from forwarding import Forwarded

from evolve.types import BadInput, Limits, Program, SandboxUnavailable, Walls
from sandbox import container, open_sandbox, values
from sandbox.launch import Setup
from sandbox.pool import Spares
from sandbox.process import ProcessSandbox

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Limits(seconds=60.0, memory_bytes=128 << 20)

pytestmark = pytest.mark.docker


def docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def mine():
    """Ids of the containers that this process has started."""
    listed = docker("ps", "-aq", "--no-trunc", "--filter", f"label={container.LABEL}={container._owner()}")
    return listed.split()


def gone(ids, seconds=60):
    deadline = time.monotonic() + seconds
    while set(ids) & set(mine()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not set(ids) & set(mine())


def removed():
    """Wait for the threads that remove containers: each holds a connection to the daemon."""
    for thread in threading.enumerate():
        if thread.name == "remove container":
            thread.join(60)


def run(sandbox, source, case=1, limits=LIMITS):
    (outcome,) = sandbox.run(Program({"program.py": source.encode()}, "program.py:f"), [case], limits)
    return outcome


def strike(sandbox, act):
    """Do something while a program runs, and wait until it is felt."""

    def struck(*_):
        act()
        assert sandbox._server.pending(60)

    program = Program(
        {"program.py": b"def f(n): return n"},
        "program.py:f",
        b"def answer(case, entry, call):\n    call('strike', case)\n    return entry(case)\n",
    )
    sandbox.run(program, [1], replace(LIMITS, calls=1), struck)


def answer(outcome):
    assert outcome.failure is None, outcome.failure
    return values.decode(outcome.answer, 1 << 20)


# tells containers apart: when Docker made this file of the container's own
WHICH = "import os\ndef f(n): return os.stat('/etc/hostname').st_ctime_ns"


@pytest.fixture
def sandbox():
    opened = open_sandbox("docker", Setup(memory_bytes=LIMITS.memory_bytes))
    yield opened
    opened.close()
    assert gone(mine())


def test_the_walls_as_the_daemon_sees_them(sandbox):
    (id,) = mine()
    (seen,) = json.loads(docker("inspect", id))
    host = seen["HostConfig"]
    assert host["NetworkMode"] == "none" and host["IpcMode"] == "private" and host["PidMode"] == ""
    assert host["ReadonlyRootfs"] and host["AutoRemove"] and not host["Privileged"]
    assert host["CapDrop"] == ["ALL"] and sorted(host["CapAdd"]) == ["KILL", "SETGID", "SETUID"]
    assert "no-new-privileges" in host["SecurityOpt"] and not host["Devices"]
    assert host["Memory"] == host["MemorySwap"] == LIMITS.memory_bytes + (192 << 20)
    assert host["PidsLimit"] == 128 and host["NanoCpus"] == 10**9 and host["LogConfig"]["Type"] == "none"
    (mount,) = seen["Mounts"]
    assert mount["Destination"] == "/run/evolve"
    assert not Path(mount["Source"]).exists()  # needed for the start alone
    assert not any(name in str(seen["Config"]["Env"]) for name in ("KEY", "TOKEN", "HOME="))
    options = Path(f"/proc/{seen['State']['Pid']}/mounts").read_text()
    (tmp,) = [line for line in options.splitlines() if line.split()[1] == "/tmp"]
    assert {"noexec", "nosuid", "nodev", "nr_inodes=4096"} <= set(tmp.split()[3].split(","))


def test_a_container_serves_many_jobs_and_is_replaced_before_it_is_old():
    spares = Spares(partial(container.start, Setup()), most_jobs=4)
    sandbox = ProcessSandbox("docker", spares)
    seen = [answer(run(sandbox, WHICH)) for _ in range(9)]
    sandbox.close()
    assert len(set(seen)) == 3 and seen[0] == seen[3] != seen[4] == seen[7] != seen[8]
    assert gone(mine())


def test_an_old_container_is_replaced():
    sandbox = ProcessSandbox("docker", Spares(partial(container.start, Setup()), most_seconds=0.0))
    seen = {answer(run(sandbox, WHICH)) for _ in range(3)}
    sandbox.close()
    assert len(seen) == 3


def test_a_spare_that_died_while_it_waited_is_not_taken():
    removed()  # those of the test before
    assert gone(mine())
    before, spares = len(os.listdir("/proc/self/fd")), Spares(partial(container.start, Setup()))
    spares.prepare()
    while len(mine()) < 1 or "running" not in docker("inspect", "--format", "{{.State.Status}}", *mine()):
        time.sleep(0.1)
    (id,) = mine()
    assert spares._spare.exception(600) is None
    docker("kill", id)
    server = spares.take()
    assert set(mine()) - {id}
    server.stop()
    assert gone(mine())
    removed()
    assert len(os.listdir("/proc/self/fd")) == before


def test_apart_is_a_container_for_this_work_only(sandbox):
    usual, apart = answer(run(sandbox, WHICH)), []
    for _ in range(2):
        with sandbox.apart():
            apart += [answer(run(sandbox, WHICH)), answer(run(sandbox, WHICH))]
    assert apart[0] == apart[1] != apart[2] == apart[3] and usual not in apart
    assert answer(run(sandbox, WHICH)) == usual


def test_a_container_killed_in_the_middle_is_the_machinery_and_the_next_run_starts_anew(sandbox):
    (id,) = mine()
    with pytest.raises(SandboxUnavailable, match="died"):
        strike(sandbox, lambda: docker("kill", id))
    assert answer(run(sandbox, "def f(n): return n")) == 1


def test_a_container_killed_between_two_runs_is_replaced(sandbox):
    docker("kill", *mine())
    assert sandbox._server.pending(60)
    assert answer(run(sandbox, "def f(n): return n")) == 1


def test_memory_of_all_threads_and_files_together_is_the_programs_failure(sandbox):
    hog = "import numpy as np\ndef f(n): return float(np.ones(10**9).sum())"
    assert run(sandbox, hog).failure.kind == "out_of_memory"
    files = "def f(n):\n    for i in range(9):\n        open(f'/tmp/{i}', 'wb').write(bytes(16 << 20))"
    assert "No space left" in run(sandbox, files).failure.detail
    assert answer(run(sandbox, "import os\ndef f(n): return os.listdir('/tmp')")) == ["job"]


def test_what_a_job_leaves_is_wiped_and_looked_for(sandbox):
    leaver = """
import os
def f(n):
    for folder in ('/tmp', '/dev/shm', '.'):
        open(f'{folder}/left', 'w').close()
    os.makedirs('deep/er')
    os.open('deep/er/file', os.O_CREAT | os.O_WRONLY, 0)
    return 1
"""
    here = answer(run(sandbox, WHICH))
    assert answer(run(sandbox, leaver)) == 1
    look = "import os\ndef f(n): return [os.listdir(d) for d in ('/tmp', '/dev/shm', '.')]"
    assert answer(run(sandbox, look)) == [["job"], [], ["program.py"]]
    assert answer(run(sandbox, WHICH)) == here


@pytest.mark.parametrize(
    "left",
    [
        "open('/tmp/left', 'w')",
        "__import__('os').makedirs('/dev/shm/left/deep')",
        "__import__('ctypes').CDLL(None).shmget(7, 4096, 0o1666)",
        "__import__('ctypes').CDLL(None).msgget(7, 0o1666)",
    ],
)
def test_what_cannot_be_removed_is_unclean_and_the_container_is_replaced(sandbox, left):
    """Root inside leaves it, as a program could that had found a way to more power."""
    (id,) = mine()
    here = answer(run(sandbox, WHICH))
    docker("exec", "--user", "0", id, "python3", "-c", left)
    failure = run(sandbox, "def f(n): return n").failure
    assert (failure.kind, failure.detail) == ("unclean", "it left what could not be removed")
    assert failure.violates
    assert answer(run(sandbox, WHICH)) != here
    assert gone([id])


def test_each_job_has_a_user_of_its_own_without_any_power(sandbox):
    source = """
import os, time
def f(n):
    time.sleep(n)
    return [os.getuid(), os.getgid(), os.getgroups()]
"""
    seen = []
    (id,) = mine()
    inside = threading.Thread(target=lambda: seen.extend(processes_of_jobs(id)))
    inside.start()
    first, second = answer(run(sandbox, source, 1)), answer(run(sandbox, source, 0))
    inside.join()
    assert first[0] >= 1 << 20 and second[0] == first[0] + 1
    assert first[1:] == [first[0], []]
    assert seen == [(str(first[0]), "0" * 16, "1")]


def processes_of_jobs(id):
    """User, capabilities and lack of new privileges of the first job's processes seen in a container."""
    deadline, found = time.monotonic() + 60, []
    while not found and time.monotonic() < deadline:
        for line in docker("top", id, "-eo", "pid").splitlines()[1:]:
            text = Path(f"/proc/{line.strip()}/status").read_text()
            status = dict(entry.split(":\t", 1) for entry in text.splitlines())
            user = status["Uid"].split()[0]
            if user != "0":
                found.append((user, status["CapEff"], status["NoNewPrivs"]))
    return found


def test_what_a_killed_driver_created_and_never_started_is_swept():
    source = """
import os, sys
from sandbox import container, launch
with container._daemon() as api:
    print(container._create(api, launch.Setup(), container._Folder().path), flush=True)
    os.kill(os.getpid(), 9)
"""
    left = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False
    )
    id = left.stdout.strip()
    assert docker("inspect", "--format", "{{.State.Status}}", id).strip() == "created"
    open_sandbox("docker").close()
    assert id not in docker("ps", "-aq", "--no-trunc").split()
    assert gone(mine())


def test_what_is_missing_is_said(monkeypatch):
    with pytest.raises(SandboxUnavailable, match="docker build -t evolve-sandbox"):
        open_sandbox("docker", Setup(image="no-such-image-here"))
    with pytest.raises(SandboxUnavailable, match="no_such_package"):
        open_sandbox("docker", ["no_such_package"])
    with pytest.raises(SandboxUnavailable, match="no-such-runtime"):
        open_sandbox(Walls("docker", runtime="no-such-runtime"))
    with pytest.raises(BadInput, match="docker, for the runtime runsc"):
        open_sandbox(Walls("process", runtime="runsc"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", "unix:///no/such/socket")
        with pytest.raises(SandboxUnavailable, match="no Docker daemon answers at unix:///no/such/socket"):
            open_sandbox("docker")
    assert gone(mine())


@pytest.fixture
def elsewhere(monkeypatch):
    forwarded = Forwarded("/var/run/docker.sock")
    monkeypatch.setenv("DOCKER_HOST", forwarded.host)
    yield forwarded
    monkeypatch.undo()
    forwarded.close()
    assert gone(mine())


def test_a_daemon_elsewhere_is_reached_without_any_folder(elsewhere):
    sandbox = open_sandbox("docker", Setup(memory_bytes=LIMITS.memory_bytes))
    assert sandbox.facts["transport"] == "stdio"
    (seen,) = json.loads(docker("inspect", *mine()))
    assert seen["Mounts"] == [] and seen["HostConfig"]["Binds"] is None
    there = run(sandbox, WHICH)
    big = Limits(seconds=60.0, memory_bytes=128 << 20, output_bytes=4 << 20)
    assert run(sandbox, "def f(text): return text", "x" * (3 << 20), big).answer == b'"%b"' % (
        b"x" * (3 << 20)
    )
    leaver = "import os\ndef f(n):\n    print('so it is', file=__import__('sys').stderr, flush=True)\n"
    failure = run(sandbox, leaver + "    os._exit(3)").failure
    assert (failure.kind, failure.detail) == ("crash", "it ended the process with code 3: so it is")
    assert answer(run(sandbox, WHICH)) == answer(there)
    sandbox.close()


def test_a_connection_that_breaks_is_the_machinery_and_the_next_run_starts_anew(elsewhere):
    sandbox = open_sandbox("docker")
    with pytest.raises(SandboxUnavailable, match="died"):
        strike(sandbox, elsewhere.cut)
    assert answer(run(sandbox, "def f(n): return n")) == 1
    sandbox.close()


def test_what_the_container_says_at_its_end_is_heard_over_stdio():
    with pytest.raises(SandboxUnavailable, match="ModuleNotFoundError: No module named 'no_such_thing'"):
        container.start(Setup(("no_such_thing",), transport="stdio"))
    assert gone(mine())


def test_doctor_says_what_containers_are_like(monkeypatch):
    def doctor():
        command = [sys.executable, "-m", "evolve", "doctor"]
        environment = {**os.environ, "COLUMNS": "80"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert max(map(len, done.stdout.splitlines())) <= 80
        return " ".join(done.stdout.split())

    here = doctor()
    for part in ("in the image evolve-sandbox", "over a socket in a folder", "runtimes runc", "numpy"):
        assert part in here
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    assert "docker - no Docker daemon answers at unix:///no/such/socket: start Docker" in doctor()


def test_a_run_in_containers(tmp_path):
    command = [
        sys.executable,
        "-m",
        "evolve",
        "run",
        "tsp_constructive",
        "--trials",
        "12",
        "--sandbox",
        "docker",
    ]
    command += ["--to", str(tmp_path / "run"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sandbox"] == "docker"
    verified = subprocess.run(
        [*command[:3], "verify", str(tmp_path / "run.git"), "--rerun", "3", "--sandbox", "docker"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_server_that_has_run_a_few_jobs_counts_no_references_any_more(sandbox):
    counts = "import json, sys\nrest = []\n"
    counts += "def f(n): rest.append(n); return [sys.getrefcount(json.dumps) >> 31, sys.getrefcount(rest), n]"
    found = [answer(run(sandbox, counts, case=n)) for n in range(12)]
    assert found[0] == [0, 2, 0]  # what a program makes is counted as ever
    assert found[-1] == [1, 2, 11]


def test_a_server_may_be_made_ready_for_many_at_its_start():
    sandbox = open_sandbox("docker", Setup(memory_bytes=LIMITS.memory_bytes, settled=True))
    known = answer(run(sandbox, "import json, sys\ndef f(n): return sys.getrefcount(json.dumps) >> 31"))
    sandbox.close()
    assert known == 1


def test_a_server_of_slow_jobs_takes_no_time_to_be_ready_for_many(sandbox):
    slow = "import json, sys, time\ndef f(n): time.sleep(0.15); return sys.getrefcount(json.dumps) >> 31"
    assert [answer(run(sandbox, slow, case=n)) for n in range(10)] == [0] * 10
