"""What every sandbox must do, whatever it is made of; after each test an honest program scores as before."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from processes import alive

from evolve.types import EvaluatorError, Failure, Limits, Outcome, Program, Walls
from sandbox import open_sandbox, values
from sandbox.launch import Setup
from sandbox.process import _hopeless, most_seconds

WALLED = (
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("docker over stdio", marks=pytest.mark.docker),
    "bubblewrap",
    "landlock",
)
LIMITS = Limits(seconds=20.0, memory_bytes=256 << 20, output_bytes=1 << 16)  # nobody reaches it
QUICK = replace(LIMITS, seconds=0.3)  # for what only ends by it
MODERATE = replace(LIMITS, seconds=0.8)  # where one case ends by it and another must not
HONEST = Program(
    {
        "program.py": b"import numpy as np\nfrom parts.tail import tail\n"
        b"def f(case):\n"
        b"    return {'sum': float(np.sum(case)), 'order': list({'a', 'b', 'c'}), 'tail': tail(case)}\n",
        "parts/tail.py": b"import statistics\n"
        b"def tail(case):\n    return [statistics.fmean(case[1:]), case[-1]]\n",
    },
    "program.py:f",
)


class Opened(dict):
    """Sandboxes by their level, each opened when it is first asked for."""

    def __missing__(self, level):
        self[level] = start(level)
        return self[level]


def start(level):
    name, _, transport = level.partition(" over ")
    sandbox = open_sandbox(Walls(name, trusted=True), Setup(transport=transport or None))
    assert sandbox.facts.get("transport", "") == (transport or {"docker": "socket"}.get(name, ""))
    return sandbox


@pytest.fixture(scope="module")
def opened():
    sandboxes = Opened()
    yield sandboxes
    for each in sandboxes.values():
        each.close()


def honest(sandbox):
    (outcome,) = sandbox.run(HONEST, [[0.5, 2, 3]], LIMITS)
    assert outcome.failure is None, outcome
    return outcome.answer


@pytest.fixture(params=[*WALLED, "none"])
def sandbox(opened, request):
    before = honest(opened[request.param])
    yield opened[request.param]
    assert honest(opened[request.param]) == before


@pytest.fixture(params=WALLED)
def walled(opened, request):
    before = honest(opened[request.param])
    yield opened[request.param]
    assert honest(opened[request.param]) == before


def program(source, **more):
    return Program({"program.py": source.encode()}, "program.py:f", **more)


def run(sandbox, source, cases=(1,), limits=LIMITS, call=None, **more) -> list[Outcome]:
    return sandbox.run(program(source, **more), list(cases), limits, call)


def one(sandbox, source, case=1, limits=LIMITS, call=None, **more) -> Outcome:
    (outcome,) = run(sandbox, source, [case], limits, call, **more)
    return outcome


def answer(outcome):
    assert outcome.failure is None, outcome.failure
    return values.decode(outcome.answer, 1 << 20)


def kinds(outcomes):
    return [outcome.failure.kind if outcome.failure else "ok" for outcome in outcomes]


# --------------------------------------------------------------------------------------------- honest work


def test_values_go_in_and_come_out(sandbox):
    case = {"a": [1, 2.5, None, True], "text": "ünï\n", "big": 10**30, "zero": -0.0}
    outcome = one(sandbox, "def f(case): return case", case)
    assert answer(outcome) == case
    assert outcome.calls == 0
    assert 0 < outcome.seconds < LIMITS.seconds


def test_arrays_and_scalars_of_numpy(sandbox):
    source = """
import numpy as np
def f(case): return np.asarray(case) * 2 if len(case) > 1 else (np.float32(1.5), case[0])
"""
    array, scalars = run(sandbox, source, [np.arange(4.0), [np.int64(7)]])
    assert np.array_equal(answer(array), [0, 2, 4, 6])
    assert answer(scalars) == [1.5, 7]


def test_cases_of_one_job_in_order_and_each_with_its_own_failure(sandbox):
    outcomes = run(sandbox, "def f(n):\n    return 6 / n", [1, 0, 2, "x", 3])
    assert kinds(outcomes) == ["ok", "crash", "ok", "crash", "ok"]
    assert [answer(outcomes[i]) for i in (0, 2, 4)] == [6, 3, 2]
    assert outcomes[1].failure.detail == "ZeroDivisionError: division by zero (program.py line 2)"
    assert [outcome.cpu_seconds > 0 for outcome in outcomes] == [False] * 4 + [True]


def test_no_cases_no_outcomes(sandbox):
    assert run(sandbox, "def f(n): return n", []) == []


def test_repeatable(sandbox):
    source = """
