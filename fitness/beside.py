"""What a program uses, told beside the seed: machines drift, and a run compares what is hours apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evolve.types import Evaluation


def beside_seed(evaluation: Evaluation, seed_scores: Sequence[float]) -> Evaluation:
    """Scores as if the machine were as fast as when the seed had `seed_scores`, a raw one a case.

    `evaluation` took turns with the seed, its rival: what counts is the ratio of the two. A case that either
    failed keeps its score.
    """
    if (seed := evaluation.rival) is None:
        return evaluation
    scores = tuple(
        score if failure is not None or seed_failure is not None else then * score / now
        for score, failure, now, seed_failure, then in zip(
            evaluation.scores, evaluation.failures, seed.scores, seed.failures, seed_scores, strict=True
        )
    )
    return replace(evaluation, scores=scores, rival=None)
