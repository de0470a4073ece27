"""Who begins a job waits for a turn, where others share the processors."""

import os
import select
import signal
from contextlib import contextmanager

from evolve.types import Limits, Program, Walls
from sandbox import open_sandbox
from sandbox.launch import Setup
from sandbox.turns import Turns

HONEST_FILES = {"program.py": b"def f(x):\n    return x\n"}
ENDLESS = Program({"program.py": b"while True:\n    pass\n"}, "program.py:f")
ASKING = Program(HONEST_FILES, "program.py:f", b"def answer(case, f, call):\n    return f(call('ask'))\n")
HONEST = Program(HONEST_FILES, "program.py:f")


@contextmanager
def forked(act):
    """Within: a process that does something, and where it writes."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act(write)
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb", buffering=0) as said:
        try:
            yield pid, said
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def hold(turns, write):
    """Take a turn and keep it."""
    with turns.one():
        os.write(write, b"!")
        signal.pause()


def test_who_dies_lets_the_next_begin():
    turns = Turns(1)
    with forked(lambda write: hold(turns, write)) as (holder, first):
        assert first.read(1) == b"!"
        with forked(lambda write: hold(turns, write)) as (_, second):
            os.set_blocking(second.fileno(), False)
            assert second.read(1) is None
            os.set_blocking(second.fileno(), True)
            os.kill(holder, signal.SIGKILL)
            assert second.read(1) == b"!"


def test_so_many_have_a_turn_at_once():
    turns = Turns(2)
    with (
        forked(lambda write: hold(turns, write)) as (_, first),
        forked(lambda write: hold(turns, write)) as (_, second),
    ):
        assert first.read(1) + second.read(1) == b"!!"


def test_a_program_that_never_starts_keeps_nobody_waiting_to_its_end():
    turns = Turns(1)

    def endless(write):
        sandbox = open_sandbox(Walls("none", trusted=True), Setup(turns=turns))
        os.write(write, b"!")
        (outcome,) = sandbox.run(ENDLESS, [1], Limits(seconds=30.0))
        os.write(write, str(outcome.failure).encode())
        sandbox.close()

    with forked(endless) as (_, said):
        assert said.read(1) == b"!"
        sandbox = open_sandbox(Walls("none", trusted=True), Setup(turns=turns))
        try:
            assert [sandbox.run(HONEST, [n], Limits())[0].answer for n in range(20)] == [
                str(n).encode() for n in range(20)
            ]
        finally:
            sandbox.close()
        os.set_blocking(said.fileno(), False)
        assert said.read(1) is None  # it is still being loaded


def test_a_job_ends_in_its_turn():
    turns = Turns(1)
    told, tell = os.pipe()

    def ask(write):
        def answer(position, name, argument):
            os.write(write, b"?")
            return len(os.read(told, 1))

        sandbox = open_sandbox(Walls("none", trusted=True), Setup(turns=turns))
        (outcome,) = sandbox.run(ASKING, [None], Limits(calls=1), answer)
        os.write(write, outcome.answer)
        sandbox.close()

    with forked(ask) as (_, said):
        assert said.read(1) == b"?"
        with forked(lambda write: hold(turns, write)) as (holder, first):
            assert first.read(1) == b"!"
            os.write(tell, b"!")
            assert not select.select([said], [], [], 0.5)[0]
            os.kill(holder, signal.SIGKILL)
            assert said.read(1) == b"1"
