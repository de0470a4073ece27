"""Has a language model change one thing about a program: a short prompt, the whole file back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files as resource
from typing import Protocol

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.splice import quote
from evolve.operators.territory import Territory, syntax_error
from evolve.types import Conversation, Exchange, Failure, Files, Parent, Proposal, Question, Trial

_PROMPT = (resource("evolve.operators") / "rewrite.md").read_text(encoding="utf-8")
_CHANGES = [
    line.removeprefix("- ")
    for line in (resource("evolve.operators") / "changes.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("- ")
]
_ROOM_BYTES = 8_192  # of a prompt, beside twice the statement and the seed: the question, and room to grow
# A fenced block; what stands behind the language, or on the line before, may name its file.
_FENCE = re.compile(r"^(```+|~~~+)[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


class Statement(Protocol):
    """What a prompt says of a problem."""

    @property
    def statement(self) -> str:
        """What a mutator may read."""
        ...

    @property
    def sign(self) -> int:
        """1: a greater raw score is better, -1: a smaller one."""
        ...


class Rewrite:
    """Asks a model for one stated change of the parent."""

    name = "rewrite"
    arity = 1

    def __init__(self, problem: Statement, territory: Territory) -> None:
        self._problem, self._territory = problem, territory
        known = len(problem.statement.encode()) + territory.seed_bytes
        self.prompt_bytes = _ROOM_BYTES + 2 * known  # so that its price has a bound

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask once; a reply without a usable program is a failure of the attempt."""
        change = pick(rng, _CHANGES)
        files = parents[0].variant.files
        text = prompt(self._problem, self._territory, parents[0], change)
        if (size := len(text.encode())) > self.prompt_bytes:
            why = f"a prompt of {size} bytes; at most {self.prompt_bytes}"
            return Proposal(None, failure=Failure("model", why))
        exchange = yield Question(text, seed=int(rng.integers(2**31)))
        assert isinstance(exchange, Exchange)
        made = parse(exchange.reply, files, self._territory)
        if isinstance(made, Failure):
            return Proposal(None, failure=made)
        return Proposal(made, _idea(exchange))

    def tell(self, trial: Trial) -> None:
        """Nothing is learned."""


def prompt(problem: Statement, territory: Territory, parent: Parent, change: str) -> str:
    """The question: statement, score, what went wrong, the editable files, the one change asked for."""
    files = parent.variant.files
    editable = [path for path in sorted(files) if territory.editable(path)]
    blocks = any(territory.marked(path) for path in editable)
    value = parent.trial.value
    first = editable[0]
    return _PROMPT.format(
        statement=problem.statement.strip(),
        score="nothing yet" if value is None else f"{problem.sign * value:.6g}",
        direction="greater" if problem.sign > 0 else "less",
        trouble=_trouble(parent.trial),
        program="\n\n".join(_fenced(path, files[path]) for path in editable),
        change=change,
        blocks=", and everything outside the EVOLVE-BLOCK markers, and the markers" if blocks else "",
        example=f"```{_language(first)} {first}\n...\n```",
    )


def parse(reply: str, parent: Files, territory: Territory) -> dict[str, bytes] | Failure:
    """The parent with the files of the reply in place, or why the reply cannot be used."""
    editable = [path for path in sorted(parent) if territory.editable(path)]
    blocks = [(_path(match[2], reply[: match.start()]), match[3]) for match in _FENCE.finditer(reply)]
    if not blocks:
        return Failure("model", f"no fenced code block in the reply {quote(reply)}")
    found = {path: text for path, text in blocks if path is not None and territory.editable(path)}
    if not found and len(editable) == 1:  # one file, and no need to name it: the longest block
        found = {editable[0]: max((text for _, text in blocks), key=len)}
    if not found:
        return Failure("model", f"no code block names one of {', '.join(editable)}")
    made = {**parent, **{path: text.encode(errors="replace") for path, text in found.items()}}
    if made == parent:
        return Failure("model", "the reply is the parent itself")
    if wrong := territory.violation(made):
        return Failure("refused", wrong)
    if wrong := syntax_error(made):
        return Failure("model", wrong)
    return made


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


def _idea(exchange: Exchange) -> str:
    """The line in which the model says what it changes."""
    prose = _FENCE.sub("\n", exchange.reply).split("\n")
    line = next((line.strip() for line in prose if len(line.strip()) > 8), "")
    return line[:120] or f"rewritten by {exchange.model}"
