"""What a language model is shown: the one place where an operator's prompt is put together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from evolve.operators.prompts import Told, template
from evolve.operators.territory import Territory
from evolve.types import Files, Parent, Trial

FIELDS = (
    *("statement", "score", "direction", "trouble", "program", "blocks", "path", "example", "files"),
    "beside",  # what the run remembers
)
_ROOM_BYTES = 8_192  # of a prompt, beside twice the statement and the seed: the question, and room to grow


class View:
    """Compiles prompts of templates, parents and an operator's own words.

    Pure: what was told, the parents, the generator's state and the words decide every byte. It is shared by
    the operators of a run; each of them passes on what it is told.
    """

    def __init__(self, problem: Told, territory: Territory) -> None:
        self.problem, self.territory = problem, territory
        self._several = template("several", problem).rstrip()

    def most_bytes(self, programs: int) -> int:
        """The longest that a prompt with so many programs may be, so that its price has a bound."""
        said = len(self.problem.statement.encode()) + programs * self.territory.seed_bytes
        return _ROOM_BYTES + 2 * said

    def template(self, name: str, words: Collection[str] = ()) -> str:
        """The text of a prompt that may hold `FIELDS` and an operator's own words; see `prompts.template`."""
        return template(name, self.problem, (*FIELDS, *words))

    def prompt(self, text: str, parents: Sequence[Parent], rng: np.random.Generator, **words: str) -> str:
        """A template with its fields filled in: the parent's, which is the first of them, and these words."""
        territory, parent = self.territory, parents[0]
        files = parent.variant.files
        editable = [path for path in sorted(files) if territory.editable(path)]
        blocks = any(territory.marked(path) for path in editable)
        fields = {
            "statement": self.problem.statement.strip(),
            "score": self.score(parent),
            "direction": "greater" if self.problem.sign > 0 else "less",
            "trouble": trouble(parent.trial),
            "program": self.program(files),
            "blocks": ", and everything outside the EVOLVE-BLOCK markers, and the markers" if blocks else "",
            "path": editable[0],
            "example": f"```{language(editable[0])} {editable[0]}\n...\n```",
            "files": self._several if len(editable) > 1 else "",
            **words,
        }
        alone = len(text.format(**fields, beside="").encode())
        return text.format(**fields, beside=parent.beside(alone))

    def program(self, files: Files) -> str:
        """The editable files of a program, each behind its path."""
        return "\n\n".join(
            _fenced(path, files[path]) for path in sorted(files) if self.territory.editable(path)
        )

    def score(self, parent: Parent) -> str:
        """What a parent scores, raw."""
        value = parent.trial.value
        return "nothing yet" if value is None else f"{self.problem.sign * value:.6g}"

    def tell(self, trial: Trial) -> None:
        """Hear of a finished trial; from several operators, but nothing is learned."""


def trouble(trial: Trial) -> str:
    """What went wrong with a program when it was evaluated, in lines that a prompt can go on with."""
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
    return f"```{language(path)} {path}\n{content.decode('utf-8', 'replace').rstrip()}\n```"


def language(path: str) -> str:
    """What a fence calls the language of a file."""
    suffix = path.rpartition(".")[2]
    return {"py": "python", "rs": "rust", "md": "markdown"}.get(suffix, suffix)
