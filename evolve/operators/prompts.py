"""Prompts as files: a problem's own under prompts/, else those that come with the operators."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files as resource
from string import Formatter
from typing import Protocol

from evolve.types import BadInput, Files


class Told(Protocol):
    """What prompts say of a problem."""

    @property
    def statement(self) -> str:
        """What a mutator may read."""
        ...

    @property
    def sign(self) -> int:
        """1: a greater raw score is better, -1: a smaller one."""
        ...

    @property
    def documents(self) -> Files:
        """The problem's files outside its program; `prompts/NAME.md` replaces a prompt of that name."""
        ...


def items(name: str) -> list[str]:
    """The items of a list that comes with the operators."""
    text = (resource("evolve.operators") / f"{name}.md").read_text(encoding="utf-8")
    return [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]


def template(
    name: str, problem: Told, fields: Collection[str] = (), package: str = "evolve.operators"
) -> str:
    """The text of a prompt, with `{field}` where something is put in; `package`: where the usual one lies.

    Raises BadInput for a problem's own text that is not UTF-8 or asks for another field.
    """
    where = f"prompts/{name}.md"
    if (own := problem.documents.get(where)) is None:
        return (resource(package) / f"{name}.md").read_text(encoding="utf-8")
    expected = f"text whose fields are among {', '.join(f'{{{field}}}' for field in sorted(fields))}"
    try:
        text = own.decode()
        asked = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise BadInput(where, expected, f"{error}") from None
    if wrong := sorted(asked - set(fields)):
        raise BadInput(where, expected, f"{{{wrong[0]}}}")
    return text
