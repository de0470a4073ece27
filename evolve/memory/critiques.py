"""What was wrong with children that failed, in a model's words (Reflexion, 2023)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evolve.memory.archive import Fact
from evolve.types import Json, Trial

WAITING = 16  # failed children, the newest, that a critique is still asked for
SHOWN = 2  # critiques in a prompt at the most


class Critiques:
    """Folds trials: which failed children nobody has looked at, and what was said of the others."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}  # failed variant -> what was wrong with it
        self._failed: dict[str, tuple[str, ...]] = {}  # of models, those that wait -> their parents
        self._of: dict[str, list[str]] = {}  # parent -> its failed children that have a critique

    def tell(self, trial: Trial, fact: Fact | None) -> None:
        """Note a failure, and a critique that came with this trial."""
        if trial.model is not None and trial.verdict == "failed" and fact is not None:
            self._failed[fact.variant] = fact.parents
            for old in list(self._failed)[:-WAITING]:
                del self._failed[old]
        said: Json = trial.details.get("critique")
        if said is not None and said["of"] not in self.texts:
            self.texts[said["of"]] = said["text"]
            for parent in self._failed.pop(said["of"], ()):
                self._of.setdefault(parent, []).append(said["of"])

    def wanted(self, lineage: Collection[str], under_way: Collection[str]) -> str | None:
        """The newest failed child of a lineage that nobody has looked at, or looks at now."""
        for failed, parents in reversed(self._failed.items()):
            if failed not in under_way and not set(parents).isdisjoint(lineage):
                return failed
        return None

    def of(self, lineage: Sequence[str]) -> list[str]:
        """Failed children of a lineage that have a critique: the nearest first, of one parent the newest."""
        found = [failed for id in lineage for failed in reversed(self._of.get(id, ()))]
        return list(dict.fromkeys(found))[:SHOWN]
