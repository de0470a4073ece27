"""What a run remembers for its prompts; each part can be switched off."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.types import BadInput
from fitness.nearest import one_of

KINDS = {  # name -> what it brings
    "inspirations": "the best program, one that is good where the parent is weak, and one like the parent",
    "ancestors": "the changes that led to the parent, and what each gained",
    "pairs": "of a failure, a program that failed alike and what mended it",
    "critiques": "what a model says of a child that failed, to prompts of its lineage; a call each",
    "lessons": "what a model learns from every 20 children, one a prompt; a call each",
}
FREE = ("inspirations", "ancestors", "pairs")  # that cost no call


def chosen(names: Sequence[str] | None, baseline: bool, lessons: bool) -> tuple[str, ...]:
    """Which parts of the memory are on; None: those that cost no call. `all` and `none` are names, too.

    `baseline`: a simple search, whose prompts carry nothing unless it is asked for; `lessons`: some are
    given. Raises BadInput for a name that nobody knows, and for lessons that no prompt would carry.
    """
    if names is not None:
        found = _named(names)
    else:
        found = () if baseline else (*FREE, "lessons") if lessons else FREE
    if lessons and "lessons" not in found:
        raise BadInput("--lessons-from", "lessons among the parts of --memory", ",".join(found) or "none")
    return found


def _named(names: Sequence[str]) -> tuple[str, ...]:
    if tuple(names) in (("all",), ("none",)):
        return tuple(KINDS) if names[0] == "all" else ()
    if not names or "all" in names or "none" in names:
        raise BadInput("--memory", "names, joined by commas; or all, or none", ",".join(names) or "nothing")
    for name in names:
        if name not in KINDS:
            raise BadInput("--memory", one_of(name, KINDS), name)
    return tuple(kind for kind in KINDS if kind in names)
