"""Parts that are chosen by name or dotted path: operators, populations."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from evolve.types import BadInput


def named(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """What a name stands for: one of the known, or `package.module:Name` of anybody's own.

    Raises BadInput that lists the known ones, the nearest first.
    """
    if name in known:
        return known[name]
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    if module:
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # it is the user's own code, which may raise anything
            said = f"{type(error).__name__}: {error}"
            raise BadInput(kind, "an importable package.module:Name", f"{name} ({said})") from error
    near = difflib.get_close_matches(name, known, n=len(known), cutoff=0.0)
    raise BadInput(kind, f"one of {', '.join(near)}, or package.module:Name", name or "nothing")
