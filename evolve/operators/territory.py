"""What a child may touch: editable files by glob, in them the EVOLVE-BLOCKs, enforced on the result."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise

from evolve.types import BadInput, Files
from populations.trees import check_path

# A marker stands on a line of its own, behind any language's comment sign.
_MARKER = re.compile(r"^[^\w\r\n]*EVOLVE-BLOCK-(START|END)\b[^\r\n]*(?:\r\n|\r|\n|\Z)", re.MULTILINE)


class Territory:
    """The part of a program that may change: files that match a glob, and of a file with markers its blocks.

    In a glob `*` crosses folders. The markers that count are the seed's.
    Raises BadInput where the seed's markers do not pair up, no file is editable or git cannot hold one.
    """

    def __init__(self, seed_files: Files, editable: Sequence[str]) -> None:
        self._seed = dict(seed_files)
        self._globs = tuple(editable)
        self._marked: dict[str, list[str]] = {}  # path -> the text outside its blocks, in order
        self._escapes: dict[str, int] = {}  # path -> nodes of the seed's own that reach out of a block
        if not any(map(self.editable, seed_files)):
            raise BadInput(
                "editable", f"a glob that matches one of {sorted(seed_files)}", repr(list(editable))
            )
        for path, content in seed_files.items():
            if wrong := _unfit(path, seed_files):
                raise BadInput("program", "file names that git can hold", f"{path!r}: {wrong}")
            text = content.decode("latin-1")  # keeps every byte, binary files included
            if self.editable(path) and _MARKER.search(text):
                self._marked[path] = _fixed(path, text)
                self._escapes[path] = escapes(content) if path.endswith(".py") else 0

    def editable(self, path: str) -> bool:
        """Whether the file may change at all."""
        return any(fnmatchcase(path, glob) for glob in self._globs)

    def marked(self, path: str) -> bool:
        """Whether only the EVOLVE-BLOCKs of the file may change."""
        return path in self._marked

    def spans(self, path: str, source: str) -> list[tuple[int, int]]:
        """Character spans of the source that may change; empty where the file may not."""
        if not self.editable(path):
            return []
        if path not in self._marked:
            return [(0, len(source))]
        return _blocks(source)

    def most_bytes(self, path: str) -> int:
        """How far an operator that edits at random may let the file grow: it piles up what does nothing."""
        return 3 * len(self._seed.get(path, b"")) + 2_000

    def lines(self, files: Files) -> int:
        """Lines of these files that may change, those between fixed ones included."""
        return sum(content.count(b"\n") for path, content in files.items() if self.editable(path))

    @property
    def seed_bytes(self) -> int:
        """Size of the seed's editable files."""
        return sum(len(content) for path, content in self._seed.items() if self.editable(path))

    def violation(self, files: Files) -> str | None:
        """Say what in these files may not be as it is; None: they keep to the territory."""
        for path in sorted(self._seed.keys() | files.keys()):
            old, new = self._seed.get(path), files.get(path)
            if old == new:
                continue
            if not self.editable(path):
                what = "removed" if new is None else "added" if old is None else "changed"
                return f"{path}: {what}, but it is not editable"
            if old is None and (wrong := _unfit(path, files)):
                return f"{path}: {wrong}"
            if path in self._marked:
                if new is None:
                    return f"{path}: removed, but it has text outside its EVOLVE-BLOCKs"
                if wrong := self._outside(path, new):
                    return f"{path}: {wrong}"
        return None

    def _outside(self, path: str, content: bytes) -> str | None:
        text = content.decode("latin-1")
        try:
            fixed = _fixed(path, text)
        except BadInput:
            return "its EVOLVE-BLOCK markers do not pair up"
        if len(fixed) != len(self._marked[path]):
            return "EVOLVE-BLOCK markers were added or removed"
        if fixed != self._marked[path]:
            return "text outside its EVOLVE-BLOCKs was changed"
        if path.endswith(".py") and escapes(content) > self._escapes[path]:
            return "a string or statement that starts in an EVOLVE-BLOCK reaches out of it"
        return None


def syntax_error(files: Files) -> str | None:
    """Say where a Python file does not compile, `path line n: message`; None: all of them do."""
    for path, content in files.items():
        if path.endswith(".py") and (wrong := compile_error(content)):
            return f"{path} {wrong}"
    return None


@lru_cache(maxsize=64)  # an operator asks before it gives a child away, the loop before it takes it
def compile_error(source: str | bytes) -> str | None:
    """Say where this Python source does not compile, `line n: message`; None: it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program may be odd (`x is 1`); only errors count
            compile(source, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:  # what the compiler cannot hold
        return f"line 1: {error or type(error).__name__}"
    return None


def _unfit(path: str, files: Files) -> str | None:
    """Why git, which keeps every program, cannot hold a file of this name among these; None: it can."""
    try:
        check_path(path)
    except ValueError as error:
        return f"not a plain relative path ({error})"
    folders = path.split("/")[:-1]
    if any("/".join(folders[: n + 1]) in files for n in range(len(folders))):
        return "a file and a folder of one name"
    return None


def _blocks(text: str) -> list[tuple[int, int]]:
    """Spans between the lines of each pair of markers."""
    markers = list(_MARKER.finditer(text))
    return [
        (start.end(), end.start())
        for start, end in pairwise(markers)
        if start[1] == "START" and end[1] == "END"
    ]


def _fixed(path: str, text: str) -> list[str]:
    """Texts outside the blocks, marker lines included. Raises BadInput where the markers do not pair up."""
    open_line = 0
    for marker in _MARKER.finditer(text):
        line = text.count("\n", 0, marker.start()) + 1
        if (marker[1] == "START") == bool(open_line):
            expected = "END" if open_line else "START"
            raise BadInput(f"{path} line {line}", f"EVOLVE-BLOCK-{expected}", f"EVOLVE-BLOCK-{marker[1]}")
        open_line = line if marker[1] == "START" else 0
    if open_line:
        raise BadInput(f"{path} line {open_line}", "EVOLVE-BLOCK-END after it", "the end of the file")
    edges = [0, *(edge for span in _blocks(text) for edge in span), len(text)]
    return [text[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]


@lru_cache(maxsize=64)  # as `compile_error`
def escapes(content: bytes) -> int:
    """How many syntax nodes start inside a block and end outside: an open string can swallow what follows."""
    text = content.decode("latin-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0  # it will not run at all
    ends = {}
    for opening, closing in _blocks(text):
        last = _line(text, closing)
        ends.update(dict.fromkeys(range(_line(text, opening), last), last))
    count = 0
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        stop: int | None = getattr(node, "end_lineno", None)
        if stop is not None:
            start = min(one.lineno for one in [node, *getattr(node, "decorator_list", ())])
            if start in ends and stop < ends[start]:
                continue  # it lies in one block, and so does what it holds
            if isinstance(node, ast.stmt | ast.expr):
                count += node.lineno in ends and stop >= ends[node.lineno]
        queue += ast.iter_child_nodes(node)
    return count


def _line(text: str, offset: int) -> int:
    """Number of the line that starts there, as the parser counts lines."""
    return 1 + text.count("\n", 0, offset) + text.count("\r", 0, offset) - text.count("\r\n", 0, offset)
