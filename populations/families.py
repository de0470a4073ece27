"""An elite that no program fills with ever other numbers of its own."""

from __future__ import annotations

from evolve.types import Trial
from populations.elite import Elite, Kept


class Families(Elite):
    """An elite in which at most `alike` variants differ in their numbers alone, the best of them.

    Which do, `tune` and `hint` say by `details["skeleton"]`: what is left of a program without its numbers.
    On a plateau, where nearly every program can be tuned to score a little better than the seed, one of them
    would else take all places, and what a later edit could begin with is lost. Where tuning is what helps,
    an elite finds more.
    """

    def __init__(self, size: int = 64, alike: int = 4) -> None:
        super().__init__(size)
        self._alike = alike
        self._skeletons: dict[str, str] = {}  # of the kept, where it is known

    def tell(self, trial: Trial) -> None:
        """Keep the variant if it is among the best, of its like too."""
        skeleton = trial.details.get("skeleton")
        if skeleton is not None and trial.variant is not None and trial.parents:
            self._skeletons[trial.parents[0]] = self._skeletons[trial.variant] = skeleton
        super().tell(trial)
        if skeleton is not None:
            kept = {each.variant for each in self._kept}
            self._skeletons = {name: of for name, of in self._skeletons.items() if name in kept}

    def admit(self, new: Kept) -> None:
        """Keep it if it is among the best; where its like have all their places, instead of their worst."""
        skeleton = self._skeletons.get(new.variant)
        if skeleton is not None and new.scores not in self._scores:
            alike = [kept for kept in self._kept if self._skeletons.get(kept.variant) == skeleton]
            if len(alike) >= self._alike:
                if alike[-1] < new:
                    return
                self._kept.remove(alike[-1])
                self._scores.remove(alike[-1].scores)
        super().admit(new)
