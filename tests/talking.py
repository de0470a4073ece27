"""An operator's conversation with a model, outside any run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from evolve.models import Model
from evolve.models.desk import Desk
from evolve.types import Operator, Parent, Proposal


def proposed(operator: Operator, parents: Sequence[Parent], seed: int, model: Model) -> Proposal:
    """The child of an operator, whether it asks a model or not."""
    made = operator.propose(parents, np.random.default_rng(seed))
    if isinstance(made, Proposal):
        return made
    desk = Desk([model])
    return asyncio.run(desk.talk(desk.open(made, model.name, trial=1)))
