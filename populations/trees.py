"""The names that git gives to content, computed without git.

So every hash of a run is known the moment an event is appended, and git's own answer is only compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from evolve.types import Files

IDENTITY = "evolve <evolve@localhost>"  # of author, committer and tagger: a run never needs a user's settings


def object_id(kind: str, data: bytes) -> str:
    """Git's SHA-1 of one object, 40 hexadecimal digits."""
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(data), data), usedforsecurity=False).hexdigest()


def blob_ids(files: Files) -> dict[str, str]:
    """The blob of each file."""
    return {path: object_id("blob", data) for path, data in files.items()}


def tree_id(files: Files) -> str:
    """Git's SHA-1 of the tree that holds exactly these files, all of mode 100644.

    Raises ValueError where a path cannot be kept in git on every system.
    """
    return tree_of(blob_ids(files))


def tree_of(blobs: Mapping[str, str]) -> str:
    """As `tree_id`, of blobs that are hashed already."""
    root: dict[str, Any] = {}
    for path, blob in blobs.items():
        check_path(path)
        *folders, name = path.split("/")
        node = root
        for folder in folders:
            node = node.setdefault(folder, {})
            if not isinstance(node, dict):
                raise ValueError(f"path {path!r}: {folder!r} is a file and a folder")
        if name in node:
            raise ValueError(f"path {path!r}: is a file and a folder")
        node[name] = blob
    return _tree(root)


def commit_id(tree: str, parents: Sequence[str], date: int, message: bytes) -> str:
    """Git's SHA-1 of a commit by IDENTITY at `date` (seconds since 1970, UTC)."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {IDENTITY} {date} +0000", f"committer {IDENTITY} {date} +0000", "", ""]
    return object_id("commit", "\n".join(lines).encode() + message)


def variant_id(trial: int, tree: str) -> str:
    """`17-3fa2c1`: the id of the variant that trial 17 made, by its tree."""
    return f"{trial}-{tree[:6]}"


@lru_cache(maxsize=4096)
def check_path(path: str) -> None:
    """Refuse, with ValueError, a path that would leave the tree, hide in it or not survive a checkout."""
    reason = ""
    if not path:
        reason = "is empty"
    elif len(path.encode()) > 1024:
        reason = "is longer than 1024 bytes"
    elif "\\" in path or not all(letter == " " or letter.isprintable() for letter in path):
        reason = "holds a backslash or a character that cannot be printed"
    else:
        for part in path.split("/"):
            if part in ("", ".", ".."):
                reason = "is absolute or leaves the folder" if part != "." else "holds a part '.'"
            elif len(part.encode()) > 255:
                reason = "holds a name longer than 255 bytes"
            # the names that git itself refuses, as Windows and macOS would read them too
            elif part.lower().rstrip(". ") in (".git", "git~1", ".gitmodules", "gitmod~1"):
                reason = f"holds {part!r}, which belongs to git"
    if reason:
        raise ValueError(f"path {path!r}: {reason}")


def _tree(node: dict[str, Any]) -> str:
    # git sorts names as bytes, a folder as if its name ended with a slash
    rows = []
    for name, value in node.items():
        key = name.encode()
        if isinstance(value, dict):
            rows.append((key + b"/", b"40000 " + key + b"\0" + bytes.fromhex(_tree(value))))
        else:
            rows.append((key, b"100644 " + key + b"\0" + bytes.fromhex(value)))
    return object_id("tree", b"".join(row for _, row in sorted(rows)))
