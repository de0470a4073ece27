"""Has a language model change one thing about a program: a short prompt, the whole file back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from importlib.resources import files as resource

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.mending import Fault, Made, mended
from evolve.operators.prompts import Told, template
from evolve.operators.splice import quote
from evolve.operators.territory import Territory, syntax_error
from evolve.types import Conversation, Failure, Files, Parent, Proposal, Trial

CHANGES = [
    line.removeprefix("- ")
    for line in (resource("evolve.operators") / "changes.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("- ")
]
_FIELDS = ("statement", "score", "direction", "trouble", "program", "change", "blocks", "path", "example")
_ROOM_BYTES = 8_192  # of a prompt, beside twice the statement and the seed: the question, and room to grow
# A fenced block; what stands behind the language, or on the line before, may name its file.
_FENCE = re.compile(r"^(```+|~~~+)[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


class Rewrite:
    """Asks a model for one stated change of the parent."""

    name = "rewrite"
    arity = 1

    def __init__(self, problem: Told, territory: Territory) -> None:
        self._problem, self._territory = problem, territory
        self._template = template("rewrite", problem, _FIELDS)
        self.prompt_bytes = known_bytes(problem, territory)

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files = parents[0].variant.files
        text = prompt(self._template, self._problem, self._territory, parents[0], pick(rng, CHANGES))
        if (size := len(text.encode())) > self.prompt_bytes:
            why = f"a prompt of {size} bytes; at most {self.prompt_bytes}"
            return Proposal(None, failure=Failure("model", why))
        return (yield from mended(text, self._problem, rng, partial(parse, files, self._territory)))

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


def known_bytes(problem: Told, territory: Territory) -> int:
    """The longest that a prompt may be, so that its price has a bound."""
    return _ROOM_BYTES + 2 * (len(problem.statement.encode()) + territory.seed_bytes)


def prompt(text: str, problem: Told, territory: Territory, parent: Parent, change: str) -> str:
    """The question: statement, score, what went wrong, the editable files, the one change asked for."""
    said = said_of(problem, territory, parent)
    path = said["path"]
    return text.format(**said, change=change, example=f"```{_language(path)} {path}\n...\n```")


def said_of(problem: Told, territory: Territory, parent: Parent) -> dict[str, str]:
    """What every prompt may say of a parent."""
    files = parent.variant.files
    editable = [path for path in sorted(files) if territory.editable(path)]
    blocks = any(territory.marked(path) for path in editable)
    value = parent.trial.value
    return {
        "statement": problem.statement.strip(),
        "score": "nothing yet" if value is None else f"{problem.sign * value:.6g}",
        "direction": "greater" if problem.sign > 0 else "less",
        "trouble": _trouble(parent.trial),
        "program": "\n\n".join(_fenced(path, files[path]) for path in editable),
        "blocks": ", and everything outside the EVOLVE-BLOCK markers, and the markers" if blocks else "",
        "path": editable[0],
    }


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


def _trouble(trial: Trial) -> str:
    evaluation = trial.evaluation
    if evaluation is None:
        return ""
    failures = [failure for failure in evaluation.failures if failure]
    lines = []
    if failures:
        lines.append(
            f"{len(failures)} of {len(evaluation.failures)} cases fail, the first: {failures[0].detail}"
        )
    if evaluation.feedback:
        lines.append(evaluation.feedback)
    return "".join(f"\n{line[:600]}" for line in lines)


def _fenced(path: str, content: bytes) -> str:
    return f"```{_language(path)} {path}\n{content.decode('utf-8', 'replace').rstrip()}\n```"


def _language(path: str) -> str:
    suffix = path.rpartition(".")[2]
    return {"py": "python", "rs": "rust", "md": "markdown"}.get(suffix, suffix)
