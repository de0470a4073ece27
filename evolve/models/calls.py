"""What was asked and answered, kept from that moment on: a reply that was paid for outlives a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock

from evolve.models import Amount
from evolve.types import Exchange, Json

MOST_BYTES = 4 << 20  # of the file, before it is written anew without what the ledger has
KILLED = "the run was killed while it waited for this reply"


class Calls:
    """A file that gets a line before each call, with the most that it may cost, and one when it is over.

    Not synced to the disk: it outlives a killed process, as `evolve.landing` does. A call that has no reply
    in it counts in full. Safe to use from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._lines: dict[tuple[int, int], bytes] = {}  # what the ledger may not have, by trial and number
        self._earlier: dict[int, list[Exchange]] = {}  # of sessions before, by trial
        for key, line in _intact(path):
            self._lines[key] = line
        for (trial, _), line in sorted(self._lines.items()):
            self._earlier.setdefault(trial, []).append(_exchange(json.loads(line)))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def earlier(self, trial: int) -> list[Exchange]:
        """What an earlier session asked for a trial, in order, and the ledger does not have."""
        return self._earlier.get(trial, [])

    def sent(self, trial: int, number: int, model: str, most: Amount) -> None:
        """A call is about to be made."""
        lost = Exchange(model, "", "", most.usd, most.tokens, error=f"{model}: {KILLED}")
        self._write(trial, number, lost)

    def got(self, trial: int, number: int, exchange: Exchange) -> None:
        """It is over."""
        self._write(trial, number, exchange)

    def settle(self, trials: Iterable[int]) -> None:
        """Forget what the ledger has."""
        gone = set(trials)
        with self._lock:
            for key in [key for key in self._lines if key[0] in gone]:
                del self._lines[key]
            for trial in gone:
                self._earlier.pop(trial, None)
            with suppress(OSError):  # a full disk is the ledger's to report
                if os.fstat(self._file).st_size > MOST_BYTES:
                    self._rewrite()

    def close(self) -> None:
        """Free the file. Idempotent."""
        with self._lock:
            if self._file >= 0:
                with suppress(OSError):
                    self._rewrite()
                os.close(self._file)
            self._file = -1

    def _write(self, trial: int, number: int, exchange: Exchange) -> None:
        line = json.dumps({"trial": trial, "number": number, **asdict(exchange)}).encode() + b"\n"
        with self._lock:
            if self._file < 0:
                return  # the session is over, and has counted what was under way
            self._lines[trial, number] = line
            with suppress(OSError):
                os.write(self._file, b"\n" + line)  # what was torn before stays alone

    def _rewrite(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_bytes(b"".join(self._lines.values()))
        draft.rename(self._path)
        os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)


def _intact(path: Path) -> Iterable[tuple[tuple[int, int], bytes]]:
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):  # torn: the line before it counts
            record = json.loads(line)
            _exchange(record)
            yield (record["trial"], record["number"]), line + b"\n"


def _exchange(record: Mapping[str, Json]) -> Exchange:
    return Exchange(**{key: value for key, value in record.items() if key not in ("trial", "number")})
