"""Programs in any language, honest and hostile, at every level; Python programs of several processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evolve.types import Build, Failure, Limits, Program, SandboxUnavailable, Walls
from sandbox import native, open_sandbox, values
from sandbox.launch import Setup

ROOT = Path(__file__).resolve().parents[1]
WALLED = (pytest.param("docker", marks=pytest.mark.docker), "bubblewrap", "landlock")
LIMITS = Limits(seconds=10.0, memory_bytes=128 << 20, output_bytes=1 << 16)
QUICK = Limits(seconds=0.4, memory_bytes=128 << 20, output_bytes=1 << 16)
SOURCE = (ROOT / "tests" / "native.cpp").read_bytes()
CPP = Program(
    {"solver.cpp": SOURCE, "data/table.txt": b"1 2 3\n"},
    command=("./solver", "inside"),
    build=Build(("g++", "-O1", "-o", "solver", "solver.cpp")),
)


class Opened(dict):
    """Sandboxes for native programs by their level, each opened when it is first asked for."""

    def __missing__(self, level):
        self[level] = open_sandbox(Walls(level, trusted=True), Setup(native=True, commands=("g++",)))
        return self[level]


@pytest.fixture(scope="module")
def opened():
    sandboxes = Opened()
    yield sandboxes
    for each in sandboxes.values():
        each.close()


def run(sandbox, attack, limits=LIMITS):
    (outcome,) = sandbox.run(CPP, [attack], limits)
    return outcome


def answer(outcome):
    assert outcome.failure is None, outcome.failure
    return values.decode(outcome.answer, 1 << 16)


def honest(sandbox):
    found = answer(run(sandbox, "honest"))
    return {**found, "here": sorted(found["here"])}


HONEST = {"pid": True, "here": ["data", "solver", "solver.cpp"]}


@pytest.fixture(params=[*WALLED, "none"])
def sandbox(opened, request):
    assert honest(opened[request.param]) == HONEST
    yield opened[request.param]
    assert honest(opened[request.param]) == HONEST


@pytest.fixture(params=WALLED)
def walled(opened, request):
    assert honest(opened[request.param]) == HONEST
    yield opened[request.param]
    assert honest(opened[request.param]) == HONEST


def shell(script, **more):
    """A program that /bin/sh runs."""
    return Program({"solver.sh": script.encode()}, command=("/bin/sh", "solver.sh"), **more)


def alive(name):
    """Processes of the machine, those in containers included, of this name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/comm"):
        try:
            found += [entry.parent.name] if entry.read_text().strip() == name else []
        except OSError:
            continue  # it is gone
    return found


# --------------------------------------------------------------------------------------------- honest work


def test_a_case_is_json_on_stdin_and_the_answer_json_on_stdout(sandbox):
    echo = shell("cat; echo noise >&2")
    case = {"a": [1, 2.5, None, True], "text": "ünï", "deep": {"array": np.arange(3)}}
    first, second = sandbox.run(echo, [case, np.arange(2.0)], LIMITS)
    assert answer(first) == {**case, "deep": {"array": [0, 1, 2]}}
    assert answer(second) == [0.0, 1.0]
    assert second.cpu_seconds > 0 == first.cpu_seconds and 0 < first.seconds < 10


def test_each_case_is_a_process_of_its_own_with_its_own_failure(sandbox):
    script = "read n; ls | wc -l >seen 2>/dev/null; test $n = 0 && exit 7; ls | wc -l >/dev/null; echo $n"
    outcomes = sandbox.run(shell(script), [1, 0, 2], LIMITS)
    assert [outcome.failure and outcome.failure.kind for outcome in outcomes] == [None, "crash", None]
    assert outcomes[1].failure.detail.startswith("it ended the process with code 7")
    assert [answer(outcomes[i]) for i in (0, 2)] == [1, 2]


def test_a_large_case_that_is_not_read(sandbox):
    (outcome,) = sandbox.run(shell("echo 1"), [list(range(200_000))], LIMITS)
    assert answer(outcome) == 1


