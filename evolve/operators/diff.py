"""Has a language model change a few lines of a program: search and replace blocks back, no whole file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.mending import ByModel, Fault, Made
from evolve.operators.patch import apply, blocks, prose
from evolve.operators.rewrite import CHANGES, check, idea_of
from evolve.operators.splice import quote
from evolve.operators.territory import Territory
from evolve.types import Conversation, Failure, Files, Parent

_SHAPE = 1.2  # of the tail of the edit's size: most edits are of a line or two, some of very many


class Diff(ByModel):
    """Asks for one stated change of so many lines; the number comes from a heavy tail (LLaMEA, 2024)."""

    name = "diff"
    words = ("change", "size")

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        lines = sum(files[path].count(b"\n") for path in files if territory.editable(path))
        change, size = pick(rng, CHANGES), _size(rng, lines)
        return self.asked(parents, rng, partial(read, files, territory), change=change, size=size)


def read(parent: Files, territory: Territory, reply: str) -> Made | Fault:
    """The parent with the blocks of a reply applied, or where and why that fails."""
    found = blocks(reply)
    editable = [path for path in sorted(parent) if territory.editable(path)]
    if not found:
        return Fault("parse", Failure("model", f"no SEARCH and REPLACE block in the reply {quote(reply)}"))
    made = dict(parent)
    for block in found:
        path = block.path if block.path in made else editable[0] if len(editable) == 1 else block.path
        if path is None or path not in made:
            expected = f"a file for each block, one of {', '.join(editable)}"
            return Fault("apply", Failure("model", f"expected {expected}, got {path or 'none'}"))
        try:
            made[path] = apply(made[path].decode(), block).encode(errors="replace")
        except ValueError as error:  # no text, or it does not fit
            return Fault("apply", Failure("model", f"{path}: {error}"))
    return check(parent, made, territory) or Made(made, idea_of(prose(reply)))


def _size(rng: np.random.Generator, lines: int) -> str:
    """How much to change, in words."""
    count = min(1 + int(rng.pareto(_SHAPE)), max(lines, 1))
    return "one line" if count == 1 else f"about {count} lines"