import random, numpy as np
early = [random.random(), float(np.random.rand())]
def f(case):
    return [early, random.random(), float(np.random.rand()), list({"x", "y", "z"}), hash("a")]
"""
    first, second = run(sandbox, source, [1, 2])
    assert first.answer == second.answer == one(sandbox, source).answer
    with sandbox.apart():  # by another fork server
        assert first.answer == one(sandbox, source).answer


def test_levels_agree(opened):
    assert len({honest(each) for each in opened.values()}) == 1


def test_nothing_is_left_from_one_job_to_the_next(sandbox):
    source = """
import builtins, sys, os, numpy
seen = [hasattr(builtins, "left"), hasattr(numpy, "left"), "left" in sys.modules]
seen += [os.environ.get("left"), os.listdir()]
builtins.left = numpy.left = sys.modules["left"] = 1
os.environ["left"] = "1"
def f(case): return seen
"""
    assert (
        answer(one(sandbox, source))
        == answer(one(sandbox, source))
        == [False, False, False, None, ["program.py"]]
    )


def test_a_program_may_read_its_own_files(sandbox):
    files = {"program.py": b"def f(case): return open('data/table.txt').read()", "data/table.txt": b"1 2 3"}
    (outcome,) = sandbox.run(Program(files, "program.py:f"), [1], LIMITS)
    assert answer(outcome) == "1 2 3"


def test_a_program_named_as_a_module_of_the_library(sandbox):
    files = {
        "random.py": b"def f(case): return 4",
        "pack/__init__.py": b"x = 3",
        "pack/m.py": b"from . import x\ndef f(c): return x",
    }
    (outcome,) = sandbox.run(Program(files, "random.py:f"), [1], LIMITS)
    assert answer(outcome) == 4
    (outcome,) = sandbox.run(Program(files, "pack/m.py:f"), [1], LIMITS)
    assert answer(outcome) == 3


def test_threads_are_allowed(sandbox):
    source = """
from concurrent.futures import ThreadPoolExecutor
def f(case):
    with ThreadPoolExecutor(8) as pool: return sum(pool.map(abs, range(-20, 0)))
"""
    assert answer(one(sandbox, source)) == 210


def test_every_processor_that_the_sandbox_has(sandbox):
    """A program may use them all, and not choose among them."""
    source = """
import os
def f(case):
    had = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(had)})
    except OSError:
        return len(had), len(os.sched_getaffinity(0))
    return len(had), 0
"""
    here = len(os.sched_getaffinity(0))
    assert answer(one(sandbox, source)) == [here, here if sandbox.level != "none" else 0]


def test_noise_on_stdout_and_stderr_is_no_answer(sandbox):
    source = """
import sys, os
print("x" * 300_000); print("y" * 300_000, file=sys.stderr); os.write(1, b"{}" * 1000)
def f(case):
    print("x" * 300_000); print("y" * 300_000, file=sys.stderr)
    return case
