"""Has a language model write the parent with less code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.forms import whole
from evolve.operators.mending import ByModel, Fault, Made
from evolve.operators.reading import read
from evolve.operators.territory import Territory
from evolve.types import Conversation, Failure, Files, Parent
from fitness.simplicity import program_size


class Simplify(ByModel):
    """Asks for the same behaviour; a child that is not smaller goes back.

    `size` in the details: words and signs of the parent and of the child, as the gate counts them.
    """

    name = "simplify"

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        form = whole(files, territory)
        return self.asked(parents, rng, partial(smaller, files, territory), form=form)


def smaller(parent: Files, territory: Territory, reply: str) -> Made | Fault:
    """The program of a reply, if it is smaller than the parent."""
    made = read(parent, territory, reply)
    if isinstance(made, Fault):
        return made
    before, after = program_size(parent), program_size(made.files)
    if after >= before:
        why = f"the program has {after} words and signs, where the one to simplify has {before}: not smaller"
        return Fault("apply", Failure("model", why))
    return made._replace(details={"size": [before, after]})