def test_programs_may_start_processes(sandbox):
    assert answer(run(sandbox, "processes")) == [42, 5]


def test_a_build_sees_the_programs_files_and_is_done_once(sandbox):
    how = Build(
        ("/bin/sh", "-c", "mkdir out; cat data/a >out/b; od -N8 -An -tx1 /dev/urandom | tr -d ' ' >token")
    )
    program = Program(
        {"data/a": b"7", "n": b"1"},
        command=("/bin/sh", "-c", 'echo "[$(cat out/b), \\"$(cat token)\\"]"'),
        build=how,
    )
    first, second = (answer(each) for each in sandbox.run(program, [1, 2], LIMITS))
    (again,) = sandbox.run(program, [1], LIMITS)
    (other,) = sandbox.run(
        Program({**program.files, "n": b"2"}, command=program.command, build=how), [1], LIMITS
    )
    assert first == second == answer(again) != answer(other)
    assert first[0] == 7 and len(first[1]) == 16


def test_builds_are_kept_within_bounds_and_the_latest_used_longest():
    builds = native.Builds(most_bytes=3500)
    for key in (b"a", b"b"):
        builds.keep(key, {"x": bytes(500)})
    assert builds.find(b"a")
    builds.keep(b"c", Failure("build", "why"))
    assert builds.find(b"b") is None
    assert builds.find(b"a") and builds.find(b"c") == Failure("build", "why")


# ------------------------------------------------------------------------------------- what programs do wrong


@pytest.mark.parametrize(
    ("attack", "kind", "says"),
    [
        ("silence", "invalid_answer", "it printed nothing"),
        ("segfault", "crash", "SIGSEGV"),
        ("abort", "crash", "SIGABRT"),
        ("exit", "crash", "it ended the process with code 3: first | last words"),
        ("complaints", "crash", "complaint"),  # much on stderr: the last lines
        ("much", "output_limit", "more than 65536"),
        ("flood", "output_limit", "more than 65536"),
        ("memory", "out_of_memory", "bad_alloc"),
        ("no such attack", "invalid_answer", "it printed nothing"),
    ],
)
def test_failures_that_people_read(sandbox, attack, kind, says):
    failure = run(sandbox, attack).failure
    assert failure.kind == kind and says in failure.detail


@pytest.mark.parametrize("attack", ["loop", "sleep", "daemon waits"])
def test_time_is_bounded_and_three_times_in_a_row_are_enough(sandbox, attack):
    start = time.monotonic()
    outcomes = sandbox.run(CPP, [attack] * 5, QUICK)
    assert [outcome.failure.kind for outcome in outcomes] == ["timeout"] * 5
    assert outcomes[0].failure.detail == "over 0.4 s" and "was not tried" in outcomes[4].failure.detail
    assert time.monotonic() - start < 60
    assert not alive("native-daemon")


def test_garbage_is_an_answer_that_nobody_can_read(sandbox):
    outcome = run(sandbox, "garbage")
    with pytest.raises(ValueError, match="not JSON"):
        values.decode(outcome.answer, 1 << 16)


def test_a_command_that_is_not_there(sandbox):
    (outcome,) = sandbox.run(Program({"a": b""}, command=("./no-such",)), [1], LIMITS)
    assert outcome.failure == Failure(
        "crash", "it ended the process with code 127: ./no-such: No such file or directory"
    )
    with pytest.raises(SandboxUnavailable, match=r"the command no-such-compiler, .* image that has it"):
        sandbox.run(Program({"a": b""}, command=("no-such-compiler",)), [1], LIMITS)
    with pytest.raises(SandboxUnavailable, match="the command no-such-compiler"):
        sandbox.run(Program({"a": b""}, command=("./a",), build=Build(("no-such-compiler",))), [1], LIMITS)


# ------------------------------------------------------------------------------------------------- builds