"""
    assert answer(one(sandbox, source, 5)) == 5


# ------------------------------------------------------------------------------------------ harness, calls


HARNESS = b"def answer(case, entry, call):\n    return [entry(case), call('double', case)]\n"


def test_harness_and_calls(sandbox):
    seen = []

    def handler(position, name, argument):
        seen.append((position, name, argument))
        return {"result": argument * 2}

    limits = Limits(seconds=20, calls=3)
    outcomes = run(sandbox, "def f(n): return n + 1", [10, 20], limits, handler, harness=HARNESS)
    assert [answer(outcome) for outcome in outcomes] == [[11, {"result": 20}], [21, {"result": 40}]]
    assert seen == [(0, "double", 10), (1, "double", 20)]
    assert [outcome.calls for outcome in outcomes] == [1, 1]


def test_more_calls_than_allowed(sandbox):
    harness = b"def answer(case, entry, call):\n    return [call('x', i) for i in range(case)]\n"
    outcomes = run(
        sandbox, "def f(n): pass", [3, 4, 2], Limits(seconds=20, calls=3), lambda p, n, a: a, harness=harness
    )
    assert kinds(outcomes) == ["ok", "call_limit", "ok"]


def test_calls_where_there_are_none(sandbox):
    outcome = one(sandbox, "def f(n): pass", harness=HARNESS)
    assert outcome.failure.kind == "crash"
    assert "answers no calls" in outcome.failure.detail


def test_a_refused_argument_is_an_invalid_answer_and_the_rest_goes_on(sandbox):
    def handler(position, name, argument):
        if argument == 1:
            raise ValueError("bin 7 is full")
        return argument

    outcomes = run(sandbox, "def f(n): return n", [1, 2], Limits(calls=1), handler, harness=HARNESS)
    assert outcomes[0].failure == Failure("invalid_answer", "call double: bin 7 is full")
    assert answer(outcomes[1]) == [2, 2]


def test_a_broken_handler_or_harness_is_an_exception(sandbox):
    def handler(position, name, argument):
        raise KeyError(name)

    with pytest.raises(KeyError):
        one(sandbox, "def f(n): return n", 1, Limits(calls=1), handler, harness=HARNESS)
    with pytest.raises(EvaluatorError, match="cannot cross"):
        one(sandbox, "def f(n): return n", 1, Limits(calls=1), lambda *_: {1, 2}, harness=HARNESS)
    with pytest.raises(EvaluatorError, match="no_such_thing"):
        one(sandbox, "def f(n): return n", harness=b"import no_such_thing")


@pytest.mark.parametrize("request_", ["float('nan')", "{1, 2}", "'x' * 100_000", "object()"])
def test_bad_requests(sandbox, request_):
    harness = f"def answer(case, entry, call):\n    return call('x', {request_})\n".encode()
    outcome = one(
        sandbox,
        "def f(n): pass",
        1,
        Limits(seconds=20, calls=5, output_bytes=1 << 12),
        lambda *_: 1,
        harness=harness,
    )
    assert outcome.failure.kind in {"crash", "output_limit"}


# ------------------------------------------------------------------------------------------- what goes wrong


def test_timeout_costs_one_case(sandbox):
    outcomes = run(sandbox, "def f(n):\n    while n == 1: pass\n    return n", [0, 1, 2], MODERATE)
    assert kinds(outcomes) == ["ok", "timeout", "ok"]
    assert MODERATE.seconds <= outcomes[1].seconds


def test_an_endless_loop_costs_three_cases_and_the_rest_is_not_tried(opened):
    """What counts them is the same at every level."""
    outcomes = run(opened["bubblewrap"], "def f(n):\n    while n: pass", [1, 0, *[1] * 60], MODERATE)
    assert kinds(outcomes) == ["timeout", "ok", *["timeout"] * 60]
    assert [("not tried" in outcome.failure.detail) for outcome in outcomes[2:]] == [False] * 3 + [True] * 57
    assert outcomes[-1].seconds == 0 < outcomes[-1].cpu_seconds


def test_no_program_takes_longer_than_is_granted_at_the_most():
    """Starting as slowly as it may and dying in each case: the starts are given up before the bound."""
    start, crashed = QUICK.seconds + 2.0, Outcome(None, Failure("crash"), QUICK.seconds)
    for cases in (1, 3, 9, 10, 64):
        outcomes = []
        while len(outcomes) < cases and not _hopeless(outcomes, len(outcomes) * start, QUICK):
            outcomes.append(crashed)
        assert len(outcomes) == min(cases, 9)
        assert len(outcomes) * (start + QUICK.seconds) <= most_seconds(QUICK, cases) + 1e-9
        assert "not tried" in _hopeless([crashed] * 9, 9 * start, QUICK).detail


def test_timeout_with_all_signals_ignored(sandbox):
    source = """
