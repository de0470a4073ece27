"""What was asked and answered, kept from that moment on: a reply that was paid for outlives a kill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock

from evolve.lines import Lines
from evolve.models import Amount
from evolve.types import Exchange, Json

KILLED = "the run was killed while it waited for this reply"


class Calls:
    """A file that gets a line before each call, with the most that it may cost, and one when it is over.

    Not synced to the disk: it outlives a killed process, as `evolve.landing` does. A call that has no reply
    in it counts in full. Safe to use from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        held = dict(_intact(path))
        self._lines = Lines(path, held)  # what the ledger may not have, by trial and number
        self._earlier: dict[int, dict[int, Exchange]] = {}  # of sessions before, by trial and number
        for (trial, number), line in sorted(held.items()):
            self._earlier.setdefault(trial, {})[number] = _exchange(json.loads(line))

    def earlier(self, trial: int, recorded: int = 0) -> list[Exchange]:
        """What an earlier session asked for a trial, in order, after so many that the ledger has."""
        known = self._earlier.get(trial, {})
        return [exchange for number, exchange in known.items() if number >= recorded]

    def sent(self, trial: int, number: int, model: str, most: Amount) -> None:
        """A call is about to be made."""
        lost = Exchange(model, "", "", most.usd, most.tokens, error=f"{model}: {KILLED}")
        self._write(trial, number, lost)

    def got(self, trial: int, number: int, exchange: Exchange) -> None:
        """It is over."""
        self._write(trial, number, exchange)

    def settle(self, recorded: Mapping[int, int]) -> None:
        """Forget what the ledger has: so many exchanges of each trial."""
        with self._lock:
            gone = [(trial, number) for trial, number in self._lines if number < recorded.get(trial, 0)]
            for trial, number in gone:
                self._earlier.get(trial, {}).pop(number, None)
            self._lines.forget(gone)

    def close(self) -> None:
        """Free the file. Idempotent."""
        with self._lock:
            self._lines.close()

    def _write(self, trial: int, number: int, exchange: Exchange) -> None:
        line = json.dumps({"trial": trial, "number": number, **asdict(exchange)}).encode() + b"\n"
        with self._lock:  # once the session is over, what was under way has been counted
            self._lines.put((trial, number), line)


def _intact(path: Path) -> Iterable[tuple[tuple[int, int], bytes]]:
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):  # torn: the line before it counts
            record = json.loads(line)
            _exchange(record)
            yield (record["trial"], record["number"]), line + b"\n"


def _exchange(record: Mapping[str, Json]) -> Exchange:
    return Exchange(**{key: value for key, value in record.items() if key not in ("trial", "number")})
