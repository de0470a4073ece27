"""What an evaluator process does: it owns a problem's evaluate.py and the sandbox, ends with its parent."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
from dataclasses import replace

from evolve.types import Broker, EvolveError, Json, Walls
from fitness import wire
from fitness.evaluation import ProblemFitness
from fitness.problem import Problem
from sandbox import open_sandbox
from sandbox.launch import Setup
from sandbox.turns import Turns


def serve(channel: socket.socket, turns: Turns) -> None:
    """Answer jobs until the other side is gone."""
    _end_with_parent()
    try:
        fitness = _open(wire.receive(channel), wire.Asking(channel), turns)
    except EvolveError as error:
        wire.send(channel, wire.pack_error(error))
        return
    try:
        wire.send(channel, {"level": fitness.level})
        while True:
            job = wire.unpack_job(wire.receive(channel))
            try:
                reply = wire.pack_evaluation(fitness.evaluate(job))
            except EvolveError as error:
                reply = wire.pack_error(error)
            wire.send(channel, reply)
    except (EOFError, ConnectionError):
        return
    finally:
        fitness.close()


def _open(setup: Json, broker: Broker, turns: Turns) -> ProblemFitness:
    problem = wire.unpack_problem(setup["problem"])
    if setup["core"] is not None:
        os.sched_setaffinity(0, {setup["core"]})  # a process sandbox inherits it
    needs = replace(_needs(problem, setup["core"], setup["broker"]), settled=setup["settled"], turns=turns)
    sandbox = open_sandbox(Walls(**setup["walls"]), needs)
    try:
        return ProblemFitness(problem, sandbox, broker if setup["broker"] else None)
    except EvolveError:
        sandbox.close()
        raise


def _needs(problem: Problem, core: int | None, agents: bool) -> Setup:
    first = [words[0] for words in (problem.build, problem.command) if words]
    return Setup(
        problem.packages,
        max(
            problem.limits.memory_bytes,
            problem.build_memory_bytes if problem.build else 0,
            problem.exam.limits.memory_bytes if problem.exam else 0,
        ),
        core=core,
        image=problem.image,
        processes=problem.processes,
        native=bool(problem.command),
        files=agents,
        commands=tuple(name for name in first if "/" not in name),
    )


def _end_with_parent() -> None:
    """Be killed by the kernel when the parent's end of our standard input closes, however it died.

    PR_SET_PDEATHSIG would fire when the parent's *thread* ends, and a watching thread cannot run while
    evaluate.py hangs in C code. SIGIO's default action ends a process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if poll.poll(0):  # it closed before the kernel was asked
        sys.exit(1)
