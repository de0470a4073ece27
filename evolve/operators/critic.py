"""Has a language model propose a change, criticise it, and amend it: three questions for one child."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.forms import whole
from evolve.operators.mending import ByModel, Fault, Inquiry
from evolve.operators.prompts import template
from evolve.operators.reading import read
from evolve.operators.rewrite import CHANGES
from evolve.operators.sizes import size
from evolve.operators.view import View
from evolve.types import Conversation, Exchange, Parent, Proposal, Question

MOST_CRITIQUE = 4_000  # characters


class Critic(ByModel):
    """Asks as `rewrite` does, then for criticism, then for a better child.

    Each question is within the budget: where there is room for no more, or no answer comes, the proposal as
    it stands is the child.
    """

    name = "critic"
    words = ("idea", "draft")

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._propose = view.template("rewrite", ("change", "size"))
        self._amend = template("amend", view.problem, ("question", "draft", "critique"))

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Propose, criticise, amend; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        reader = partial(read, files, territory)
        words = {"change": pick(rng, CHANGES), "size": size(rng, territory.lines(files))}
        question = self.question(parents, rng, template=self._propose, **words)
        if isinstance(question, Proposal):
            return question
        form = whole(files, territory)
        first = Inquiry(question, self.again, rng, reader, form=form)
        draft = yield from first.draft()
        if isinstance(draft, Fault):
            return Proposal(None, failure=draft.failure, details={"failed": first.failed})
        shown = self.view.program(draft.files)
        asked = self.view.prompt(self.template, parents, rng, idea=draft.idea or "not told", draft=shown)
        child = draft.child(first.failed, "a model")
        said = yield Question(asked, int(rng.integers(2**31)), child)
        assert isinstance(said, Exchange)
        amend = self._amend.format(
            question=question, draft=shown, critique=said.reply.strip()[:MOST_CRITIQUE]
        )
        made = yield from Inquiry(amend, self.again, rng, reader, first.failed, child, form).child()
        return child if made.files is None else made
