"""The write-ahead journal: the last seconds of a run, until git has them.

A journal is a folder of segments. A segment is named by the number of events before it and holds groups, one
for each `sync`: a line `sync <bytes> <crc32>` and then that many bytes of records, a line each. A group that
is not whole at the very end was being written when the power or the process went: nobody was told that it
is safe, so it is cut. A damaged group with an intact one after it was safe once, so that is an error.

Space is written ahead, as zeros: what lies in it is safe in half the time, as the file does not grow.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from evolve.types import LedgerError

_Segment = tuple[Path, list[bytes], int]

SEGMENT_BYTES = 4 << 20  # a segment is closed at the first sync beyond this
AHEAD_BYTES = 128 << 10  # of zeros


def read(folder: Path) -> list[bytes]:
    """Every intact record, in order; also while another process writes. Raises LedgerError where damaged."""
    return News(folder).read()


def first(folder: Path) -> int | None:
    """Number of the first event that the journal may still hold; None: there is no journal."""
    return min((int(path.name) for path in folder.glob("[0-9]" * 12)), default=None)


class News:
    """A journal that another process may write: each `read` gives the records since the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}  # bytes of each segment that were intact

    def read(self) -> list[bytes]:
        """Every new intact record, in order. Raises LedgerError where the journal is damaged."""
        found = _segments(self._folder, self._read)
        self._read = {path: self._read.get(path, 0) + size for path, _, size in found}
        return [record for _, records, _ in found for record in records]


class Journal:
    """The journal open for writing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failure = ""
        self._waiting: list[bytes] = []
        self._file = -1
        self._room = 0  # bytes of the segment, those ahead included
        folder.mkdir(parents=True, exist_ok=True)
        found = _segments(folder)
        self._found = [record for _, records, _ in found for record in records]
        self._firsts = [int(path.name) for path, _, _ in found]
        if found:
            path, _, self._size = found[-1]
            self._file = os.open(path, os.O_WRONLY)
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
        else:
            self.rotate(0, ())

    def take(self) -> list[bytes]:
        """The records found on opening; only once, as they may be large."""
        found, self._found = self._found, []
        return found

    @property
    def full(self) -> bool:
        """Whether the segment should be followed by a new one."""
        return self._size > SEGMENT_BYTES

    def append(self, record: bytes) -> None:
        """Add a record (one line, no newline); it is safe when `sync` has returned."""
        self._waiting.append(record)

    def sync(self) -> None:
        """Make everything appended safe, in one write and one fsync. Raises LedgerError if that fails."""
        if self._failure:
            raise LedgerError(self._failure)
        if not self._waiting:
            return
        body = b"\n".join(self._waiting) + b"\n"
        group = b"sync %d %08x\n" % (len(body), zlib.crc32(body)) + body
        # what a failure leaves on the disk is a torn end, which only reopening cuts: no second try after it
        self._failure = f"journal {self._folder}: a write was interrupted"
        try:
            self._make_room(len(group))
            _write(self._file, group)
            os.fdatasync(self._file)
        except OSError as error:
            self._failure = self._refused(error)
            raise LedgerError(self._failure) from error
        self._failure = ""
        self._size += len(group)
        self._waiting.clear()

    def rotate(self, first: int, carry: Iterable[bytes]) -> None:
        """Start a segment for event `first` and on, with the records that must outlive the old ones."""
        if self._file >= 0:
            self.sync()
        if self._failure or first in self._firsts:  # nothing happened since the last one began
            return
        try:
            file = os.open(self._folder / f"{first:012d}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            sync_folder(self._folder)
        except OSError as error:
            raise LedgerError(self._refused(error)) from error
        self._let_go()
        self._file, self._size, self._room = file, 0, 0
        self._firsts.append(first)
        self._waiting.extend(carry)
        self.sync()

    def drop(self, count: int) -> None:
        """Remove the segments whose events are all among the first `count`."""
        while len(self._firsts) > 1 and self._firsts[1] <= count:
            (self._folder / f"{self._firsts.pop(0):012d}").unlink(missing_ok=True)

    def _refused(self, error: OSError) -> str:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = ". Free some space: what was recorded is kept, the same command goes on" if full else ""
        return f"journal {self._folder}: cannot be written: {error.strerror}{hint}"

    def close(self) -> None:
        """Free the file; what waits for a sync is not written. Idempotent."""
        self._let_go()
        self._failure = self._failure or f"journal {self._folder}: is closed"

    def _make_room(self, size: int) -> None:
        """Write zeros where so many bytes are to come, and more, unless they are there."""
        if self._size + size > self._room:
            with suppress(OSError):  # the disk is full: maybe there is room for what is to come
                os.pwrite(self._file, bytes(size + AHEAD_BYTES), self._size)
                self._room = self._size + size + AHEAD_BYTES

    def _let_go(self) -> None:
        """Close the segment, without what was written ahead."""
        if self._file >= 0:
            with suppress(OSError):  # zeros at its end harm nobody
                os.ftruncate(self._file, self._size)
            os.close(self._file)
        self._file = -1


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new file is lost with its folder's entry."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _segments(folder: Path, known: Mapping[Path, int] = MappingProxyType({})) -> list[_Segment]:
    """Each segment's path, records and intact bytes, both after the first bytes that are `known`."""
    paths = sorted(folder.glob("[0-9]" * 12)) if folder.is_dir() else []
    found: list[_Segment] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                file.seek(known.get(path, 0))
                data = file.read()
        except FileNotFoundError:  # dropped meanwhile: its events are in git
            continue
        records, size = _groups(data)
        rest = data[size:]
        if rest.strip(b"\0") and (path != paths[-1] or _intact_group_in(rest)):
            at = known.get(path, 0) + size
            raise LedgerError(f"journal {path}: damaged at byte {at}, with intact records after it")
        found.append((path, records, size))
    return found


def _groups(data: bytes) -> tuple[list[bytes], int]:
    """The records of the intact groups from the start, and where those end."""
    records: list[bytes] = []
    at = 0
    while at < len(data):
        body = _group(data, at)
        if body is None:
            break
        start, end = body
        records += data[start : end - 1].split(b"\n")
        at = end
    return records, at


def _group(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the records of the group at a byte begin and end, None unless all of it is there."""
    line_end = data.find(b"\n", at, at + 64)
    words = data[at:line_end].split(b" ") if line_end > 0 else []
    if len(words) != 3 or words[0] != b"sync" or not words[1].isdigit():
        return None
    start, end = line_end + 1, line_end + 1 + int(words[1])
    return (start, end) if end <= len(data) and b"%08x" % zlib.crc32(data[start:end]) == words[2] else None


def _intact_group_in(data: bytes) -> bool:
    at = data.find(b"sync ", 1)
    while at >= 0:
        # records are JSON, which has no raw newline, so only a group starts a line like this
        if data[at - 1] == 10 and _group(data, at) is not None:
            return True
        at = data.find(b"sync ", at + 1)
    return False
