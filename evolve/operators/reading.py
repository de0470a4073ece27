"""From a reply to a program: the parent with what the reply changes, or where and why that fails."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evolve.operators.mending import Fault, Made
from evolve.operators.patch import apply
from evolve.operators.replies import Block, Reply, take_apart
from evolve.operators.splice import quote
from evolve.operators.territory import Territory, syntax_error
from evolve.types import Failure, Files

# a line that stands for code which is left out: dots, or a comment that says so
_LEFT_OUT = re.compile(
    r"\s*(?:#|//|/\*|--|;)?\s*(?:\.\.\.|…).*"
    r"|\s*(?:#|//|/\*|--|;)\s*(?:the )?(?:rest|remainder|remaining|existing|unchanged)\b.*",
    re.IGNORECASE,
)


def read(parent: Files, territory: Territory, reply: str) -> Made | Fault:
    """Take changes, by search and replace or as a unified diff, or whole files."""
    said = take_apart(reply)
    if not said.blocks and not said.files and not said.deleted and said.wrong is None:
        return _fault("parse", f"no fenced code block in the reply {quote(reply)}")
    return _made(parent, territory, said, whole=not said.blocks)


def read_changes(parent: Files, territory: Territory, reply: str) -> Made | Fault:
    """Take changes only: a piece of program in a fence is no program."""
    said = take_apart(reply)
    if not said.blocks and not said.deleted and said.wrong is None:
        return _fault("parse", f"no SEARCH and REPLACE block in the reply {quote(reply)}")
    return _made(parent, territory, said)


def check(parent: Files, made: Files, territory: Territory) -> Fault | None:
    """Where and why a changed program is none."""
    if made == parent:
        return _fault("apply", "the reply is the parent itself")
    for path, content in made.items():
        if content != parent.get(path) and (line := _left_out(parent.get(path, b""), content)):
            return _fault("apply", f"{path}: {quote(line)} stands for code that is left out; give all of it")
    if wrong := territory.violation(made):
        return Fault("inside", Failure("refused", wrong))
    if wrong := syntax_error(made):
        return _fault("compile", wrong)
    return None


def _made(parent: Files, territory: Territory, said: Reply, whole: bool = False) -> Made | Fault:
    if said.wrong is not None:
        return _fault("parse", said.wrong)
    editable = [path for path in sorted(parent) if territory.editable(path)]
    made = dict(parent)
    by_path: dict[str, list[Block]] = {}
    for block in said.blocks:
        path = _path(block.path, parent, editable, new=not block.search.strip())
        if path is None:
            expected = f"a file for each block, one of {', '.join(editable)}"
            return _fault("apply", f"expected {expected}, got {block.path or 'none'}")
        by_path.setdefault(path, []).append(block)
    for path, blocks in by_path.items():
        try:
            made[path] = _changed(parent, path, blocks)
        except ValueError as error:  # no text, or it does not fit
            return _fault("apply", f"{path}: {error}")
    for path, text in _whole(said, parent, territory, editable, whole).items():
        made[path] = _as_before(parent.get(path, b""), text)
    if whole and made == parent and not any(path for path, _ in said.files) and len(editable) > 1:
        return _fault("parse", f"no code block names one of {', '.join(editable)}")
    for name in said.deleted:
        if name not in parent or name in by_path:
            return _fault("apply", f"expected a file to delete that is there, and not changed, got {name}")
        del made[name]
    return check(parent, made, territory) or Made(made, said.idea)


def _path(name: str | None, parent: Files, editable: Sequence[str], new: bool) -> str | None:
    """The file that a block means; None: nobody can say."""
    name = name and name.removeprefix("./")
    if name is None or name in parent:
        return name or (editable[0] if len(editable) == 1 else None)
    if new:
        return name
    same = [path for path in editable if name.endswith(f"/{path}") or path.endswith(f"/{name}")]
    return same[0] if len(same) == 1 else None


def _changed(parent: Files, path: str, blocks: Sequence[Block]) -> bytes:
    """A file with its blocks applied; one that is new or empty is what its only block says."""
    if not parent.get(path):
        if len(blocks) > 1 or blocks[0].search.strip():
            raise ValueError("is not there or empty: expected one block without text to SEARCH for")
        return blocks[0].replace.encode(errors="replace")
    return apply(parent[path].decode(), blocks).encode(errors="replace")


def _whole(
    said: Reply, parent: Files, territory: Territory, editable: Sequence[str], whole: bool
) -> dict[str, str]:
    """Files that a reply gives whole; beside changes only new ones: others are excerpts."""
    named = {path.removeprefix("./"): text for path, text in said.files if path is not None}
    found = {
        path: text
        for path, text in named.items()
        if territory.editable(path) and (whole or path not in parent)
    }
    if whole and not found and len(editable) == 1 and said.files:  # one file, and no need to name it
        return {editable[0]: max((text for _, text in said.files), key=len)}
    return found


def _as_before(old: bytes, text: str) -> bytes:
    """A whole file with the line ends of the old one, and what stands behind its last word."""
    new = text.encode(errors="replace")
    if b"\r\n" in old:
        new = new.replace(b"\n", b"\r\n")
    return new.rstrip() + old[len(old.rstrip()) :] if old else new


def _left_out(old: bytes, new: bytes) -> str | None:
    """A line of a new text that stands for others, as none of the old one does."""
    known = {line.strip() for line in old.decode(errors="replace").split("\n")}
    lines = new.decode(errors="replace").split("\n")
    return next(
        (line for line in lines if line.strip() not in known and _LEFT_OUT.fullmatch(line.rstrip())), None
    )


def _fault(stage: str, why: str) -> Fault:
    return Fault(stage, Failure("model", why))  # type: ignore[arg-type]
