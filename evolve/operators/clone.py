"""Children that do what their parent does: what a gate promotes of them, it promotes by mistake (A/A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.operators.territory import Territory
from evolve.types import Parent, Proposal, Trial


class Clone:
    """Adds a remark with a number to the first editable Python file."""

    name = "clone"
    arity = 1
    prompt_bytes = 0

    def __init__(self, territory: Territory) -> None:
        self._territory = territory

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Proposal:
        """The parent and a remark."""
        files = dict(parents[0].variant.files)
        path = next(path for path in sorted(files) if path.endswith(".py") and self._territory.editable(path))
        text = files[path].decode()
        _, end = self._territory.spans(path, text)[0]
        number = int(rng.integers(10**9))
        before = text[:end] if text[:end].endswith("\n") else text[:end] + "\n"
        files[path] = f"{before}# clone {number}\n{text[end:]}".encode()
        return Proposal(files, idea=f"clone {number}")

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""
