"""Has a language model change one thing about a program: a short prompt, the whole file back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from importlib.resources import files as resource

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.mending import ByModel, Fault, Made
from evolve.operators.splice import quote
from evolve.operators.territory import Territory, syntax_error
from evolve.types import Conversation, Failure, Files, Parent

CHANGES = [
    line.removeprefix("- ")
    for line in (resource("evolve.operators") / "changes.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("- ")
]
# A fenced block; what stands behind the language, or on the line before, may name its file.
_FENCE = re.compile(r"^(```+|~~~+)[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


class Rewrite(ByModel):
    """Asks a model for one stated change of the parent."""

    name = "rewrite"
    words = ("change",)

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        read = partial(parse, parents[0].variant.files, self.view.territory)
        return self.asked(parents, rng, read, change=pick(rng, CHANGES))


def parse(parent: Files, territory: Territory, reply: str) -> Made | Fault:
    """The parent with the files of the reply in place, or where and why the reply cannot be used."""
    editable = [path for path in sorted(parent) if territory.editable(path)]
    blocks = [(_path(match[2], reply[: match.start()]), match[3]) for match in _FENCE.finditer(reply)]
    if not blocks:
        return Fault("parse", Failure("model", f"no fenced code block in the reply {quote(reply)}"))
    found = {path: text for path, text in blocks if path is not None and territory.editable(path)}
    if not found and len(editable) == 1:  # one file, and no need to name it: the longest block
        found = {editable[0]: max((text for _, text in blocks), key=len)}
    if not found:
        return Fault("parse", Failure("model", f"no code block names one of {', '.join(editable)}"))
    made = {**parent, **{path: text.encode(errors="replace") for path, text in found.items()}}
    return check(parent, made, territory) or Made(made, idea_of(_FENCE.sub("\n", reply)))


def check(parent: Files, made: Files, territory: Territory) -> Fault | None:
    """Where and why a changed program is none."""
    if made == parent:
        return Fault("apply", Failure("model", "the reply is the parent itself"))
    if wrong := territory.violation(made):
        return Fault("inside", Failure("refused", wrong))
    if wrong := syntax_error(made):
        return Fault("compile", Failure("model", wrong))
    return None


def idea_of(prose: str) -> str:
    """The line in which a model says what it changes."""
    return next((line.strip() for line in prose.split("\n") if len(line.strip()) > 8), "")


def _path(info: str, before: str) -> str | None:
    """The file that a block names: behind the language, or alone on the line before it."""
    words = info.split()
    last = before.rstrip().rpartition("\n")[2].strip().strip("*#`: ")
    for word in [*words[1:], *words[:1], last]:
        name = word.removeprefix("path=").removeprefix("file=").strip("`\"'")
        if re.fullmatch(r"[\w./-]+\.\w+", name):
            return name
    return None
