"""Lessons that models draw from what was tried, and whether prompts with them brought more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from evolve.ranks import Ranks, guess
from evolve.types import Decision, Event, Json, Trial

EVERY = 20  # children of models between two lessons
SHOWN = 12  # changes that a lesson is drawn from: the best and the worst of them
WITHOUT = 0.25  # of the prompts carry none, to compare with
TRIED = 10  # prompts after which a lesson that never helped is dropped
COMPARED = 20  # prompts after which one that does less than prompts without it is dropped
LOADED = 8  # lessons of another run at the most


@dataclass(slots=True)
class Lesson:
    """One, and what children of prompts that carried it were worth (`Ranks`)."""

    number: int
    text: str
    trial: int | None  # that it was drawn in; None: it comes from another run
    prompts: int = 0
    worth: float = 0.0
    gain: float = 0.0  # over the parents, of the children that beat them, all together
    better: int = 0
    dropped: bool = False

    @property
    def mean(self) -> float:
        """Worth of a prompt."""
        return self.worth / self.prompts if self.prompts else 0.0


class Lessons:
    """Folds trials and events; decides what is a lesson, and which is one no more."""

    def __init__(self) -> None:
        self.all: list[Lesson] = []
        self.without = Lesson(0, "", None)  # what prompts without any lesson brought
        self._ranks = Ranks()
        self._since: list[str] = []  # children of models since the last lesson
        self._brought: list[tuple[int, str]] = []  # (trial, text) of lessons that no event has

    def hear(self, event: Event) -> None:
        """Fold an event that is no trial."""
        if event.kind == "start":
            for row in event.measured.get("lessons", ()):
                self._add(row["text"], None)
        elif event.kind == "lesson" and "dropped" in event.decision:
            self.all[event.decision["dropped"] - 1].dropped = True
        elif event.kind == "lesson":
            self._add(event.decision["text"], event.decision["trial"])
            self._brought = [each for each in self._brought if each[0] != event.decision["trial"]]

    def _add(self, text: str, trial: int | None) -> None:
        self.all.append(Lesson(len(self.all) + 1, text, trial))

    def tell(self, trial: Trial, gain: float | None) -> None:
        """Credit the lesson that a trial's prompt carried; note the one that came with it."""
        worth = self._ranks.tell(trial)
        if trial.model is None:
            return
        if trial.variant is not None:
            self._since.append(trial.variant)
        if "distil" in trial.carried and "lesson" not in trial.details:
            self._since = self._since[-EVERY // 2 :]  # nothing came of it: not at once again
        if (text := trial.details.get("lesson")) is not None:
            self._brought.append((trial.index, text))
            self._since.clear()
        number = trial.carried.get("lesson")
        lesson = self.without if number is None else self.all[number - 1]
        lesson.prompts += 1
        lesson.worth += worth
        if worth > 0 and gain is not None:
            lesson.better += 1
            lesson.gain += gain

    def judge(self) -> list[Decision]:
        """Events that follow from what was told: a new lesson, one that is dropped."""
        if self._brought:
            trial, text = self._brought[0]
            return [Decision("lesson", {"lesson": len(self.all) + 1, "trial": trial, "text": text})]
        for lesson in self.all:
            if not lesson.dropped and (why := self._useless(lesson)) is not None:
                measured = {
                    "prompts": lesson.prompts, "worth": lesson.mean, "without": self.without.mean,
                }  # fmt: skip
                return [Decision("lesson", {"dropped": lesson.number, "why": why}, measured)]
        return []

    def _useless(self, lesson: Lesson) -> str | None:
        if lesson.prompts >= TRIED and lesson.worth == 0:
            return "it never helped"
        if (
            lesson.prompts >= COMPARED
            and self.without.prompts >= COMPARED
            and lesson.mean < self.without.mean
        ):
            return "prompts without it brought more"
        return None

    def sample(self, rng: np.random.Generator) -> int | None:
        """Number of a lesson for a prompt, the more useful the likelier; None: it carries none."""
        kept = [lesson for lesson in self.all if not lesson.dropped]
        if not kept or rng.random() < WITHOUT:
            return None
        expected = self.without.mean + 0.1
        weights = np.array([guess(lesson.worth, lesson.prompts, expected) for lesson in kept])
        return kept[int(rng.choice(len(kept), p=weights / weights.sum()))].number

    def due(self, under_way: Iterable[Mapping[str, Json]]) -> list[str]:
        """Variants to draw a lesson from; none while it is too early, or one is being drawn."""
        if len(self._since) < EVERY or any("distil" in carried for carried in under_way):
            return []
        return list(self._since)

    def useful(self) -> list[str]:
        """What a new run may begin with, the most useful first."""
        kept = [lesson for lesson in self.all if not lesson.dropped]
        expected = self.without.mean
        kept.sort(key=lambda lesson: (-guess(lesson.worth, lesson.prompts, expected), lesson.number))
        return [lesson.text for lesson in kept[:LOADED]]


def told_of(children: Iterable[tuple[str, float | None]]) -> list[str]:
    """Which (variant, gain) a lesson is drawn from: the greatest gains and the worst ends, best first."""
    order = [id for id, _ in sorted(children, key=lambda each: -math.inf if each[1] is None else each[1])]
    order.reverse()
    half = SHOWN // 2
    return order if len(order) <= SHOWN else order[:half] + order[-half:]