def build(sandbox, script, **limits):
    program = shell("echo 1", build=Build(("/bin/sh", "-c", script), **limits))
    first, second = sandbox.run(program, [1, 2], LIMITS)
    assert first.failure == second.failure
    return first.failure


def test_a_failed_build_is_the_programs_failure_on_every_case(sandbox):
    broken = Program({"solver.cpp": b"int main() { return x; }"}, command=CPP.command, build=CPP.build)
    for outcome in sandbox.run(broken, [1, 2], LIMITS):
        assert outcome.failure.kind == "build"
        assert "solver.cpp:1:21: error:" in outcome.failure.detail and "x" in outcome.failure.detail
    unlinked = b"int f(); int main() { return f(); }"
    (outcome,) = sandbox.run(
        Program({"solver.cpp": unlinked}, command=CPP.command, build=CPP.build), [1], LIMITS
    )
    assert "undefined reference to" in outcome.failure.detail
    assert build(sandbox, "echo first >&2; echo second; exit 3") == Failure(
        "build", "/bin/sh ended with code 3: first | second"
    )
    assert build(sandbox, "kill -SEGV $$").detail == "SIGSEGV"


def test_a_build_is_bounded(walled):
    assert build(walled, "sleep 60", seconds=0.5) == Failure("build", "over 0.5 s")
    many = "i=0; while [ $i -lt 1100 ]; do : >f$i; i=$((i+1)); done"
    assert "or 1000 files" in build(walled, many).detail
    large = "for i in 1 2 3; do head -c 15000000 /dev/zero >f$i; done"
    assert "more than 33554432 bytes" in build(walled, large).detail
    assert build(walled, "head -c 20000000 /dev/zero >f; test $(wc -c <f) = 20000000").kind == "build"
    hog = "a=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ${#a}"
    assert build(walled, hog, memory_bytes=128 << 20).kind == "build"


def test_links_and_pipes_are_no_part_of_what_was_built(walled):
    program = Program(
        {"a": b"1"},
        command=("/bin/sh", "-c", 'echo "\\"$(ls | tr "\\n" ",")\\""'),
        build=Build(
            ("/bin/sh", "-c", "ln -s /etc/hostname link; ln -s / root; mkfifo pipe; echo 1 >real; true")
        ),
    )
    (outcome,) = walled.run(program, [1], LIMITS)
    assert answer(outcome) == "a,real,"


def test_a_build_that_leaves_a_process(walled):
    assert build(walled, "(trap '' TERM; exec sleep 4321) & exit 0") is None
    assert not alive("sleep") or not any(
        b"4321" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive("sleep")
    )


# ------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(("attack", "name"), [("fork bomb", "native-bomb"), ("quick forks", "native-quick")])
def test_fork_bombs_end(walled, attack, name):
    start = time.monotonic()
    outcome = run(walled, attack, QUICK)
    assert outcome.failure is None or outcome.failure.kind in ("timeout", "invalid_answer", "crash")
    assert time.monotonic() - start < 60
    assert not alive(name)


@pytest.mark.parametrize(("attack", "name"), [("daemon", "native-daemon"), ("killers", "native-killer")])
def test_whoever_outlives_the_program_is_killed(walled, attack, name):
    outcome = run(walled, attack, QUICK)
    assert outcome.failure is None or outcome.failure.kind in ("crash", "out_of_memory", "timeout")
    assert not alive(name)


def test_nothing_outside_is_written(walled):
    # in a container there is a place for jobs, wiped after each
    allowed = ["/jobs/left", "../left"] if walled.level == "docker" else []
    assert answer(run(walled, "writes")) == allowed


def test_nothing_is_left_for_the_next_job(walled):
    assert answer(run(walled, "shared")) == 4
    tmp, memory, here, above = answer(run(walled, "look"))
    assert memory == [] and sorted(here) == HONEST["here"] and above in (["job"], [])
    assert tmp in ([], ["job"]) or sorted(tmp) == sorted(here)  # bubblewrap's /tmp is the job's directory