import signal, time
def f(case):
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True:
        try: time.sleep(1)
        except BaseException: pass
"""
    assert one(sandbox, source, limits=QUICK).failure.kind == "timeout"


@pytest.mark.parametrize(
    ("source", "kind", "detail"),
    [
        ("while True: pass", "timeout", "while it was loaded"),
        ("import os; os._exit(0)", "crash", "code 0"),
        ("raise SystemExit(0)", "crash", "SystemExit: 0 (program.py line 1)"),
        ("x = 1\nx.y", "crash", "AttributeError: 'int' object has no attribute 'y' (program.py line 2)"),
        ("def f(:", "crash", "SyntaxError: invalid syntax (program.py line 1)"),
        ("g = 1", "crash", "program.py has no function f"),
        ("f = 1", "crash", "program.py has no function f"),
        ("import no_such_module", "crash", "No module named 'no_such_module'"),
        ("x = 'a' * (1 << 30)", "out_of_memory", "MemoryError"),
    ],
)
def test_a_program_that_does_not_load_fails_every_case(sandbox, source, kind, detail):
    outcomes = run(sandbox, source, range(50), QUICK if kind == "timeout" else LIMITS)
    assert len(set(outcomes[:-1])) == 1
    assert outcomes[0].failure.kind == outcomes[-1].failure.kind == kind
    assert detail in outcomes[0].failure.detail


def test_a_missing_file_and_a_name_that_leaves(sandbox):
    (outcome,) = sandbox.run(Program({"other.py": b""}, "program.py:f"), [1], LIMITS)
    assert "no file program.py" in outcome.failure.detail
    for name in ("../program.py", "/tmp/program.py", "a/../../b.py"):
        (outcome,) = sandbox.run(Program({name: b"f = print"}, f"{name}:f"), [1], LIMITS)
        assert "leaves the program" in outcome.failure.detail
    for files in ({"a": b"", "a/b": b""}, {"x" * 300: b""}, {"large": bytes(17 << 20)}):
        (outcome,) = sandbox.run(Program({"program.py": b"f = abs", **files}, "program.py:f"), [1], LIMITS)
        assert outcome.failure.kind == "crash"
        assert "Error: [Errno" in outcome.failure.detail


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        ("raise SystemExit(3)", "crash", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "crash", "KeyboardInterrupt"),
        ("import os, sys; print('last words', file=sys.stderr); os._exit(7)", "crash", "code 7: last words"),
        ("import ctypes; ctypes.string_at(0)", "crash", "SIGSEGV"),
        ("import os; os.abort()", "crash", "SIGABRT"),
        ("return f(case)", "crash", "RecursionError"),
        ("return 'a' * (1 << 30)", "out_of_memory", "MemoryError"),
        ("import numpy; return float(numpy.ones(1 << 28).sum())", "out_of_memory", "MemoryError"),
        ("keep = []\n    while True: keep.append(bytearray(1 << 20))", "out_of_memory", "MemoryError"),
        ("return 'a' * 100_000", "output_limit", "at most 65536"),
        ("import numpy; return numpy.zeros(10_000)", "output_limit", "at most 65536"),
        ("return float('nan')", "invalid_answer", "value: nan is not a finite number"),
        ("return {'a': [1, float('inf')]}", "invalid_answer", ".a[1]: inf is not a finite number"),
        ("import numpy; return numpy.array([1, numpy.nan])", "invalid_answer", "array[1]: nan"),
        ("return {1, 2}", "invalid_answer", "a set cannot cross"),
        ("return {1: 2}", "invalid_answer", "the key 1 is not a string"),
        ("return 10 ** 5000", "invalid_answer", "4300"),
        ("import numpy; return numpy.array([object()])", "invalid_answer", "object"),
        ("x = []\n    for _ in range(100_000): x = [x]\n    return x", "invalid_answer", "64 lists or dicts"),
        ("x = []\n    x.append(x)\n    return x", "invalid_answer", "64 lists or dicts"),
        ("import os; os.close(3)", "crash", ""),
    ],
)
def test_a_case_that_fails_and_one_that_does_not(sandbox, body, kind, detail):
    source = f"def f(case):\n    if case == 2: return 'fine'\n    {body}\n"
    bad, good = run(sandbox, source, [1, 2])
    assert bad.failure is not None
    assert bad.failure.kind == kind
    assert detail in bad.failure.detail
    assert answer(good) == "fine"


def test_objects_that_fight_back(sandbox):
    source = """
