"""Has a language model solve the task by another idea than the parent's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.forms import whole
from evolve.operators.mending import ByModel
from evolve.operators.prompts import items
from evolve.operators.reading import read
from evolve.types import Conversation, Parent

WAYS = items("ways")


class Invent(ByModel):
    """Asks for a different program, one way to look for it suggested."""

    name = "invent"
    words = ("way",)

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        form = whole(files, territory)
        return self.asked(parents, rng, partial(read, files, territory), form=form, way=pick(rng, WAYS))
