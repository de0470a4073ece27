"""The process that evaluators are forked from: `python -m fitness.zygote CONTROL KIND`, by `fitness.process`.

It imports once what each of them needs, and has no thread, no socket but its own, and nothing of a problem.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import sys
from pathlib import Path

import numpy as np

from fitness import evaluator
from fitness.process import PID
from sandbox import kernel, levels
from sandbox.turns import Turns


def main() -> None:
    """Fork whenever the other side asks, until it is gone."""
    # Ctrl-C and a SIGTERM to the whole group are the driver's to answer: it lets running jobs finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    levels.prepare(sys.argv[2])
    turns = Turns()
    gc.freeze()  # what is there stays for good: no collection of a child's shall touch, and copy, it
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 4)
        if not message:
            return
        pid = kernel.fork_sibling()
        if pid == 0:
            _become_evaluator(control, descriptors, turns)
            return
        os.write(descriptors[2], PID.pack(pid))
        for descriptor in descriptors:
            os.close(descriptor)


def _become_evaluator(control: socket.socket, descriptors: list[int], turns: Turns) -> None:
    """Be one: of the zygote nothing is left but what it has imported."""
    lifeline, log, channel, folder = descriptors
    os.fchdir(folder)  # where evaluate.py finds files of its own
    control.detach()
    for place, descriptor in enumerate((lifeline, log, log)):
        os.dup2(descriptor, place)
    os.set_inheritable(channel, False)
    kept = [2, *sorted([channel, turns.fileno()])]
    for low, high in zip(kept, [*kept[1:], 1 << 16], strict=True):
        os.closerange(low + 1, high)
    Path("/proc/self/comm").write_text("evaluator")
    random.seed()  # of two processes of one origin none shall draw what the other does
    np.random.seed()
    evaluator.serve(socket.socket(fileno=channel), turns)


if __name__ == "__main__":
    main()