import math
class Best(float):
    def __lt__(self, other): return False
    __le__ = __eq__ = __lt__
    def __gt__(self, other): return True
    __ge__ = __gt__
    def __repr__(self): return "1e999"
    __str__ = __float__ = __repr__
    def __hash__(self): return 0
    def __reduce__(self): return (print, ("owned",))
class Bomb(Exception):
    def __str__(self): raise self
class Trap:
    def __getattribute__(self, name): raise SystemExit
def f(case):
    if case == 1: return [Best(1.5), Best(2)]
    if case == 2: raise Bomb
    return {"x": Trap()}
"""
    best, bomb, trap = run(sandbox, source, [1, 2, 3])
    assert answer(best) == [1.5, 2.0]
    assert all(type(number) is float for number in answer(best))
    assert (bomb.failure.kind, trap.failure.kind) == ("crash", "invalid_answer")


def test_terminal_escapes_stay_inside(sandbox):
    outcome = one(sandbox, "def f(case): raise ValueError('\\x1b[2J\\x07 gone')")
    assert outcome.failure.detail.isprintable()


FRAMES = """
import json, os, socket, struct, sys
channel = socket.socket(fileno=os.dup(3))
def send(kind, body): channel.sendall(struct.pack("!cI", kind, len(body)) + body)
def token():
    frame = sys._getframe()
    while frame:
        if "token" in frame.f_locals: return frame.f_locals["token"]
        frame = frame.f_back
"""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("send(b'A', b'12345678' + b'1')", "crash"),
        ("send(b'Z', b'')", "crash"),
        ("send(b'F', token() + b'[\"unclean\", \"x\"]')", "crash"),
        ("send(b'F', token() + b'[[[')", "crash"),
        ("send(b'C', b'')", "call_limit"),
        ("channel.sendall(b'A' + b'\\xff' * 100)", "output_limit"),
        ("channel.sendall(b'A'); os._exit(0)", "crash"),
        ("[channel.sendall(bytes(1 << 16)) for _ in range(1000)]", "crash"),
        ("channel.shutdown(2)", "crash"),
    ],
)
def test_forged_frames(sandbox, body, kind):
    bad, good = run(
        sandbox, FRAMES + f"def f(case):\n    if case == 2: return 2\n    {body}\n    return 1\n", [1, 2]
    )
    assert bad.failure is not None
    assert bad.failure.kind == kind
    assert answer(good) == 2


@pytest.mark.parametrize(
    "data", [b"1e999", b"NaN", b'{"a":1,"a":2}', b"[" * 50_000, b"1" * 10_000, b"\x80\x04K\x01."]
)
def test_forged_answers_are_stopped_by_decode(sandbox, data):
    source = FRAMES + f"def f(case):\n    send(b'A', token() + {data!r}); os._exit(0)\n"
    outcome = one(sandbox, source)
    with pytest.raises(ValueError):
        values.decode(outcome.answer, 1 << 16)


@pytest.mark.parametrize("harness", [None, HARNESS])
def test_a_program_cannot_say_that_the_harness_is_broken(sandbox, harness):
    source = FRAMES + "send(b'H', b'\"not me\"')\ndef f(case): return case\n"
    assert kinds(run(sandbox, source, [5, 6], harness=harness)) == ["crash", "crash"]


def test_an_answer_given_before_its_case_is_none(sandbox):
    source = FRAMES + "for _ in range(3): send(b'A', bytes(8) + b'1')\ndef f(case): return case\n"
    assert set(kinds(run(sandbox, source, [5, 6]))) == {"crash"}


# ---------------------------------------------------------------------------------------------- the outside


ATTACKS = """
import ctypes, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments):
    if libc.syscall(*arguments) == -1: raise OSError(ctypes.get_errno(), "")
