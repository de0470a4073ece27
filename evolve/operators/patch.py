"""Search and replace blocks: tolerant of indentation and fences, strict about where they apply."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from evolve.operators.splice import quote

_BLOCK = re.compile(
    r"^[ \t]*<{4,}[ \t]*SEARCH[ \t]*\n(.*?)^[ \t]*={4,}[ \t]*\n(.*?)^[ \t]*>{4,}[ \t]*REPLACE[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_PATH = re.compile(r"[\w./-]+\.\w+")


class Block(NamedTuple):
    """Lines to find in a file, and what to put there; path None: the reply does not say."""

    path: str | None
    search: str
    replace: str


def blocks(reply: str) -> list[Block]:
    """The blocks of a reply, in order; a file that was named last counts for those that follow."""
    found: list[Block] = []
    path, end = None, 0
    for match in _BLOCK.finditer(reply.replace("\r\n", "\n")):
        between = reply.replace("\r\n", "\n")[end : match.start()].rstrip().rpartition("\n")[2]
        named = _PATH.findall(between) if len(between.split()) <= 3 else []
        path, end = (named[-1] if named else path), match.end()
        found.append(Block(path, _unfenced(match[1]), _unfenced(match[2])))
    return found


def prose(reply: str) -> str:
    """What a reply says beside its blocks."""
    return _BLOCK.sub("\n", reply.replace("\r\n", "\n"))


def apply(text: str, block: Block) -> str:
    """The text with one block applied. Raises ValueError where it fits nowhere or at several places."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(newline)
    wanted, new = _lines(block.search), _lines(block.replace)
    if not any(line.strip() for line in wanted):
        raise ValueError("a SEARCH part without text fits everywhere")
    places = _places(lines, wanted, exact=True) or _places(lines, wanted, exact=False)
    if not places:
        raise ValueError(f"the SEARCH part {quote(block.search)} is not in the file{_near(lines, wanted)}")
    if len(places) > 1:
        numbers = ", ".join(str(place + 1) for place in places[:4])
        raise ValueError(f"the SEARCH part {quote(block.search)} fits {len(places)} places, lines {numbers}")
    start = places[0]
    moved = _indented(new, _indent(wanted), _indent(lines[start : start + len(wanted)]))
    return newline.join([*lines[:start], *moved, *lines[start + len(wanted) :]])


def _lines(part: str) -> list[str]:
    return part.removesuffix("\n").split("\n") if part else []


def _unfenced(part: str) -> str:
    """Without a code fence around all of it."""
    lines = part.split("\n")
    whole = len(lines) > 2 and lines[0].lstrip().startswith("```") and lines[-2].strip() == "```"
    return "\n".join([*lines[1:-2], ""]) if whole else part


def _places(lines: Sequence[str], wanted: Sequence[str], exact: bool) -> list[int]:
    """Where the wanted lines stand; not `exact`: whatever the indentation of all of them, and their ends."""
    wanted = [line.rstrip() for line in wanted] if exact else _relative(wanted)
    found = []
    for start in range(len(lines) - len(wanted) + 1):
        here = lines[start : start + len(wanted)]
        if wanted == ([line.rstrip() for line in here] if exact else _relative(here)):
            found.append(start)
    return found


def _indent(lines: Sequence[str]) -> str:
    """The white space before the first line that has text."""
    first = next((line for line in lines if line.strip()), "")
    return first[: len(first) - len(first.lstrip())]


def _relative(lines: Sequence[str]) -> list[str]:
    """Lines without the indentation of the first one; what is indented less keeps none."""
    indent = _indent(lines)
    return [line.removeprefix(indent).rstrip() if line.strip() else "" for line in lines]


def _indented(lines: Sequence[str], before: str, after: str) -> list[str]:
    if before == after:
        return list(lines)
    return [after + line.removeprefix(before) if line.strip() else line for line in lines]


def _near(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """The line of the file that is nearest to the first one wanted."""
    first = next(line.strip() for line in wanted if line.strip())
    near = difflib.get_close_matches(first, [line.strip() for line in lines if line.strip()], 1, 0.6)
    return f"; the nearest line there is {quote(near[0])}" if near else ""
