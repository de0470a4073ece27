"""Has a language model change a few lines of a program: search and replace blocks back, no whole file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.forms import change
from evolve.operators.mending import ByModel
from evolve.operators.reading import read_changes
from evolve.operators.rewrite import CHANGES
from evolve.operators.sizes import size
from evolve.types import Conversation, Parent


class Diff(ByModel):
    """Asks for one stated change of so many lines."""

    name = "diff"
    words = ("change", "size")

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        words = {"change": pick(rng, CHANGES), "size": size(rng, territory.lines(files))}
        reads = partial(read_changes, files, territory)
        return self.asked(parents, rng, reads, form=change(files, territory), **words)