def test_the_disk_is_bounded(walled):
    outcome = run(walled, "disk")
    assert outcome.failure is None and outcome.answer in (b"78", b"8")


def test_what_the_kernel_would_do_is_denied(walled):
    assert answer(run(walled, "calls")) == []


def test_files_of_the_host_are_not_read(walled):
    hidden = Path("/var/tmp") / f"evolve-test-{os.getpid()}"
    hidden.write_text("secret")
    hidden.chmod(0o644)
    try:
        paths = [str(hidden), "/proc/1/environ", "/proc/1/mem", "/etc/shadow", str(ROOT / "README.md")]
        paths += [] if walled.level == "docker" else ["/etc/passwd"]
        assert [path for path in paths if answer(run(walled, f"reads {path}"))] == []
        assert answer(run(walled, "reads /usr/bin/env")) == 1
    finally:
        hidden.unlink()


def test_the_environment_is_four_names(walled):
    assert sorted(answer(run(walled, "environment"))) == ["HOME", "LANG", "PATH", "TMPDIR"]


# ------------------------------------------------------------------------------ Python in several processes

SEVERAL = b"""
import asyncio, ctypes, multiprocessing, os, subprocess, sys
def square(n): return n * n
async def main():
    async with asyncio.timeout(20):
        await asyncio.sleep(0)
        return await asyncio.to_thread(square, 3)
def f(case):
    if case == "asyncio": return asyncio.run(main())
    if case == "pool":
        with multiprocessing.Pool(3) as pool: return pool.map(square, [1, 2, 3])
    if case == "queue":
        queue = multiprocessing.Queue()
        child = multiprocessing.Process(target=queue.put, args=(5,))
        child.start(); child.join()
        return queue.get(timeout=20)
    if case == "execute":
        with open("script", "w") as file: file.write("#!/bin/sh\\n")
        os.chmod("script", 0o700)
        try: subprocess.run(["./script"])
        except PermissionError: return "denied"
    if case == "bomb":
        while True:
            try: os.fork()
            except OSError: pass
    if case == "daemon":
        if not os.fork():
            os.setsid()
            ctypes.CDLL(None).prctl(15, b"python-daemon")
            while True: pass
        return "left"
    return case
"""


@pytest.fixture(scope="module", params=[WALLED[0], "bubblewrap"])
def several(request):
    sandbox = open_sandbox(request.param, Setup(processes=True))
    yield sandbox
    sandbox.close()


@pytest.mark.docker
def test_over_stdio_where_no_socket_reaches_into_the_container():
    sandbox = open_sandbox("docker", Setup(native=True, transport="stdio"))
    try:
        assert honest(sandbox) == HONEST
        assert run(sandbox, "flood").failure.kind == "output_limit"
        assert run(sandbox, "exit").failure.detail.endswith("code 3: first | last words")
        assert run(sandbox, "sleep", QUICK).failure.kind == "timeout"
        assert answer(run(sandbox, "daemon")) == 2 and not alive("native-daemon")
        (outcome,) = sandbox.run(shell("cat"), [list(range(100_000))], Limits(seconds=20.0))
        assert values.decode(outcome.answer, 1 << 20) == list(range(100_000))
        assert honest(sandbox) == HONEST
    finally:
        sandbox.close()


@pytest.mark.parametrize(
    ("case", "expected"),
    [("asyncio", 9), ("pool", [1, 4, 9]), ("queue", 5), ("execute", "denied"), ("daemon", "left"), (1, 1)],
)
def test_python_in_several_processes(several, case, expected):
    (outcome,) = several.run(Program({"program.py": SEVERAL}, "program.py:f"), [case], LIMITS)
    assert answer(outcome) == expected
    assert not alive("python-daemon")


def test_a_fork_bomb_of_python(several):
    bomb, one = several.run(Program({"program.py": SEVERAL}, "program.py:f"), ["bomb", 1], QUICK)
    assert bomb.failure is not None and answer(one) == 1


