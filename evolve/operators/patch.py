"""Search and replace in a text: tolerant of indentation and line ends, strict about where a block applies."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from evolve.operators.replies import Block
from evolve.operators.splice import quote

_TAB = 8  # columns


class _Place(NamedTuple):
    """Where a block applies: lines [start, end)."""

    start: int
    end: int
    new: list[str]  # what is put there


def apply(text: str, blocks: Sequence[Block]) -> str:
    """The text with all blocks applied; each is looked for in the text as it was.

    Raises ValueError where one fits nowhere or at several places, or two of them touch the same lines.
    """
    lines = text.split("\n")
    last = lines.pop() if not lines[-1] else None  # nothing: what stands behind the last line's end
    changes = list(dict.fromkeys((block.search, block.replace) for block in blocks))
    placed = sorted((_find(lines, _lines(search), _lines(replace)) for search, replace in changes))
    for one, other in pairwise(placed):
        if other.start < one.end:
            raise ValueError(f"two blocks change line {other.start + 1}; put them into one")
    for place in reversed(placed):
        lines[place.start : place.end] = _ended(place, lines)
    return "\n".join(lines if last is None else [*lines, last])


def _ended(place: _Place, lines: Sequence[str]) -> list[str]:
    """What is put in a place, with the line ends that are there."""
    before = lines[place.start if place.start < len(lines) - 1 else place.start - 1]
    ends = ["\r" if before.endswith("\r") else ""] * len(place.new)
    if place.new:
        ends[-1] = "\r" if lines[place.end - 1].endswith("\r") else ""
    return [line + end for line, end in zip(place.new, ends, strict=True)]


def _find(lines: Sequence[str], wanted: list[str], new: list[str]) -> _Place:
    """The one place where a block applies."""
    if not any(line.strip() for line in wanted):
        raise ValueError("a SEARCH part without text fits everywhere")
    places = (
        _places(lines, wanted, new, exact=True)
        or _places(lines, wanted, new, exact=False)
        or _places(lines, _trimmed(wanted), _trimmed(new), exact=False)
    )
    shown = quote(" ".join(wanted))
    if not places:
        raise ValueError(f"the SEARCH part {shown} is not in the file{_near(lines, wanted)}")
    if len(places) > 1:
        numbers = ", ".join(str(place.start + 1) for place in places[:4])
        raise ValueError(f"the SEARCH part {shown} fits {len(places)} places, lines {numbers}")
    return places[0]


def _trimmed(lines: list[str]) -> list[str]:
    """Without blank lines around."""
    full = [n for n, line in enumerate(lines) if line.strip()]
    return lines[full[0] : full[-1] + 1] if full else []


def _lines(part: str) -> list[str]:
    return part.removesuffix("\n").split("\n") if part else []


def _places(lines: Sequence[str], wanted: Sequence[str], new: Sequence[str], exact: bool) -> list[_Place]:
    """Where the wanted lines stand; not `exact`: with whatever indentation means the same."""
    bare = [line.strip() for line in wanted]
    first = next(n for n, line in enumerate(bare) if line)
    found = []
    for start in range(len(lines) - len(wanted) + 1):
        if lines[start + first].strip() != bare[first]:
            continue
        here = lines[start : start + len(wanted)]
        if [line.strip() for line in here] != bare:
            continue
        if exact and all(_indent(a) == _indent(b) for a, b in zip(wanted, here, strict=True) if a.strip()):
            found.append(_Place(start, start + len(wanted), list(new)))
        elif not exact and (indents := _indents(wanted, here)) is not None:
            found.append(_Place(start, start + len(wanted), _moved(new, indents)))
    return found


def _indents(wanted: Sequence[str], here: Sequence[str]) -> dict[str, str] | None:
    """How each indentation of a block reads in the text; None where deeper is not deeper there."""
    pairs = {(_indent(a), _indent(b)) for a, b in zip(wanted, here, strict=True) if a.strip()}
    indents = dict(pairs)
    ordered = sorted(indents, key=_width)
    widths = [_width(indents[indent]) for indent in ordered]
    rising = all(a < b for a, b in pairwise(widths))
    apart = len({_width(indent) for indent in ordered}) == len(ordered)
    return indents if len(indents) == len(pairs) and rising and apart else None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _width(indent: str) -> int:
    return len(indent.expandtabs(_TAB))


def _moved(lines: Sequence[str], indents: dict[str, str]) -> list[str]:
    """Lines of a block, indented as the text is where the block applies."""
    if all(before == after for before, after in indents.items()):
        return list(lines)
    return [_read(_indent(line), indents) + line.lstrip() if line.strip() else "" for line in lines]


def _read(indent: str, indents: dict[str, str]) -> str:
    """An indentation of the block as it reads in the text."""
    if indent in indents:
        return indents[indent]
    below = [known for known in indents if indent.startswith(known)]
    if below:  # deeper than one that is known
        base = max(below, key=len)
        return indents[base] + indent[len(base) :]
    least = min(indents, key=_width)
    return " " * max(0, _width(indents[least]) - (_width(least) - _width(indent)))


def _near(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """The line of the file that is nearest to the first one wanted that is not there."""
    known = {line.strip() for line in lines}
    missing = next((line.strip() for line in wanted if line.strip() not in known), None)
    if missing is None:
        return ", though each of its lines is"
    near = difflib.get_close_matches(missing[:200], sorted(line[:200] for line in known if line), 1, 0.6)
    return f": no line reads {quote(missing)}" + (f"; the nearest there is {quote(near[0])}" if near else "")
