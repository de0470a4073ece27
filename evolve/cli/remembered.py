"""What prompts carried and what was learned, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from evolve.cli.screen import one_line
from evolve.cli.story import Story
from evolve.memory.lessons import Lesson
from evolve.types import Trial


def carried_rows(story: Story, trial: Trial) -> Iterator[tuple[str, Text | str]]:
    """What the prompt of a variant carried beside its parents, and what its model said of others."""
    carried, details = trial.carried, trial.details
    rows = [
        ("inspirations", ", ".join(carried.get("inspirations", ()))),
        ("ancestors", ", ".join(carried.get("ancestors", ()))),
        ("critiques", ", ".join(f"of {id}" for id in carried.get("critiques", ()))),
        ("pair", "{2} ({0}), mended in {1}".format(*carried["pair"]) if "pair" in carried else ""),
        ("lesson", _lesson(story, carried.get("lesson"))),
        ("critique", "of {of}: {text}".format(**details["critique"]) if "critique" in details else ""),
        ("learned", details.get("lesson", "")),
    ]
    for name, text in rows:
        if text:
            yield name, one_line(text)


def _lesson(story: Story, number: int | None) -> str:
    return "" if number is None else f"{number}: {story.lessons.all[number - 1].text}"


def lesson_rows(story: Story) -> Iterator[tuple[str, Text | str]]:
    """Each lesson of a run, and what prompts with it brought, beside those without any."""
    lessons = story.lessons
    for n, lesson in enumerate(lessons.all):
        text = Text.assemble((f"{lesson.number}", "name"), f" {one_line(lesson.text)}")
        text.append(f"  {_use(lesson)}", style="quiet")
        text.append("  dropped" if lesson.dropped else "", style="note")
        yield "" if n else "lessons", text
    if lessons.all and lessons.without.prompts:
        yield "", Text(f"without any: {_use(lessons.without)}", style="quiet")


def _use(lesson: Lesson) -> str:
    if not lesson.prompts:
        return "in no prompt yet"
    return f"{lesson.prompts} prompts, {lesson.better} improve, worth {lesson.mean:.2f} a prompt"