def f(case):
    try: result = eval(case) if not case.startswith("exec ") else exec(case[5:])
    except OSError as error: return "denied"
    return "done " + repr(result)[:80]
"""


def attempt(sandbox, *expressions):
    outcomes = run(sandbox, ATTACKS, expressions)
    return {expression: answer(outcome) for expression, outcome in zip(expressions, outcomes, strict=True)}


def assert_denied(sandbox, *expressions):
    assert {k: v for k, v in attempt(sandbox, *expressions).items() if v != "denied"} == {}


def test_no_network(walled):
    assert_denied(
        walled,
        "socket.create_connection(('127.0.0.1', 1), .2)",
        "socket.create_connection(('192.0.2.1', 80), .2)",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK)",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "socket.socketpair()",
    )


def test_no_files_of_the_host(walled, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    here = str(Path(__file__).resolve())
    names = [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/proc/1/environ",
        "/proc/self/environ",
        "/proc/self/mem",
    ]
    names += [
        str(secret),
        here,
        f"/proc/{os.getpid()}/environ",
        f"/proc/{os.getppid()}/environ",
        "/dev/sda",
        "/dev/tty",
    ]
    listed = [
        "/root",
        "/home",
        "/proc",
        "/dev/shm",
        "/var",
        str(tmp_path),
        os.path.dirname(here),
        sys.prefix,
    ]
    if walled.level == "docker":  # it has some of its own, of the image's
        own = {"/etc/passwd", "/etc/hostname", "/home", "/dev/shm", "/var"}
        names = [name for name in names if name not in own]
        listed = ["/run/evolve", *(name for name in listed if name not in own)]
        source = """
import os
def f(case):
    there = [number for number in range(1, 1000) if os.path.exists(f"/proc/{number}")]
    return [open("/etc/hostname").read(), os.getpid(), there]
"""
        hostname, pid, processes = answer(one(walled, source))
        assert hostname == "sandbox\n"
        others = set(processes) - {pid}
        assert 1 in others and len(others) == (2 if walled.facts["transport"] == "stdio" else 1)
    assert_denied(
        walled, *(f"open({name!r}).read(1)" for name in names), *(f"os.listdir({name!r})" for name in listed)
    )


def test_undeclared_packages_are_not_there(walled):
    source = "def f(case):\n    import pytest"
    assert one(walled, source).failure.kind == "crash"


def test_no_keys(walled, opened):
    os.environ["EVOLVE_TEST_KEY"] = "s3cret"
    try:
        fresh = open_sandbox(walled.level)
        try:
            names = answer(one(fresh, "import os\ndef f(case): return sorted(os.environ)"))
        finally:
            fresh.close()
    finally:
        del os.environ["EVOLVE_TEST_KEY"]
    assert set(names) <= {"HOME", "TMPDIR", "PATH", "LANG"}


def test_no_writes_outside(walled, tmp_path):
    tmp_path.chmod(0o777)
    target = tmp_path / "file"
    target.write_text("untouched")
    target.chmod(0o666)
    os.utime(target, (1, 1))
    places = [
        str(target),
        str(tmp_path / "new"),
        "/var/tmp/x",
        *(["/dev/shm/x"] if walled.level != "docker" else []),  # a container's own, wiped after each job
        "/x",
        "/usr/lib/x",
        sys.prefix + "/x",
    ]
    library = os.path.dirname(os.__file__)
    assert_denied(
        walled,
        *(f"open({place!r}, 'w')" for place in places),
        f"open({library + '/os.py'!r}, 'a')",
        "open(os.__file__, 'a')",
        f"os.truncate({str(target)!r}, 0)",
        f"os.open({str(target)!r}, os.O_RDONLY | os.O_TRUNC)",
        f"os.chmod({str(target)!r}, 0)",
        f"os.chown({str(target)!r}, 1, 1)",
        f"os.utime({str(target)!r}, (5, 5))",
        f"os.setxattr({str(target)!r}, 'user.x', b'1')",
        f"os.rename({str(target)!r}, {str(target) + '2'!r})",
        f"os.unlink({str(target)!r})",
        f"os.link({str(target)!r}, 'mine')",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        "os.mknod('/dev/shm/null', 0o20666, os.makedev(1, 3))",
    )
    assert target.read_text() == "untouched"
    assert os.listdir(tmp_path) == ["file"]
    assert (target.stat().st_mtime, target.stat().st_mode & 0o777) == (1, 0o666)


def test_no_processes_no_signals_no_tricks(walled):
    assert_denied(
        walled,
        "os.fork()",
        "__import__('subprocess').run(['/bin/true'])",
        "os.execv(sys.executable, ['python'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "syscall(58)",  # vfork on x86_64; 58 is vhangup on aarch64
        "os.kill(1, 0)",
        "os.kill(os.getppid(), 9)",
        "os.kill(-1, 9)",
        "os.killpg(0, 9)",
        f"os.kill({os.getpid()}, 0)",
        "os.pidfd_open(os.getpid())",
        "syscall(234 if os.uname().machine == 'x86_64' else 131, 1, 1, 0)",  # tgkill
        "__import__('fcntl').fcntl(3, 8, os.getppid())",
        "__import__('fcntl').ioctl(3, 0x8902, struct.pack('i', 1))",
        "os.setpriority(os.PRIO_PROCESS, 0, 5)",
        "os.sched_setaffinity(0, {0})",
        "__import__('resource').prlimit(1, 7)",
        "os.setuid(0) if os.getuid() else os.fork()",
        "os.chroot('.')",
        "os.memfd_create('x')",
        "os.mkfifo('/dev/shm/f')",
    )
    numbers = {  # x86_64, aarch64
        "ptrace": (101, 117), "unshare": (272, 97), "mount": (165, 40), "bpf": (321, 280),
        "keyctl": (250, 219), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
        "perf_event_open": (298, 241), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186),
        "mq_open": (240, 180), "clone3": (435, 435), "pidfd_getfd": (438, 438), "setns": (308, 268),
        "process_vm_readv": (310, 270), "open_by_handle_at": (304, 265), "newest": (470, 470),
    }  # fmt: skip
    column = 0 if os.uname().machine == "x86_64" else 1
    assert_denied(walled, *(f"syscall({pair[column]}, 0, 0, 0, 0, 0)" for pair in numbers.values()))


def test_limits_cannot_be_raised(walled):
    source = """
