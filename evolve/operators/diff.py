"""Has a language model change a few lines of a program: search and replace blocks back, no whole file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.mending import Fault, Made, mended
from evolve.operators.patch import apply, blocks, prose
from evolve.operators.prompts import Told, template
from evolve.operators.rewrite import CHANGES, check, idea_of, known_bytes, said_of
from evolve.operators.splice import quote
from evolve.operators.territory import Territory
from evolve.types import Conversation, Failure, Files, Parent, Proposal, Trial

_FIELDS = ("statement", "score", "direction", "trouble", "program", "change", "blocks", "size", "path")
_SHAPE = 1.2  # of the tail of the edit's size: most edits are of a line or two, some of very many


class Diff:
    """Asks for one stated change of so many lines; the number comes from a heavy tail (LLaMEA, 2024)."""

    name = "diff"
    arity = 1

    def __init__(self, problem: Told, territory: Territory) -> None:
        self._problem, self._territory = problem, territory
        self._template = template("diff", problem, _FIELDS)
        self.prompt_bytes = known_bytes(problem, territory)

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files = parents[0].variant.files
        lines = sum(files[path].count(b"\n") for path in files if self._territory.editable(path))
        said = said_of(self._problem, self._territory, parents[0])
        text = self._template.format(**said, change=pick(rng, CHANGES), size=_size(rng, lines))
        if (size := len(text.encode())) > self.prompt_bytes:
            why = f"a prompt of {size} bytes; at most {self.prompt_bytes}"
            return Proposal(None, failure=Failure("model", why))
        return (yield from mended(text, self._problem, rng, partial(read, files, self._territory)))

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


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
