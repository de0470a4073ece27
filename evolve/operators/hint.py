"""Has a language model say which numbers of a program matter and in which range: there `tune` searches."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from evolve.operators.expressions import pick
from evolve.operators.mending import ByModel, Fault, Made
from evolve.operators.splice import Change, Edit, child, no_child, number, quote
from evolve.operators.territory import Territory
from evolve.operators.tokens import Literal
from evolve.operators.tune import MOST, numbers_in, skeleton_of
from evolve.types import Conversation, Failure, Files, Json, Parent

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_LINE = re.compile(
    rf"\W*(\d+)\s*[:.)=]\s*(?:from\s+|\[\s*)?{_NUMBER}\s*(?:to|\.\.+|–|,)\s*{_NUMBER}\s*\]?"
    rf"(?:[,;]?\s*try\s*:?\s*{_NUMBER})?\W*",
    re.IGNORECASE,
)


class _Place(NamedTuple):
    """A file and its numbers, as a hint counts them: from 1, in the order of the text."""

    path: str
    source: str
    literals: list[Literal]


class Hint(ByModel):
    """Asks for numbers and ranges; the child has the values to try first.

    What `tune` needs of it travels in the details: {"skeleton", "numbers", "parent": {"numbers"}, "ranges"}.
    """

    name = "hint"
    words = ("numbers", "most")

    def propose(self, parents: Sequence[Parent], rng: np.random.Generator) -> Conversation:
        """Ask; a reply that cannot be used goes back with the error."""
        files, territory = parents[0].variant.files, self.view.territory
        found = numbers_in(files, territory)
        if not found:
            return no_child("no number to tune")
        path = pick(rng, list(found))
        source, literals = found[path]
        place = _Place(path, source, literals)
        words = {"numbers": _listed(place), "most": str(min(MOST, len(literals)))}
        return (yield from self.asked(parents, rng, partial(hinted, files, territory, place), **words))


def hinted(files: Files, territory: Territory, place: _Place, reply: str) -> Made | Fault:
    """The program with the values to try, and the ranges in its details."""
    ranges: dict[int, tuple[float, float]] = {}
    new = [literal.value for literal in place.literals]
    words = []
    for line in reply.split("\n"):
        if (match := _LINE.fullmatch(line)) is None:
            words.append(line)
            continue
        which, low, high = int(match[1]) - 1, float(match[2]), float(match[3])
        if not 0 <= which < len(new):
            return _fault("parse", f"{quote(line)}: expected a number from 1 to {len(new)}, got {match[1]}")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return _fault("parse", f"{quote(line)}: expected a range from less to more")
        whole = isinstance(new[which], int)
        if whole and math.ceil(low) > math.floor(high):
            return _fault("parse", f"{quote(line)}: expected a range with a whole number in it")
        first = min(max(float(match[4]) if match[4] else (low + high) / 2, low), high)
        new[which] = (
            min(max(round(first), math.ceil(low)), math.floor(high)) if whole else float(f"{first:.4g}")
        )
        ranges[which] = low, high
    if not ranges:
        return _fault("parse", f"no line as `1: from 0.1 to 0.9, try 0.25` in the reply {quote(reply)}")
    if len(ranges) > MOST:
        return _fault("parse", f"{len(ranges)} numbers, at most {MOST} can be tuned at once")
    edits = tuple(
        Edit(literal.start, literal.end, number(value, digits=4).fit(literal.needs))
        for literal, value in zip(place.literals, new, strict=True)
        if value != literal.value
    )
    before = [literal.value for literal in place.literals]
    details: dict[str, Json] = {
        "skeleton": skeleton_of(place.path, place.source, place.literals),
        "numbers": new,
        "parent": {"numbers": before},
        "ranges": {str(which): list(bounds) for which, bounds in sorted(ranges.items())},
    }
    idea = next((line.strip() for line in words if len(line.strip()) > 8), "numbers to tune")
    made = child(files, place.path, place.source, [Change(edits, idea)], territory, details)
    if made is None or made.files is None:
        return _fault("apply", "the values to try are those that the program has; try others")
    return Made(made.files, idea, details)


def _listed(place: _Place) -> str:
    """The numbers, a line each, with the line of the program that each stands in."""
    rows = []
    for n, literal in enumerate(place.literals, 1):
        line = place.source.count("\n", 0, literal.start)
        text = place.source[literal.start : literal.end]
        rows.append(f"{n}: {text} in line {line + 1}, {quote(place.source.split(chr(10))[line])}")
    return "\n".join(rows)


def _fault(stage: str, why: str) -> Fault:
    return Fault(stage, Failure("model", why))  # type: ignore[arg-type]
