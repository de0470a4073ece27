"""Has a language model join the ideas of two programs, where `crossover` joins their texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.forms import whole
from evolve.operators.mending import ByModel
from evolve.operators.reading import read
from evolve.operators.sizes import size
from evolve.types import Conversation, Parent


class Blend(ByModel):
    """Asks for the first parent with some of what makes the second one good."""

    name = "blend"
    arity = 2
    words = ("other", "other_score", "size")

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        first, second = (parent.variant.files for parent in parents)
        view, territory = self.view, self.view.territory
        words = {
            "other": view.program(second),
            "other_score": view.score(parents[1]),
            "size": size(rng, territory.lines(second)),
        }
        form = whole(first, territory)
        return self.asked(parents, rng, partial(read, first, territory), form=form, **words)
