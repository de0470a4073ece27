"""Stand-ins for the loop's partners, for tests and demonstrations: no process, no model, no waiting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from evolve.types import Evaluation, Fitness, Job, Parent, Proposal, RunError, Trial

_LITERAL = re.compile(rb"-?\d+\.\d+")


class InlineExecutor:
    """Evaluates at once, in this thread; `workers` says how much the loop keeps in flight."""

    level = "none"

    def __init__(self, fitness: Fitness, workers: int = 1) -> None:
        self.fitness, self.workers = fitness, workers

    def submit(self, job: Job) -> Future[Evaluation]:
        """Evaluate; a failure of the machinery stands in the future, as with a real worker."""
        future: Future[Evaluation] = Future()
        try:
            future.set_result(self.fitness.evaluate(job))
        except RunError as error:
            future.set_exception(error)
        return future

    def interrupt(self) -> None:
        """Nothing ever runs on."""

    def close(self) -> None:
        """Free what the fitness holds."""
        self.fitness.close()


class Nudge:
    """Moves the first number of a program by a normal step: the smallest mutation there is."""

    name = "nudge"
    arity = 1
    prompt_bytes = 0

    def __init__(self, problem: object = None, step: float = 0.1) -> None:
        self.step = step

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """Replace the first decimal number of the first file that has one."""
        files = dict(parents[0].variant.files)
        for path, data in sorted(files.items()):
            if (found := _LITERAL.search(data)) is not None:
                moved = f"{float(found[0]) + self.step * rng.standard_normal():.9f}".encode()
                files[path] = data[: found.start()] + moved + data[found.end() :]
                return Proposal(files, idea=f"{found[0].decode()} becomes {moved.decode()}")
        raise ValueError("the program holds no decimal number")

    def tell(self, trial: Trial) -> None:
        """Learns nothing."""