import resource
def f(case):
    held = []
    for name in ("AS", "CPU", "FSIZE", "NOFILE", "CORE"):
        what = getattr(resource, "RLIMIT_" + name)
        try: resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2)
        except (ValueError, OSError): held.append(name)
    return held
"""
    assert answer(one(walled, source)) == ["AS", "CPU", "FSIZE", "NOFILE", "CORE"]


def test_nothing_of_the_client_in_memory_or_frames(walled):
    source = """
import gc, sys
def f(case):
    frame, names = sys._getframe(), []
    while frame: names.append(frame.f_code.co_filename); frame = frame.f_back
    held = [str(o)[:10_000] for o in gc.get_objects() if isinstance(o, (dict, list))]
    found = [text for text in held if "s3" + "cret" in text]
    return [any("evaluat" in name or "pytest" in name for name in names), len(found)]
"""
    outcomes = run(walled, source, ["s3cret" + " of another job"])
    assert answer(one(walled, source)) == [False, 0], outcomes


# ----------------------------------------------------------------------------------------- what is left over


def test_a_full_disk_and_many_files(walled):
    source = """
import os
def f(case):
    for i in range(100_000):
        try:
            if case == 1: open(f"big{i}", "wb").write(bytes(1 << 22))
            elif case == 2: open(f"small{i}", "w").close()
            else: os.mkdir("d"); os.chdir("d")
        except OSError: return "stopped"
    return "went on"
"""
    assert [answer(outcome) for outcome in run(walled, source, [1, 2, 3])] == ["stopped"] * 3


def test_leftovers_are_wiped(sandbox):
    source = """
import os
def f(case):
    try:
        os.makedirs("deep/er/still"); os.mkdir("closed", 0)
        os.close(os.open("locked", os.O_CREAT | os.O_WRONLY, 0))
        os.symlink("/", "link")
        open("deep/file", "w").write("x" * 1000)
    except OSError: pass
    return sorted(os.listdir())
