"""A file of keyed lines that outlives a killed process: appended at once, written anew when it has grown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

MOST_BYTES = 4 << 20  # of the file, before it is written anew without what was forgotten

K = TypeVar("K")


class Lines(Generic[K]):
    """Keeps one line a key. A full disk is not told here: it is the ledger's to report.

    Not synced to the disk, and not locked: its owner does that.
    """

    def __init__(self, path: Path, held: Mapping[K, bytes]) -> None:
        """`held`: what is in the file already and not torn, each with its line end."""
        self._path = path
        self._held = dict(held)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __getitem__(self, key: K) -> bytes:
        return self._held[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def put(self, key: K, line: bytes) -> None:
        """Append a key's line; nothing once it is closed."""
        if self._file < 0:
            return
        self._held[key] = line
        with suppress(OSError):
            os.write(self._file, b"\n" + line)  # what was torn before stays alone

    def forget(self, keys: Iterable[K]) -> None:
        """Drop keys that are not needed any more."""
        for key in keys:
            self._held.pop(key, None)
        with suppress(OSError):
            if os.fstat(self._file).st_size > MOST_BYTES:
                self._rewrite()

    def close(self) -> None:
        """Free the file. Idempotent."""
        if self._file >= 0:
            with suppress(OSError):
                self._rewrite()
            os.close(self._file)
        self._file = -1

    def _rewrite(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_bytes(b"".join(self._held.values()))
        draft.rename(self._path)
        os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
