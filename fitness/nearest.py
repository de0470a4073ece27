"""What to offer instead of a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_of(name: str, known: Iterable[str]) -> str:
    """The known names near to this one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return " or ".join(map(repr, near)) if near else "one of " + ", ".join(names)