"""
    one(sandbox, source)
    assert answer(one(sandbox, "import os\ndef f(case): return sorted(os.listdir())")) == ["program.py"]


def descendants(root):
    listing = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    parents = {}
    for line in listing.splitlines():
        pid, parent, *arguments = line.split(None, 2)
        parents[int(pid)] = (int(parent), " ".join(arguments))

    def below(pid):
        return [
            child
            for child, (parent, _) in parents.items()
            if parent == pid
            for child in [child, *below(child)]
        ]

    return {pid: parents[pid][1] for pid in below(root) if "ps -e" not in parents[pid][1]}


def folders():
    """Folders of sandboxes, but for those that another process of this machine holds: tests are parallel."""
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    held = {
        int(lock[5].rpartition(":")[2])
        for lock in locks
        if lock[1] == "FLOCK" and int(lock[4]) != os.getpid()
    }
    found = [path for parent in ("/dev/shm", "/tmp") for path in Path(parent).glob("evolve-sandbox-*")]
    left = set()
    for path in found:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino not in held:
                left.add(path.name)
    return left


@pytest.mark.parametrize("level", [*WALLED, "none"])
def test_close_leaves_nothing(level):
    before = (
        folders(),
        set(descendants(os.getpid())),
        len(os.listdir("/proc/self/fd")),
        set(threading.enumerate()),
    )
    sandbox = start(level)
    assert kinds(run(sandbox, "def f(n):\n    while n: pass", [0, 1], MODERATE)) == ["ok", "timeout"]
    sandbox.close()
    sandbox.close()
    for thread in set(threading.enumerate()) - before[3]:
        thread.join(60)
    after = (
        folders(),
        set(descendants(os.getpid())),
        len(os.listdir("/proc/self/fd")),
    )
    assert after[0] - before[0] == set()
    assert after[1] <= before[1]
    assert after[2] == before[2]


def test_daemons_of_a_trusted_program_are_killed(opened):
    source = """
import os, time
def f(case):
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(1000)
            os._exit(0)
    return 1
"""
    before = set(descendants(os.getpid()))
    assert answer(one(opened["none"], source)) == 1
    assert set(descendants(os.getpid())) <= before


CLIENT = """
import sys, time
from sandbox import open_sandbox
from sandbox.launch import Setup
from evolve.types import Limits, Program, Walls
name, _, transport = sys.argv[1].partition(" over ")
sandbox = open_sandbox(Walls(name, trusted=True), Setup(transport=transport or None))
print("ready", flush=True)
program = Program({"program.py": b"def f(n):\\n    while True: pass"}, "program.py:f")
sandbox.run(program, [1], Limits(seconds=60))
"""


@pytest.mark.parametrize("level", [*WALLED, "none"])
def test_everything_dies_with_the_client(level):
    root = str(Path(__file__).resolve().parents[1])
    before = folders()
    client = subprocess.Popen([sys.executable, "-c", CLIENT, level], stdout=subprocess.PIPE, cwd=root)
    assert client.stdout.readline() == b"ready\n"
    mine, deadline = [], time.monotonic() + 60
    while len(mine) < (1 if level.startswith("docker") else 2) and time.monotonic() < deadline:
        mine = containers(client.pid) if level.startswith("docker") else list(descendants(client.pid))
    assert mine
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    deadline = time.monotonic() + 60

    def left():
        living = [pid for pid in mine if alive(pid)]
        return living or folders() - before or (level.startswith("docker") and containers(client.pid))

    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left()


def containers(owner):
    """PID of the first process of each container that a process has started."""
    listed = ["docker", "ps", "-aq", "--filter", "label=evolve.sandbox"]
    ids = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    form = '{{index .Config.Labels "evolve.sandbox"}} {{.State.Pid}}'
    shown = subprocess.run(
        ["docker", "inspect", "--format", form, *ids], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return [int(line.split()[-1]) for line in shown if line.split()[2] == str(owner)]


def test_a_sandbox_starts_anew_after_it_was_killed(sandbox):
    expected = honest(sandbox)
    sandbox.close()
    assert honest(sandbox) == expected
