"""Making a child by putting text in place of text, so that formatting and comments stay."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from evolve.operators.territory import Territory, compile_error
from evolve.types import Failure, Files, Json, Proposal

# How strongly an expression binds; its text is put in parentheses where its place asks for more.
TERNARY, OR, AND, NOT, COMPARE, BITS, ADD, MULTIPLY, UNARY, POWER, AWAIT, ATOM = range(1, 13)
_BINDING: dict[type[object], int] = {  # of operators, and of expressions without one
    ast.NamedExpr: 0, ast.Yield: 0, ast.YieldFrom: 0, ast.Tuple: 0,
    ast.IfExp: TERNARY, ast.Lambda: TERNARY, ast.Or: OR, ast.And: AND, ast.Not: NOT, ast.Compare: COMPARE,
    ast.BitOr: BITS, ast.BitXor: BITS, ast.BitAnd: BITS, ast.LShift: BITS, ast.RShift: BITS,
    ast.Add: ADD, ast.Sub: ADD, ast.Mult: MULTIPLY, ast.Div: MULTIPLY, ast.FloorDiv: MULTIPLY,
    ast.Mod: MULTIPLY, ast.MatMult: MULTIPLY, ast.UAdd: UNARY, ast.USub: UNARY, ast.Invert: UNARY,
    ast.Pow: POWER, ast.Await: AWAIT,
}  # fmt: skip


def strength(node: ast.expr) -> int:
    """How strongly an expression binds."""
    return _BINDING.get(type(getattr(node, "op", node)), ATOM)


class Code(NamedTuple):
    """The text of an expression and how strongly it binds."""

    text: str
    strength: int = ATOM

    def fit(self, needs: int) -> str:
        """The text for a place that asks for this strength."""
        return self.text if self.strength >= needs else f"({self.text})"


class Edit(NamedTuple):
    """Text to put in place of source[start:end]."""

    start: int
    end: int
    text: str


class Change(NamedTuple):
    """Edits that belong together, and one line that says what they do."""

    edits: tuple[Edit, ...]
    idea: str


def splice(source: str, edits: Sequence[Edit]) -> str:
    """The source with the edits made; they must not overlap."""
    for edit in sorted(edits, reverse=True):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def overlap(edits: Sequence[Edit]) -> bool:
    """Whether two of the edits touch the same text."""
    ordered = sorted(edits)
    return any(one.end > other.start or one == other for one, other in pairwise(ordered))


def number(value: float, digits: int = 3) -> Code:
    """The text of a number; a float keeps this many significant digits."""
    if not isinstance(value, int):
        if not math.isfinite(value):
            value = 0.0
        value = float(f"{value:.{digits}g}")
    return Code(repr(value), UNARY if math.copysign(1, value) < 0 else ATOM)


def quote(text: str, length: int = 60) -> str:
    """A piece of program for a one-line idea."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= length else line[: length - 1] + '…'}`"


def child(
    files: Files,
    path: str,
    source: str,
    changes: Sequence[Change],
    territory: Territory,
    details: Mapping[str, Json] | None = None,
) -> Proposal | None:
    """The program with one file changed; None: no change, no Python where it should be, out of bounds."""
    edits = [edit for change in changes for edit in change.edits]
    if overlap(edits):
        return None
    text = splice(source, edits)
    content = text.encode()
    if content == files[path] or len(content) > territory.most_bytes(path):
        return None
    if path.endswith(".py") and compile_error(content):
        return None
    made = {**files, path: content}
    if territory.violation(made):
        return None
    return Proposal(made, "; ".join(change.idea for change in changes), details=details or {})


def no_child(why: str) -> Proposal:
    """A proposal without files."""
    return Proposal(None, failure=Failure("no_child", why))
