"""Has a language model change one thing about a program: a short prompt, the whole file back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.forms import whole
from evolve.operators.mending import ByModel
from evolve.operators.prompts import items
from evolve.operators.reading import read
from evolve.operators.sizes import size
from evolve.types import Conversation, Parent

CHANGES = items("changes")


class Rewrite(ByModel):
    """Asks a model for one stated change of the parent."""

    name = "rewrite"
    words = ("change", "size")

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        words = {"change": pick(rng, CHANGES), "size": size(rng, territory.lines(files))}
        reads = partial(read, files, territory)
        return self.asked(parents, rng, reads, form=whole(files, territory), **words)