def test_landlock_says_why_it_has_no_processes_for_python():
    with pytest.raises(SandboxUnavailable, match="landlock: it has no /dev/shm for programs"):
        open_sandbox("landlock", Setup(processes=True))


def test_a_missing_compiler_is_named():
    with pytest.raises(SandboxUnavailable, match=r"bubblewrap: no-such-cc is needed and not installed"):
        open_sandbox("process", Setup(native=True, commands=("no-such-cc",)))


# ------------------------------------------------------------------------------------------- an ordinary user

ORDINARY = """
import json, os, sys
from pathlib import Path
from evolve.types import Build, Limits, Program, SandboxUnavailable
from sandbox import open_sandbox
from sandbox.launch import Setup
assert os.getuid() == 65534
cpp = Program({"solver.cpp": Path("tests/native.cpp").read_bytes()}, command=("./solver", "inside"),
              build=Build(("g++", "-o", "solver", "solver.cpp")))
sandbox = open_sandbox("bubblewrap", Setup(native=True))
found = []
for attack in ("honest", "calls", "writes", "daemon", "fork bomb", "killers", "honest"):
    (outcome,) = sandbox.run(cpp, [attack], Limits(seconds=2, memory_bytes=128 << 20))
    found.append(json.loads(outcome.answer) if outcome.answer else outcome.failure.kind)
sandbox.close()
try:
    open_sandbox("landlock", Setup(native=True))
except SandboxUnavailable as error:
    found.append(str(error))
print(json.dumps(found))
"""


def test_the_walls_hold_for_an_ordinary_user(ordinary):
    done = ordinary(ORDINARY)
    assert done.returncode == 0, done.stderr
    first, calls, writes, daemon, bomb, _, last, landlock = json.loads(done.stdout)
    assert first == last and first["pid"]
    assert calls == [] and writes == [] and daemon == 2
    assert bomb in ("timeout", "crash", "invalid_answer")
    assert "only root can give programs" in landlock
    assert not any(alive(name) for name in ("native-daemon", "native-bomb", "native-killer"))


# ------------------------------------------------------------------------------------------------ end to end


@pytest.mark.parametrize("level", [WALLED[0], "bubblewrap"])
def test_a_run_of_the_problem_in_cpp(level, tmp_path):
    """The shipped problem with fewer cases: a build a child, trials and sealed draws, `verify`. 10 s."""
    problem = tmp_path / "flow_shop"
    shutil.copytree(ROOT / "seeds" / "flow_shop", problem)
    toml = problem / "problem.toml"
    small = {"search = 24": "search = 4", "sealed = 300": "sealed = 10", 'preset = "thrifty"': "n_max = 20"}
    for much, little in small.items():
        assert much in toml.read_text()
        toml.write_text(toml.read_text().replace(much, little))
    command = [sys.executable, "-m", "evolve", "run", str(problem), "--trials", "8", "--sandbox", level]
    command += ["--to", str(tmp_path / "run"), "--json", "--operators", "tokens,tune"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["sandbox"], result["trials"]) == (level, 8)
    assert result["failures"].get("build", 0) < 5 and set(result["failures"]) <= {"build", "timeout", "crash"}
    again = [
        "verify",
        str(tmp_path / "run.git"),
        "--rerun",
        "2",
        "--problem",
        str(problem),
        "--sandbox",
        level,
    ]
    verified = subprocess.run(
        [*command[:3], *again],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_missing_compiler_stops_a_run_with_one_line_that_names_it(tmp_path):
    problem = tmp_path / "flow_shop"
    shutil.copytree(ROOT / "seeds" / "flow_shop", problem)
    toml = problem / "problem.toml"
    toml.write_text(toml.read_text().replace('"g++"', '"no-such-cc"'))
    command = [sys.executable, "-m", "evolve", "run", str(problem), "--to", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--trials", "2", "--sandbox", "bubblewrap"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no-such-cc is needed and not installed" in done.stderr.splitlines()[-1]
