"""Has a language model repair a child that failed: its idea was paid for, and may be good."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np

from evolve.operators.forms import whole
from evolve.operators.mending import ByModel
from evolve.operators.reading import read
from evolve.operators.sizes import size
from evolve.operators.view import View, trouble
from evolve.types import Conversation, Parent, Trial

MEMORY = 16  # failed children that wait
WEAKEST = "Fix the weakest point that you see."


class Repair(ByModel):
    """Asks for the latest failed child without its fault; else for the parent's weakest point mended.

    It remembers children of language models that failed on every case when they were evaluated: those that
    an operator made by chance hold no idea. Each is repaired once. A fold of the trials: replay knows them.
    """

    name = "repair"
    words = ("idea", "failures", "failed")

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._plain = view.template("rewrite", ("change", "size"))
        self._failed: deque[tuple[str, str]] = deque(
            maxlen=MEMORY
        )  # (failed child, its parent), oldest first

    def choose(self, rng: np.random.Generator, pending: Collection[str]) -> tuple[str, ...]:
        """The latest failed child that nobody repairs now, behind its parent; empty: none waits."""
        waiting = [(parent, failed) for failed, parent in self._failed if failed not in pending]
        return waiting[-1] if waiting else ()

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        territory, failed = self.view.territory, parents[-1]
        files = failed.variant.files
        reads, form = partial(read, files, territory), whole(files, territory)
        if len(parents) == 1 and failed.trial.value is not None:
            words = {"change": WEAKEST, "size": size(rng, territory.lines(files))}
            return self.asked(parents, rng, reads, template=self._plain, form=form, **words)
        words = {
            "idea": failed.trial.idea or "not told",
            "failures": trouble(failed.trial),
            "failed": self.view.program(files),
        }
        return self.asked(parents, rng, reads, form=form, **words)

    def tell(self, trial: Trial) -> None:
        """Remember a failed child; forget one that was repaired, or could not be."""
        super().tell(trial)
        if trial.operator == self.name and len(trial.parents) > 1:
            self._failed = deque((each for each in self._failed if each[0] != trial.parents[1]), MEMORY)
        elif trial.verdict == "failed" and trial.model is not None and trial.variant is not None:
            failures = trial.evaluation.failures if trial.evaluation else ()
            if not any(failure and (failure.violates or failure.kind == "machinery") for failure in failures):
                self._failed.append((trial.variant, trial.parents[0]))
