"""What a reply of a model holds: changes of files, whole files, files to delete, and words beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_SEARCH = re.compile(r"[ \t]*<{4,}[ \t]*SEARCH\b(.*)")
_MIDDLE = re.compile(r"[ \t]*={4,}[ \t]*")
_REPLACE = re.compile(r"[ \t]*>{4,}[ \t]*REPLACE\b.*")
_DELETE = re.compile(r"[ \t]*<{4,}[ \t]*DELETE[ \t]+(\S+)[ \t]*>*[ \t]*")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)[ \t]*([^`\n]*)")
_HUNK = re.compile(r"@@ .*@@.*|@@[ \t]*")
_SIDE = re.compile(r"(---|\+\+\+) (?:[ab]/)?(\S+).*")
_PATH = re.compile(r"[\w./-]+\.\w+")
_NOWHERE = "/dev/null"


class Block(NamedTuple):
    """Lines to find in a file, and what to put there; path None: the reply does not say."""

    path: str | None
    search: str
    replace: str


@dataclass(slots=True)
class Reply:
    """A reply taken apart, in its order."""

    blocks: list[Block] = field(default_factory=list)  # of search and replace, or of a unified diff
    files: list[tuple[str | None, str]] = field(default_factory=list)  # path and text of fenced ones
    deleted: list[str] = field(default_factory=list)
    wrong: str | None = None  # what is not whole about it
    prose: str = ""

    @property
    def idea(self) -> str:
        """The line in which the model says what it changes."""
        lines = (
            re.sub(r"^[\s#>*_-]*(?:idea\W+)?|[\s*_]+$", "", line, flags=re.I)
            for line in self.prose.split("\n")
        )
        return next((line for line in lines if len(line) > 8 and not line.endswith(":")), "")


def take_apart(reply: str) -> Reply:
    """Read a reply; in time that grows with its length alone."""
    return _Reader(reply.replace("\r\n", "\n").split("\n")).read()


class _Reader:
    def __init__(self, lines: Sequence[str]) -> None:
        self._lines, self._at = lines, 0
        self._found = Reply()
        self._words: list[str] = []
        self._path: str | None = None  # that was named last
        self._fence = ""  # that is open around changes

    def read(self) -> Reply:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if match := _SEARCH.fullmatch(line):
                self._named(match[1])
                self._block()
            elif match := _DELETE.fullmatch(line):
                self._found.deleted.append(match[1])
                self._at += 1
            elif _HUNK.fullmatch(line):
                self._hunk()
            elif (match := _SIDE.fullmatch(line)) and self._of_diff():
                self._side(match[1], match[2])
            elif self._fence and line.strip() == self._fence:
                self._fence = ""
                self._at += 1
            elif match := _FENCE.fullmatch(line):
                self._fenced(match[1], match[2])
            else:
                self._words.append(line)
                self._at += 1
        self._found.prose = "\n".join(self._words)
        return self._found

    def _spoil(self, why: str) -> None:
        self._found.wrong = self._found.wrong or why

    def _block(self) -> None:
        """From a line SEARCH to the next REPLACE."""
        number = len(self._found.blocks) + 1
        if not self._fence:
            self._named(self._last_words())
        self._at += 1
        search = self._part(_MIDDLE, number, "=======")
        replace = self._part(_REPLACE, number, ">>>>>>> REPLACE") if search is not None else None
        if search is not None and replace is not None:
            self._found.blocks.append(Block(self._path, _unfenced(search), _unfenced(replace)))

    def _part(self, end: re.Pattern[str], number: int, wanted: str) -> list[str] | None:
        """The lines up to a marker; None where another one comes first."""
        start = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            marks = [mark for mark in (_SEARCH, _MIDDLE, _REPLACE) if mark.fullmatch(line)]
            if marks:
                if marks[0] is not end:
                    break
                self._at += 1
                return list(self._lines[start : self._at - 1])
            self._at += 1
        here = self._lines[self._at].strip() if self._at < len(self._lines) else "the end"
        self._spoil(f"block {number} is not whole: expected {wanted}, got {here}")
        return None

    def _fenced(self, fence: str, info: str) -> None:
        """A fence: around changes it means nothing, else it holds a file."""
        end = self._at + 1
        changes = False
        while end < len(self._lines) and self._lines[end].strip() != fence:
            line = self._lines[end]
            changes = changes or any(mark.fullmatch(line) for mark in (_SEARCH, _HUNK, _DELETE))
            end += 1
        named = _path_in(info) or _path_in(self._last_words())
        if changes:
            self._path, self._fence = named or self._path, fence
            self._at += 1
            return
        inside = self._lines[self._at + 1 : end]
        if end == len(self._lines):
            if any(line.strip() for line in inside):
                self._spoil("a code block is not closed: the reply ends before")
        else:
            self._found.files.append((named, "".join(f"{line}\n" for line in inside)))
        self._words.append("")
        self._at = end + 1

    def _side(self, sign: str, path: str) -> None:
        """A line that names a file of a unified diff."""
        if path == _NOWHERE and sign == "+++" and self._path is not None:
            self._found.deleted.append(self._path)
        elif path != _NOWHERE:
            self._path = path
        self._at += 1

    def _of_diff(self) -> bool:
        """Whether a hunk, or the other file's line, is near: else it is prose or a rule."""
        near = self._lines[self._at + 1 : self._at + 3]
        return any(_HUNK.fullmatch(line) or _SIDE.fullmatch(line) for line in near)

    def _hunk(self) -> None:
        """A hunk of a unified diff, as lines to find and to put there."""
        self._at += 1
        old, new = [], []
        start = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line[:1] not in ("", " ", "+", "-", "\t", "\\") or (
                self._at > start and self._ends_hunk(line)
            ):
                break
            if line[:1] != "\\":
                bare = line[1:] if line[:1] in (" ", "+", "-") else line
                old += [bare] if line[:1] != "+" else []
                new += [bare] if line[:1] != "-" else []
            self._at += 1
        while old and new and not old[-1] and not new[-1]:  # blank lines behind the hunk
            old.pop()
            new.pop()
        if old != new and self._path not in self._found.deleted:
            self._found.blocks.append(Block(self._path, _joined(old), _joined(new)))

    def _ends_hunk(self, line: str) -> bool:
        return bool(_SIDE.fullmatch(line)) and self._of_diff()

    def _named(self, words: str) -> None:
        self._path = _path_in(words) or self._path

    def _last_words(self) -> str:
        """The last line that is not empty, if nothing else came since."""
        return next((line for line in reversed(self._words[-3:]) if line.strip()), "")


def _path_in(words: str) -> str | None:
    """The file that a few words name."""
    few = words.split() if len(words) < 200 else []
    bare = [word.strip("*#`:'\"()").removeprefix("path=").removeprefix("file=").strip("`'\"") for word in few]
    named = [word for word in bare if _PATH.fullmatch(word)]
    return named[-1] if named and len(few) <= 3 else None


def _unfenced(lines: list[str]) -> str:
    """Without a code fence around all of it."""
    whole = len(lines) > 2 and lines[0].lstrip().startswith("```") and lines[-1].strip() == "```"
    return _joined(lines[1:-1] if whole else lines)


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
